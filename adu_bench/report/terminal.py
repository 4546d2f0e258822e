"""A board on the terminal."""

from __future__ import annotations

import pandas as pd
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from adu_bench.report.board import Board
from adu_bench.report.formats import COLUMNS, best, cells_of, place

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
    bold = best(board)
    section = None
    for row in board.rows:
        kind = (row.reference, bool(row.reason))
        if section is not None and kind != section:
            table.add_section()
        section = kind
        texts = dict(cells_of(row))
        cells = [f"[bold]{texts[name]}[/]" if (row.method, name) in bold else texts[name] for _, name in columns]
        table.add_row(place(row), escape(row.method), *cells, style=None if row.rank else "dim")
    console.print(table)
    for row in board.rows:
        if row.reason:
            console.print(f"{row.method} is not ranked: {row.reason}.", highlight=False, markup=False)
    if board.part is not None:
        print_board(board.part, console)


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
