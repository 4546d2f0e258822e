"""How well two workers of one thread use two cores, against one worker.

``OMP_NUM_THREADS=1 python -m adu_bench.maintenance.workers`` executes equal runs with each engine, one worker and two
in turn, and prints the efficiency: runs per second of two workers over twice those of one.  The start of processes does
not count.  Busy neighbours take cores away from two workers first, so the result says what ran beside them.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from adu_bench.core.environment import restoring
from adu_bench.core.progress import silent
from adu_bench.registry import Catalogue
from adu_bench.runner.executors.dask_cluster import DaskCluster
from adu_bench.runner.executors.interface import Executor
from adu_bench.runner.executors.local import LocalProcesses
from adu_bench.runner.job import RunJob
from adu_bench.runner.plan import PlannedRun, plan
from adu_bench.store import Store
from adu_bench.suites import load_suite

SUITE, METHOD = "toy", "baseline"
RUNS = 8
"""Runs that are timed; as many as there are workers come before, while libraries are loaded and images encoded."""
ROUNDS = 3

Engine = Callable[[int], Executor]
ENGINES: Mapping[str, Engine] = {
    "processes": lambda workers: LocalProcesses("cpu", workers),
    "Dask": lambda workers: DaskCluster(device="cpu", workers=workers),
}


def efficiencies(runs: int = RUNS, rounds: int = ROUNDS) -> dict[str, Any]:
    """Return the efficiency of two workers by engine, and what other processes did meanwhile.

    Parameters
    ----------
    runs
        How many are timed each time.
    rounds
        How often one and two workers take turns; medians count.

    Returns
    -------
    dict
        ``engines``: the efficiency by name, 1 is best; engines that are not installed are missing.  ``runs`` as given.
        ``others``: how many cores other processes kept busy, on average, in one and in two workers' turns.
    """
    engines = {name: engine for name, engine in ENGINES.items() if name != "Dask" or find_spec("distributed")}
    with restoring("OMP_NUM_THREADS"):
        os.environ["OMP_NUM_THREADS"] = "1"
        timed = {
            name: [[timed_runs(engine, n, runs) for n in (1, 2)] for _ in range(rounds)]
            for name, engine in engines.items()
        }
    found = {name: median(one[0] / (2 * two[0]) for one, two in turns) for name, turns in timed.items()}
    busy = [median(turn[place][1] for turns in timed.values() for turn in turns) for place in (0, 1)]
    return {"runs": runs, "engines": found, "others": busy}


def timed_runs(engine: Engine, workers: int, runs: int) -> tuple[float, float]:
    """Execute equal runs, and return the seconds of those that are timed, and the cores that others kept busy."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "runs")
        store.require_writable()
        jobs = [RunJob(run, store) for run in equal_runs(runs + workers)]
        start, idle = time.perf_counter(), _Others()
        for count, result in enumerate(engine(workers).run(jobs, silent), start=1):
            if result.state != "done":
                raise RuntimeError(f"{result.job.title}: {result.text}")
            if count == workers:
                start = time.perf_counter()
        seconds = time.perf_counter() - start
    return seconds, idle.cores()


def equal_runs(count: int) -> Sequence[PlannedRun]:
    """Plan runs that differ in the seed only."""
    return plan(load_suite(SUITE), Catalogue().select([METHOD]), seeds=range(1, count + 1), limit=1).runs


class _Others:
    """What other processes compute from now on."""

    def __init__(self) -> None:
        self._start, self._busy, self._own = time.perf_counter(), *self._spent()

    @staticmethod
    def _spent() -> tuple[float, float]:
        """Return the seconds that all cores were busy, and those of this process and its children that ended."""
        times = psutil.cpu_times()
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        idle = times.idle + getattr(times, "iowait", 0.0)
        return sum(times) - idle, sum(each.ru_utime + each.ru_stime for each in used)

    def cores(self) -> float:
        busy, own = self._spent()
        return max(0.0, (busy - self._busy - own + self._own) / (time.perf_counter() - self._start))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print what `efficiencies` returns as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args(arguments)
    print(json.dumps(efficiencies(options.runs, options.rounds), indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
