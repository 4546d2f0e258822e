"""Download public files: resumed where the last attempt stopped, and accepted only with the right checksum."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from adu_bench.core.errors import UserError
from adu_bench.core.progress import Count
from adu_bench.data.prepare.description import Download

TIMEOUT = 30
"""Seconds without an answer after which a server counts as unreachable."""
CHUNK = 1 << 20


def fetch(download: Download, folder: Path, progress: Count) -> Path:
    """Return a file, downloaded into a folder unless it is there.

    Parameters
    ----------
    download
        Address, size and checksum.
    folder
        Where it goes; an incomplete download is beside it as ``NAME.part``.
    progress
        Called with bytes done and bytes in all.

    Raises
    ------
    UserError
        If the server cannot be reached or refuses, or if the file's checksum is wrong.
    """
    import pooch
    import requests

    pooch.get_logger().setLevel(logging.WARNING)
    part = folder / f"{download.name}.part"

    def resumed(url: str, target: str, _pooch: Any) -> None:
        _continue(url, part, download.bytes, progress)
        part.replace(target)

    try:
        folder.mkdir(parents=True, exist_ok=True)
        fetched = pooch.retrieve(
            download.url, f"sha256:{download.sha256}", fname=download.name, path=folder, downloader=resumed
        )
    except (requests.RequestException, OSError) as error:
        raise UserError(
            f"'{download.url}' could not be downloaded.",
            f"{_reason(error)}.",
            "Run the command again to continue, or get the file yourself and give its folder with --from.",
        ) from error
    except ValueError as error:
        raise UserError(
            f"'{download.url}' is not the expected file.",
            f"Its SHA-256 is not {download.sha256}; it was deleted.",
            "Try again later, or get it yourself and give its folder with --from.",
        ) from error
    return Path(fetched)


def _continue(url: str, part: Path, size: int, progress: Count) -> None:
    """Append what is missing to the part that is there; a server that cannot resume sends all of it again."""
    import requests

    have = part.stat().st_size if part.is_file() else 0
    if have == size:
        return
    headers = {"Range": f"bytes={have}-"} if have else {}
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
        answer.raise_for_status()
        resumed = answer.status_code == requests.codes.partial_content
        done = have if resumed else 0
        with part.open("ab" if resumed else "wb") as handle:
            for chunk in answer.iter_content(CHUNK):
                handle.write(chunk)
                done += len(chunk)
                progress(done, size)
                if done > size:
                    # The checksum refuses it; there is no need to fill the disk.
                    return
    if done < size:
        raise requests.ConnectionError(f"the server stopped after {done} of {size} bytes")


def _reason(error: Exception) -> str:
    import requests

    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"The server answered {error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.Timeout):
        return f"No answer within {TIMEOUT} s"
    text = str(error)
    return text[0].upper() + text[1:] if "bytes" in text else f"{type(error).__name__}"
