"""A whole report from made-up runs of the toy suite: what it shows, what it leaves out, and that nothing is cut."""

from __future__ import annotations

import csv
import io
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from adu_bench.core.errors import UserError
from adu_bench.core.seeds import derive
from adu_bench.leaderboard.board import make_board, with_forgetting
from adu_bench.registry import Catalogue
from adu_bench.report.figures.common import percent, ranked
from adu_bench.report.sections import Material, apart, make_report
from adu_bench.report.style import style
from adu_bench.report.tables.ablation import ablation_caption, ablation_changes
from adu_bench.report.tables.main import main_table
from adu_bench.report.tables.table import comma_separated, latex
from adu_bench.report.write import write_report
from adu_bench.runner.plan import plan, plan_study
from adu_bench.store import Store
from adu_bench.store.artefacts import Artefact, write_artefact
from adu_bench.suites import load_suite
from adu_bench.suites.suite import Sweep
from tests.conftest import make_predictions, write_run
from tests.leaderboard.audited import everything, measured

METHODS = ["adu", "baseline", "clipfit", "zero-shot", "collapse", "adu-no-ddl", "adu-no-instapg"]
SKILL = dict(zip(METHODS, (1.2, 0.9, 0.6, 1.5, 0.0, 1.0, 1.1), strict=True))


DPI, SLACK = 400, 4.0
"""Pixels per inch, and pixels by which a text may leave its figure."""


def made_up(spec, label: str):
    """Predictions that are the better the more skilled a method is, and worse on forget domains."""
    task = spec.task
    rng = np.random.default_rng(derive(spec.seed, label, task.name))
    count, classes = 24 * len(task.domains), len(task.classes)
    domains = [task.domains[place % len(task.domains)] for place in range(count)]
    labels = rng.integers(classes, size=count)
    scores = rng.normal(size=(count, classes))
    lift = np.array([SKILL.get(label, 0.8) * (0.3 if domain in task.forget else 1.5) for domain in domains])
    scores[np.arange(count), labels] += lift
    p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    return make_predictions(p, labels, domains, task.forget)


def suite():
    return replace(load_suite("toy"), studies={"shots": (Sweep(("adu", "baseline"), "shots", (1, 2)),)})


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Runs of the toy suite with features and attention maps of the first task."""
    folder = tmp_path_factory.mktemp("report")
    catalogue = Catalogue()
    wanted = plan(suite(), catalogue.select(METHODS))
    study = plan_study(suite(), "shots", catalogue)
    for run in {run.spec.key: run for run in (*wanted.runs, *study.runs)}.values():
        write_run(folder, run.spec, run.label, made_up(run.spec, run.label))
    rng = np.random.default_rng(0)
    for run in wanted.runs:
        if run.spec.task.name == wanted.runs[0].spec.task.name:
            task, count = run.spec.task, 24 * len(run.spec.task.domains)
            features = rng.normal(size=(count, 8)).astype(np.float16)
            write_artefact(
                folder, run.spec.key, "features", Artefact({"features": features, "rows": np.arange(count)}, {})
            )
            maps = {"before": rng.random((len(task.domains), 3, 3)), "after": rng.random((len(task.domains), 3, 3))}
            images = rng.integers(0, 256, (len(task.domains), 12, 12, 3), dtype=np.uint8)
            info = {
                name: list(task.domains) for name in ("images", "domains", "labels", "answers_before", "answers_after")
            }
            write_artefact(
                folder,
                run.spec.key,
                "attention",
                Artefact({"images": images, **maps}, {**info, "attribution": "me"}),
            )
    return folder


def material(root: Path, methods=METHODS, audited: bool = True, **choices) -> Material:
    catalogue, store = Catalogue(), Store(root)
    board = make_board(plan(suite(), catalogue.select(list(methods))), store.runs())
    if audited:
        board = with_forgetting(board, measured(board.runs, lambda run: everything(1.1 if run.label == "adu" else 0.5)))
    return Material(suite(), catalogue, board, store, **choices)


@pytest.fixture(scope="module")
def report(root):
    return make_report(material(root))


def test_everything_is_shown_in_reading_order(report):
    assert [section.name for section in report.sections] == [
        "main-table", "main-table-h-of-means", "trade-off", "did-it-forget", "intervals", "summary-table", "profile",
        "improvement", "domains", "ablation-adu", "embedding", "attention", "study-shots", "cost",
    ]  # fmt: skip
    assert report.missing == ()


def texts_of(figure):
    """Yield every text that a drawn figure shows: free ones, titles, labels, ticks inside the axes, legends."""
    from matplotlib.legend import Legend

    yield from figure.texts
    for legend in figure.findobj(Legend):
        yield from legend.get_texts()
    for axes in figure.axes:
        if not axes.get_visible():
            continue
        yield from axes.texts
        if axes.axison:
            yield from (axes.title, axes._left_title, axes.xaxis.label, axes.yaxis.label)
            for axis in (axes.xaxis, axes.yaxis):
                low, high = sorted(axis.get_view_interval())
                for tick in axis.get_major_ticks():
                    if low <= tick.get_loc() <= high and tick.label1.get_visible():
                        yield tick.label1


def check_that_no_text_is_cut(section):
    """Draw a section, and return its figure."""
    with style():
        figure = section.draw()
        # At the resolution of a screen, each letter's width is rounded to pixels, unlike in print.
        figure.set_dpi(DPI)
        figure.draw_without_rendering()
        page = figure.bbox
        shown = [text for text in texts_of(figure) if text.get_visible() and text.get_text().strip()]
        assert shown
        for text in shown:
            box = text.get_window_extent()
            inside = min(box.x0 - page.x0, box.y0 - page.y0, page.x1 - box.x1, page.y1 - box.y1) > -SLACK
            assert inside, f"{text.get_text()!r} of {section.name} leaves the figure"
    return figure


@pytest.mark.parametrize("number", range(14))
def test_no_text_is_cut(report, number):
    check_that_no_text_is_cut(report.sections[number])


def test_captions_state_n_seeds_and_the_kind_of_interval(report):
    for section in report.sections:
        assert re.search(r"n = \d+ tasks x|seed|Each point: ", section.caption), section.name
        assert section.caption.endswith(".")
    by_name = {section.name: section.caption for section in report.sections}
    assert "probe" in by_name["embedding"]
    assert "nearest neighbours" in by_name["embedding"]
    assert "too few seeds" in by_name["ablation-adu"]


@pytest.mark.thorough
def test_two_calls_write_the_same_bytes(report, root, tmp_path, monkeypatch):
    monkeypatch.setattr("adu_bench.report.style.DPI", 40)
    first = write_report(report, tmp_path / "a")
    second = write_report(make_report(material(root)), tmp_path / "b")
    assert [path.name for path in first] == [path.name for path in second]
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes(), one.name
    page = (tmp_path / "a" / "report.html").read_text()
    for path in first[:-1]:
        assert f'"{path.name}"' in page
    assert "Left out" not in page


def test_the_main_table_has_what_the_board_has(report, root):
    board = report.board
    table = main_table(board)
    rows = list(csv.reader(io.StringIO(comma_separated(table))))
    first = next(row for row in board.rows if row.method == rows[1][0])
    own = board.frame[(board.frame["method"] == first.method) & (board.frame["forget"] == 1)]
    means = own.groupby(["metric", "task"])["value"].mean().groupby("metric").mean()
    assert rows[1][1:4] == [f"{100 * means[name]:.1f}" for name in ("h", "mem", "for")]
    bold = {cell.text for part in table.parts for row in part for cell in row if cell.bold}
    assert percent(max(row["h_mean"] for row in ranked(board))) in bold
    references = {row.method for row in board.rows if row.reference}
    assert not any(cell.bold for part in table.parts for row in part for cell in row if row[0].text in references)
    assert latex(table).count("\\\\") == 2 + sum(len(part) for part in table.parts)


def test_ablations_stand_apart_with_their_change(root):
    board = material(root).board
    main, part = apart(board)
    assert not {row.method for row in main.rows} & {"adu-no-ddl", "adu-no-instapg"}
    assert [row.rank for row in ranked(main)] == list(range(1, len(ranked(main)) + 1))
    assert {"adu", "baseline", "adu-no-ddl", "adu-no-instapg"} <= {row.method for row in part.rows}
    change = ablation_changes(part, "adu", ["adu-no-ddl"])["adu-no-ddl"]
    values = {row.method: row["h_mean"] for row in part.rows}
    assert change.value == pytest.approx(values["adu-no-ddl"] - values["adu"])
    # With one seed there is no interval.
    assert (change.low, change.high) == (None, None)
    assert "There are no intervals, because there are too few seeds." in ablation_caption(part, "adu")


def test_letters_are_given_anew_without_the_ablations(root):
    """A correction for the pairs of the methods that are shown: letters on fewer methods can differ."""
    board = material(root).board
    means = board.sample.means["h"]
    seeds = np.concatenate([means - 0.001, means, means + 0.001], axis=1)
    sample = replace(
        board.sample,
        seeds=(1, 2, 3),
        means={"h": seeds},
        influences={"h": np.zeros((*seeds.shape, 5), np.float32)},
    )
    main, _ = apart(replace(board, sample=sample))
    assert {row.method: row["letters"] for row in ranked(main)} == sample.letters([row.method for row in ranked(main)])
    assert all(row["letters"] for row in ranked(main))


def test_equal_methods_share_a_rank(root):
    board = material(root).board
    first, second = [row.method for row in ranked(board) if row.group != "ablation"][:2]
    rank = next(row.rank for row in board.rows if row.method == first)
    rows = tuple(replace(row, rank=rank) if row.method == second else row for row in board.rows)
    main, _ = apart(replace(board, rows=rows))
    assert [(row.method, row.rank) for row in ranked(main)][:2] == [(first, 1), (second, 1)]
    assert [row.rank for row in ranked(main)][2] == 3


def test_what_is_missing_is_named_with_its_command(tmp_path, root):
    """Only predictions of two methods: no before, no audit, no ablation, no features, no study."""
    catalogue = Catalogue()
    wanted = plan(suite(), catalogue.select(["baseline", "clipfit"]))
    for run in wanted.runs:
        write_run(tmp_path, run.spec, run.label, made_up(run.spec, run.label))
    found = make_report(material(tmp_path, ["baseline", "clipfit"], audited=False))
    assert {section.name for section in found.sections} == {
        "main-table", "main-table-h-of-means", "trade-off", "intervals", "summary-table", "profile", "improvement",
        "cost",
    }  # fmt: skip
    assert len(found.missing) == 6
    for one in found.missing:
        assert one.command.startswith("adu-bench ")
        assert f"--suite {suite().name}" in one.command
    write_report(found, tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text().replace("<span>", "").replace("</span>", "")
    assert all(one.command in page for one in found.missing)


def test_studies_are_of_the_backbone_and_tasks_that_were_asked_for(tmp_path):
    (tmp_path / "w.safetensors").write_bytes(b"weights")
    choices = {"backbone": f"ViT-B-32:{tmp_path / 'w.safetensors'}", "limit": 2}
    catalogue, store = Catalogue(), Store(tmp_path / "runs")
    block = plan(suite(), catalogue.select(["adu", "baseline"]), **choices)
    study = plan_study(suite(), "shots", catalogue, **choices)
    for run in {run.spec.key: run for run in (*block.runs, *study.runs)}.values():
        write_run(store.root, run.spec, run.label, made_up(run.spec, run.label))
    found = Material(suite(), catalogue, make_board(block, store.runs()), store, **choices)
    by_name = {section.name: section.caption for section in make_report(found).sections}
    assert "Each point: 2 tasks" in by_name["study-shots"]
    shipped = make_report(replace(found, backbone=None))
    assert "study-shots" not in {section.name for section in shipped.sections}


def test_a_damaged_artefact_stops_the_report(root, tmp_path):
    import shutil

    shutil.copytree(root, tmp_path / "runs")
    for path in (tmp_path / "runs" / "artefacts").rglob("features.safetensors"):
        path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(UserError, match="is damaged"):
        make_report(material(tmp_path / "runs"))


def test_without_a_complete_method_there_is_no_report(root, tmp_path):
    with pytest.raises(UserError, match="No method has finished all its runs"):
        make_report(material(tmp_path, ["baseline"]))


def test_unknown_choices_are_refused(root):
    with pytest.raises(UserError, match="no task"):
        make_report(material(root, task="nowhere"))
    with pytest.raises(UserError, match="no method"):
        make_report(replace(material(root), methods=("nobody",)))


@pytest.mark.thorough
def test_the_command_needs_no_torch_and_no_backend_of_a_notebook(root, tmp_path):
    """A package called torch that fails on import stands in for its absence."""
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "MPLBACKEND": "module://not_installed.backend_inline"}
    for name in ("torch", "open_clip"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('not installed')\n")
    done = subprocess.run(
        [sys.executable, "-m", "adu_bench", "report", "--suite", "toy", "--runs", str(root), "--out", "out"],
        cwd=tmp_path, capture_output=True, text=True, env=environment, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"report.html", "main-table.pdf", "embedding.png", "attention.pdf", "ablation-adu.tex"} <= names
    assert "wrote out/report.html" in done.stdout
