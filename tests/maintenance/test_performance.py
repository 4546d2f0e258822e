"""The page on speed is made from what was measured, and says so where nothing was."""

from __future__ import annotations

import json
from pathlib import Path

from adu_bench.maintenance.performance import PARTS, reads_features
from adu_bench.maintenance.performance_page import NONE, page
from adu_bench.registry import Catalogue
from adu_bench.suites import load_suite

REPORTS = Path(__file__).parents[2] / "reports"


def test_the_committed_page_follows_from_the_measurements():
    found = json.loads((REPORTS / "performance.json").read_text())
    assert set(found) <= set(PARTS)
    assert page(found) == (REPORTS / "performance.md").read_text()


def test_what_is_missing_is_not_measured():
    assert page({}).count(NONE) == 18
    one, other = (
        {"train_ratio": 1.25, "eval_ratio": 1.0},
        {"train_ratio": 1.3, "train_ratio.instapg": 1.1, "eval_ratio": 1.1},
    )
    some = page({"ViT-B-16": {"a machine": one, "another": other}, "arithmetic": {"machine": "m", "ViT-B-16": one}})
    assert "| ViT-B-16 | `train_ratio` | 1.25 | 1.25 | 1.30 | 1.2 | reached |" in some
    assert "| ViT-B-16 | `train_ratio.instapg` |  | not measured | 1.10 | 1.2 | missed |" in some
    assert "| ViT-B-16 | `eval_ratio` | 1.00 | 1.00 | 1.10 | 1.06 | reached on B |" in some
    assert "- A: a machine\n- B: another\n- arithmetic: m" in some
    two = {"runs": 12, "engines": {"processes": 0.93, "Dask": 0.84}, "others": [0.04, 1.06], "machine": "m"}
    some = page({"workers": two})
    assert "12 equal runs, beside 0.0 busy cores of other processes for one worker and 1.1 for two." in some
    assert "| processes | 93 % | 90 % | reached |\n| Dask | 84 % | 90 % | missed |" in some


def test_methods_without_epochs_read_frozen_features():
    suite = load_suite("emoji")
    chosen = {one.preset.name for one in Catalogue().select(["all"]) if reads_features(one, suite)}
    assert {"zero-shot", "domain-gate", "lp-plus-plus", "bbf"} <= chosen
    assert not {"adu", "baseline", "clipfit"} & chosen
