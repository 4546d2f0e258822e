"""Stored results of audits: current, stale, refused; and the tables made of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from adu_bench.audits.audit import AuditCard, AuditMetric, Measure
from adu_bench.audits.catalogue import AuditEntry
from adu_bench.audits.results import audit_rows, missing, read_result, result_path, write_result
from adu_bench.registry import MethodSource
from adu_bench.report.terminal.audits import print_audits, summary
from adu_bench.runner.plan import PlannedRun
from adu_bench.store import Store
from adu_bench.workflows.audit import counts, inapplicable, pending
from tests.conftest import make_spec

CARD = AuditCard(
    "some", "core", "What?", "Nobody.",
    (AuditMetric("recovery", "r", "down", "0", column="back"), AuditMetric("by", "b", "none", "any")), "-", "-",
)  # fmt: skip
ENTRY = AuditEntry(CARD, "Some", Path("some.py"), "code-1")
SPEC = make_spec()
KEY = SPEC.key
FOUND = [Measure("recovery", 0.5, 10), Measure("by:a", 0.25, 4)]


def test_a_result_comes_back_and_lies_beside_the_runs(tmp_path):
    path = write_result(tmp_path, KEY, ENTRY, FOUND, 0.1)
    assert path == tmp_path / "artefacts" / KEY / "audit-some.safetensors" == result_path(tmp_path, KEY, ENTRY)
    assert read_result(tmp_path, KEY, ENTRY) == FOUND
    assert missing(tmp_path, SPEC, [ENTRY]) == []


def test_an_audit_that_does_not_apply_to_a_run_is_not_missing(tmp_path):
    entry = replace(ENTRY, card=replace(CARD, needs="held-out classes"))
    split = replace(SPEC, task=replace(SPEC.task, held_out=("x", "y")))
    assert missing(tmp_path, SPEC, [entry]) == []
    assert missing(tmp_path, split, [entry]) == [entry]
    runs = [replace(planned("one", 1, ("b",)), spec=spec) for spec in (SPEC, split)]
    store = Store(tmp_path)
    assert [job.planned for force in (True, False) for job in pending(runs, store, [entry], force=force)] == [
        runs[1]
    ] * 2
    (sentence,) = inapplicable(runs, [entry, ENTRY])
    assert "some does not apply to 1 of 2 runs: their tasks have no held-out classes" in sentence
    assert counts(runs, store, [entry]) == {"one": {}}
    with pytest.raises(ValueError, match="needs 'luck'"):
        replace(CARD, needs="luck")


def test_rows_name_the_condition_of_a_study(tmp_path):
    run = replace(planned("one", 1, ("b",)), condition="wrong=0.3")
    write_result(tmp_path, run.spec.key, ENTRY, FOUND, 0.1)
    assert set(audit_rows(tmp_path, "suite", [(run.name, run.spec)], [ENTRY])["method"]) == {"one, wrong=0.3"}
    assert counts([run], Store(tmp_path), [ENTRY]) == {"one, wrong=0.3": {"some": 1}}


def test_a_result_of_other_code_is_stale(tmp_path):
    write_result(tmp_path, KEY, ENTRY, FOUND, 0.1)
    changed = replace(ENTRY, code="code-2")
    assert read_result(tmp_path, KEY, changed) is None
    assert missing(tmp_path, SPEC, [changed]) == [changed]


@pytest.mark.parametrize(
    ("measures", "message"),
    [
        ([Measure("other", 0.5, 1)], "does not declare the metric 'other'"),
        ([Measure("recovery", np.nan, 1)], "'recovery' of some is nan"),
        ([Measure("recovery", 0.5, 1), Measure("recovery", 0.6, 1)], "gave a metric twice"),
    ],
)
def test_a_wrong_result_is_not_stored(tmp_path, measures, message):
    with pytest.raises(ValueError, match=message):
        write_result(tmp_path, KEY, ENTRY, measures, 0.1)
    assert missing(tmp_path, SPEC, [ENTRY]) == [ENTRY]


def planned(label: str, seed: int, forget: tuple[str, ...]) -> PlannedRun:
    spec = make_spec(label, seed=seed, forget=forget)
    return PlannedRun(spec, label, "other", MethodSource("x.py"), "X", "emoji-clip")


def test_rows_and_means_over_seeds_then_tasks(tmp_path):
    values = {("one", 1, "a"): 0.2, ("one", 2, "a"): 0.4, ("one", 1, "b"): 0.9, ("two", 1, "a"): 0.0}
    runs = [planned(label, seed, (domain,)) for label, seed, domain in values]
    for run, value in zip(runs, values.values(), strict=True):
        write_result(tmp_path, run.spec.key, ENTRY, [Measure("recovery", value, 10), Measure("by:a", 1.0, 1)], 0.1)
    named = [(run.name, run.spec) for run in [*runs, planned("three", 1, ("a",))]]
    rows = audit_rows(tmp_path, "suite", named, [ENTRY])
    assert len(rows) == 8
    assert rows.iloc[1].to_dict() | {"key": ""} == {
        "key": "", "suite": "suite", "task": "a", "forget": 1, "method": "one", "seed": 1, "audit": "some",
        "metric": "by:a", "value": 1.0, "n": 1,
    }  # fmt: skip
    means = summary(rows, CARD)
    assert means.to_dict("index") == {"one": {"recovery": pytest.approx(0.6)}, "two": {"recovery": 0.0}}
    console = Console(record=True, width=80)
    print_audits(rows, [CARD], console)
    text = console.export_text()
    assert "some: What?" in text
    assert "60.0" in text
