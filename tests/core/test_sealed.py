"""A sealed file gives back what was written, and nothing where a bit of it differs or it is of something else."""

from __future__ import annotations

import pytest

from adu_bench.core.sealed import read_sealed, write_sealed


def test_content_comes_back(tmp_path):
    write_sealed(tmp_path / "new" / "file", b"content", of="these runs")
    assert read_sealed(tmp_path / "new" / "file", of="these runs") == b"content"


def test_any_flipped_bit_is_seen(tmp_path):
    path = tmp_path / "file"
    write_sealed(path, b"abc")
    whole = path.read_bytes()
    for place in range(8 * len(whole)):
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << place % 8
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="damaged"):
            read_sealed(path)


@pytest.mark.parametrize("cut", [0, 10, 32, 34])
def test_a_cut_file_is_seen(tmp_path, cut):
    path = tmp_path / "file"
    write_sealed(path, b"abc")
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(ValueError, match="damaged"):
        read_sealed(path)


def test_a_file_of_something_else_is_not_what_is_wanted(tmp_path):
    write_sealed(tmp_path / "file", b"abc", of="one")
    for other in ("", "other", "on"):
        with pytest.raises(ValueError, match="not of what is wanted"):
            read_sealed(tmp_path / "file", of=other)
