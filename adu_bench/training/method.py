"""The base class of methods: a frozen dataclass of hyper-parameters, and a function from `Problem` to `Classifier`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from adu_bench.clip.classifier import Classifier
    from adu_bench.core.specs import Value
    from adu_bench.training.problem import Problem


@dataclass(frozen=True, kw_only=True)
class Card:
    """Source and group of a method.

    All values are literals, because `list` and planning read them from the source text without importing it.

    Parameters
    ----------
    name
        Name on the command line: lower-case words joined by ``-``.
    group
        One of `adu_bench.core.groups.GROUPS`, such as ``paper`` (in the ADU paper's tables), ``reference`` (bounds and
        controls, never ranked), ``weights`` (changes the backbone's own weights) or ``other``.
    title, authors, year, paper, licence
        The source; ``paper`` is an arXiv number, DOI or venue.
    notes
        Deviations from the source, reduced budgets, known limits: one or more sentences.
    """

    name: str
    group: str
    title: str
    authors: str
    year: int
    paper: str
    licence: str
    notes: str = ""


@dataclass(frozen=True, init=False)
class Preset:
    """A name for a method with some of its fields set; arguments are literals, as in `Card`.

    Parameters
    ----------
    name, group, summary
        As in `Card`; the summary is one sentence.
    fields
        Hyper-parameters that differ from the class's defaults.
    """

    name: str
    group: str
    summary: str
    fields: dict[str, Value] = field(default_factory=dict)

    def __init__(self, name: str, *, group: str, summary: str, **fields: Value) -> None:
        for attribute, value in (("name", name), ("group", group), ("summary", summary), ("fields", fields)):
            object.__setattr__(self, attribute, value)


@dataclass(frozen=True, kw_only=True)
class Method(ABC):
    """Base class of all methods: fields are hyper-parameters, and `unlearn` trains the classifier.

    A subclass is a ``@dataclass(frozen=True, kw_only=True)`` with a `Card`; its fields have defaults and are annotated
    with bool, int, float, str, a Literal, a tuple of these, or one of these or None.  Constructors only store values.
    """

    card: ClassVar[Card]
    presets: ClassVar[tuple[Preset, ...]] = ()
    ranges: ClassVar[dict[str, tuple[float, float] | list[Value]]] = {}
    """What tuning may try for a field, ``(low, high)`` on a logarithmic scale, or a list."""
    bounds: ClassVar[dict[str, str]] = {}
    """The numbers that a field may take, for example ``{"epochs": ">= 1", "crop": "> 0, <= 1"}``.  Other values are
    refused before a run, wherever they come from; NaN and infinity always are.  Bounds are inherited with the fields.
    """

    @abstractmethod
    def unlearn(self, problem: Problem) -> Classifier:
        """Turn a problem into a classifier that forgets ``problem.forget`` and keeps ``problem.retain``."""
