"""The row cache: only what is asked for is made, once, by one of several processes, and a kill costs one block."""

from __future__ import annotations

import hashlib
import itertools
import multiprocessing
import os
import signal
import time
from collections import namedtuple

import numpy as np
import pytest

from adu_bench.core.errors import UserError
from adu_bench.data import rows as module
from adu_bench.data.rows import RowCache, keys_of

SHAPE = (2, 3)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ADU_BENCH_CACHE", str(tmp_path))


def sha(number: int) -> str:
    return hashlib.sha256(b"%d" % number).hexdigest()


def open_cache() -> RowCache:
    return RowCache("numbers", SHAPE, np.int32, {"rows": "numbers"})


class Maker:
    """Makes rows that hold their number, in blocks, and remembers which it made."""

    def __init__(self, numbers, block=3):
        self.numbers, self.block, self.made = list(numbers), block, []

    def __call__(self, which):
        for start in range(0, len(which), self.block):
            part = which[start : start + self.block]
            chosen = [self.numbers[place] for place in part]
            self.made += chosen
            yield part, np.stack([np.full(SHAPE, number, np.int32) for number in chosen])


def ask(numbers, make=None, cache=None, **options):
    numbers = list(numbers)
    cache, make = cache or open_cache(), make or Maker(numbers)
    keys = keys_of(map(sha, numbers))
    cache.ensure(keys, make, **options)
    found = cache.rows[cache.places(keys)]
    assert found.tolist() == [np.full(SHAPE, number).tolist() for number in numbers]
    return make.made


def test_rows_are_made_once_and_only_those_that_are_asked_for():
    assert ask(range(5)) == [0, 1, 2, 3, 4]
    assert ask([3, 9, 4, 7]) == [9, 7]
    assert ask([9, 0, 3]) == []
    assert isinstance(open_cache().rows, np.memmap)
    assert len(open_cache().rows) == 7


def test_equal_content_is_stored_once():
    assert ask([1, 2, 1, 1]) == [1, 2]
    assert len(open_cache().rows) == 2


def test_an_open_cache_keeps_its_rows_while_another_adds_some():
    first = open_cache()
    ask(range(4), cache=first)
    kept = first.rows
    ask(range(4, 50))
    assert kept[3].tolist() == np.full(SHAPE, 3).tolist()
    assert ask([49], cache=first) == []


def test_what_is_left_out_is_not_stored_and_asked_for_again():
    def odd_ones(which):
        for part, made in Maker(range(6), 6)(which):
            yield part[part % 2 == 1], made[part % 2 == 1]

    cache = open_cache()
    keys = keys_of(map(sha, range(6)))
    cache.ensure(keys, odd_ones)
    assert (cache.places(keys) >= 0).tolist() == [False, True] * 3
    assert ask(range(6)) == [0, 2, 4]


def test_an_error_keeps_the_blocks_before_it_and_frees_the_lock():
    def breaks(which):
        yield from list(Maker(range(9))(which))[:2]
        raise ValueError("the third block")

    with pytest.raises(ValueError, match="third block"):
        open_cache().ensure(keys_of(map(sha, range(9))), breaks)
    assert ask(range(9)) == [6, 7, 8]


@pytest.mark.parametrize("file", ["rows", "sums", "keys"])
def test_what_a_kill_left_half_written_is_written_over(file, tmp_path):
    ask(range(5))
    with (tmp_path / "numbers" / file).open("ab") as handle:
        handle.write(b"half a record")
    assert ask(range(8)) == [5, 6, 7]
    assert ask(range(8)) == []


def test_rows_that_were_cut_off_are_made_again(tmp_path):
    ask(range(5))
    os.truncate(tmp_path / "numbers/rows", 60)  # two rows and a half
    assert ask(range(5)) == [2, 3, 4]


def test_a_row_that_changed_on_the_disk_is_computed_again(tmp_path, capsys):
    ask(range(5))
    path = tmp_path / "numbers" / "rows"
    content = bytearray(path.read_bytes())
    content[2 * 24 + 3] ^= 0x80  # the sign of a number in the third row
    path.write_bytes(content)
    assert ask([0, 1, 3, 4, 5]) == [5]
    assert capsys.readouterr().err == ""
    assert ask(range(5)) == [2]
    said = capsys.readouterr().err
    assert said.startswith("1 row in '")
    assert said.endswith("it is made again.\n")
    assert ask(range(6)) == []
    assert capsys.readouterr().err == ""


def test_a_disk_that_damages_what_is_written_is_named(monkeypatch):
    numbers = itertools.count()
    monkeypatch.setattr(module.zlib, "crc32", lambda content: next(numbers))
    with pytest.raises(UserError, match=r"5 of the rows in '.*numbers' are damaged.*on another disk"):
        ask(range(5))


def test_an_emptied_cache_is_filled_again(tmp_path):
    ask(range(5))
    for path in (tmp_path / "numbers").iterdir():
        path.unlink()
    assert ask(range(5)) == [0, 1, 2, 3, 4]


def _slowly(done, block_seconds):
    def make(which):
        for part, rows in Maker(range(40), 2)(which):
            time.sleep(block_seconds)
            yield part, rows
            done.value += len(part)

    open_cache().ensure(keys_of(map(sha, range(40))), make)


def test_a_killed_process_loses_the_block_in_flight_only():
    context = multiprocessing.get_context("fork")
    done = context.Value("i", 0)
    process = context.Process(target=_slowly, args=(done, 0.05))
    process.start()
    while done.value < 6:
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    made = ask(range(40))
    assert 40 - done.value - 2 <= len(made) <= 40 - done.value


def test_several_processes_share_the_work_without_repeating_any():
    context = multiprocessing.get_context("fork")
    done = [context.Value("i", 0) for _ in range(3)]
    processes = [context.Process(target=_slowly, args=(count, 0.002)) for count in done]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert sorted(count.value for count in done) == [0, 0, 40]
    assert len(open_cache().rows) == 40


def test_a_process_that_waits_reports_what_the_other_one_does():
    context = multiprocessing.get_context("fork")
    done = context.Value("i", 0)
    process = context.Process(target=_slowly, args=(done, 0.12))
    process.start()
    while done.value < 2:
        time.sleep(0.005)
    seen = []
    assert ask(range(40), report=lambda done, total: seen.append((done, total))) == []
    process.join()
    assert seen
    assert all(0 < count <= total == 40 for count, total in seen)


def test_progress_counts_what_was_there():
    ask(range(4))
    seen = []
    ask(range(10), report=lambda done, total: seen.append((done, total)))
    assert seen == [(7, 10), (10, 10)]


def test_a_full_disk_is_noticed_before_the_work(monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: usage(0, 0, 2**30 + 100))
    with pytest.raises(UserError, match="too little space"):
        ask(range(100))
    assert ask(range(4)) == [0, 1, 2, 3]


def test_a_folder_that_cannot_be_used_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("ADU_BENCH_CACHE", str(tmp_path / "file"))
    with pytest.raises(UserError, match="ADU_BENCH_CACHE"):
        ask(range(2))


def test_an_error_of_the_work_is_not_taken_for_one_of_the_cache():
    def breaks(which):
        raise OSError("an image's disk")
        yield

    with pytest.raises(OSError, match="an image's disk"):
        open_cache().ensure(keys_of([sha(1)]), breaks)


def test_keys_keep_every_byte():
    ends = ["00" * 32, "00" * 31 + "01", "01" + "00" * 31, "ff" * 32]
    cache = open_cache()
    cache.ensure(keys_of(ends), lambda which: [(which, np.arange(24, dtype=np.int32).reshape(4, *SHAPE))])
    assert cache.rows[open_cache().places(keys_of(ends))][:, 0, 0].tolist() == [0, 6, 12, 18]
