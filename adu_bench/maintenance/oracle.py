"""Audit an oracle: a model that was pre-trained without a task's forget domains.

A maintainer's tool: ``python -m adu_bench.maintenance.oracle --model FOLDER --name NAME --tasks TASK ... --runs DIR``.
The oracle stands where an unlearned classifier would: the same attackers, with the same images, are judged on the same
test images and compared with the suite's untouched model.  ``DIR`` holds the suite's finished zero-shot runs, whose
tasks and seeds are examined.  What was measured goes to the file that `adu_bench.leaderboard.measurements.read_oracle`
reads, and the record of the model's training is copied beside it.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from adu_bench.audits.audit import CORE
from adu_bench.audits.catalogue import AuditEntry, find_audits
from adu_bench.audits.examine import examine
from adu_bench.audits.results import validate
from adu_bench.audits.subject import Subject
from adu_bench.clip.backbone import Backbone
from adu_bench.clip.classifier import Classifier
from adu_bench.core.errors import UserError
from adu_bench.leaderboard.measurements import ORACLE, read_oracle, write_oracle
from adu_bench.leaderboard.rows import rows_dir
from adu_bench.metrics.frame import ZERO_SHOT
from adu_bench.pretraining.trainer import RECORD
from adu_bench.registry import Catalogue
from adu_bench.runner.guard import unchanged
from adu_bench.runner.plan import PlannedRun, plan
from adu_bench.runner.task_data import load_shared_backbone
from adu_bench.store import Run, Store
from adu_bench.suites import load_suite


class OracleClassifier(Classifier):
    """A zero-shot classifier of an oracle, which is never given the features of the suite's backbone for its own."""

    @property
    def image_side_frozen(self) -> bool:
        """False: frozen features that come with images are those of the suite's backbone."""
        return False


class OracleSubject(Subject):
    """An oracle under examination, in the place of the classifier of a zero-shot run.

    Parameters
    ----------
    run
        The zero-shot run whose task and seed are examined.
    backbone
        The backbone of that run, which the attacks on the oracle are compared with.
    oracle
        The oracle.
    catalogue
        The known methods.

    Raises
    ------
    UserError
        If the oracle takes other images than the backbone.
    """

    def __init__(self, run: Run, backbone: Backbone, oracle: Backbone, catalogue: Catalogue) -> None:
        if oracle.preprocessing != backbone.preprocessing:
            raise UserError(
                "The oracle prepares images in another way than the suite's backbone.",
                f"They are compared on the same pixels: {oracle.preprocessing} is not {backbone.preprocessing}.",
                "python -m adu_bench.pretraining.emoji_clip --styles DIR --out DIR --without openmoji",
            )
        self.oracle = oracle
        super().__init__(run, backbone, catalogue)

    def rebuilt(self) -> Classifier:
        """Return a new zero-shot classifier of the oracle, in eval mode, that may be changed and trained."""
        return OracleClassifier(self.oracle, self.task.classes, self.task.template).eval()


def measure(
    planned: PlannedRun, store: Store, oracle: Backbone, name: str, entries: Sequence[AuditEntry]
) -> list[tuple]:
    """Audit an oracle on the task and with the seed of a finished zero-shot run.

    Parameters
    ----------
    planned, store
        The run, and the folder that holds it.
    oracle, name
        The oracle, and its name in the results.
    entries
        The audits.

    Returns
    -------
    list of tuple
        The columns of `read_oracle`.
    """
    run = store.load(planned.spec.key)
    subject = OracleSubject(run, load_shared_backbone(planned.backbone, "cpu"), oracle, Catalogue())
    return [row for entry in entries for row in _rows(subject, name, entry)]


def _rows(subject: OracleSubject, name: str, entry: AuditEntry) -> Iterator[tuple]:
    with unchanged(subject.oracle):
        found = examine(entry, subject)
    validate(entry, found)
    for one in found:
        head = (name, subject.task.name, subject.run.spec.seed, entry.name)
        yield (*head, one.metric, round(one.value, 9), one.count, entry.code)


def add(old: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    """Add measurements of oracles; new ones replace old ones of the same oracle, task, seed and audit."""
    parts = ["method", "task", "seed", "audit"]
    replaced = pd.MultiIndex.from_frame(old[parts]).isin(pd.MultiIndex.from_frame(new[parts]))
    frames = [frame for frame in (old[~replaced], new) if len(frame)]
    return pd.concat(frames).sort_values(parts, kind="stable").reset_index(drop=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Audit an oracle, and write what was found after each run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", default="emoji-mini")
    parser.add_argument("--model", type=Path, required=True, help="the oracle's folder, as pre-training leaves it")
    parser.add_argument("--name", default=ORACLE, help="the oracle's name in the table")
    parser.add_argument("--tasks", nargs="+", required=True, help="tasks whose forget domains it never saw")
    parser.add_argument("--runs", type=Path, required=True, help="folder with the suite's zero-shot runs")
    parser.add_argument("--leaderboards", type=Path, default=rows_dir())
    options = parser.parse_args(arguments)
    runs = _zero_shot_runs(options.suite, options.tasks)
    store, oracle = Store(options.runs), load_shared_backbone(str(options.model), "cpu")
    known = [entry for entry in find_audits().values() if entry.card.level == CORE]
    for done, planned in enumerate(runs, start=1):
        old = read_oracle(options.leaderboards, options.suite)
        new = pd.DataFrame(measure(planned, store, oracle, options.name, known), columns=list(old.columns))
        path = write_oracle(options.leaderboards, options.suite, add(old, new))
        print(f"{done}/{len(runs)} {planned.title}", flush=True)
    if (options.model / RECORD).is_file():
        shutil.copyfile(options.model / RECORD, path.with_name(f"{options.name}.json"))
    return 0


def _zero_shot_runs(suite: str, tasks: Sequence[str]) -> list[PlannedRun]:
    planned = plan(load_suite(suite), Catalogue().select([ZERO_SHOT])).runs
    names = list(dict.fromkeys(run.spec.task.name for run in planned))
    if unknown := sorted(set(tasks) - set(names)):
        raise UserError(f"{suite} has no task {', '.join(unknown)}.", f"Its tasks are {', '.join(names)}.", names[0])
    return [run for run in planned if run.spec.task.name in tasks]


if __name__ == "__main__":
    raise SystemExit(main())
