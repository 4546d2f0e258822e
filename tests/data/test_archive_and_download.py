"""Archives of unknown origin, and downloads from a server on loopback."""

from __future__ import annotations

import hashlib
import io
import shutil
import stat
import tarfile
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from adu_bench.core.errors import UserError
from adu_bench.core.progress import uncounted
from adu_bench.data.prepare.archive import unpack
from adu_bench.data.prepare.description import Download
from adu_bench.data.prepare.download import fetch


def zipped(path: Path, name: str, mode: int = 0) -> Path:
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("day/dog/1.png", b"one")
        archive.writestr(info, b"two")
    return path


def tarred(path: Path, name: str, kind: bytes = tarfile.REGTYPE) -> Path:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, "/etc/passwd", 3 if kind == tarfile.REGTYPE else 0
    with tarfile.open(path, "w") as archive:
        archive.addfile(info, io.BytesIO(b"two"))
    return path


def everything(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("kind", [zipped, tarred])
def test_an_archive_is_unpacked_once(kind, tmp_path):
    archive = kind(tmp_path / f"images.{kind.__name__[:3]}", "night/cat/2.png")
    seen: list[tuple[int, int]] = []
    target = unpack(archive, tmp_path / "out", lambda done, total: seen.append((done, total)))
    assert (target / "night/cat/2.png").read_bytes() == b"two"
    assert seen[-1][0] == seen[-1][1]
    seen.clear()
    assert unpack(archive, tmp_path / "out", lambda done, total: seen.append((done, total))) == target
    assert seen == []


@pytest.mark.parametrize("name", ["../evil.png", "day/../../evil.png", "/evil.png", "..\\evil.png", "C:/evil.png"])
@pytest.mark.parametrize("kind", [zipped, tarred])
def test_entries_outside_of_the_folder_are_refused_before_anything_is_written(kind, name, tmp_path):
    archive = kind(tmp_path / f"evil.{kind.__name__[:3]}", name)
    with pytest.raises(UserError, match="not safe to unpack"):
        unpack(archive, tmp_path / "deep" / "out", uncounted)
    assert everything(tmp_path) == {archive.name}


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_are_refused(kind, tmp_path):
    for archive in (tarred(tmp_path / "a.tar", "x", kind), zipped(tmp_path / "a.zip", "x", stat.S_IFLNK | 0o777)):
        with pytest.raises(UserError, match="a link or device"):
            unpack(archive, tmp_path / "out", uncounted)
    assert everything(tmp_path) == {"a.tar", "a.zip"}


def test_damaged_and_oversized_archives_leave_nothing(tmp_path, monkeypatch):
    whole = zipped(tmp_path / "whole.zip", "night/cat/2.png")
    for ending in ("zip", "tar", "tar.gz"):
        broken = tmp_path / f"broken.{ending}"
        broken.write_bytes(whole.read_bytes()[:60])
        with pytest.raises(UserError, match="cannot be unpacked"):
            unpack(broken, tmp_path / "out", uncounted)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(9, 9, 0))
    with pytest.raises(UserError, match="does not fit"):
        unpack(whole, tmp_path / "out", uncounted)
    assert everything(tmp_path / "out") == set()


def test_an_interrupted_unpacking_is_not_taken_for_a_whole_one(tmp_path):
    archive = zipped(tmp_path / "images.zip", "night/cat/2.png")

    def stopped(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        unpack(archive, tmp_path / "out", stopped)
    assert everything(tmp_path / "out") == set()
    assert len(everything(unpack(archive, tmp_path / "out", uncounted))) == 2


CONTENT = bytes(range(256)) * 20_000


class Server(ThreadingHTTPServer):
    """Serves CONTENT, can break off after some bytes, and knows ranges or not."""

    breaks_after = len(CONTENT)
    ranges = True
    asked: list[str | None]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self):
        wanted = self.headers.get("Range")
        self.server.asked.append(wanted)
        if self.path != "/file.bin":
            self.send_error(404, "Not Found")
            return
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self.server.ranges else 0
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        self.wfile.write(CONTENT[start : start + self.server.breaks_after])

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server():
    made = Server(("127.0.0.1", 0), Handler)
    made.asked = []
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


def download_of(server: Server, path: str = "file.bin", content: bytes = CONTENT) -> Download:
    address = f"http://127.0.0.1:{server.server_address[1]}/{path}"
    return Download(address, len(content), hashlib.sha256(content).hexdigest())


def test_a_file_is_fetched_once(server, tmp_path):
    seen: list[int] = []
    path = fetch(download_of(server), tmp_path, lambda done, total: seen.append(done))
    assert path.read_bytes() == CONTENT
    assert seen[-1] == len(CONTENT)
    assert fetch(download_of(server), tmp_path, uncounted) == path
    assert len(server.asked) == 1
    assert everything(tmp_path) == {"file.bin"}


@pytest.mark.parametrize("ranges", [True, False])
def test_an_interrupted_download_continues(server, tmp_path, ranges):
    server.breaks_after, server.ranges = 2_000_000, ranges
    with pytest.raises(UserError, match=r"could not be downloaded.*Run the command again to continue"):
        fetch(download_of(server), tmp_path, uncounted)
    part = (tmp_path / "file.bin.part").stat().st_size
    assert 0 < part < len(CONTENT)
    assert not (tmp_path / "file.bin").exists()
    server.breaks_after = len(CONTENT)
    assert fetch(download_of(server), tmp_path, uncounted).read_bytes() == CONTENT
    assert server.asked[-1] == f"bytes={part}-"
    assert everything(tmp_path) == {"file.bin"}


@pytest.mark.parametrize("size", [len(CONTENT), 1000])
def test_a_wrong_checksum_is_refused_and_nothing_is_kept(server, tmp_path, size):
    wrong = Download(download_of(server).url, size, "0" * 64)
    with pytest.raises(UserError, match="is not the expected file"):
        fetch(wrong, tmp_path, uncounted)
    assert everything(tmp_path) == set()


def test_refusal_and_absence_of_the_server_are_one_error(server, tmp_path):
    with pytest.raises(UserError, match=r"could not be downloaded\. The server answered 404 Not Found\."):
        fetch(download_of(server, "other.bin"), tmp_path, uncounted)
    gone = Download("http://127.0.0.1:9/file.bin", 3, "0" * 64)
    with pytest.raises(UserError, match=r"could not be downloaded\. ConnectionError\."):
        fetch(gone, tmp_path, uncounted)
    assert everything(tmp_path) == set()
