from __future__ import annotations

import csv
import hashlib
import io
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from adu_bench.core.errors import UserError
from adu_bench.core.seeds import derive
from adu_bench.leaderboard import packed
from adu_bench.leaderboard.board import by_size, make_board
from adu_bench.leaderboard.committed import committed_board, committed_stale_rows
from adu_bench.leaderboard.curves import curves
from adu_bench.leaderboard.rows import read_rows, write_row
from adu_bench.metrics.evidence import harmonic
from adu_bench.metrics.frame import score
from adu_bench.registry import Catalogue, MethodSource
from adu_bench.report.pages import stale_pages, write_pages
from adu_bench.report.tables.board import FORMATS
from adu_bench.report.terminal.boards import print_board
from adu_bench.report.web.page import web_page
from adu_bench.runner.plan import Plan, PlannedRun, Point, plan
from adu_bench.stats.paired import compare
from adu_bench.store import Store
from adu_bench.suites import load_suite
from tests.conftest import make_predictions, make_spec, random_predictions, write_run

FORGETS = [("a",), ("b",), ("c",)]


def planned(method: str, group: str = "other", seeds=(1, 2, 3), **fields) -> list[PlannedRun]:
    return [
        PlannedRun(make_spec(method, seed, forget, **fields), method, group, MethodSource("m.py"), "M", "tiny")
        for forget in FORGETS
        for seed in seeds
    ]


def made_up_plan(*blocks: list[PlannedRun]) -> Plan:
    runs = tuple(run for block in blocks for run in block)
    return Plan(load_suite("toy"), runs)


def write_block(root: Path, block: list[PlannedRun]) -> None:
    for number, run in enumerate(block):
        frame = random_predictions(derive(number, run.label), forget=run.spec.task.forget)
        write_run(root, run.spec, run.label, frame)


@pytest.fixture
def board(tmp_path):
    blocks = planned("one"), planned("<two>&co"), planned("bound", "reference"), planned("late")
    for block in blocks[:3]:
        write_block(tmp_path, block)
    write_block(tmp_path, blocks[3][:4])
    return make_board(made_up_plan(*blocks), Store(tmp_path).runs())


def test_seeds_are_averaged_before_tasks_and_both_h_are_what_they_say(board, tmp_path):
    row = next(row for row in board.rows if row.method == "one")
    frame = score([run for run in Store(tmp_path).runs() if run.label == "one"], "toy")
    wide = frame.pivot_table(index=["task", "seed"], columns="metric", values="value")
    by_task = wide.groupby("task").mean()
    assert row["mem"] == pytest.approx(by_task["mem"].mean())
    assert row["h_mean"] == pytest.approx(by_task["h"].mean())
    assert row["h_of_means"] == pytest.approx(harmonic(by_task["mem"].mean(), by_task["for"].mean()))
    low, high = row["h_interval"]
    assert low < row["h_mean"] < high
    assert (row.tasks, row.runs) == (3, 9)


def test_only_complete_blocks_are_ranked(board):
    ranks = {row.method: row.rank for row in board.rows}
    assert sorted(rank for rank in ranks.values() if rank) == [1, 2]
    assert ranks["bound"] is None
    assert ranks["late"] is None
    late = next(row for row in board.rows if row.method == "late")
    assert late.reason == "4 of 9 runs finished"
    assert board.rows[-1] is late


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"protocol": 0}, "another protocol version"),
        ({"training": replace(make_spec().training, batch=9)}, "other training batches"),
        ({"backbone": replace(make_spec().backbone, weights_hash="v" * 20)}, "other weights"),
        ({"task": replace(make_spec().task, data_hash="e" * 20)}, "other images"),
        ({"method": replace(make_spec("one").method, source_hash="old")}, "an earlier version of the method's file"),
    ],
)
def test_other_versions_never_mix_and_say_why(tmp_path, change, reason):
    block = planned("one")
    for run in block:
        task = change.get("task", run.spec.task)
        spec = replace(run.spec, **(change | {"task": replace(task, forget=run.spec.task.forget)}))
        write_run(tmp_path, spec, "one", random_predictions(forget=spec.task.forget))
    board = make_board(made_up_plan(block), Store(tmp_path).runs())
    assert board.rows[0].rank is None
    assert board.rows[0]["mem"] is None
    assert reason in board.rows[0].reason


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_names_every_method_safely(board, kind):
    text = FORMATS[kind](board)
    assert "one" in text
    assert text.endswith("\n")
    if kind == "tex":
        assert "\\&co" in text


def test_json_rows_are_fractions_with_the_documented_names(board):
    rows = json.loads(FORMATS["json"](board))
    assert {"method", "reference", "mem", "for", "h_mean", "h_of_means", "tasks", "runs"} <= set(rows[0])
    assert all(row["mem"] is None or 0 <= row["mem"] <= 1 for row in rows)
    table = list(csv.DictReader(io.StringIO(FORMATS["csv"](board))))
    assert [row["method"] for row in table] == [row["method"] for row in rows]


@pytest.mark.parametrize("width", [60, 80, 160])
def test_the_terminal_table_fits(board, width):
    console = Console(width=width, file=io.StringIO())
    print_board(board, console)
    text = console.file.getvalue()
    assert "one" in text
    assert max(map(len, text.splitlines())) <= width


def test_intervals_are_about_these_tasks_and_letters_join_what_cannot_be_told_apart(board):
    for row in board.rows:
        if row.method == "late":  # the block that is not complete
            assert row["h_interval"] is None
            continue
        found = board.sample.mean(row.method)
        assert row["h_interval"] == (found.low, found.high)
        assert found.value == pytest.approx(row["h_mean"])
    assert {row["letters"] for row in board.rows if row.rank} == {"a"}
    assert {row["letters"] for row in board.rows if not row.rank} == {None}


def test_with_two_seeds_there_are_no_intervals_and_no_letters(tmp_path):
    blocks = planned("one", seeds=(1, 2)), planned("two", seeds=(1, 2))
    for block in blocks:
        write_block(tmp_path, block)
    for row in make_board(made_up_plan(*blocks), Store(tmp_path).runs()).rows:
        assert row["h_interval"] is None
        assert not row["letters"]
        assert row.rank


def test_equal_rows_have_equal_ranks_and_one_letter(tmp_path):
    """Of four methods, the second and third give the same answers: 1, 2, 2, 4."""
    blocks = [planned(name) for name in ("worst", "same", "again", "best")]
    for block, right in zip(blocks, (0.2, 0.5, 0.5, 0.9), strict=True):
        for number, run in enumerate(block):
            labels, forget = np.zeros(300, int), run.spec.task.forget
            domains = [("a", "b", "c")[place % 3] for place in range(300)]
            hit = (np.random.default_rng(number).random(300) < right) != np.isin(domains, forget)
            frame = make_predictions(np.eye(3)[np.where(hit, 0, 1)], labels, domains, forget)
            write_run(tmp_path, run.spec, run.label, frame)
    board = make_board(made_up_plan(*blocks), Store(tmp_path).runs())
    assert [(row.method, row.rank) for row in board.rows] == [("best", 1), ("again", 2), ("same", 2), ("worst", 4)]
    assert board.rows[1]["letters"] == board.rows[2]["letters"]


def test_methods_that_differ_for_sure_share_no_letter(tmp_path):
    rng = np.random.default_rng(0)
    blocks = planned("weak"), planned("strong")
    for block, right in zip(blocks, (0.4, 0.9), strict=True):
        for run in block:
            count, forget = 300, run.spec.task.forget
            domains = [("a", "b", "c")[place % 3] for place in range(count)]
            labels = rng.integers(3, size=count)
            hit = (rng.random(count) < right) != np.isin(domains, forget)
            chosen = np.where(hit, labels, (labels + 1) % 3)
            write_run(tmp_path, run.spec, run.label, make_predictions(np.eye(3)[chosen], labels, domains, forget))
    board = make_board(made_up_plan(*blocks), Store(tmp_path).runs())
    assert [(row.method, row["letters"]) for row in board.rows] == [("strong", "a"), ("weak", "b")]
    assert "| a |" in FORMATS["md"](board)


def test_committed_rows_score_as_the_runs_do(tmp_path):
    block = planned("one")
    write_block(tmp_path / "runs", block)
    store = Store(tmp_path / "runs")
    runs = [store.load(run.spec.key) for run in block]
    write_row(tmp_path / "rows", "toy", block, runs, {"title": "t"})
    stored = read_rows(tmp_path / "rows", "toy")
    ours = score(runs, "toy").set_index(["key", "metric"])["value"]
    theirs = score(stored, "toy").set_index(["key", "metric"])["value"]
    exact = [name for name in ours.index if name[1] in ("mem", "for", "h", "worst_retain") or "accuracy" in name[1]]
    assert (ours.loc[exact] == theirs.loc[exact]).all()
    assert np.abs(ours - theirs).max() < 2e-5


def test_the_predictions_of_a_row_are_decoded_once_and_again_after_a_change(tmp_path, monkeypatch):
    block = planned("one")
    write_block(tmp_path / "runs", block)
    runs = [Store(tmp_path / "runs").load(run.spec.key) for run in block]
    write_row(tmp_path / "rows", "toy", block, runs, {})
    reads, read = [], packed.read_table
    monkeypatch.setattr(packed, "read_table", lambda *given, **named: (reads.append(1), read(*given, **named))[1])
    stored = read_rows(tmp_path / "rows", "toy")
    first = [run.predictions() for run in stored]
    assert len(stored) > 1
    assert len(reads) == 1
    first[0]["label"] = 99
    assert 99 not in set(stored[0].predictions()["label"])
    write_row(tmp_path / "rows", "toy", block, runs[::-1], {})
    with pytest.raises(UserError, match="names predictions with another hash"):
        stored[0].predictions()
    write_row(tmp_path / "rows", "toy", block, runs, {})
    assert stored[0].predictions()["p_max"].equals(first[0]["p_max"])
    assert len(reads) == 2


def test_families_are_shown_where_there_are_others_than_the_papers(board):
    assert "| one | other |" in FORMATS["md"](board).replace("`", "")


def test_methods_without_a_row_are_named_by_family(tmp_path):
    chosen = Catalogue().select(["zero-shot", "coin"])
    planned = plan(load_suite("toy"), chosen)
    for method in ("zero-shot", "coin"):
        own = [run for run in planned.runs if run.label == method]
        write_block(tmp_path / "runs", own)
        runs = [Store(tmp_path / "runs").load(run.spec.key) for run in own]
        write_row(tmp_path / "rows", "toy", own, runs, {"title": "t"})
    board = committed_board(tmp_path / "rows", "toy", Catalogue())
    others = {choice.label: choice.preset.group for choice in Catalogue().select(["all"])}
    assert {name: group for group, names in board.absent.items() for name in names} == {
        name: group for name, group in others.items() if name not in ("zero-shot", "coin")
    }
    text = FORMATS["md"](board)
    assert "Without runs on this suite: " in text
    assert "| family |" not in text
    assert "ip-clip, ntl (authorisation)" in text
    assert "ip-clip, ntl (authorisation)" in web_page([board], {})
    assert not committed_board(tmp_path / "rows", "toy", Catalogue(), ["coin"]).absent


def test_a_row_whose_key_was_changed_is_refused(tmp_path):
    block = planned("one")
    write_block(tmp_path / "runs", block)
    store = Store(tmp_path / "runs")
    path = write_row(tmp_path / "rows", "toy", block, [store.load(run.spec.key) for run in block], {})
    path.write_text(path.read_text().replace('"seed": 2', '"seed": 3'))
    with pytest.raises(UserError, match="does not follow from its spec"):
        read_rows(tmp_path / "rows", "toy")


def _other_table(rows: Path) -> None:
    shutil.copy(rows / "zero-shot.parquet", rows / "collapse.parquet")


def with_table(rows: Path, change) -> None:
    """Change the predictions of a row, with the hash that its JSON file names."""
    table, record = rows / "collapse.parquet", rows / "collapse.json"
    before = hashlib.sha256(table.read_bytes()).hexdigest()
    pq.write_table(change(pq.read_table(table)), table)
    record.write_text(record.read_text().replace(before, hashlib.sha256(table.read_bytes()).hexdigest()))


def with_column(name: str, change):
    """Return a change of one column of a table, of which the change gets the values."""

    def changed(table: pa.Table) -> pa.Table:
        kind = table.schema.field(name).type
        texts = pa.types.is_dictionary(kind)
        values = change(table.column(name).cast(kind.value_type if texts else kind).to_pandas())
        return table.set_column(table.column_names.index(name), name, pa.array(values))

    return changed


def with_text(old: str, new: str):
    """Return a damage that changes the text of a row's JSON file."""

    def damage(rows: Path) -> None:
        path = rows / "collapse.json"
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    return damage


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (_other_table, "another hash"),
        (lambda rows: (rows / "collapse.parquet").unlink(), "No such file"),
        (lambda rows: (rows / "collapse.parquet").write_bytes(b"PAR1"), "another hash"),
        (lambda rows: (rows / "collapse.json").write_text(""), "JSON"),
        (lambda rows: (rows / "collapse.json").write_text("[]"), "not a JSON object"),
        (lambda rows: shutil.copy(rows / "zero-shot.json", rows / "collapse.json"), "it is the row of 'zero-shot'"),
        (with_text('"format": 2', '"format": 3'), "its format is 3; this version reads 2"),
        (with_text('"seconds": 1.5', '"seconds": NaN'), "a measure of run 0 is not a number"),
        (with_text('"seconds": 1.5', '"seconds": 1e400'), "a measure of run 0 is not a number"),
        (with_text('"finished": "2', '"finished": "x2'), "the time at which run 0 finished is none"),
        (lambda rows: with_table(rows, lambda table: table.drop(["tied"])), "do not have the columns run, image"),
        (lambda rows: with_table(rows, lambda table: table.append_column("tied", table["tied"])), "the columns run"),
        (lambda rows: with_table(rows, with_column("tied", lambda tied: tied.astype(float))), "double in the column"),
        (lambda rows: with_table(rows, with_column("domain", lambda old: 0 * old.str.len())), "in the column domain"),
    ],
)
def test_a_damaged_row_is_named_and_left_out(tmp_path, damage, reason):
    catalogue = two_rows(tmp_path)
    damage(tmp_path / "rows" / "toy")
    board = committed_board(tmp_path / "rows", "toy", catalogue)
    rows = {row.method: row for row in board.rows}
    assert rows["zero-shot"]["h_mean"] is not None
    assert "its row is damaged" in rows["collapse"].reason
    assert reason in rows["collapse"].reason
    assert set(committed_stale_rows(tmp_path / "rows", "toy", catalogue)) == {"collapse"}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (with_column("run", lambda run: run.where(run > 0, 1)), "a run without predictions"),
        (with_column("run", lambda run: run.where(run > 0, 999)), "a run without predictions"),
        (with_column("image", lambda image: image.where(image.index > 0)), "lacks a value"),
        (with_column("image", lambda image: image.where(image.index != 1, image[0])), "two predictions"),
        (with_column("domain", lambda domain: domain.where(domain.index > 0, "moon")), "a domain that the task does"),
        (with_column("label", lambda label: label.where(label.index > 0, 6)), "a class that the task does not have"),
        (with_column("predicted", lambda old: old.where(old.index > 0, -1)), "a class that the task does not have"),
        (with_column("tied", lambda tied: tied.where(tied.index > 0, 0)), "more classes are tied"),
        (with_column("tied", lambda tied: tied.where(tied.index > 0, 7)), "more classes are tied"),
        (with_column("p_max", lambda p_max: p_max.where(p_max.index > 0, 0)), "more probable than the most probable"),
        (lambda table: table.slice(0, 0), "a run without predictions"),
        (lambda table: pa.concat_tables([table, table]), "two predictions"),
    ],
)
def test_predictions_that_no_run_can_have_are_refused(tmp_path, change, reason):
    catalogue = two_rows(tmp_path)
    with_table(tmp_path / "rows" / "toy", change)
    with pytest.raises(UserError, match=r"collapse\.parquet' is damaged") as refused:
        committed_board(tmp_path / "rows", "toy", catalogue)
    assert reason in refused.value.why


def two_rows(tmp_path: Path) -> Catalogue:
    """Write rows of two methods on made-up predictions, and return the catalogue."""
    suite, catalogue = load_suite("toy"), Catalogue()
    wanted = plan(suite, catalogue.select(["collapse", "zero-shot"]))
    for seed, run in enumerate(wanted.runs):
        frame = random_predictions(seed, forget=run.spec.task.forget, classes=6)
        write_run(tmp_path / "runs", run.spec, run.label, frame)
    store = Store(tmp_path / "runs")
    for label in ("collapse", "zero-shot"):
        block = [run for run in wanted.runs if run.label == label]
        write_row(tmp_path / "rows", "toy", block, [store.load(run.spec.key) for run in block], {})
    return catalogue


def test_stale_pages_are_found(tmp_path):
    suite, catalogue = load_suite("toy"), Catalogue()
    wanted = plan(suite, catalogue.select(["collapse"]))
    for run in wanted.runs:
        frame = random_predictions(forget=run.spec.task.forget, classes=6)
        write_run(tmp_path / "runs", run.spec, run.label, frame)
    store = Store(tmp_path / "runs")
    write_row(tmp_path / "rows", "toy", wanted.runs, [store.load(run.spec.key) for run in wanted.runs], {})
    write_pages(tmp_path / "rows", catalogue)
    assert stale_pages(tmp_path / "rows", catalogue) == []
    page = tmp_path / "rows" / "toy" / "README.md"
    page.write_text(page.read_text().replace("collapse", "best"))
    assert stale_pages(tmp_path / "rows", catalogue) == [page]


def test_what_people_read_out_of_a_board_is_part_of_its_page(tmp_path):
    suite, catalogue = load_suite("toy"), Catalogue()
    wanted = plan(suite, catalogue.select(["collapse"]))
    for run in wanted.runs:
        write_run(tmp_path / "runs", run.spec, run.label, random_predictions(forget=run.spec.task.forget, classes=6))
    store = Store(tmp_path / "runs")
    write_row(tmp_path / "rows", "toy", wanted.runs, [store.load(run.spec.key) for run in wanted.runs], {})
    (tmp_path / "rows" / "toy" / "READING.md").write_text("Everything collapsed.\n")
    write_pages(tmp_path / "rows", catalogue)
    assert "## Reading\n\nEverything collapsed." in (tmp_path / "rows" / "toy" / "README.md").read_text()


def test_methods_with_a_smaller_block_stand_apart_with_what_they_are_compared_with(tmp_path):
    whole, baseline, other = planned("some"), planned("baseline"), planned("other")
    small = [replace(run, label="some-less", group="ablation") for run in planned("some", drop=1.0)[:6]]
    for block in (whole, baseline, other, small):
        write_block(tmp_path, block)
    board = make_board(made_up_plan(whole, baseline, other, small), Store(tmp_path).runs())
    assert {row.method for row in board.rows} == {"some", "baseline", "other"}
    assert len(board.tasks) == 3
    part = board.part
    assert {row.method for row in part.rows} == {"some", "baseline", "some-less"}
    assert (len(part.tasks), {row.runs for row in part.rows}) == (2, {6})
    own = part.frame.query("metric == 'h' and method == 'some'")
    row = next(row for row in part.rows if row.method == "some")
    assert row["h_mean"] == pytest.approx(own.groupby("task")["value"].mean().mean())


def test_numbers_of_forget_domains_are_averaged_apart(tmp_path):
    pairs = [replace(run.spec, task=replace(run.spec.task, forget=("a", "b"))) for run in planned("one")[:1]]
    runs = [*planned("one"), replace(planned("one")[0], spec=pairs[0])]
    write_block(tmp_path, runs)
    board = make_board(made_up_plan(runs), Store(tmp_path).runs())
    table = by_size(board)
    assert table[["method", "forget", "tasks"]].to_numpy().tolist() == [["one", 1, 3], ["one", 2, 1]]
    wide = board.frame.pivot(index=["task", "seed"], columns="metric", values="value")
    assert table["mem"][1] == pytest.approx(wide.loc["a+b", "mem"].mean())
    for kind in ("mem", "for", "h_mean", "h_of_means"):
        assert table[kind].between(0, 1).all()


def test_a_study_averages_its_points_and_says_what_is_missing(tmp_path):
    low, high = planned("one"), planned("one", size=2.0)
    write_block(tmp_path, [*low, *high[:3]])
    points = tuple(
        Point("one", "size", value, tuple(run.spec.key for run in block)) for value, block in ((1.0, low), (2.0, high))
    )
    table = curves(replace(made_up_plan(low, high), points=points), Store(tmp_path).runs())
    assert table[["value", "runs", "planned"]].to_numpy().tolist() == [[1.0, 9, 9], [2.0, 3, 9]]
    frame = score([run for run in Store(tmp_path).runs() if run.key in points[0].keys], "toy")
    by_task = frame[frame["metric"] == "h"].groupby("task")["value"].mean()
    assert table["h_mean"][0] == pytest.approx(by_task.mean())


def test_domains_whose_names_contain_the_joiner_make_tasks_of_their_own(tmp_path):
    """The domains b and w together, and the domain b+w alone, are two tasks on boards and in comparisons."""
    domains = ("b", "w", "b+w")
    forgets = [(one,) for one in domains] + [("b", "w"), ("b", "b+w"), ("w", "b+w")]
    blocks = []
    for method in ("one", "two"):
        task = replace(make_spec(method).task, domains=domains)
        specs = [replace(make_spec(method, seed), task=replace(task, forget=own)) for own in forgets for seed in (1, 2)]
        blocks.append([PlannedRun(spec, method, "other", MethodSource("m.py"), "M", "tiny") for spec in specs])
    rng = np.random.default_rng(0)
    for run in (run for block in blocks for run in block):
        own = [domains[place % 3] for place in range(60)]
        frame = make_predictions(rng.dirichlet(np.ones(3), 60), rng.integers(3, size=60), own, run.spec.task.forget)
        write_run(tmp_path, run.spec, run.label, frame)
    runs = Store(tmp_path).runs()
    board = make_board(made_up_plan(*blocks), runs)
    assert len(board.tasks) == 6
    assert {board.forget[task] for task in board.tasks} == set(forgets)
    by_set = {
        own: np.mean([harmonic_of(run) for run in runs if run.label == "one" and run.spec.task.forget == own])
        for own in forgets
    }
    row = next(row for row in board.rows if row.method == "one")
    assert (row.tasks, row.runs) == (6, 12)
    assert row["h_mean"] == pytest.approx(np.mean(list(by_set.values())))
    assert by_size(board).query("method == 'one'")["tasks"].to_list() == [3, 3]
    labels = {run.key: run.label for run in runs}
    found = compare(board.frame, runs, labels, "one", "two")
    assert len(found.tasks) == len(set(found.tasks)) == 6
    assert set(found.images["task"]) == set(found.tasks)
    assert found.of("h", None).tasks == 6
    # The page's heat maps have a line for each domain set, and break lines between domains alone.
    page = web_page([board], {})
    assert page.count('<th scope="row">&#34;b+w&#34;</th>') == page.count('<th scope="row">b+<wbr>w</th>') > 0


def harmonic_of(run) -> float:
    """H of a run, straight from its predictions."""
    frame = run.predictions()
    right = (frame["predicted"] == frame["label"]).groupby(frame["forget"]).mean()
    return harmonic(right[False], 1 - right[True])
