"""The numbers that are compared: one metric of some methods on the tasks and seeds that all of them finished."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from adu_bench.core.errors import UserError, unknown
from adu_bench.metrics.frame import Scorable


@dataclass(frozen=True)
class Scores:
    """A complete block: every method, task and seed.

    Parameters
    ----------
    metric
        Which measure.
    methods, tasks, seeds
        Their names, in the order of the axes of ``values``.
    forget
        What each task forgets.
    values
        (methods, tasks, seeds).
    """

    metric: str
    methods: tuple[str, ...]
    tasks: tuple[str, ...]
    seeds: tuple[int, ...]
    forget: tuple[tuple[str, ...], ...]
    values: np.ndarray

    @property
    def by_task(self) -> np.ndarray:
        """Means over seeds (methods, tasks): seeds are not independent tasks, so they are averaged first."""
        return self.values.mean(axis=2)

    @property
    def sizes(self) -> tuple[int, ...]:
        """The numbers of forget domains that occur."""
        return tuple(sorted({len(domains) for domains in self.forget}))

    def view(self, size: int | None) -> np.ndarray:
        """Return which tasks (T,) forget so many domains; all of them for None."""
        return np.array([size is None or len(domains) == size for domains in self.forget])


def views_of(sizes: Sequence[int], only: int | None = None) -> tuple[int | None, ...]:
    """Return what is looked at: each number of forget domains, then (None) all tasks; or one number only.

    Raises
    ------
    UserError
        If no task forgets so many.
    """
    if only is not None:
        if only not in sizes:
            raise UserError(
                f"No task forgets {only} domains.",
                "The tasks that both methods finished decide what can be looked at.",
                f"Choose from: {', '.join(map(str, sizes))}.",
            )
        return (only,)
    return (*sizes, None) if len(sizes) > 1 else tuple(sizes)


def forget_sets(runs: Iterable[Scorable]) -> dict[str, tuple[str, ...]]:
    """Return the forget domains of each task by its name."""
    return {run.spec.task.name: tuple(run.spec.task.forget) for run in runs}


def scores(
    frame: pd.DataFrame, forget: Mapping[str, Sequence[str]], metric: str, methods: Sequence[str] | None = None
) -> Scores:
    """Take one metric out of a long table.

    Parameters
    ----------
    frame
        As `adu_bench.metrics.frame.score` returns it, of one suite.
    forget
        The forget domains of each task, see `forget_sets`.
    metric
        Which measure.
    methods
        Which methods, in which order; all if None.  Tasks that one of them did not finish with every seed are left out.

    Raises
    ------
    UserError
        If a method or metric does not occur, or no task was finished by all of them.
    """
    known = tuple(dict.fromkeys(frame["method"]))
    methods = known if methods is None else tuple(methods)
    for method in methods:
        if method not in known:
            raise unknown("method on this board", method, known)
    own = frame[(frame["metric"] == metric) & frame["method"].isin(methods)]
    if own.empty:
        raise unknown("metric on this board", metric, set(frame["metric"]))
    wide = own.pivot(index="task", columns=["method", "seed"], values="value")
    seeds = tuple(sorted(set(own["seed"])))
    wide = wide.reindex(columns=pd.MultiIndex.from_product([methods, seeds])).dropna()
    tasks = tuple(task for task in forget if task in wide.index)
    if not tasks:
        raise UserError(
            f"No task was finished by {' and '.join(methods)} with the seeds {', '.join(map(str, seeds))}.",
            "Methods are compared on the same tasks and seeds.",
            "Finish their runs: adu-bench run.",
        )
    values = wide.loc[list(tasks)].to_numpy(dtype=float).reshape(len(tasks), len(methods), len(seeds))
    sets = tuple(tuple(forget[task]) for task in tasks)
    return Scores(metric, methods, tasks, seeds, sets, values.transpose(1, 0, 2))
