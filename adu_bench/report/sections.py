"""The sections of a report on a suite: the figures and tables that its results allow; what is left out, and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import pandas as pd

from adu_bench.core.commands import command
from adu_bench.core.errors import UserError, unknown
from adu_bench.leaderboard.board import BASELINE, Board, Row, with_letters
from adu_bench.leaderboard.curves import curves_of
from adu_bench.metrics.frame import ZERO_SHOT, score
from adu_bench.registry import Catalogue
from adu_bench.report.figures import (
    attention,
    cost,
    depth,
    domains,
    embedding,
    intervals,
    profile,
    sweeps,
    tradeoff,
    words,
)
from adu_bench.report.figures.common import complete, listed, ranked
from adu_bench.report.section import Missing, Section
from adu_bench.report.tables import summaries
from adu_bench.report.tables.ablation import ablation_caption, ablation_changes, ablation_table
from adu_bench.report.tables.drawing import draw
from adu_bench.report.tables.main import CONVENTIONS, main_caption, main_table
from adu_bench.runner.plan import plan_study
from adu_bench.store import Run, Store
from adu_bench.store.artefacts import Artefact, read_artefact
from adu_bench.suites import Suite

PANELS = 2
"""Number of methods beside zero-shot CLIP in an embedding or a grid of attention maps, unless methods are named."""
DEPTH = "Did it forget? H against depth"
_SAME = 1e-2
"""Features whose largest difference is below this count as the same: they are stored with 16 bits."""


@dataclass(frozen=True)
class Material:
    """The input of a report.

    Parameters
    ----------
    suite, catalogue
        The suite and the known methods.
    board
        Its board; ablations may be among the rows.
    store
        The store of features, attention maps and studies' runs; its folder need not exist.
    task
        The task whose features and attention are shown; if empty, the first task that has them.
    methods
        Methods whose features and attention are shown; if empty, the best ranked ones.
    backbone, limit
        Passed to `adu_bench.runner.plan.plan_study` for the studies; the same as for the board's plan.
    """

    suite: Suite
    catalogue: Catalogue
    board: Board
    store: Store
    task: str = ""
    methods: tuple[str, ...] = field(default=())
    backbone: str | None = None
    limit: int | None = None

    @property
    def seed(self) -> int:
        """The seed whose features and attention are shown."""
        return self.board.seeds[0]


@dataclass(frozen=True)
class Report:
    """All sections in reading order, and all that are missing."""

    board: Board
    sections: tuple[Section, ...]
    missing: tuple[Missing, ...]


def make_report(material: Material) -> Report:
    """Determine the sections that the results allow; figures are drawn later.

    Raises
    ------
    UserError
        If no method is complete, a chosen task or method is unknown, or a file in the store is damaged.
    """
    board, part = apart(material.board)
    if not complete(board):
        raise UserError(
            f"No method has finished all its runs of '{board.suite}'.",
            "A report shows complete blocks only, so that all means are over the same tasks.",
            command("run", suite=board.suite),
        )
    known = {run.spec.task.name for run in board.runs}
    if material.task and material.task not in known:
        raise unknown(f"task of {board.suite} with results", material.task, known)
    for method in material.methods:
        if method not in {row.method for row in board.rows}:
            raise unknown("method on the board", method, [row.method for row in board.rows])
    material = replace(material, board=board)
    parts = [
        *_main(board),
        *_ablations(material, part),
        *_embedding(material),
        *_attention(material),
        *_sweeps(material),
        Section(
            "cost",
            "Cost against quality",
            cost.caption(board),
            partial(cost.cost, board),
            seen=words.cost_words(board),
        ),
    ]
    return Report(
        board,
        tuple(one for one in parts if isinstance(one, Section)),
        tuple(one for one in parts if isinstance(one, Missing)),
    )


def apart(board: Board) -> tuple[Board, Board | None]:
    """Return a board without ablations, and a board of ablations with their methods; None if there are none."""
    groups = {row.method: row.group for row in board.rows}
    if "ablation" not in groups.values():
        return board, board.part
    names = {run.label: run.spec.method.name for run in board.runs}
    owners = {names[method] for method, group in groups.items() if group == "ablation" and method in names}
    beside = {row.method for row in board.rows if names.get(row.method) in owners or row.method == BASELINE}
    return (
        _only(board, [row for row in board.rows if row.group != "ablation"]),
        _only(board, [row for row in board.rows if row.method in beside]),
    )


def _only(board: Board, rows: Sequence[Row]) -> Board:
    """Return a board with some of its rows, ranked anew; equal ranks stay equal."""
    places = sorted(row.rank for row in rows if row.rank is not None)
    numbered = tuple(replace(row, rank=places.index(row.rank) + 1) if row.rank is not None else row for row in rows)
    methods = {row.method for row in rows}
    frame = board.frame[board.frame["method"].isin(methods)]
    lettered = with_letters(numbered, board.sample) if board.sample is not None else numbered
    return replace(board, rows=lettered, frame=frame)


def _main(board: Board) -> Iterator[Section | Missing]:
    for convention, name in (("h_mean", "main-table"), ("h_of_means", "main-table-h-of-means")):
        table = main_table(board, convention)
        title = f"Main table, {CONVENTIONS[convention]}"
        yield Section(name, title, main_caption(board, convention), partial(draw, table), table)
    yield Section(
        "trade-off",
        "Forgetting against retaining",
        tradeoff.caption(board),
        partial(tradeoff.tradeoff, board),
        seen=words.tradeoff_words(complete(board)),
    )
    yield from _depth(board)
    yield Section(
        "intervals",
        "Means with intervals",
        intervals.caption(board),
        partial(intervals.intervals, board),
        seen=words.intervals_words(board),
    )
    yield from _summaries(board)
    if ranked(board) and not domains.accuracies(board, "accuracy_before").empty:
        yield Section(
            "domains",
            "Accuracy by domain, before and after",
            domains.caption(board),
            partial(domains.before_and_after, board, _domains(board)),
            seen=words.domains_words(board),
        )
    else:
        yield Missing(
            "Accuracy by domain, before and after",
            "there are no zero-shot runs, or no ranked method",
            command("run", suite=board.suite, methods="zero-shot,paper"),
        )


def _depth(board: Board) -> Iterator[Section | Missing]:
    if depth.shown(board):
        draw_depth = partial(depth.depth, board)
        yield Section("did-it-forget", DEPTH, depth.caption(board), draw_depth, seen=words.depth_words(board))
    else:
        reason = "no method was audited on all its tasks"
        yield Missing(DEPTH, reason, command("run", suite=board.suite, audits="core"))


def _summaries(board: Board) -> Iterator[Section | Missing]:
    if not ranked(board):
        reason = "no ranked method is complete"
        yield Missing("Summary, profile and improvement", reason, command("run", suite=board.suite, methods="paper"))
        return
    table = summaries.summary_table(board)
    caption = summaries.summary_caption(board)
    yield Section("summary-table", "Mean, interquartile mean, worst task", caption, partial(draw, table), table)
    yield Section(
        "profile",
        "Performance profiles",
        profile.caption(board),
        partial(profile.profile, board),
        seen=words.profile_words(board),
    )
    if len(complete(board)) > 1:
        table = summaries.improvement_table(board)
        caption = summaries.improvement_caption(board)
        yield Section("improvement", "Probability of improvement", caption, partial(draw, table), table)


def _domains(board: Board) -> tuple[str, ...]:
    return board.runs[0].spec.task.domains


def _ablations(material: Material, part: Board | None) -> Iterator[Section | Missing]:
    """Yield a table for each method that has a complete ablation."""
    rows = [row for row in part.rows if row.group == "ablation" and not row.reason] if part is not None else []
    wholes: dict[str, list[Row]] = {}
    for row in rows:
        entry = material.catalogue.presets.get(row.method.partition("[")[0])
        if entry is not None:
            wholes.setdefault(entry[1].name, []).append(row)
    summaries = {name: preset.summary for name, (preset, _) in material.catalogue.presets.items()}
    for whole, own in wholes.items():
        assert part is not None
        if any(row.method == whole and not row.reason for row in part.rows):
            changes = ablation_changes(part, whole, [row.method for row in own])
            table = ablation_table(part, whole, changes, summaries)
            yield Section(
                f"ablation-{whole}",
                f"Ablations of {whole}",
                ablation_caption(part, whole),
                partial(draw, table),
                table,
            )
    if not wholes:
        yield Missing(
            "Ablations",
            "no ablation is complete",
            command("run", suite=material.suite.name, methods=f"{BASELINE},adu,ablation"),
        )


def _runs(material: Material) -> dict[str, dict[str, Run]]:
    """Return the board's runs of one seed that the store has, by task and method."""
    found: dict[str, dict[str, Run]] = {}
    for run in material.board.runs:
        if run.spec.seed == material.seed and material.store.has(run.key):
            own = run if isinstance(run, Run) else material.store.load(run.key)
            found.setdefault(run.spec.task.name, {})[run.label] = own
    return {task: found[task] for task in material.board.tasks if task in found}


def _shown(material: Material) -> list[str]:
    return list(material.methods) or [row.method for row in ranked(material.board)]


def _embedding(material: Material) -> Iterator[Section | Missing]:
    for task, runs in _runs(material).items():
        if material.task in ("", task) and ZERO_SHOT in runs:
            sets = _feature_sets(material, runs)
            if len(sets) > 1:
                run = runs[ZERO_SHOT]
                rows = _features(material, run)[1]
                of = run.predictions()["domain"].to_numpy().astype(str)[rows]
                spec = run.spec.task
                features = embedding.Features(task, material.seed, spec.domains, spec.forget, of, sets)
                yield Section(
                    "embedding",
                    "Features, before and after",
                    embedding.caption(features),
                    partial(embedding.embedding, features),
                    seen=words.embedding_words(sets, spec.forget),
                )
                return
    yield Missing(
        "Features, before and after",
        "there are no runs with features that differ from zero-shot CLIP's (committed rows hold predictions alone)",
        command("run", suite=material.suite.name, methods="zero-shot,paper"),
    )


def _feature_sets(material: Material, runs: Mapping[str, Run]) -> dict[str, np.ndarray]:
    """Return features of the same images from zero-shot CLIP and from methods that changed them."""
    first, rows = _features(material, runs[ZERO_SHOT])
    sets = {ZERO_SHOT: first}
    for method in _shown(material):
        if method in runs and len(sets) <= (len(material.methods) or PANELS):
            own, own_rows = _features(material, runs[method])
            if np.array_equal(rows, own_rows) and np.abs(own.astype(np.float32) - first).max() > _SAME:
                sets[method] = own
    return sets


def _features(material: Material, run: Run) -> tuple[np.ndarray, np.ndarray]:
    """Return a run's features and their rows: those that were computed later if there are any, else its own."""
    more = read_artefact(material.store.root, run.key, "features")
    return (more.tensors["features"], more.tensors["rows"]) if more is not None else run.features()


def _attention(material: Material) -> Iterator[Section | Missing]:
    for task, runs in _runs(material).items():
        maps: dict[str, Artefact] = {}
        for method in _shown(material):
            if material.task in ("", task) and method in runs and len(maps) < (len(material.methods) or PANELS):
                own = read_artefact(material.store.root, runs[method].key, "attention")
                if own is not None and all(own.info["images"] == other.info["images"] for other in maps.values()):
                    maps[method] = own
        if maps:
            forget = next(iter(runs.values())).spec.task.forget
            yield Section(
                "attention",
                "Attention, before and after",
                attention.caption(maps, forget, material.seed),
                partial(attention.attention, maps, forget),
                seen=words.attention_words(list(maps), next(iter(maps.values())).info["images"], forget),
            )
            return
    best = [row.method for row in ranked(material.board)][:PANELS] or ["adu"]
    yield Missing(
        "Attention, before and after",
        "no attention maps are stored",
        command("attention", *best, suite=material.suite.name),
    )


def _sweeps(material: Material) -> Iterator[Section | Missing]:
    """Yield a figure for each study of the suite that varies something and is about its tasks."""
    studies = {
        name: plan_study(
            material.suite,
            name,
            material.catalogue,
            seeds=material.board.seeds,
            backbone=material.backbone,
            limit=material.limit,
        )
        for name, own in material.suite.studies.items()
        if any(one.variable for one in own) and all(one.tasks(material.suite.forget) for one in own)
    }
    # Points of a study share runs with the board, whose metrics are known already.
    frame = material.board.frame
    keys = {key for plan in studies.values() for point in plan.points for key in point.keys} - set(frame["key"])
    others = material.store.runs(sorted(keys))
    if others:
        frame = pd.concat([frame, score(others, material.suite.name)])
    runs = [*(run for run in material.board.runs if run.key in set(frame["key"])), *others]
    for name, plan in studies.items():
        points = curves_of(plan, frame, runs)
        variables = [one for one in dict.fromkeys(point.variable for point in plan.points) if one]
        shown = [variable for variable in variables if len(sweeps.usable(points, variable))]
        title = f"Over {listed([sweeps.NAMES.get(variable, variable) for variable in shown or variables])}"
        if shown:
            marks = _marks(material, points, shown)
            caption = sweeps.caption(points, shown, material.board, marks)
            drawn = partial(sweeps.sweep, points, shown, marks)
            yield Section(f"study-{name}", title, caption, drawn, seen=words.sweep_words(points, shown))
        else:
            yield Missing(
                title,
                f"study {name} has no method with two finished points",
                command("run", suite=material.suite.name, study=name),
            )


def _marks(material: Material, points: pd.DataFrame, variables: Sequence[str]) -> dict[str, sweeps.Marked]:
    """Return the default and the board's value of numeric fields that one method alone is swept over."""
    found = {}
    for variable in variables:
        methods = set(sweeps.usable(points, variable)["method"])
        (choice, *_) = material.catalogue.select([methods.pop()])
        field_ = choice.entry.fields.get(variable)
        if not methods and field_ is not None and isinstance(field_.default, int | float):
            used = dict(choice.resolve(material.suite.budget, material.suite.settings).fields)[variable]
            assert isinstance(used, int | float)
            found[variable] = sweeps.Marked(float(field_.default), float(used))
    return found


def unranked(board: Board) -> str:
    """Return which methods are not shown and why, and why rows may not be compared; empty if there are none."""
    rows = [f"{row.method} ({row.reason})" for row in board.rows if row.reason]
    return " ".join(filter(None, [board.warning, f"Not shown: {listed(rows)}." if rows else ""]))
