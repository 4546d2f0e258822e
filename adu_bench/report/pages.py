"""The generated files of the leaderboards folder, byte for byte from the committed rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from adu_bench.core.errors import UserError, unknown
from adu_bench.registry import Catalogue, Choice
from adu_bench.report.board import Board, Row, make_board, without_numbers
from adu_bench.report.escape import markdown_code
from adu_bench.report.formats import (
    claims_markdown,
    comma_separated,
    latex,
    markdown,
    sizes_comma_separated,
    sizes_latex,
    sizes_markdown,
)
from adu_bench.report.paper import has_paper, paper_comma_separated, paper_latex, paper_markdown
from adu_bench.report.rows import Standing, StoredRun, read_rows, standings
from adu_bench.report.stale import NOTE, as_recorded, stale_rows
from adu_bench.report.webpage import Cards, web_page
from adu_bench.runner.plan import Plan, plan
from adu_bench.suites import Suite, load_suite

Renderer = tuple[str, Callable[[Board], str]]
BOARD_FILES: Sequence[Renderer] = (("board.csv", comma_separated), ("board.tex", latex))
PAPER_FILES: Sequence[Renderer] = (("paper.csv", paper_comma_separated), ("paper.tex", paper_latex))
SIZE_FILES: Sequence[Renderer] = (("by_size.csv", sizes_comma_separated), ("by_size.tex", sizes_latex))
READING = "READING.md"
"""What people read out of a board: written by hand, kept beside the rows, and shown below the tables."""


def committed_board(folder: Path, suite: str, catalogue: Catalogue, only: Sequence[str] = ()) -> Board:
    """Make the board of a suite from its committed rows; rows of methods that are not known here stand last.

    Parameters
    ----------
    folder, suite, catalogue
        Where the rows are, and what is known.
    only
        Take the rows of these methods; all if empty.

    Raises
    ------
    UserError
        If the suite has no rows, none whose method is known, or no row of a method that was asked for.
    """
    known = standings(folder, suite)
    for method in only if known else ():
        if method not in known:
            raise unknown(f"row of '{suite}'", method, known)
    known = {method: known[method] for method in only if known} or known
    choices, strange = _choices(catalogue, known)
    if not choices:
        raise UserError(
            f"There are no committed rows for '{suite}' in '{folder}'.",
            next(iter(strange.values()), "A board needs results").rstrip(".") + ".",
            f"Name a folder with runs: adu-bench leaderboard --suite {suite} --runs runs",
        )
    runs = read_rows(folder, suite)
    planned = _plan(load_suite(suite), choices, runs)
    recorded = as_recorded(planned.suite, choices, runs, stale_rows(planned, runs))
    board = make_board(recorded or planned, runs)
    board = replace(
        board,
        rows=(*board.rows, *(without_numbers(label, why) for label, why in strange.items())),
        warning=NOTE if recorded is not None else "",
    )
    return _with_standings(board, known)


def committed_stale_rows(folder: Path, suite: str, catalogue: Catalogue) -> dict[str, str]:
    """Return the rows of a suite that the current code does not plan, with the reason, by label.

    The rows of methods that are not known are among them.

    Raises
    ------
    UserError
        If there is no such suite, or a row is damaged.
    """
    choices, strange = _choices(catalogue, standings(folder, suite))
    runs = read_rows(folder, suite)
    found = stale_rows(_plan(load_suite(suite), choices, runs), runs) if choices else {}
    return found | strange


def _plan(suite: Suite, choices: Sequence[Choice], runs: Sequence[StoredRun]) -> Plan:
    """Return which runs make up the board; where the suite's pictures or weights are not here, most rows say which."""
    try:
        return plan(suite, choices)
    except UserError:
        kinds = Counter((run.spec.task.data_hash, run.spec.backbone) for run in runs)
        usual = kinds.most_common(1)[0][0]
        like = next(run.spec for run in runs if (run.spec.task.data_hash, run.spec.backbone) == usual)
        return plan(suite, choices, like=like)


def _choices(catalogue: Catalogue, labels: Iterable[str]) -> tuple[list[Choice], dict[str, str]]:
    """Return the choices that labels stand for, and for the other labels why they stand for none."""
    choices, strange = [], {}
    for label in labels:
        try:
            choices += catalogue.select([label])
        except UserError as error:
            strange[label] = f"{error.what.rstrip('.')} here"
    return choices, strange


def _with_standings(board: Board, known: Mapping[str, Standing]) -> Board:
    """Say of each row how far it was checked and what it claims."""
    rows = tuple(_with_standing(row, known[row.method]) if row.method in known else row for row in board.rows)
    part = _with_standings(board.part, known) if board.part is not None else None
    sizes = {size: _with_standings(each, known) for size, each in board.sizes.items()}
    return replace(board, rows=rows, part=part, sizes=sizes)


def _with_standing(row: Row, standing: Standing) -> Row:
    claimed = [standing.claimed.get(name) for name in ("mem", "for", "h_mean")]
    return replace(row, state=standing.state, claimed_mem=claimed[0], claimed_for=claimed[1], claimed_h=claimed[2])


def cards(catalogue: Catalogue) -> Cards:
    """Return the cards of all known methods, by preset."""
    return {name: entry.card for name, (_, entry) in catalogue.presets.items()}


def pages(folder: Path, catalogue: Catalogue) -> dict[Path, str]:
    """Return the generated files of a leaderboards folder with their content."""
    boards = {suite: committed_board(folder, suite, catalogue) for suite in committed_suites(folder)}
    found = {folder / "README.md": _contents(boards)}
    if boards:
        found[folder / "index.html"] = web_page(list(boards.values()), cards(catalogue), files=True)
    for suite, board in boards.items():
        place = folder / suite
        found[place / "README.md"] = _page(board, _reading(place))
        found |= {place / name: make(board) for name, make in BOARD_FILES}
        if has_paper(board):
            found |= {place / name: make(board) for name, make in PAPER_FILES}
        if len(_sizes(board)) > 1:
            found |= {place / name: make(board) for name, make in SIZE_FILES}
        if board.part is not None:
            found |= {place / name.replace("board", "ablation"): make(board.part) for name, make in BOARD_FILES}
    return found


def committed_suites(folder: Path) -> list[str]:
    """Return the suites that have rows in a leaderboards folder."""
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and any(path.glob("*.json")))


def write_pages(folder: Path, catalogue: Catalogue) -> list[Path]:
    """Write the generated files and return their paths."""
    made = pages(folder, catalogue)
    for path, text in made.items():
        path.write_text(text, encoding="utf-8")
    return list(made)


def stale_pages(folder: Path, catalogue: Catalogue) -> list[Path]:
    """Return the generated files whose content is not what the rows give."""
    return [
        path
        for path, text in pages(folder, catalogue).items()
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    ]


def _contents(boards: dict[str, Board]) -> str:
    lines = [f"- [{suite}]({suite}/README.md): {board.title}" for suite, board in boards.items()]
    return (
        "# Leaderboards\n\nGenerated by `adu-bench leaderboard --write leaderboards` from the rows in these folders; "
        "each row's predictions are in the Parquet file beside it. "
        "[index.html](index.html) shows all boards on one page, to be opened from a copy of this folder.\n\n"
        + "\n".join(lines)
        + "\n"
    )


def _page(board: Board, reading: str) -> str:
    warning = [f"**{board.warning}**"] * bool(board.warning)
    sections = [f"# {board.suite}", *warning, f"{board.title}.", _block(board), _protocol(board), markdown(board)]
    if has_paper(board):
        sections += ["## The paper beside it", paper_markdown(board)]
    if len(_sizes(board)) > 1:
        sections += [
            "## By number of forget domains",
            "Mean of H, Mem and For over the tasks that forget so many domains, as in the paper's main table.",
            sizes_markdown(board),
        ]
    if board.part is not None:
        sections += ["## Ablations", _block(board.part), markdown(board.part, legend=False)]
    claims = claims_markdown(board)
    if claims:
        sections += [
            "## Claimed and scored",
            "What each row's submitter claims, beside what its predictions give; the tables above show the latter.",
            claims,
        ]
    if reading:
        sections += ["## Reading", reading]
    return "\n\n".join(section.rstrip("\n") for section in sections) + "\n"


def _block(board: Board) -> str:
    tasks = ", ".join(f"`{task}`" for task in board.tasks)
    seeds = ", ".join(str(seed) for seed in board.seeds)
    return (
        f"A complete block is {len(board.tasks)} tasks (forget {tasks}) x {len(board.seeds)} "
        f"seed{'s' * (len(board.seeds) != 1)} ({seeds})."
    )


def _protocol(board: Board) -> str:
    spec = board.common
    return (
        f"Protocol {spec.protocol}, pictures `{spec.task.data_hash}`, {spec.task.shots} shots, weights "
        f"{markdown_code(spec.backbone.name)} `{spec.backbone.weights_hash}`; rows of another protocol, split or "
        "backbone are not ranked."
    )


def _sizes(board: Board) -> set[int]:
    return set(board.frame["forget"])


def _reading(place: Path) -> str:
    path = place / READING
    return path.read_text(encoding="utf-8").strip() if path.is_file() else ""
