"""Check a submission: what it claims must follow from its predictions; and run a part of it again."""

from __future__ import annotations

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
from adu_bench.runner.plan import PlannedRun
from adu_bench.store import Store
from adu_bench.submission.consistency import check_predictions, pool_of
from adu_bench.submission.refusal import Refused
from adu_bench.submission.submission import PER_RUN, SUMMARY, Submission
from adu_bench.submission.tables import RUN_COLUMNS, read_table

CLAIM_TOLERANCE = 1.5e-6
"""Claims and scores are rounded to six decimals each."""


@dataclass(frozen=True)
class Again:
    """A run that was run again.

    Parameters
    ----------
    run
        Which.
    submitted, fresh
        mem, for and h, as fractions.
    same_answers
        Share of test images with the same predicted class.
    """

    run: PlannedRun
    submitted: Mapping[str, float]
    fresh: Mapping[str, float]
    same_answers: float

    @property
    def largest_difference(self) -> float:
        """The larger of the differences in Mem and For."""
        return max(abs(self.fresh[name] - self.submitted[name]) for name in ("mem", "for"))

    def near(self, tolerance: float, same: float) -> bool:
        """Return whether it came near enough: by Mem and For, and by the share of same answers."""
        return self.largest_difference <= tolerance and self.same_answers >= same


def check(submission: Submission) -> None:
    """Check every prediction, and every claim against the score of the predictions.

    Raises
    ------
    Refused
        At the first thing that is wrong.
    """
    pool = pool_of(submission.plan.runs[0].spec.task)
    for planned, run in zip(submission.plan.runs, submission.runs, strict=True):
        check_predictions(run.predictions(), planned.spec.task, pool, submission.exact, f"{planned.title} ({run.key})")
    for name, claimed, scored in claims(submission):
        if abs(claimed - scored) > CLAIM_TOLERANCE:
            raise Refused(f"{name} is claimed to be {claimed:.6f}, and the predictions give {scored:.6f}")


def claims(submission: Submission) -> list[tuple[str, float, float]]:
    """Return every claim as (name, claimed, scored): the summary's first, then each run's."""
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
    """Draw runs to run again: the same for the same seed, and unknown to a submitter who does not know the seed.

    Raises
    ------
    UserError
        If there are fewer runs.
    """
    runs = submission.plan.runs
    if not 0 < count <= len(runs):
        raise UserError(
            f"{count} runs cannot be drawn.", f"The submission has {len(runs)}.", f"Give --rerun 1 to {len(runs)}."
        )
    places = np.random.default_rng(seed).choice(len(runs), count, replace=False)
    return [runs[place] for place in sorted(places)]


def compare(submission: Submission, store: Store, again: Sequence[PlannedRun]) -> list[Again]:
    """Compare runs that were run again with the submitted ones.

    Parameters
    ----------
    submission
        What was submitted.
    store
        Where the fresh runs are; the submitted method wrote there, so they are read like a bundle's.
    again
        Which runs.
    """
    by_key = {run.key: run for run in submission.runs}
    return [_compare(planned, by_key[planned.spec.key].predictions(), store) for planned in again]


def _compare(planned: PlannedRun, submitted: pd.DataFrame, store: Store) -> Again:
    task = planned.spec.task
    pool, name = pool_of(task), f"{planned.title}, run again"
    fresh = read_table(store.load(planned.spec.key).path / "predictions.parquet", RUN_COLUMNS, len(pool), name)
    check_predictions(fresh, task, pool, True, name)
    one, other = (frame.set_index("image")["predicted"] for frame in (submitted, fresh))
    same = float((one == other.loc[one.index]).mean())
    return Again(planned, _scores(submitted, task), _scores(fresh, task), same)


def _scores(frame: pd.DataFrame, task: Task) -> dict[str, float]:
    found = measure(frame, len(task.classes))
    return {name: found[name][0] for name in PER_RUN}


def standing(
    submission: Submission, again: Sequence[Again] = (), seed: int = 0, tolerance: float = 0.0
) -> VerificationStatus:
    """Return how far a checked submission was checked; runs that were run again must have come near enough."""
    by = f"adu-bench {__version__}"
    reproduced = (
        {
            "runs": [one.run.spec.key for one in again],
            "seed": seed,
            "tolerance": tolerance,
            "largest_difference": round(max(one.largest_difference for one in again), 6),
            "same_answers": round(min(one.same_answers for one in again), 6),
            "by": by,
        }
        if again
        else {}
    )
    return VerificationStatus(dict(submission.claimed), {**submission.scored(), "by": by}, reproduced)


def write(submission: Submission, folder: Path, how: VerificationStatus) -> Path:
    """Write a checked submission as a committed row and return the JSON file."""
    card = submission.choice.entry.card
    return write_row(folder, submission.suite.name, submission.plan.runs, submission.runs, card, how)
