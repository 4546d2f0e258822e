"""The audit of held-out classes: its numbers on made-up answers, and its controls by the real commands."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from adu_bench.audits.held_out import measures, suppressed
from adu_bench.audits.subject import Outputs
from adu_bench.runner.evaluate import Images
from tests.command import call

CLASSES = 4
SELECTION = ["--suite", "{suite}", "--limit", "1", "--study", "open"]
SUITE = """extends: toy
title: "Held-out classes"
studies:
  open:
    - splits: 2
      methods: [zero-shot, "prompt-tuning[epochs=1]", domain-gate, derange-gate, coin, collapse, lp-plus-plus]
"""


def outputs(forget_right: float, retain_right: float) -> Outputs:
    """Return answers for 100 forget and 100 retain images, of which these shares are right."""
    labels = np.tile(np.arange(CLASSES), 50)
    forget = np.repeat([True, False], 100)
    right = np.concatenate([np.arange(100) < round(100 * share) for share in (forget_right, retain_right)])
    logits = np.eye(CLASSES, dtype=np.float32)[np.where(right, labels, (labels + 1) % CLASSES)]
    empty = np.zeros(len(labels))
    images = Images(np.zeros(0), empty, empty, np.where(forget, "b", "a"), labels, forget, empty)
    return Outputs(images, np.zeros((len(labels), 2), np.float32), logits)


def of(*shares: tuple[float, float]) -> dict[str, float]:
    return {measure.metric: measure.value for measure in measures(*(outputs(*pair) for pair in shares))}


def test_transfer_is_suppression_held_out_over_suppression_seen():
    """Zero-shot: .85 and .65; of the part above .25, half is lost on held-out and all on seen classes."""
    found = of((0.55, 0.8), (0.85, 0.85), (0.25, 0.65), (0.65, 0.65))
    assert found["suppression"] == pytest.approx(0.5)
    assert found["suppression_seen"] == pytest.approx(1)
    assert found["transfer"] == pytest.approx(0.5)
    assert found["retain_loss"] == pytest.approx(0.05 / 0.6)
    assert found["retain_loss_seen"] == pytest.approx(0)
    assert found["h"] == pytest.approx(2 * 0.8 * 0.45 / 1.25)
    assert (found["forget_accuracy"], found["forget_before"]) == pytest.approx((0.55, 0.85))


def test_nothing_transfers_where_next_to_nothing_was_suppressed():
    assert "transfer" not in of((0.55, 0.8), (0.85, 0.85), (0.62, 0.65), (0.65, 0.65))
    assert suppressed(outputs(0.3, 0.3), outputs(0.25, 0.9), forgotten=True) == 0, "there was nothing to suppress"
    assert suppressed(outputs(0.3, 0.9), outputs(0.25, 0.6), forgotten=False) < 0


@pytest.fixture(scope="module")
def audited(tmp_path_factory):
    folder = tmp_path_factory.mktemp("held-out")
    (folder / "mine.yaml").write_text(SUITE)
    select = [part.format(suite=folder / "mine.yaml") for part in SELECTION]
    call("run", *select, cwd=folder)
    done = call("audit", *select, "--audits", "held-out", "--json", cwd=folder)
    return folder, select, pd.DataFrame(json.loads(done.stdout))


@pytest.fixture(scope="module")
def found(audited):
    return audited[2].groupby(["method", "metric"])["value"].mean().unstack("method")


@pytest.mark.timeout(600)
def test_every_split_is_measured(audited):
    assert audited[2].groupby("method")["task"].nunique().eq(2).all()
    counts = audited[2].groupby("metric")["n"].unique()
    # Three classes with 20 test images in each of four domains.
    assert [counts[metric].tolist() for metric in ("forget_accuracy", "suppression_seen", "h")] == [[60], [60], [240]]


def test_what_was_not_forgotten_reads_as_remembered(found):
    for method in ("zero-shot", "prompt-tuning[epochs=1]"):
        assert abs(found[method]["suppression"]) < 0.1
        assert abs(found[method]["retain_loss"]) < 0.1
        assert np.isnan(found[method]["transfer"])
    assert found["zero-shot"]["suppression"] == found["zero-shot"]["suppression_seen"] == 0


@pytest.mark.parametrize("method", ["domain-gate", "derange-gate"])
def test_a_gate_on_domains_works_for_all_classes(found, method):
    assert found[method]["transfer"] > 0.7
    assert found[method]["retain_loss"] < found["collapse"]["retain_loss"]


@pytest.mark.parametrize("method", ["coin", "collapse"])
def test_indiscriminate_answers_transfer_but_retain_nothing(found, method):
    assert found[method]["transfer"] > 0.8
    assert found[method]["retain_loss"] > 0.6
    assert found[method]["retain_loss"] > found["domain-gate"]["retain_loss"]


def test_a_method_tied_to_its_classes_does_not_answer(found):
    assert found["lp-plus-plus"].dropna().to_dict() == {"answers": 0}
    assert (found.drop(columns="lp-plus-plus").loc["answers"] == 1).all()


def test_runs_without_held_out_classes_are_told_so(audited):
    folder, select, _ = audited
    call("run", "--suite", "toy", "--limit", "1", "--methods", "collapse", cwd=folder)
    done = call("audit", "--suite", "toy", "--limit", "1", "--methods", "collapse", "--audits", "held-out", cwd=folder)
    assert "held-out does not apply to 1 of 1 runs: their tasks have no held-out classes" in done.stdout
    assert "collapse: 2 finished; audited: 2 held-out" in call("status", *select, cwd=folder).stdout
