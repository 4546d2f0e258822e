"""Finished runs as values of a notebook: data frames, boards, comparisons, figures, classifiers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from adu_bench.core.errors import unknown
from adu_bench.metrics.frame import score
from adu_bench.runner.plan import Plan
from adu_bench.store import Run, Store
from adu_bench.workflows.board import Results, board_of
from adu_bench.workflows.compare import compare_methods, pair_board
from adu_bench.workflows.selection import Selection
from adu_bench.workflows.shown import Compared, Leaderboard

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from adu_bench.report.sections import Report
    from adu_bench.workflows.applied import Applied


@dataclass(frozen=True)
class FinishedRun:
    """One finished run.

    Parameters
    ----------
    run
        The run in its folder.
    selection
        Where its method and its backbone are found.
    """

    run: Run
    selection: Selection

    def __repr__(self) -> str:
        return f"<run {self.key[:6]}: {self.method}, forget {self.task}, seed {self.seed}>"

    @property
    def key(self) -> str:
        """The hash of its spec, 20 hexadecimal digits."""
        return self.run.key

    @property
    def method(self) -> str:
        """The method's label, for example ``adu[gamma=3.0]``."""
        return self.run.label

    @property
    def task(self) -> str:
        """The name of the forget set, for example ``noto+twemoji``."""
        return self.run.spec.task.name

    @property
    def seed(self) -> int:
        """The seed."""
        return self.run.spec.seed

    @property
    def predictions(self) -> pd.DataFrame:
        """One row per test image; see `Runs.predictions`."""
        return self.run.predictions()

    @property
    def training(self) -> pd.DataFrame:
        """What the method logged while it trained, one row per epoch; see `adu_bench.store.Run.training`."""
        return self.run.training()

    def figure(self) -> Figure:
        """Draw the curves of the training.

        Raises
        ------
        UserError
            If the method logged nothing.
        """
        from adu_bench.report.figures.training import training_figure
        from adu_bench.report.style import style

        with style():
            return training_figure(self.run)

    def classifier(self, device: str = "auto") -> Applied:
        """Rebuild the unlearned classifier, which answers for your own images.

        Parameters
        ----------
        device
            ``auto``, ``cpu`` or ``cuda``.

        Raises
        ------
        UserError
            If the method's file was changed since, or the backbone is not on this machine.
        """
        from adu_bench.workflows.applied import Applied
        from adu_bench.workflows.artefacts import classifier_of

        return Applied(classifier_of(self.run, self.selection, device), self.run.spec.task.classes)


@dataclass(frozen=True)
class Runs:
    """The finished runs of some methods on a suite.

    Parameters
    ----------
    selection
        Suite, methods and seeds.
    folder
        The folder of the runs.
    failed
        Why runs failed, by their titles.
    """

    selection: Selection
    folder: Path
    failed: dict[str, str]

    def __repr__(self) -> str:
        found, planned = len(self), len(self.plan.runs)
        return f"<{found} of {planned} runs of {self.plan.suite.name} in {self.folder}/: {', '.join(self.methods)}>"

    def _repr_html_(self) -> str:
        return self.board()._repr_html_() if self else f"<p>{self!r}".replace("<p><", "<p>&lt;")

    def __len__(self) -> int:
        return len(self._runs)

    def __iter__(self) -> Iterator[FinishedRun]:
        return (FinishedRun(run, self.selection) for run in self._runs)

    def __getitem__(self, place: int) -> FinishedRun:
        return FinishedRun(self._runs[place], self.selection)

    @cached_property
    def plan(self) -> Plan:
        """All runs of the selection, finished or not."""
        return self.selection.plan(Store(self.folder))

    @property
    def methods(self) -> list[str]:
        """The labels of the methods."""
        return list(dict.fromkeys(run.label for run in self.plan.runs))

    @cached_property
    def _runs(self) -> list[Run]:
        """The finished runs in the order of the plan, under the labels that they have there."""
        found = Store(self.folder).runs([run.spec.key for run in self.plan.runs])
        labels = {run.spec.key: run.label for run in self.plan.runs}
        return [replace(run, label=labels[run.key]) for run in found]

    @cached_property
    def scores(self) -> pd.DataFrame:
        """All metrics, one row per run and metric.

        Columns key, suite, task, forget (number of domains), method, seed, protocol, metric, value, n (images);
        fractions are 0..1.
        """
        return score(self._runs, self.plan.suite.name)

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """One row per run and test image.

        Columns method, task, seed, image, domain, forget, label and predicted (class indices), tied, p_label, p_max,
        entropy (nats), margin.
        """
        parts = []
        for run in self:
            frame = run.predictions
            for place, name in enumerate(("method", "task", "seed")):
                frame.insert(place, name, getattr(run, name))
            parts.append(frame)
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()

    def board(self) -> Leaderboard:
        """Return the leaderboard of these runs.

        Raises
        ------
        UserError
            If there are no runs.
        """
        return Leaderboard(board_of(self.selection, Results(runs=str(self.folder))))

    def compare(self, a: str, b: str, forget: int = 0) -> Compared:
        """Compare two methods: a minus b, with intervals and tests.

        Parameters
        ----------
        a, b
            Labels of the methods.
        forget
            Only tasks that forget this many domains; 0 for all.

        Raises
        ------
        UserError
            If one of them has no finished run.
        """
        board = pair_board(self.selection, a, b, Results(runs=str(self.folder)))
        return Compared(compare_methods(board, a, b, forget))

    @property
    def figures(self) -> list[str]:
        """The names of the figures that these runs allow."""
        return [section.name for section in self._report.sections]

    def figure(self, name: str) -> Figure:
        """Draw a figure of the report, for example ``trade-off``; `figures` lists the names.

        Raises
        ------
        UserError
            If these runs do not allow it, with the reason where there is one.
        """
        from adu_bench.report.notebook import draw

        for section in self._report.sections:
            if section.name == name:
                return draw(section)
        raise unknown("figure", name, self.figures)

    @cached_property
    def _report(self) -> Report:
        from adu_bench.report.sections import Material, make_report

        suite, board = self.selection.load_suite(), self.board().board
        return make_report(Material(suite, self.selection.catalogue, board, Store(self.folder)))
