"""Run one audit of one finished run."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from adu_bench.audits.audit import Measure
from adu_bench.audits.catalogue import AuditEntry
from adu_bench.audits.subject import Subject
from adu_bench.runner.guard import unchanged


def examine(entry: AuditEntry, subject: Subject) -> Sequence[Measure]:
    """Run an audit with its own seed, and return what it found.

    Raises
    ------
    RunFailed
        If it changed the backbone that all runs of the process share.
    UserError
        If its file does not import.
    """
    torch.manual_seed(subject.seed(entry.name))
    with unchanged(subject.backbone):
        return entry.load().run(subject)
