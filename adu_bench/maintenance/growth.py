"""What planning, status, reading and the board cost with many runs.

``python -m adu_bench.maintenance.growth --runs 1000 10000 100000`` makes folders with this many different runs of the
suite ``toy`` (all methods, as many seeds as it takes) with made-up answers, runs each step on each folder in a
process of its own, twice (reading first makes the index, then uses it), and prints seconds and peak memory.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from adu_bench.core.hashing import digest, file_sha256
from adu_bench.runner.plan import Plan, PlannedRun
from adu_bench.store import Store
from adu_bench.store.run import FORMAT
from adu_bench.workflows.selection import Selection

SUITE = "toy"
IMAGES = 240
"""Test images of a made-up run."""
ANSWERS = 8
"""Different tables of answers for each task; runs share them as hard links."""


def selection(runs: int) -> Selection:
    """Return a selection of all methods with the seeds that give at least this many runs."""
    one = len(Selection(SUITE, methods="all", seeds=(1,)).plan().runs)
    return Selection(SUITE, methods="all", seeds=tuple(range(1, 1 - (-runs // one))))


def make_runs(root: Path, plan: Plan) -> None:
    """Write a run directory for each planned run, with made-up answers."""
    made: dict[tuple[str, int], tuple[Path, str]] = {}
    pool = root / "answers"
    pool.mkdir(parents=True)
    for number, planned in enumerate(plan.runs):
        kind = planned.spec.task.name, number % ANSWERS
        if kind not in made:
            path = pool / f"{len(made)}.parquet"
            _answers(planned, len(made)).to_parquet(path, index=False)
            made[kind] = path, file_sha256(path)
        _write(root / planned.spec.key, planned, *made[kind])


def _answers(planned: PlannedRun, seed: int) -> pd.DataFrame:
    """Return random answers to the test images of a run."""
    task, rng = planned.spec.task, np.random.default_rng(seed)
    probabilities = np.sort(rng.dirichlet(np.ones(len(task.classes)), IMAGES).astype(np.float32), axis=1)[:, ::-1]
    labels, right = np.arange(IMAGES) % len(task.classes), rng.random(IMAGES) < 0.6
    domains = [task.domains[place % len(task.domains)] for place in range(IMAGES)]
    return pd.DataFrame(
        {
            "image": [f"image {place}" for place in range(IMAGES)],
            "domain": domains,
            "forget": [domain in task.forget for domain in domains],
            "label": labels.astype(np.int16),
            "predicted": np.where(right, labels, (labels + 1) % len(task.classes)).astype(np.int16),
            "tied": np.ones(IMAGES, np.int16),
            "p_label": np.where(right, probabilities[:, 0], probabilities[:, 1]),
            "p_max": probabilities[:, 0],
            "entropy": rng.random(IMAGES).astype(np.float32),
            "margin": probabilities[:, 0] - probabilities[:, 1],
        }
    )


def _write(folder: Path, planned: PlannedRun, answers: Path, checksum: str) -> None:
    folder.mkdir()
    os.link(answers, folder / "predictions.parquet")
    record = {
        "format": FORMAT,
        "key": planned.spec.key,
        "label": planned.label,
        "spec": planned.spec.to_dict(),
        "finished": "2026-01-01T00:00:00+00:00",
        "environment": {},
        "timings": {},
        "measured": {"seconds": 1.0, "trainable_parameters": 10, "peak_memory_mb": 100.0, "domain_probe": 0.5},
        "checksums": {"predictions.parquet": checksum},
    }
    (folder / "run.json").write_text(json.dumps(record | {"digest": digest(record)}))


def _plan(root: Path, chosen: Selection) -> None:
    chosen.plan()


def _read(root: Path, chosen: Selection) -> None:
    Store(root).runs()


def _status(root: Path, chosen: Selection) -> None:
    seeds = ",".join(map(str, chosen.seeds))
    _command("status", "--seeds", seeds, "--out", str(root))


def _board(root: Path, chosen: Selection) -> None:
    _command("leaderboard", "--seeds", f"{chosen.seeds[0]},", "--runs", str(root), "--format", "csv")


def _command(name: str, *options: str) -> None:
    from adu_bench.cli import main

    if code := main([name, "--suite", SUITE, "--methods", "all", *options]):
        raise SystemExit(code)


STEPS: Mapping[str, Callable[[Path, Selection], None]] = {
    "plan": _plan,
    "status": _status,
    "read": _read,
    "board": _board,
}
"""``read`` reads all runs, but not their answers; ``board`` is the board of one seed, among all the other runs."""


def measure(step: str, root: Path, runs: int) -> dict[str, float]:
    """Run a step in this process.

    Returns
    -------
    dict
        Its seconds and those of the processor, without the start of Python, and the peak memory in MB.
    """
    chosen = selection(runs)
    start, cpu = time.perf_counter(), time.process_time()
    STEPS[step](root, chosen)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    return {
        "seconds": round(time.perf_counter() - start, 2),
        "cpu": round(time.process_time() - cpu, 2),
        "mb": round(peak),
    }


def main() -> int:
    """Make the folders, measure, and print one line per number of runs, step and pass."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=list(STEPS))
    parser.add_argument("--measure", nargs=3, metavar=("STEP", "DIR", "RUNS"), help="one step in this process")
    options = parser.parse_args()
    if options.measure:
        step, root, runs = options.measure
        print(json.dumps(measure(step, Path(root), int(runs))), file=sys.stderr)
        return 0
    for runs in options.runs:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder) / "runs"
            make_runs(root, selection(runs).plan())
            for step in options.steps:
                for again in ("first", "again"):
                    command = [sys.executable, "-m", __spec__.name, "--measure", step, str(root), str(runs)]
                    ended = subprocess.run(command, capture_output=True, text=True, check=True)
                    found = json.loads(ended.stderr.splitlines()[-1])
                    print(f"{runs:>7} runs, {step}, {again}: {found}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
