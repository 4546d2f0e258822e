"""Compare two methods over several data sets: the difference on each, and their mean if there are enough."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from adu_bench.core.errors import UserError
from adu_bench.stats.estimates import Estimate, student

FEWEST_DATA_SETS = 3


@dataclass(frozen=True)
class Across:
    """Two methods on several suites.

    Parameters
    ----------
    suites
        H of A minus that of B by suite, on the suite's tasks.
    together
        Mean for other data sets, which weigh the same (Student's t over data sets); None if there are too few.
    reason
        Why there is no mean; empty if there is one.
    """

    suites: Mapping[str, Estimate]
    together: Estimate | None
    reason: str = ""


def compare_across(suites: Mapping[str, Estimate], datasets: Mapping[str, str]) -> Across:
    """Compare two methods over several data sets.

    Parameters
    ----------
    suites
        H of A minus that of B by suite.
    datasets
        Data set by suite.

    Raises
    ------
    UserError
        If two suites use the same data set, which would count twice.
    """
    for suite, dataset in datasets.items():
        other = next(name for name, own in datasets.items() if own == dataset)
        if other != suite:
            raise UserError(
                f"'{other}' and '{suite}' use the same images.",
                "Suites are compared as independent data sets.",
                f"Leave one of them out of --suite {','.join(datasets)}.",
            )
    count = len(suites)
    if count < FEWEST_DATA_SETS:
        few = f"There are too few data sets for a joint estimate: {count}; "
        return Across(suites, None, f"{few}an interval needs {FEWEST_DATA_SETS}.")
    values = np.array([one.value for one in suites.values()])
    error = float(values.std(ddof=1) / np.sqrt(count))
    return Across(suites, student(float(values.mean()), error, count - 1, sum(one.tasks for one in suites.values())))
