"""Compare two methods over several data sets: the difference on each, and their mean if there are enough."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from adu_bench.core.errors import UserError
from adu_bench.stats.estimates import Estimate
from adu_bench.stats.paired import Difference, difference
from adu_bench.stats.resampling import FEWEST_DATA_SETS, cluster_bootstrap
from adu_bench.stats.scores import Scores


@dataclass(frozen=True)
class Across:
    """Two methods on several suites.

    Parameters
    ----------
    suites
        H of A minus that of B by suite, see `adu_bench.stats.paired.Difference`.
    together
        Mean over data sets with equal weights; None if there are too few.
    reason
        Why there is no mean; empty if there is one.
    """

    suites: Mapping[str, Difference]
    together: Estimate | None
    reason: str = ""


def compare_across(pairs: Mapping[str, tuple[Scores, int | None]], datasets: Mapping[str, str]) -> Across:
    """Compare two methods over several data sets.

    Parameters
    ----------
    pairs
        H of the two methods by suite, and the number of forget domains of the tasks to use (None: all tasks).
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
    suites = {suite: difference(pair, size) for suite, (pair, size) in pairs.items()}
    if len(pairs) < FEWEST_DATA_SETS:
        few = f"There are too few data sets for a joint estimate: {len(pairs)}; "
        return Across(suites, None, f"{few}a bootstrap over data sets needs {FEWEST_DATA_SETS}.")
    values = {
        suite: (pair.by_task[0] - pair.by_task[1])[pair.view(size)].tolist() for suite, (pair, size) in pairs.items()
    }
    return Across(suites, cluster_bootstrap(values))
