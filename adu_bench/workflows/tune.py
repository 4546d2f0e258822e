"""Choose hyper-parameters of several methods."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from adu_bench.core.errors import UserError
from adu_bench.core.progress import Progress, silent
from adu_bench.registry import Choice
from adu_bench.runner.executors.interface import Executor, Result
from adu_bench.runner.executors.local import LocalProcesses
from adu_bench.runner.tune import agreement, best_first, decode_tuned, run_trials, trials, write_settings
from adu_bench.suites import Suite


def tune_methods(
    suite: Suite,
    choices: list[Choice],
    number: int,
    out: Path,
    executor: Executor | None = None,
    progress: Progress = silent,
    on_result: Callable[[Result, int, int], None] = lambda result, count, total: None,
    *,
    score_test: bool = False,
) -> tuple[dict[str, dict[str, Any]], Path]:
    """Run the trials that are not finished, and write the best fields where ``run --settings`` reads them.

    Parameters
    ----------
    suite, choices
        What to tune on, and what to tune.
    number
        Trials per method.
    out
        Folder of the finished trials.
    executor
        Where to run; None for one process on this machine.
    progress
        Called with the decoding, and with each trial in flight.
    on_result
        Called with each finished trial, its number and the number of trials that run.
    score_test
        Also score every trial on the test images; see `adu_bench.runner.tune.trials`.

    Returns
    -------
    tuple
        The best trial per label: ``h`` and ``fields`` (the preset's with the chosen ones); and the file of settings.

    Raises
    ------
    UserError
        If a method has no ranges, images cannot be used, or a trial stops with an error.
    """
    if number < 1:
        raise UserError(f"--trials {number} is too few.", "At least one is needed.", "Give --trials 1 or more.")
    planned = {choice.label: trials(suite, choice, number, out, score_test=score_test) for choice in choices}
    waiting = [job for jobs in planned.values() for job in jobs if job.missing()]
    if waiting:
        decode_tuned(suite, choices[0], progress, score_test=score_test)
    for count, result in enumerate(run_trials(waiting, executor or LocalProcesses(), progress), start=1):
        on_result(result, count, len(waiting))
    best = {}
    for choice in choices:
        first = best_first(planned[choice.label])[0]
        best[choice.label] = {"h": first["h"], "fields": {**choice.overrides, **first["fields"]}}
    settings = out / suite.name / "settings.yaml"
    write_settings(settings, {choice.preset.name: best[choice.label]["fields"] for choice in choices})
    return best, settings


def validation_agreement(out: Path, suite: Suite) -> dict[str, float]:
    """Return how well H on validation images predicts H on test images over all trials scored on both.

    Returns
    -------
    dict
        ``trials``, ``methods``, and the correlations ``spearman`` and ``pearson``.
    """
    found: pd.DataFrame = agreement(out / suite.name)
    pair = found[["validation", "test"]]
    return {
        "trials": len(found),
        "methods": found["method"].nunique(),
        "spearman": float(pair.corr(method="spearman").iloc[0, 1]),
        "pearson": float(pair.corr().iloc[0, 1]),
    }
