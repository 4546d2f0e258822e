"""Choose hyper-parameters on the validation pool, with the same number of trials for every method.

Trials are compared by successive halving: all on half of the tasks, the better half on the other tasks, the best
quarter with a second seed.  The best is then compared with the method's defaults, with seeds that no earlier stage
used, and the defaults stay unless it is better by more than one standard error (the rule of Breiman et al. 1984 for
choosing among models).  Runs are scored on the test pool only where that is asked for, and nothing here depends on it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml

from adu_bench.clip.weights import backbone_spec
from adu_bench.core.errors import UserError
from adu_bench.core.files import write_text
from adu_bench.core.progress import Progress, silent
from adu_bench.core.seeds import derive
from adu_bench.core.specs import RunSpec, Task, Value
from adu_bench.core.yaml_files import read_yaml
from adu_bench.registry import Choice
from adu_bench.runner.decoding import decode_needed
from adu_bench.runner.plan import plan
from adu_bench.runner.trial import TrialJob, read_log
from adu_bench.suites import Suite

FIRST_SEED = 101
"""The first seed of tuning; boards have other seeds."""
FINAL_SEEDS = 2
"""Number of seeds with which the best trial is compared with the defaults."""
ERRORS = 1.0
"""The best trial replaces the defaults if it gains more than this number of standard errors.

Its gain is measured with new seeds, so it is not inflated by the choice.  A stricter rule would leave weak methods with
defaults that do not fit the suite, and so flatter the strong ones."""

Fields = Mapping[str, Value]


class Cell(NamedTuple):
    """A task and a seed on which trials are compared."""

    task: Task
    seed: int


@dataclass(frozen=True)
class Chosen:
    """The outcome of a search.

    Parameters
    ----------
    trial
        The chosen trial, 0 for the defaults.
    fields
        Values of all searched fields, those of the defaults too.
    best
        The trial that won the stages before the final.
    gain, error
        Mean difference in H on the validation images between the best trial and the defaults in the final, and its
        standard error over tasks and seeds; None if the defaults won the earlier stages.
    h
        Mean H of the chosen trial over the final's tasks and seeds, or over those of the last stage without a final.
    """

    trial: int
    fields: Fields
    best: int
    gain: float | None
    error: float | None
    h: float


def free_fields(choice: Choice) -> dict[str, Any]:
    """Return the ranges of the fields that a search varies; fields that a preset or the user sets stay as they are.

    Raises
    ------
    UserError
        If there are none.
    """
    fixed = {*choice.preset.fields, *choice.overrides}
    free = {name: range_ for name, range_ in sorted(choice.entry.ranges.items()) if name not in fixed}
    if not free:
        raise UserError(
            f"'{choice.label}' cannot be tuned.",
            "Its class declares no ranges of fields that are free.",
            "Add ranges, or choose another method.",
        )
    return free


def draw_trials(choice: Choice, number: int) -> list[dict[str, Value]]:
    """Draw the fields of ``number`` trials; the first has the defaults.

    The other trials are a Latin hypercube (McKay et al. 1979): a field's values lie in as many equal parts of its range
    (of its logarithm) as there are trials, one in each.  They depend on the field's name and range alone, so methods
    and ablations that share a field try the same values of it.
    """
    columns = {name: _values(name, range_, number - 1) for name, range_ in free_fields(choice).items()}
    return [{}, *({name: values[place] for name, values in columns.items()} for place in range(number - 1))]


def _values(name: str, range_: Any, number: int) -> list[Value]:
    rng = np.random.default_rng(derive(0, "tune", name))
    places = (rng.permutation(number) + rng.random(number)) / max(number, 1)
    if isinstance(range_, tuple):
        low, high = (math.log(end) for end in range_)
        return [float(f"{math.exp(low + place * (high - low)):.2g}") for place in places]
    return [range_[int(place * len(range_))] for place in places]


@dataclass(frozen=True)
class Search:
    """The search for one method's fields; its state is the log, so it continues where it was interrupted.

    Parameters
    ----------
    suite
        Gives the tasks (those with the fewest forget domains), budget and backbone.
    choice
        The method.
    number
        Number of trials.
    out
        Folder of ``<suite>/<method>.jsonl``, with one line per finished run of a trial.
    score_test
        Also score each run on the test images and write that to ``<suite>/<method>.test.jsonl``.  The search never
        reads it; it shows afterwards how well validation images predict test images.
    """

    suite: Suite
    choice: Choice
    number: int
    out: Path
    score_test: bool = False

    @property
    def logs(self) -> dict[str, Path]:
        """The log of each pool that is scored."""
        names = {"validation": f"{self.choice.label}.jsonl"}
        if self.score_test:
            names["test"] = f"{self.choice.label}.test.jsonl"
        return {pool: self.out / self.suite.name / name for pool, name in names.items()}

    def missing(self) -> list[TrialJob]:
        """Return the runs of the first stage that is not finished; none if the search is over."""
        logs = {pool: read_log(path) for pool, path in self.logs.items()}
        trials = draw_trials(self.choice, self.number)
        for wanted in self._stages(trials, logs["validation"]):
            jobs = [self._job(number, trials[number], cell) for number, cells in wanted.items() for cell in cells]
            if waiting := [job for job in jobs if any(job.spec.key not in log for log in logs.values())]:
                return waiting
        return []

    def runs(self) -> list[tuple[int, Cell, str]]:
        """Return trial, task with seed, and key of each run that the stages take, as far as the log decides them."""
        trials = draw_trials(self.choice, self.number)
        stages = self._stages(trials, read_log(self.logs["validation"]))
        return [
            (number, cell, self._spec(trials[number], cell).key)
            for wanted in stages
            for number, cells in wanted.items()
            for cell in cells
        ]

    def most(self) -> int:
        """Return the largest number of runs that the search can take."""
        return sum(number * cells for number, cells in self._sizes())

    def chosen(self) -> Chosen:
        """Return the outcome of a finished search."""
        log = read_log(self.logs["validation"])
        trials = draw_trials(self.choice, self.number)
        stages = self._stages(trials, log)
        last = stages[-1]
        if len(stages) < len(self._sizes()):
            # The defaults won the stages together; another trial may have won the last one.
            return Chosen(0, self._full({}), 0, None, None, self._mean(0, trials, last[0], log))
        best = next(number for number in last if number)
        pairs = np.array([[self._h(number, trials, cell, log) for cell in last[number]] for number in (best, 0)])
        differences = pairs[0] - pairs[1]
        gain, error = float(differences.mean()), float(differences.std(ddof=1) / math.sqrt(len(differences)))
        taken = best if gain > ERRORS * error else 0
        return Chosen(taken, self._full(trials[taken]), best, gain, error, float(pairs[0 if taken else 1].mean()))

    def _cells(self) -> tuple[list[Cell], list[Cell], list[Cell], list[Cell]]:
        """Return the tasks and seeds that each stage adds."""
        tasks = self.suite.tasks()
        fewest = min(len(task.forget) for task in tasks)
        tasks = [task for task in tasks if len(task.forget) == fewest]
        first, second, *final = tuning_seeds(self.suite, 2 + FINAL_SEEDS)
        halves = tasks[::2], tasks[1::2]
        return (
            [Cell(task, first) for task in halves[0]],
            [Cell(task, first) for task in halves[1]],
            [Cell(task, second) for task in tasks],
            [Cell(task, seed) for seed in final for task in tasks],
        )

    def _sizes(self) -> list[tuple[int, int]]:
        """Return number of trials and of cells of each stage."""
        counts = (self.number, math.ceil(self.number / 2), math.ceil(self.number / 4), min(2, self.number))
        return [(count, len(cells)) for count, cells in zip(counts, self._cells(), strict=True)]

    def _stages(self, trials: Sequence[Fields], log: Mapping[str, Mapping[str, Any]]) -> list[dict[int, list[Cell]]]:
        """Return what each stage compares, as far as the log decides it: trials and the cells that the stage adds."""
        *halving, final = self._cells()
        stages: list[dict[int, list[Cell]]] = []
        alive = list(range(len(trials)))
        seen: dict[int, list[Cell]] = {number: [] for number in alive}
        for (count, _), cells in zip(self._sizes(), halving, strict=False):
            if stages:
                alive = self._best(trials, log, seen, count)
            stages.append({number: list(cells) for number in alive})
            seen = {number: [*seen[number], *cells] for number in alive}
            if not all(self._spec(trials[number], cell).key in log for number in alive for cell in cells):
                return stages
        (best,) = self._best(trials, log, seen, 1)
        return [*stages, {best: final, 0: final}] if best else stages

    def _best(
        self, trials: Sequence[Fields], log: Mapping[str, Any], cells: Mapping[int, Sequence[Cell]], count: int
    ) -> list[int]:
        """Return the trials with the highest mean H over their cells; of equal ones the earlier."""
        means = {number: self._mean(number, trials, own, log) for number, own in cells.items()}
        return sorted(sorted(means, key=lambda number: (-means[number], number))[:count])

    def _mean(self, number: int, trials: Sequence[Fields], cells: Sequence[Cell], log: Mapping[str, Any]) -> float:
        return float(np.mean([self._h(number, trials, cell, log) for cell in cells]))

    def _h(self, number: int, trials: Sequence[Fields], cell: Cell, log: Mapping[str, Any]) -> float:
        return float(log[self._spec(trials[number], cell).key]["h"])

    def _full(self, fields: Fields) -> Fields:
        """Return the values of all searched fields."""
        resolved = dict(self.choice.resolve(self.suite.budget, {self.choice.preset.name: fields}).fields)
        return {name: resolved[name] for name in free_fields(self.choice)}

    def _spec(self, fields: Fields, cell: Cell) -> RunSpec:
        method = self.choice.resolve(self.suite.budget, {self.choice.preset.name: fields})
        return RunSpec(cell.task, backbone_spec(self.suite.backbone), method, self.suite.training, cell.seed)

    def _job(self, number: int, fields: Fields, cell: Cell) -> TrialJob:
        entry = self.choice.entry
        spec = self._spec(fields, cell)
        return TrialJob(
            self.choice.label, number, fields, spec, entry.path, entry.class_name, self.suite.backbone, self.logs
        )


def tuning_seeds(suite: Suite, count: int) -> list[int]:
    """Return seeds for tuning that the suite's boards do not have."""
    free = (seed for seed in range(FIRST_SEED, FIRST_SEED + count + len(suite.seeds)) if seed not in suite.seeds)
    return [seed for seed, _ in zip(free, range(count), strict=False)]


def decode_tuned(suite: Suite, choice: Choice, progress: Progress = silent, *, score_test: bool = False) -> None:
    """Decode the images that searches need and the cache lacks: the same for all methods.

    Parameters
    ----------
    suite, choice, score_test
        As for `Search`; any method will do.
    progress
        As in `adu_bench.runner.decoding.decode_needed`, errors too.
    """
    runs = plan(suite, [choice], seeds=tuning_seeds(suite, 2 + FINAL_SEEDS), limit=1).runs
    decode_needed(runs, progress, ("validation", "test") if score_test else ("validation",))


def write_settings(path: Path, best: Mapping[str, Fields]) -> None:
    """Write the chosen fields by preset as YAML, which ``--settings`` reads; other presets in the file stay."""
    text = yaml.safe_dump({**read_written(path), **{name: dict(fields) for name, fields in best.items()}})
    write_text(path, text)


def read_written(path: Path) -> dict[str, Any]:
    """Return what `write_settings` wrote before; empty without a file or in an empty one.

    Raises
    ------
    UserError
        If the file holds something else.
    """
    try:
        found = (read_yaml(path)[0] or {}) if path.is_file() else {}
    except (OSError, ValueError):
        found = None
    if not isinstance(found, dict):
        raise UserError(
            f"The file '{path}' does not hold settings.",
            "The chosen fields are added to the settings that it holds.",
            "Move the file away; the same command continues.",
        )
    return found
