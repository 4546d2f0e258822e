"""A submission: the complete runs of one method on one suite, and the scores that are claimed for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from adu_bench import __version__
from adu_bench.core.commands import command
from adu_bench.core.errors import UserError
from adu_bench.core.hashing import canonical_json, file_sha256
from adu_bench.core.specs import BackboneSpec
from adu_bench.leaderboard.board import Board, make_board
from adu_bench.leaderboard.outside import OutsideEntry
from adu_bench.metrics.frame import with_probe
from adu_bench.registry import Choice
from adu_bench.runner.plan import Plan, plan
from adu_bench.store import Store
from adu_bench.submission.bundle import MANIFEST, METHOD, PREDICTIONS, RUN, may_hold, pack
from adu_bench.suites import Suite

FORMAT = 1
SUMMARY = ("mem", "for", "h_mean", "h_of_means")
PER_RUN = ("mem", "for", "h")


@dataclass(frozen=True)
class Submission:
    """The complete runs of a method on a suite.

    Parameters
    ----------
    choice
        The method as its file declares it.
    plan
        The method's runs as they are planned here.
    runs
        The submitted runs, in the plan's order.
    claimed
        mem, for, h_mean and h_of_means, as fractions; empty if nothing is claimed.
    claimed_runs
        mem, for and h by key; empty if nothing is claimed.
    exact
        Whether predictions are unrounded; those of committed rows are rounded.
    """

    choice: Choice
    plan: Plan
    runs: tuple[Any, ...]
    claimed: Mapping[str, float]
    claimed_runs: Mapping[str, Mapping[str, float]]
    exact: bool

    @property
    def suite(self) -> Suite:
        """The suite."""
        return self.plan.suite

    @property
    def has_code(self) -> bool:
        """Whether the method can be run; not where only its predictions are known."""
        return not isinstance(self.choice.entry, OutsideEntry)

    @cached_property
    def board(self) -> Board:
        """The board of the submitted runs alone; all its numbers are computed from their predictions."""
        return make_board(self.plan, self.runs)

    def scored(self) -> dict[str, float]:
        """Return mem, for, h_mean and h_of_means computed from the predictions, rounded to six decimals."""
        (row,) = self.board.rows
        return {name: round(float(row[name] or 0.0), 6) for name in SUMMARY}

    def scored_runs(self) -> dict[str, dict[str, float]]:
        """Return mem, for and h by key, computed from the predictions, rounded to six decimals."""
        frame = self.board.frame
        wide = frame[frame["metric"].isin(PER_RUN)].pivot(index="key", columns="metric", values="value").round(6)
        return {str(key): {name: float(row[name]) for name in PER_RUN} for key, row in wide.iterrows()}


def from_runs(
    suite: Suite, choice: Choice, store: Store, folder: str, weights: BackboneSpec | None = None
) -> Submission:
    """Make a submission of a method's finished runs that claims their scores.

    Parameters
    ----------
    suite, choice
        The suite and the method.
    store
        The finished runs.
    folder
        The store's folder as the user gave it, for messages.
    weights
        As in `adu_bench.runner.plan.plan`.

    Raises
    ------
    UserError
        If runs are missing.
    """
    planned = plan(suite, [choice], weights=weights)
    unfinished = planned.unfinished(store)
    if unfinished:
        raise UserError(
            f"The runs of {choice.label} on {suite.name} are not complete.",
            f"{len(planned.runs) - len(unfinished)} of {len(planned.runs)} runs are finished in '{folder}'; "
            f"{unfinished[0].title}, for example, is missing.",
            command("run", suite=suite.name, methods=choice.label, folder=folder),
        )
    return of_plan(planned, choice, store)


def of_plan(planned: Plan, choice: Choice, store: Store) -> Submission:
    """Make a submission of the finished runs of a plan of one method; it claims their scores."""
    runs = tuple(store.load(run.spec.key) for run in planned.runs)
    bare = Submission(choice, planned, runs, {}, {}, exact=True)
    return replace(bare, claimed=bare.scored(), claimed_runs=bare.scored_runs())


def write_bundle(submission: Submission, path: Path) -> None:
    """Write a submission of finished runs as a bundle.

    Raises
    ------
    UserError
        If the bundle cannot be written, or a module beside the method's file has a name that a bundle cannot hold.
    """
    files: dict[str, bytes | Path] = {**code_files(submission.choice)}
    for run in submission.runs:
        files |= {f"runs/{run.key}/{name}": run.path / name for name in (RUN, PREDICTIONS)}
    manifest = {
        "format": FORMAT,
        "made_with": f"adu-bench {__version__}",
        "suite": submission.suite.name,
        "label": submission.choice.label,
        "card": submission.choice.entry.card,
        "claimed": submission.claimed,
        "runs": [
            {
                "key": run.key,
                "claimed": submission.claimed_runs[run.key],
                "domain_probe": with_probe(run)["domain_probe"],
            }
            for run in submission.runs
        ],
        "files": {name: file_sha256(content) for name, content in files.items() if isinstance(content, Path)},
    }
    pack(path, {MANIFEST: (canonical_json(manifest) + "\n").encode(), **files})


def code_files(choice: Choice) -> dict[str, Path]:
    """Return the method's file and the local modules that it imports by their names in a bundle.

    Shipped methods that it imports are left out: everybody who reads the bundle has them.

    Raises
    ------
    UserError
        If a module has a name that a bundle cannot hold.
    """
    own = choice.entry.path
    files = {METHOD: own}
    for module in choice.entry.modules[1:]:
        if module.path.is_file() and module.path.is_relative_to(own.absolute().parent):
            name = module.path.relative_to(own.absolute().parent).as_posix()
            if name in files or not may_hold(name):
                raise UserError(
                    f"The module '{module.path}' cannot be part of a bundle.",
                    f"A bundle holds the method's file as {METHOD}, and modules whose names are lower-case letters, "
                    "digits and '_', not in a folder 'runs'.",
                    "Rename the module, and run the method again.",
                )
            files[name] = module.path
    return files
