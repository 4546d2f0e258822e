"""Files that are replaced are whole, and what killed processes left of them does not stay."""

import os
import time

import pytest

from adu_bench.core.files import ABANDONED, replacing, write_text


def test_a_file_is_replaced_at_the_end_or_not_at_all(tmp_path):
    path = tmp_path / "made" / "a.txt"
    write_text(path, "old")

    def interrupted() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [found.read_text() for found in path.parent.iterdir()] == ["old"]


def test_temporary_files_of_killed_processes_are_deleted_later(tmp_path):
    abandoned, written, other = (tmp_path / name for name in (".a[1].4.tmp", ".a[1].5.tmp", ".b.4.tmp"))
    for path in (abandoned, written, other):
        path.write_text("half")
    before = time.time() - ABANDONED - 1
    for path in (abandoned, other):
        os.utime(path, (before, before))
    write_text(tmp_path / "a[1]", "whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == [written.name, other.name, "a[1]"]
