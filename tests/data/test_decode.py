"""Image files of unknown origin: what each becomes, or why it is refused."""

from __future__ import annotations

import hashlib
import io
import os
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from adu_bench.data import files as module
from adu_bench.data.decode import BadImage, decode
from adu_bench.data.files import LARGEST_FILE, inspect_files, read
from adu_bench.data.preprocessing import Preprocessing

PACS = Path(__file__).parents[3] / "shared" / "data" / "pacs"
COLOURS = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
IMAGE = Image.fromarray(COLOURS)


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header states a size."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")
    )


def transparent() -> Image.Image:
    image = IMAGE.convert("RGBA")
    image.putalpha(Image.fromarray(COLOURS[..., 0]))
    return image


def rotated() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(IMAGE, "JPEG", exif=exif)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(encoded(IMAGE, "JPEG"), id="jpeg"),
        pytest.param(encoded(IMAGE.convert("CMYK"), "JPEG"), id="cmyk jpeg, inverted as Adobe does"),
        pytest.param(encoded(IMAGE.convert("CMYK"), "TIFF"), id="cmyk tiff"),
        # Compressed, since Pillow 12.3 cannot read the uncompressed ones that it writes.
        pytest.param(encoded(IMAGE.convert("YCbCr"), "TIFF", compression="tiff_lzw"), id="ycbcr"),
        pytest.param(encoded(IMAGE.convert("L"), "PNG"), id="grey"),
        pytest.param(encoded(IMAGE.convert("1"), "PNG"), id="black and white"),
        pytest.param(encoded(IMAGE.convert("P"), "PNG"), id="palette"),
        pytest.param(encoded(IMAGE.convert("P"), "PNG", transparency=bytes(range(200))), id="transparent palette"),
        pytest.param(encoded(IMAGE.convert("LA"), "PNG"), id="grey with alpha"),
        pytest.param(encoded(transparent(), "PNG"), id="alpha"),
        pytest.param(encoded(transparent(), "WEBP", lossless=True), id="webp with alpha"),
        pytest.param(encoded(IMAGE, "GIF", save_all=True, append_images=[IMAGE.rotate(90)]), id="animated"),
        pytest.param(rotated(), id="turned by its tag"),
        pytest.param(encoded(IMAGE.resize((1, 1)), "PNG"), id="one pixel"),
        pytest.param(encoded(IMAGE.resize((200, 1)), "PNG"), id="200 by 1 pixel"),
    ],
)
def test_what_pillow_converts_is_converted_as_the_pretraining_loaders_do(data):
    """Alpha is dropped, and an orientation tag turns nothing: equality with open_clip's pipelines goes first."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours, theirs = decode(data), Image.open(io.BytesIO(data)).convert("RGB")
    assert ours.mode == "RGB"
    assert np.array_equal(np.asarray(ours), np.asarray(theirs))
    assert Preprocessing(32, "bicubic", "shortest").apply(ours).shape == (32, 32, 3)


def test_colours_under_transparency_come_out_as_stored():
    assert np.array_equal(np.asarray(decode(encoded(transparent(), "PNG"))), COLOURS)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_keep_their_upper_eight(kind):
    """Pillow's own conversion would make everything above 255 of 65,535 white."""
    values = np.array([[0, 255, 256, 1000, 32768, 65535]], np.uint16)
    grey = np.asarray(decode(encoded(Image.fromarray(values), kind)))
    assert grey[0, :, 0].tolist() == [0, 0, 1, 3, 128, 255]
    assert (grey == grey[..., :1]).all()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b"", "empty file", id="empty"),
        pytest.param(b"some text, not an image", "not an image", id="text"),
        pytest.param(b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not an image", id="svg"),
        pytest.param(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image", id="runs ghostscript"),
        pytest.param(encoded(IMAGE, "JPEG")[:-300], "damaged: .*truncated", id="truncated jpeg"),
        pytest.param(encoded(IMAGE, "JPEG")[:30], "damaged|not an image", id="jpeg header"),
        pytest.param(encoded(IMAGE, "PNG")[:-300], "damaged: .*truncated", id="truncated png"),
        pytest.param(encoded(IMAGE, "GIF")[:-300], "damaged: .*truncated", id="truncated gif"),
        pytest.param(encoded(IMAGE, "WEBP")[:-30], "damaged", id="truncated webp"),
        pytest.param(encoded(IMAGE, "TIFF")[:-300], "damaged|not an image", id="truncated tiff"),
        pytest.param(png_header(60_000, 60_000), "more than 178,956,970 pixels", id="decompression bomb"),
        pytest.param(
            encoded(Image.new("L", (1, 201)), "PNG"), r"aspect ratio above 200:1 \(1 x 201\)", id="1 by 201 pixels"
        ),
        pytest.param(encoded(Image.fromarray(COLOURS[..., 0].astype(np.float32)), "TIFF"), "32-bit", id="floats"),
        pytest.param(encoded(Image.fromarray(COLOURS[..., 0].astype(np.int32)), "TIFF"), "32-bit", id="integers"),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_reason(data, reason):
    with pytest.raises(BadImage, match=reason):
        decode(data)


def test_what_is_no_file_is_refused_with_the_reason(tmp_path, monkeypatch):
    (tmp_path / "folder.jpg").mkdir()
    os.mkfifo(tmp_path / "pipe.jpg")  # would block a reader
    with (tmp_path / "film.jpg").open("wb") as film:
        film.truncate(LARGEST_FILE + 1)
    (tmp_path / "locked.jpg").write_bytes(encoded(IMAGE, "JPEG"))
    (tmp_path / "turns on itself.jpg").symlink_to("turns on itself.jpg")

    def forbidden(path):
        raise PermissionError(13, "Permission denied")

    for name, reason in {
        "folder.jpg": "a folder",
        "pipe.jpg": "not a regular file",
        "film.jpg": "512 MB, too large",
        "absent.jpg": "missing",
        "turns on itself.jpg": "cannot be read: .*symbolic links",
    }.items():
        with pytest.raises(BadImage, match=reason):
            read(tmp_path / name)
    monkeypatch.setattr(Path, "read_bytes", forbidden)  # a test that runs as root may read everything
    with pytest.raises(BadImage, match="cannot be read: Permission denied"):
        read(tmp_path / "locked.jpg")


def test_a_name_may_lie_about_the_format(tmp_path):
    (tmp_path / "is-a-png.jpg").write_bytes(encoded(IMAGE, "PNG"))
    assert np.array_equal(np.asarray(decode(read(tmp_path / "is-a-png.jpg"))), COLOURS)


@pytest.mark.skipif(not PACS.is_dir(), reason="not run: no PACS images at ../shared/data/pacs")
@pytest.mark.parametrize(
    ("size", "mode", "interpolation"),
    [(224, "shortest", "bicubic"), (336, "squash", "bicubic"), (96, "shortest", "bilinear")],
)
def test_real_images_are_prepared_exactly_as_open_clip_prepares_them(size, mode, interpolation):
    """Every 50th image of PACS; all 2,720 were compared once, with the same result: not one value differs."""
    import torch
    from open_clip.transform import PreprocessCfg, image_transform_v2
    from torchvision.datasets.folder import pil_loader

    mean, std = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
    settings = PreprocessCfg(size=size, mean=mean, std=std, interpolation=interpolation, resize_mode=mode)
    theirs, preprocessing = image_transform_v2(settings, is_train=False), Preprocessing(size, interpolation, mode)
    mean, std = torch.tensor(mean).view(3, 1, 1), torch.tensor(std).view(3, 1, 1)
    files = sorted(PACS.rglob("*.*g"))[::50]
    assert len(files) > 50
    for path in files:
        pixels = torch.from_numpy(preprocessing.apply(decode(read(path))).copy()).permute(2, 0, 1)
        assert torch.equal((pixels.float() / 255 - mean) / std, theirs(pil_loader(str(path)))), path


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/good.png").write_bytes(encoded(IMAGE, "PNG"))
    (tmp_path / "a/half.jpg").write_bytes(encoded(IMAGE, "JPEG")[:-300])
    (tmp_path / "a/straße 1.gif").write_bytes(encoded(IMAGE, "GIF"))
    return tmp_path


PATHS = ["a/straße 1.gif", "a/half.jpg", "a/gone.png", "a/good.png"]


def test_inspection_hashes_and_decodes_in_the_given_order(folder):
    seen = []
    found = inspect_files(folder, PATHS, 2, lambda done, total: seen.append((done, total)))
    assert found["path"].tolist() == PATHS
    for path, sha256, problem, turned in found.itertuples(index=False):
        assert not turned
        if path == "a/gone.png":
            assert (sha256, problem) == ("", "missing")
        else:
            assert sha256 == hashlib.sha256((folder / path).read_bytes()).hexdigest()
            assert problem.startswith("damaged") == (path == "a/half.jpg")
    assert seen[-1] == (4, 4)


def test_inspection_of_nothing_gives_an_empty_table(tmp_path):
    assert list(inspect_files(tmp_path, []).columns) == ["path", "sha256", "problem", "turned"]


def test_inspection_reads_only_what_it_has_not_seen(folder, monkeypatch):
    first = inspect_files(folder, PATHS)
    looked = []
    real = module._inspect
    monkeypatch.setattr(module, "_inspect", lambda path: looked.append(path.name) or real(path))
    assert inspect_files(folder, PATHS).equals(first)
    assert looked == ["gone.png"]
    (folder / "a/half.jpg").write_bytes(encoded(IMAGE, "JPEG"))
    looked.clear()
    assert inspect_files(folder, PATHS)["problem"].tolist() == ["", "", "missing", ""]
    assert sorted(looked) == ["gone.png", "half.jpg"]


@pytest.mark.parametrize("rest", [b'["a/half.jpg", 12', b"rubbish\n", b'["a/half.jpg"]\n'])
def test_a_journal_that_a_kill_cut_short_goes_on_where_it_is_whole(folder, monkeypatch, rest):
    monkeypatch.setenv("ADU_BENCH_CACHE", str(folder / "cache"))
    inspect_files(folder, PATHS)
    (journal,) = (folder / "cache/inspected").glob("*.jsonl")
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(lines[0] + rest)
    looked = []
    real = module._inspect
    monkeypatch.setattr(module, "_inspect", lambda path: looked.append(path.name) or real(path))
    assert inspect_files(folder, PATHS)["problem"].tolist()[3] == ""
    assert sorted(looked) == ["gone.png", "good.png", "half.jpg"]
    looked.clear()
    inspect_files(folder, PATHS)
    assert looked == ["gone.png"]


def test_inspection_finds_orientation_tags_that_decoding_ignores(tmp_path):
    """Pillow follows the tag in TIFF files, so nothing is ignored there."""
    turned, upright = Image.Exif(), Image.Exif()
    turned[0x0112], upright[0x0112] = 6, 1
    for kind in ("JPEG", "PNG", "WEBP", "TIFF"):
        (tmp_path / f"turned.{kind}").write_bytes(encoded(IMAGE, kind, exif=turned))
        (tmp_path / f"upright.{kind}").write_bytes(encoded(IMAGE, kind, exif=upright))
        (tmp_path / f"plain.{kind}").write_bytes(encoded(IMAGE, kind))
    names = sorted(path.name for path in tmp_path.iterdir() if path.is_file())
    for _ in range(2):  # the second time from the journal
        found = inspect_files(tmp_path, names)
        assert (found["problem"] == "").all()
        assert found["turned"].tolist() == [name.startswith("turned") and not name.endswith("TIFF") for name in names]
