"""A board on the terminal."""

from __future__ import annotations

import pandas as pd
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from adu_bench.leaderboard.board import Board
from adu_bench.leaderboard.published import MEASURES, beside_paper
from adu_bench.report.tables.board import COLUMNS, best, has_states, noted_cells, place
from adu_bench.report.tables.paper import KINDS, TITLES, has_paper, paper_legend, paper_number

_NARROW = ("mem", "for_", "h_mean", "h_of_means", "normalised_forgetting", "seconds")


def print_board(board: Board, console: Console) -> None:
    """Print a board as a table, with notes on what is not ranked, and then its part; fits 80 columns."""
    wide = console.width >= 120
    columns = [(title, name) for title, name in COLUMNS if wide or name in _NARROW]
    seeds = f"{len(board.seeds)} seed{'s' * (len(board.seeds) != 1)}"
    table = Table(
        title=f"{board.suite}: {len(board.tasks)} task{'s' * (len(board.tasks) != 1)} x {seeds}, per cent",
        box=box.SIMPLE_HEAD,
        title_justify="left",
    )
    table.add_column("", justify="right")
    table.add_column("method", no_wrap=True)
    for title, _ in columns:
        table.add_column(title, justify="right")
    if wide and has_states(board):
        table.add_column("state")
    bold = best(board)
    noted, reasons = noted_cells(board)
    section = None
    for row in board.rows:
        kind = (row.reference, bool(row.reason))
        if section is not None and kind != section:
            table.add_section()
        section = kind
        texts = dict(noted[row.method])
        cells = [f"[bold]{texts[name]}[/]" if (row.method, name) in bold else texts[name] for _, name in columns]
        states = [row.state] * (wide and has_states(board))
        table.add_row(place(row), escape(row.method), *cells, *states, style=None if row.rank else "dim")
    console.print(table)
    if wide and board.caveat:
        console.print(board.caveat, highlight=False, markup=False)
    for reason in reasons:
        console.print(f"{reason}.", highlight=False, markup=False)
    for row in board.rows:
        if row.reason:
            console.print(f"{row.method} is not ranked: {row.reason}.", highlight=False, markup=False)
    if has_paper(board):
        print_paper(board, console)
    if board.part is not None:
        print_board(board.part, console)


def print_paper(board: Board, console: Console) -> None:
    """Print the paper's numbers beside the board's, a section a number of forget domains; fits 80 columns."""
    wide = console.width >= 120
    shown = [(name, kind) for name in MEASURES for kind in KINDS if wide or name == "h" or kind != "difference"]
    table = Table(
        title="The paper beside it, per cent",
        box=box.SIMPLE_HEAD,
        title_justify="left",
        pad_edge=False,
        collapse_padding=not wide,
    )
    table.add_column("", justify="right")
    table.add_column("method", no_wrap=True)
    for name, kind in shown:
        table.add_column(f"{TITLES[name]}\n{'diff.' if kind == 'difference' else kind}", justify="right")
    table.add_column("H is")
    before = None
    for row in beside_paper(board).to_dict("records"):
        if before not in (None, row["forget"]):
            table.add_section()
        before = row["forget"]
        numbers = [paper_number(row, name, kind) for name, kind in shown]
        ending = ", ".join(text for text in (row["convention"], row["note"]) if text)
        table.add_row(str(row["forget"]), escape(row["method"]), *numbers, ending)
    console.print(table)
    console.print(paper_legend(board), highlight=False, markup=False)


def print_curves(points: pd.DataFrame, console: Console) -> None:
    """Print a study's points, a section for each method and variable; what is not complete says so."""
    table = Table(title="Per cent", box=box.SIMPLE_HEAD, title_justify="left")
    table.add_column("method", no_wrap=True)
    table.add_column("variable")
    for title in ("value", "Mem", "For", "mean of H", "H of means", "runs"):
        table.add_column(title, justify="right")
    before = None
    for row in points.to_dict("records"):
        curve = (row["method"], row["variable"])
        if before is not None and row["variable"] and curve != before:
            table.add_section()
        before = curve
        numbers = [f"{100 * row[name]:.1f}" for name in ("mem", "for", "h_mean", "h_of_means")]
        runs = str(row["runs"]) if row["runs"] == row["planned"] else f"{row['runs']} of {row['planned']}"
        table.add_row(escape(row["method"]), row["variable"], str(row["value"]), *numbers, runs)
    console.print(table)
