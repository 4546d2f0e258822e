"""Choose hyper-parameters by seeded random search on the validation pool, with the same budget for every method."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from adu_bench.clip.weights import backbone_spec
from adu_bench.core.errors import UserError
from adu_bench.core.progress import Progress, silent
from adu_bench.core.seeds import derive
from adu_bench.core.specs import RunSpec, Value
from adu_bench.registry import Choice
from adu_bench.runner.decoding import HELD_OUT, decode_needed
from adu_bench.runner.executors.interface import Executor, Result
from adu_bench.runner.plan import plan
from adu_bench.runner.trial import TrialJob, read_log
from adu_bench.suites import Suite

TASKS = 2
"""Number of tasks that tuning uses, spread over the suite."""


def draw_trials(choice: Choice, number: int) -> list[dict[str, Value]]:
    """Draw the fields of ``number`` trials from a method's ranges; the first trial uses the defaults.

    Raises
    ------
    UserError
        If the method declares no ranges.
    """
    ranges = choice.entry.ranges
    if not ranges:
        raise UserError(
            f"'{choice.label}' cannot be tuned.",
            "Its class declares no ranges.",
            "Add ranges, or choose another method.",
        )
    rng = np.random.default_rng(derive(0, "tune", choice.entry.name))
    # Fields that a preset sets stay as they are.
    free = {name: range_ for name, range_ in sorted(ranges.items()) if name not in choice.preset.fields}
    drawn = [{name: _draw(range_, rng) for name, range_ in free.items()} for _ in range(number - 1)]
    return [{}, *drawn]


def _draw(range_: Any, rng: np.random.Generator) -> Value:
    if isinstance(range_, tuple):
        low, high = (math.log(end) for end in range_)
        return float(f"{math.exp(rng.uniform(low, high)):.2g}")
    return range_[int(rng.integers(len(range_)))]


def trials(suite: Suite, choice: Choice, number: int, out: Path, *, score_test: bool = False) -> list[TrialJob]:
    """Return the trials of a method, finished or not, in the order in which they were drawn.

    Parameters
    ----------
    suite
        Gives tasks (some, spread over the suite), the first seed, budget and backbone.
    choice
        The method.
    number
        Number of trials.
    out
        Folder of ``<suite>/<method>.jsonl``, with one line per finished trial.
    score_test
        Also score each trial on the test images and write that to ``<suite>/<method>.test.jsonl``.  The order of the
        trials never depends on it; it shows afterwards how well validation images predict test images.
    """
    logs = {"validation": out / suite.name / f"{choice.label}.jsonl"}
    if score_test:
        logs["test"] = out / suite.name / f"{choice.label}.test.jsonl"
    weights = backbone_spec(suite.backbone)
    tasks = suite.tasks()
    chosen = tasks[:: max(1, len(tasks) // TASKS)][:TASKS]
    found = []
    for fields in draw_trials(choice, number):
        method = choice.resolve(suite.budget, {choice.preset.name: fields})
        specs = [RunSpec(task, weights, method, suite.training, suite.seeds[0]) for task in chosen]
        found.append(
            TrialJob(
                choice.label,
                fields,
                tuple(specs),
                choice.entry.path,
                choice.entry.class_name,
                suite.backbone,
                logs,
            )
        )
    return found


def run_trials(jobs: list[TrialJob], executor: Executor, progress: Progress = silent) -> Iterator[Result]:
    """Run the trials that are not finished, and yield one result per trial.

    Raises
    ------
    UserError
        If a trial stops with an error; a training that diverges is not an error but an H of 0.
    """
    for result in executor.run([job for job in jobs if job.missing()], progress):
        if result.state == "failed":
            raise UserError(
                f"The trial {result.job.title} stopped.", result.text, "Fix the cause; the same command continues."
            )
        yield result


def best_first(jobs: list[TrialJob]) -> list[dict[str, Any]]:
    """Return the records of finished trials of one method, best on the validation images first.

    Returns
    -------
    list of dict
        ``fields``, ``h`` (mean over tasks of H on the validation images; 0 if a run failed), ``mem``, ``for``, ``key``.
    """
    records = read_log(jobs[0].logs["validation"])
    return sorted((records[job.key] for job in jobs), key=lambda record: -record["h"])


def decode_tuned(suite: Suite, choice: Choice, progress: Progress = silent, *, score_test: bool = False) -> None:
    """Decode the images that trials need and the cache lacks: the same for all tasks and methods.

    Parameters
    ----------
    suite, choice, score_test
        As in `trials`; any method will do.
    progress
        As in `adu_bench.runner.decoding.decode_needed`, errors too.
    """
    runs = plan(suite, [choice], seeds=suite.seeds[:1], limit=1).runs
    decode_needed(runs, progress, HELD_OUT if score_test else HELD_OUT[:1])


def agreement(folder: Path) -> pd.DataFrame:
    """Return H on validation and test images of every trial below a folder that was scored on both.

    Returns
    -------
    DataFrame
        One row per trial: ``method``, ``key``, ``validation``, ``test`` (H, fractions).
    """
    rows = []
    for path in sorted(folder.glob("*.test.jsonl")):
        label = path.name.removesuffix(".test.jsonl")
        validation, test = read_log(folder / f"{label}.jsonl"), read_log(path)
        rows += [
            {"method": label, "key": key, "validation": validation[key]["h"], "test": test[key]["h"]}
            for key in validation
            if key in test
        ]
    return pd.DataFrame(rows, columns=["method", "key", "validation", "test"])


def write_settings(path: Path, best: Mapping[str, Mapping[str, Value]]) -> None:
    """Write the chosen fields by preset as YAML, which ``--settings`` reads; other presets in the file stay."""
    before = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else {}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump({**before, **{name: dict(fields) for name, fields in best.items()}}), "utf-8")
