"""The contract of every audit as checks that anyone can run: ``adu-bench check NAME``."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np

from adu_bench.audits.audit import HELD_OUT, Measure
from adu_bench.audits.catalogue import AuditEntry
from adu_bench.audits.examine import examine
from adu_bench.audits.results import validate
from adu_bench.audits.subject import TEST, Reader, Subject
from adu_bench.core.checks import CheckFailed, run_all
from adu_bench.registry import Catalogue
from adu_bench.runner.execute import execute
from adu_bench.runner.plan import PlannedRun, plan
from adu_bench.runner.task_data import load_shared_backbone
from adu_bench.store import Store
from adu_bench.suites import load_suite

CONTROLS = ("zero-shot", "domain-gate", "collapse")
"""A method that keeps everything, one that keeps it behind a gate, and one that answers nothing."""
MANY = ("filled", "outline", "hatched")
"""All toy styles but one."""


class Examined:
    """An audit under check: finished toy runs of the controls in a temporary folder.

    Parameters
    ----------
    entry
        The audit.
    folder
        A folder for the runs; finished ones are used again.
    device
        Where to run.
    """

    def __init__(self, entry: AuditEntry, folder: Path, device: str) -> None:
        self.entry, self.device = entry, device
        self.store, self.catalogue = Store(folder), Catalogue()

    @cached_property
    def subjects(self) -> dict[str, Subject]:
        """The finished run of each control that forgets one style."""
        return {name: self.subject(name, ("outline",)) for name in CONTROLS}

    def subject(self, method: str, forget: tuple[str, ...]) -> Subject:
        """Run a control that forgets some styles, and return the finished run as audits get it."""
        suite = replace(load_suite("toy"), forget=(forget,))
        if self.entry.card.needs == HELD_OUT:
            suite = suite.split(0)
        (planned,) = plan(suite, self.catalogue.select([method])).runs
        return self._finished(planned)

    def measures(self, subject: Subject) -> list[Measure]:
        """Run the audit as `adu-bench audit` does."""
        return list(examine(self.entry, subject))

    def valid(self, subject: Subject, where: str) -> list[Measure]:
        """Run the audit, and refuse what cannot be stored; ``where`` begins the message."""
        found = self.measures(subject)
        try:
            validate(self.entry, found)
        except ValueError as error:
            raise CheckFailed(f"{where}, {error}. Declare it in the card, and leave out what is not finite.") from None
        return found

    def _finished(self, planned: PlannedRun) -> Subject:
        if not self.store.has(planned.spec.key):
            with self.store.lock(planned.spec.key):
                execute(planned, self.store, self.device)
        backbone = load_shared_backbone(planned.backbone, self.device)
        return Subject(self.store.load(planned.spec.key), backbone, self.catalogue)


def measures_what_its_card_declares(examined: Examined) -> None:
    """Every control gives finite values of declared metrics, each once; some column of the tables has a value."""
    measured = {
        measure.metric.partition(":")[0]
        for name, subject in examined.subjects.items()
        for measure in examined.valid(subject, f"With {name}")
    }
    # A ratio may be missing where the controls have nothing to divide by; all columns may not.
    columns = [metric.name for metric in examined.entry.card.metrics if metric.column]
    if columns and measured.isdisjoint(columns):
        raise CheckFailed(
            f"No control gives {', '.join(columns)}. Return a Measure for them, or take them off the card."
        )


def repeats(examined: Examined) -> None:
    """The same run gives the same values again."""
    subject = examined.subjects["domain-gate"]
    first, again = examined.measures(subject), examined.measures(subject)
    values = {measure.metric: measure.value for measure in again}
    differ = [one.metric for one in first if not np.isclose(one.value, values.get(one.metric, np.nan), atol=1e-6)]
    if differ or len(first) != len(again):
        raise CheckFailed(
            f"Two audits of one run differ{' in ' + differ[0] if differ else ''}. "
            "Draw only from subject.rng(...) and torch's global generator."
        )


def leaves_the_run_alone(examined: Examined) -> None:
    """The classifiers that all audits of a run share answer as before."""
    subject = examined.subjects["domain-gate"]
    examined.measures(subject)
    images = subject.images(TEST)
    for shared, new in ((subject.before, subject.untouched()), (subject.after, subject.rebuilt())):
        expected = Reader(new, subject.images, subject.precision, {}).read(images).logits
        if not np.array_equal(shared.read(images).logits, expected):
            raise CheckFailed("It changed a classifier that audits share. Change only what subject.rebuilt() returns.")


def takes_any_forget_set(examined: Examined) -> None:
    """Runs that forget all domains but one are examined as well."""
    examined.valid(examined.subject("domain-gate", MANY), "With all domains forgotten but one")


CHECKS: tuple[Callable[[Examined], None], ...] = (
    measures_what_its_card_declares, repeats, leaves_the_run_alone, takes_any_forget_set
)  # fmt: skip
"""All checks of audits, in the order in which they are run."""


def run_audit_checks(entry: AuditEntry, device: str = "cpu") -> Iterator[tuple[str, str]]:
    """Run all checks on an audit; see `adu_bench.core.checks.run_all`."""
    with tempfile.TemporaryDirectory() as folder:
        yield from run_all(CHECKS, Examined(entry, Path(folder), device))
