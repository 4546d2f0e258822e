"""Choose hyper-parameters of several methods."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from adu_bench.clip.weights import backbone_spec
from adu_bench.core.errors import UserError
from adu_bench.core.files import write_text
from adu_bench.core.progress import Progress, silent
from adu_bench.registry import Catalogue, Choice
from adu_bench.report.tables.tuning import read_search, tuning_page
from adu_bench.runner.executors.interface import Executor, Result
from adu_bench.runner.executors.local import LocalProcesses
from adu_bench.runner.tune import Chosen, Search, decode_tuned, free_fields, read_written, write_settings
from adu_bench.suites import Suite


def tune_methods(
    suite: Suite,
    choices: list[Choice],
    number: int,
    out: Path,
    executor: Executor | None = None,
    progress: Progress = silent,
    on_result: Callable[[Result, int, int], None] = lambda result, count, total: None,
    on_chosen: Callable[[str, Chosen], None] = lambda label, chosen: None,
    *,
    score_test: bool = False,
) -> Path:
    """Search for each method in turn, continuing where an earlier call stopped.

    Parameters
    ----------
    suite, choices
        What to tune on, and what to tune.
    number
        Trials per method, the defaults among them.
    out
        Folder of the finished trials.
    executor
        Where to run; None for one process on this machine.
    progress
        Called with the decoding, and with each run in flight.
    on_result
        Called with each finished run, its number and the largest possible number of runs.
    on_chosen
        Called with each method's label and outcome.
    score_test
        Also score every run on the test images; see `adu_bench.runner.tune.Search`.

    Returns
    -------
    Path
        The file with the chosen fields, which ``run --settings`` reads.

    Raises
    ------
    UserError
        If a method has no ranges, the file of settings is malformed, images cannot be used, or a run stops with an
        error.
    """
    if number < 2:
        raise UserError(f"--trials {number} is too few.", "One trial has the defaults.", "Give --trials 2 or more.")
    for choice in choices:
        free_fields(choice)
    searches = [Search(suite, choice, number, out, score_test) for choice in choices]
    executor = executor or LocalProcesses()
    settings = out / suite.name / "settings.yaml"
    read_written(settings)
    backbone_spec(suite.backbone, fetch=True)
    if any(search.missing() for search in searches):
        decode_tuned(suite, choices[0], progress, score_test=score_test)
    count, total = 0, sum(search.most() for search in searches)
    for search in searches:
        while jobs := search.missing():
            for result in executor.run(jobs, progress):
                if result.state == "failed":
                    raise UserError(
                        f"The trial {result.job.title} stopped.",
                        result.text,
                        "Fix the cause; the same command continues.",
                    )
                count += 1
                on_result(result, count, total)
        chosen = search.chosen()
        write_settings(settings, {search.choice.preset.name: {**search.choice.overrides, **chosen.fields}})
        on_chosen(search.choice.label, chosen)
    return settings


def write_tuning_page(suite: Suite, catalogue: Catalogue, number: int, out: Path) -> Path:
    """Write the page on all searches in a folder that are finished with a number of trials.

    Parameters
    ----------
    suite, catalogue
        What was tuned on, and the known methods.
    number, out
        As for `tune_methods`.

    Returns
    -------
    Path
        ``<out>/<suite>/README.md``.
    """
    folder = out / suite.name
    logs = [log for log in sorted(folder.glob("*.jsonl")) if not log.name.endswith(".test.jsonl")]
    searches = [_finished(suite, catalogue, log.name.removesuffix(".jsonl"), number, out) for log in logs]
    found = [read_search(search) for search in searches if search is not None]
    path = folder / "README.md"
    write_text(path, tuning_page(suite.name, found))
    return path


def _finished(suite: Suite, catalogue: Catalogue, label: str, number: int, out: Path) -> Search | None:
    """Return a method's search; None if it is not finished, or the method is not known or cannot be tuned here."""
    try:
        searches = [Search(suite, choice, number, out) for choice in catalogue.select([label])]
        return searches[0] if [search.choice.label for search in searches if not search.missing()] == [label] else None
    except UserError:
        return None
