"""Verify a submission: check that its claims follow from its predictions, and compare reruns with its runs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from adu_bench import __version__
from adu_bench.core.errors import UserError
from adu_bench.core.specs import Task
from adu_bench.leaderboard.rows import VerificationStatus, write_row
from adu_bench.metrics.measures import measure
from adu_bench.rerun.job import ABOUT, PREDICTIONS
from adu_bench.runner.plan import PlannedRun
from adu_bench.submission.consistency import check_predictions, images_of
from adu_bench.submission.predictions_file import RUN_COLUMNS, read_predictions
from adu_bench.submission.refusal import Refused
from adu_bench.submission.submission import PER_RUN, SUMMARY, Submission

CLAIM_TOLERANCE = 1.5e-6
"""Claims and scores are both rounded to six decimals."""


@dataclass(frozen=True)
class Rerun:
    """A run that was run again.

    Parameters
    ----------
    run
        The run.
    submitted, fresh
        mem, for and h of the submitted run and of the rerun, as fractions.
    same_answers
        Share of test images with the same predicted class, 0..1.
    isolation
        How the method's process was kept apart, see `adu_bench.rerun.sandbox`.
    own_parts
        The kinds of the classifier's parts that the method's code defines, which then also predicted.
    """

    run: PlannedRun
    submitted: Mapping[str, float]
    fresh: Mapping[str, float]
    same_answers: float
    isolation: str
    own_parts: tuple[str, ...]

    @property
    def largest_difference(self) -> float:
        """The larger of the differences in Mem and For."""
        return max(abs(self.fresh[name] - self.submitted[name]) for name in ("mem", "for"))

    def near(self, tolerance: float, same: float) -> bool:
        """Return whether Mem and For differ by at most ``tolerance``, and the share ``same`` of answers is the same."""
        return self.largest_difference <= tolerance and self.same_answers >= same


def check(submission: Submission) -> None:
    """Check every prediction, and every claim against the score of the predictions.

    Raises
    ------
    Refused
        At the first prediction or claim that is wrong.
    """
    images = images_of(submission.plan.runs[0].spec.task)
    for planned, run in zip(submission.plan.runs, submission.runs, strict=True):
        check_predictions(
            run.predictions(), planned.spec.task, images, submission.exact, f"{planned.title} ({run.key})"
        )
    for name, claimed, scored in claims(submission):
        if abs(claimed - scored) > CLAIM_TOLERANCE:
            raise Refused(f"{name} is claimed to be {claimed:.6f}, and the predictions give {scored:.6f}")


def claims(submission: Submission) -> list[tuple[str, float, float]]:
    """Return all claims as (name, claimed, scored): first those of the summary, then those of each run."""
    scored, scored_runs = submission.scored(), submission.scored_runs()
    found = [(name, submission.claimed[name], scored[name]) for name in SUMMARY if name in submission.claimed]
    for run in submission.plan.runs:
        claimed = submission.claimed_runs.get(run.spec.key, {})
        found += [
            (f"{name} of {run.title}", claimed[name], scored_runs[run.spec.key][name])
            for name in PER_RUN
            if name in claimed
        ]
    return found


def drawn(submission: Submission, count: int, seed: int) -> list[PlannedRun]:
    """Draw runs to run again: the seed decides which, and a submitter who does not know it cannot predict them.

    Raises
    ------
    UserError
        If ``count`` is below 1 or above the number of runs, or the method has no code.
    """
    runs = submission.plan.runs
    if not submission.has_code:
        raise UserError(
            f"'{submission.choice.label}' cannot be run again.",
            "Its row has predictions from outside adu-bench, and no code.",
            "Leave --rerun out: the row is scored again, and that is as far as it can be checked.",
        )
    if not 0 < count <= len(runs):
        raise UserError(
            f"{count} runs cannot be drawn.",
            f"The submission has {len(runs)}.",
            f"Give --rerun 1 to --rerun {len(runs)}.",
        )
    places = np.random.default_rng(seed).choice(len(runs), count, replace=False)
    return [runs[place] for place in sorted(places)]


def compare(
    runs: Sequence[PlannedRun], submitted: Mapping[str, pd.DataFrame], folders: Mapping[str, Path]
) -> list[Rerun]:
    """Compare reruns with the submitted runs.

    Parameters
    ----------
    runs
        The runs that were run again.
    submitted
        Their submitted predictions by key, which were read before the method ran.
    folders
        What was left of each rerun by key, see `adu_bench.rerun.job.RerunJob`.
    """
    return [_compare(run, submitted[run.spec.key], folders[run.spec.key]) for run in runs]


def _compare(planned: PlannedRun, submitted: pd.DataFrame, folder: Path) -> Rerun:
    task = planned.spec.task
    images, name = images_of(task), f"{planned.title}, run again"
    fresh = read_predictions(folder / PREDICTIONS, RUN_COLUMNS, len(images), name)
    about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    check_predictions(fresh, task, images, True, name)
    one, other = (frame.set_index("image")["predicted"] for frame in (submitted, fresh))
    same = float((one == other.loc[one.index]).mean())
    scores = _scores(submitted, task), _scores(fresh, task)
    return Rerun(planned, *scores, same, about["isolation"], tuple(about["own_parts"]))


def _scores(frame: pd.DataFrame, task: Task) -> dict[str, float]:
    found = measure(frame, len(task.classes))
    return {name: found[name][0] for name in PER_RUN}


def verification_status(
    submission: Submission, reruns: Sequence[Rerun] = (), seed: int = 0, tolerance: float = 0.0
) -> VerificationStatus:
    """Return the status of a submission that passed `check`, and whose reruns, if any, are all near enough.

    Parameters
    ----------
    submission
        The submission.
    reruns
        Its reruns.
    seed
        The seed that drew them.
    tolerance
        The largest difference in Mem and For that was allowed.
    """
    by = f"adu-bench {__version__}"
    reproduced = (
        {
            "runs": [one.run.spec.key for one in reruns],
            "seed": seed,
            "tolerance": tolerance,
            "largest_difference": round(max(one.largest_difference for one in reruns), 6),
            "same_answers": round(min(one.same_answers for one in reruns), 6),
            "isolation": reruns[0].isolation,
            "own_parts": any(one.own_parts for one in reruns),
            "by": by,
        }
        if reruns
        else {}
    )
    return VerificationStatus(dict(submission.claimed), {**submission.scored(), "by": by}, reproduced)


def write(submission: Submission, folder: Path, status: VerificationStatus) -> Path:
    """Write a verified submission as a committed row and return the path of its JSON file."""
    card = submission.choice.entry.card
    return write_row(folder, submission.suite.name, submission.plan.runs, submission.runs, card, status)
