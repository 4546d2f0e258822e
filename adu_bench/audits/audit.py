"""What an audit declares and returns; importing this does not import torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from adu_bench.core.specs import Task

if TYPE_CHECKING:
    from adu_bench.audits.subject import Subject

CORE, FULL = "core", "full"
LEVELS = (CORE, FULL)
"""``core`` audits are cheap enough for every run; ``full`` audits are for a few methods."""
OPTIONAL = "optional"
"""The level of audits that belong to neither and run only where they are named."""
ANY_RUN, HELD_OUT = NEEDS = ("", "held-out classes")
"""What a run must have for an audit to apply to it: nothing, or a task with held-out classes."""
DIRECTIONS = ("up", "down", "none")
PERCENT, NUMBER, YES = UNITS = ("per cent", "number", "yes or no")


@dataclass(frozen=True)
class AuditMetric:
    """The declaration of a metric of an audit.

    Parameters
    ----------
    name
        Its name in rows.  A measure may append a detail, as ``accuracy:DOMAIN``.
    explanation
        What it is, without a full stop.
    direction
        Which values speak for better unlearning: ``up``, ``down``, or ``none`` if it only describes.
    ideal
        The value of a model that has forgotten the forget domains and nothing else, in words.
    column
        Its heading in summary tables; empty if it appears only in rows.
    unit
        ``per cent`` for values in 0..1 that tables show as such, ``yes or no`` for 1 and 0, otherwise ``number``.
    """

    name: str
    explanation: str
    direction: str
    ideal: str
    column: str = ""
    unit: str = PERCENT

    def __post_init__(self) -> None:
        if self.unit not in UNITS:
            raise ValueError(f"the unit of {self.name} is {self.unit!r}, not one of {', '.join(UNITS)}")
        if self.direction not in DIRECTIONS:
            raise ValueError(f"the direction of {self.name} is {self.direction!r}, not one of {', '.join(DIRECTIONS)}")

    def text(self, value: float) -> str:
        """Return a value as tables show it; empty for NaN."""
        if value != value:
            return ""
        if self.unit == YES:
            return {0.0: "no", 1.0: "yes"}.get(value, "partly")
        return f"{100 * value:.1f}" if self.unit == PERCENT else f"{value:.2f}"


@dataclass(frozen=True)
class AuditCard:
    """What an audit is.  A file declares it with literal values, so that audits are listed without being imported.

    Parameters
    ----------
    name
        Lower case, with hyphens.
    level
        ``core``, ``full`` or ``optional``.
    question
        What it asks, as one question.
    attacker
        What the attacker knows, has and may do: knowledge and budget.
    metrics
        What it measures.
    controls
        Which methods it must tell apart, and how they must read; an audit that cannot is wrong.
    source
        Where the protocol comes from.
    needs
        Empty, or ``held-out classes``: the audit does not apply to runs whose task has none.
    """

    name: str
    level: str
    question: str
    attacker: str
    metrics: tuple[AuditMetric, ...]
    controls: str
    source: str
    needs: str = ANY_RUN

    def __post_init__(self) -> None:
        levels = (*LEVELS, OPTIONAL)
        if self.level not in levels:
            raise ValueError(f"the level of {self.name} is {self.level!r}, not one of {', '.join(levels)}")
        if self.needs not in NEEDS:
            raise ValueError(f"{self.name} needs {self.needs!r}, which is neither empty nor '{HELD_OUT}'")

    def applies(self, task: Task) -> bool:
        """Return whether the audit applies to the runs of a task."""
        return self.needs != HELD_OUT or bool(task.held_out)

    def metric(self, name: str) -> AuditMetric:
        """Return the declaration of a measured metric, whose name may end in a detail, as ``accuracy:DOMAIN``.

        Raises
        ------
        KeyError
            If the card does not declare it.
        """
        return {metric.name: metric for metric in self.metrics}[name.partition(":")[0]]


@dataclass(frozen=True)
class Measure:
    """One result of an audit.

    Parameters
    ----------
    metric
        A metric of the card; a detail may follow after a colon.
    value
        A finite number; shares and accuracies are 0..1.
    count
        Number of images that it rests on.
    """

    metric: str
    value: float
    count: int


class Audit(ABC):
    """Base class of audits: a card, and a function of a finished run's classifier."""

    card: ClassVar[AuditCard]

    @abstractmethod
    def run(self, subject: Subject) -> Sequence[Measure]:
        """Examine a classifier.

        The seed of torch is set before, to a value that depends on the task and the audit only; draw from
        `Subject.rng` where numpy is used.  The classifiers of the subject are shared: change only what
        `Subject.rebuilt` returns.
        """
