"""A log of trials may have any line in it: only whole runs are read."""

import pytest

from adu_bench.runner.trial import read_log

RUN = '{"key": "k", "h": 0.5}'


@pytest.mark.parametrize(
    "line",
    [
        '{"key": "z", "h"',
        '{"key": [1], "h": 1}',
        '{"key": "z", "h": "high"}',
        '{"key": "z", "h": null}',
        '{"key": "z", "h": [1]}',
        "[" * 100_000,
        "1" * 9000,
        "[1]",
    ],
    ids=["cut", "key of another type", "text", "null", "list", "deep", "digits", "no object"],
)
def test_a_line_that_is_no_run_is_left_out(tmp_path, line):
    log = tmp_path / "m.jsonl"
    log.write_text("\n".join([RUN, line, RUN.replace('"k"', '"l"'), ""]))
    assert set(read_log(log)) == {"k", "l"}
