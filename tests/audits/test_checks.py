"""Every check of audits finds an audit that violates it, and shipped audits pass."""

from __future__ import annotations

import pytest

from adu_bench.audits.catalogue import find_audits
from adu_bench.audits.checks import CHECKS, Examined, run_audit_checks
from adu_bench.core.checks import run_all

HEAD = """
import torch
from adu_bench.audits import Audit, AuditCard, AuditMetric, Measure


class Mine(Audit):
    card = AuditCard(
        name="mine",
        level="core",
        question="Anything?",
        attacker="None.",
        metrics=(AuditMetric("share", "a share", "none", "any", column="share"),),
        controls="None.",
        source="Own.",
    )

    def run(self, subject):
"""
GOOD = "        return [Measure('share', float(subject.after.outputs('test').p.max()), 1)]\n"
VIOLATIONS = {
    "measures what its card declares": {
        "        return [Measure('other', 1.0, 1)]\n": "does not declare the metric 'other'",
        "        return [Measure('share', float('nan'), 1)]\n": "is nan",
        "        return [Measure('share', 1.0, 1)] * 2\n": "gave a metric twice",
        "        return []\n": "No control gives share",
        "        return None\n": "not iterable",
    },
    "repeats": {
        "        return [Measure('share', torch.rand(1, generator=g).item(), 1)]\ng = torch.Generator()\n": (
            "differ in share"
        )
    },
    "leaves the run alone": {
        "        for part in subject.after.classifier.parts.values():\n"
        "            part.enabled = False\n" + GOOD: "changed a classifier that audits share"
    },
    "takes any forget set": {
        "        assert len(subject.task.forget) == 1, 'one domain only'\n" + GOOD: "one domain only"
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder for the toy runs that all audits of this file are checked on."""
    return tmp_path_factory.mktemp("runs")


def entry_of(tmp_path, body):
    (tmp_path / "mine.py").write_text(HEAD + body)
    return find_audits(str(tmp_path / "mine.py"))["mine"]


def reasons(entry, runs):
    return failures(run_all(CHECKS, Examined(entry, runs, "cpu")))


def failures(results):
    return {check.replace("_", " "): reason for check, reason in results if reason}


@pytest.mark.parametrize(
    ("check", "body", "reason"),
    [(check, body, reason) for check, bodies in VIOLATIONS.items() for body, reason in bodies.items()],
)
def test_a_violation_is_found(runs, tmp_path, check, body, reason):
    assert reason in reasons(entry_of(tmp_path, body), runs)[check]


def test_a_sound_audit_passes(runs, tmp_path):
    assert reasons(entry_of(tmp_path, GOOD), runs) == {}


FAST = ("part-off", "held-out", "membership")


@pytest.mark.parametrize(
    "name", [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in sorted(find_audits())]
)
def test_shipped_audits_pass(name):
    assert failures(run_audit_checks(find_audits()[name])) == {}
