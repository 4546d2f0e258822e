"""What planning, status, reading and the board cost with many runs.

``python -m adu_bench.maintenance.growth --runs 1000 10000 100000`` makes folders with this many different runs of the
suite ``toy`` (all methods, as many seeds as it takes) with made-up answers, runs each step on each folder in a
process of its own, twice (reading first makes the index, then uses it), and prints seconds, processor seconds and peak
memory.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from adu_bench.core.hashing import digest, file_sha256
from adu_bench.registry import Catalogue
from adu_bench.runner.plan import Plan, PlannedRun, plan
from adu_bench.store.run import FORMAT
from adu_bench.suites import load_suite

SUITE = "toy"
IMAGES = 240
"""Test images of a made-up run."""
ANSWERS = 8
"""Different tables of answers for each task; runs share them as hard links."""
_LAUNCHER = """
import json, os, resource, subprocess, sys, time
start = time.perf_counter()
code = subprocess.run(sys.argv[2:]).returncode
used = resource.getrusage(resource.RUSAGE_CHILDREN)
mb = used.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
found = {"seconds": time.perf_counter() - start, "cpu": used.ru_utime + used.ru_stime, "mb": mb}
with open(sys.argv[1], "w") as file:
    json.dump({name: round(value, 2 if name != "mb" else None) for name, value in found.items()}, file)
sys.exit(code)
"""
"""Starts what is measured: Linux counts the memory of the process that starts another one as that one's peak."""


def planned(runs: int) -> Plan:
    """Plan all methods with the seeds that give at least this many runs."""
    suite, choices = load_suite(SUITE), Catalogue().select(["all"])
    one = len(plan(suite, choices, seeds=[1]).runs)
    return plan(suite, choices, seeds=range(1, 1 - (-runs // one)))


def make_runs(root: Path, wanted: Plan) -> None:
    """Write a run directory for each planned run, with made-up answers."""
    made: dict[tuple[str, int], tuple[Path, str]] = {}
    pool = root / "answers"
    pool.mkdir(parents=True)
    for number, run in enumerate(wanted.runs):
        kind = run.spec.task.name, number % ANSWERS
        if kind not in made:
            path = pool / f"{len(made)}.parquet"
            _answers(run, len(made)).to_parquet(path, index=False)
            made[kind] = path, file_sha256(path)
        _write(root / run.spec.key, run, *made[kind])


def _answers(run: PlannedRun, seed: int) -> pd.DataFrame:
    """Return random answers to the test images of a run."""
    task, rng = run.spec.task, np.random.default_rng(seed)
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


def _write(folder: Path, run: PlannedRun, answers: Path, checksum: str) -> None:
    folder.mkdir()
    os.link(answers, folder / "predictions.parquet")
    record = {
        "format": FORMAT,
        "key": run.spec.key,
        "label": run.label,
        "spec": run.spec.to_dict(),
        "finished": "2026-01-01T00:00:00+00:00",
        "environment": {},
        "timings": {},
        "measured": {"seconds": 1.0, "trainable_parameters": 10, "peak_memory_mb": 100.0, "domain_probe": 0.5},
        "checksums": {"predictions.parquet": checksum},
    }
    (folder / "run.json").write_text(json.dumps(record | {"digest": digest(record)}))


def steps(root: Path, runs: int) -> Mapping[str, list[str]]:
    """Return what Python is called with, by step.

    ``read`` reads all runs, but not their answers; ``board`` is the board of one seed, among all the other runs.
    """
    seeds = ",".join(str(seed) for seed in planned(runs).suite.seeds)
    chosen = ["--suite", SUITE, "--methods", "all", "--seeds"]
    return {
        "plan": ["-c", f"from adu_bench.maintenance.growth import planned; planned({runs})"],
        "status": ["-m", "adu_bench", "status", *chosen, seeds, "--out", str(root)],
        "read": ["-c", f"from adu_bench.store import Store; Store({str(root)!r}).runs()"],
        "board": ["-m", "adu_bench", "leaderboard", *chosen, "1,", "--runs", str(root), "--format", "csv"],
    }


def measure(arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> tuple[dict[str, float], str]:
    """Run Python in a process of its own.

    Parameters
    ----------
    arguments
        Of Python.
    environment
        Variables that are added to those of this process.

    Returns
    -------
    tuple
        Its seconds, those of the processor, and the peak memory in MB, all with the start of Python; and its output.

    Raises
    ------
    RuntimeError
        If it fails.
    """
    with tempfile.NamedTemporaryFile("r") as figures, tempfile.TemporaryFile("w+") as output:
        command = [sys.executable, "-c", _LAUNCHER, figures.name, sys.executable, *arguments]
        code = subprocess.run(command, stdout=output, env=os.environ | (environment or {})).returncode
        if code:
            raise RuntimeError(f"{' '.join(arguments)[:200]} ended with code {code}")
        output.seek(0)
        return json.load(figures), output.read()


def main() -> int:
    """Make the folders, measure, and print one line per number of runs, step and pass."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, nargs="+", default=[1000, 10_000, 100_000])
    for runs in parser.parse_args().runs:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder) / "runs"
            make_runs(root, planned(runs))
            for step, arguments in steps(root, runs).items():
                for again in ("first", "again"):
                    print(f"{runs:>7} runs, {step}, {again}: {measure(arguments)[0]}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
