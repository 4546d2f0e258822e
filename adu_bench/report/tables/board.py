"""A board as a table in every format: its columns are the declared metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import groupby
from typing import Any

from adu_bench.leaderboard.board import Board, Row
from adu_bench.metrics.measures import METRICS, board_metrics
from adu_bench.metrics.metric import ALWAYS, IF_ANY, LETTERS, PERCENT, Metric
from adu_bench.report.escape import markdown_code, markdown_text
from adu_bench.report.tables.forgetting import (
    TITLE,
    forgetting_latex,
    forgetting_markdown,
    forgetting_records,
)
from adu_bench.report.tables.settings import HEADING, settings_lines, settings_record
from adu_bench.report.tables.table import Cell, Table, latex, markdown, records_csv, records_json

ABOUT = "Accuracies, error rates and H are per cent: means over seeds, then over tasks."
REFERENCES = "Reference rows are bounds and controls; they have no rank."
INTERVALS = (
    "The 95 % interval is for other few-shot draws and other test images, on these tasks. Methods that share a letter "
    "cannot be told apart."
)
STATISTICS = "`docs/statistics.md` explains how intervals and letters are computed."
_STATES = (
    "claimed (checked by nobody else), verified (every number was computed again from the predictions) or reproduced "
    "(some of its runs were also run again; with parts of its own, the method's code also predicted)"
)
_OUTSIDE = (
    "; outside: only predictions are known, which were made outside adu-bench and nobody here can make again, so "
    "scoring them again is as far as they can be checked"
)


def shown_metrics(board: Board, priority: int = 3) -> list[Metric]:
    """Return the metrics that have a column, in the order of their declaration.

    Parameters
    ----------
    board
        The board.
    priority
        Leave out metrics whose priority number is higher.
    """
    return [
        metric
        for metric in board_metrics()
        if metric.priority <= priority
        and (
            metric.column == ALWAYS
            or (metric.column == IF_ANY and any(row[metric.key] is not None for row in board.rows))
        )
    ]


def board_table(board: Board, priority: int = 3) -> Table:
    """Return a board as a table; notes say why cells are empty and why rows are not ranked.

    Parameters
    ----------
    board
        The board.
    priority
        As for `shown_metrics`; the state of committed rows has priority 3, as have families.
    """
    metrics, bold = shown_metrics(board, priority), best(board)
    states = priority >= 3 and has_states(board)
    letters: dict[str, str] = {}

    def cell(row: Row, metric: Metric) -> Cell:
        text = metric.text(row[metric.key])
        if not text and metric.unit == LETTERS:
            text = "-"
        elif not text:
            text = letters.setdefault(why_empty(row, metric), f"({chr(ord('a') + len(letters))})")
        return Cell(text, (row.method, metric.key) in bold)

    def cells(row: Row) -> tuple[Cell, ...]:
        ends = [row.state] * states
        return (
            Cell(place(row)),
            Cell(row.method, name=True),
            *[Cell(row.group)] * families,
            *(cell(row, metric) for metric in metrics),
            *map(Cell, ends),
        )

    families = priority >= 3 and any(row.group not in ("paper", "reference", "ablation") for row in board.rows)
    parts = tuple(tuple(cells(row) for row in rows) for _, rows in groupby(board.rows, key=lambda row: row.kind))
    notes = [f"{letter} {reason}" for reason, letter in letters.items()]
    notes += [f"{row.method} is not ranked: {row.reason}" for row in board.rows if row.reason]
    notes += [board.warning.rstrip(".")] * bool(board.warning)
    return Table(
        columns=("", "method", *["family"] * families, *(metric.title for metric in metrics), *["state"] * states),
        parts=parts,
        align="ll" + "l" * families + "r" * len(metrics) + "l" * states,
        notes=tuple(notes),
    )


def absent_text(board: Board) -> str:
    """Return which methods have no run on the board, in one sentence; empty if all have."""
    groups = [f"{', '.join(names)} ({group})" for group, names in board.absent.items()]
    return f"Without runs on this suite: {'; '.join(groups)}." if groups else ""


def board_legend(board: Board) -> list[tuple[str, str]]:
    """Return what each column of a board means, as (title, one sentence without full stop)."""
    explained = [(metric.title, metric.explanation) for metric in shown_metrics(board)]
    outside = any(row.state.startswith("outside") for row in board.rows)
    return [*explained, *[("state", _STATES + _OUTSIDE * outside)] * has_states(board)]


def board_markdown(board: Board, legend: bool = True) -> str:
    """Return a board as Markdown, with what the suite sets, and with a legend unless there is one elsewhere."""
    columns = [f"- **{title}**: {text}." for title, text in board_legend(board)]
    lines = [f"{ABOUT} {REFERENCES}", "", *columns, "", STATISTICS, ""]
    settings = [
        f"- {', '.join(map(markdown_code, methods))}: {markdown_text(text)}" for methods, text in settings_lines(board)
    ]
    absent = [markdown_text(absent_text(board)), ""] * bool(board.absent)
    texts = [*absent, *lines * legend, *([f"{HEADING}:", "", *settings, ""] if settings else [])]
    return "\n".join([markdown(board_table(board)), *texts])


def board_latex(board: Board) -> str:
    """Return a board as a LaTeX table."""
    return latex(board_table(board))


def board_csv(board: Board) -> str:
    """Return the rows as CSV; fractions with six decimals.  The column ``empty`` says why cells are empty."""
    return records_csv(
        [record | {"empty": _empty(row)} for record, row in zip(records(board), board.rows, strict=True)]
    )


def board_json(board: Board) -> str:
    """Return the rows as a JSON list; fractions with six decimals, and what the suite sets."""
    found = [record | settings_record(row) for record, row in zip(records(board), board.rows, strict=True)]
    return records_json(found)


def printed_markdown(board: Board) -> str:
    """Return a board as Markdown, with what audits say below it."""
    found = [f"## {TITLE}\n", forgetting_markdown(board)] if board.forgetting is not None else []
    return "\n".join([board_markdown(board), *found])


def printed_latex(board: Board) -> str:
    """Return a board as a LaTeX table, with what audits say as a second one."""
    found = [forgetting_latex(board)] if board.forgetting is not None else []
    return "\n".join([board_latex(board), *found])


FORMATS: Mapping[str, Callable[[Board], str]] = {
    "md": printed_markdown,
    "csv": board_csv,
    "json": board_json,
    "tex": printed_latex,
}


def records(board: Board) -> list[dict[str, Any]]:
    """Return the rows as dictionaries with the same keys; fractions with six decimals, None where there is nothing."""
    claims = [key for key in METRICS if any(key in row.claimed for row in board.rows)]
    audits = forgetting_records(board) if board.forgetting is not None else [{}] * len(board.rows)
    return [
        {
            "method": row.method,
            "group": row.group,
            "reference": row.reference,
            "rank": row.rank,
            **{name: value for metric in board_metrics() for name, value in metric.record(row[metric.key]).items()},
            "tasks": row.tasks,
            "runs": row.runs,
            "reason": row.reason,
            "state": row.state,
            **{f"claimed_{key}": row.claimed.get(key) for key in claims},
            **audit,
        }
        for row, audit in zip(board.rows, audits, strict=True)
    ]


def claims_table(board: Board) -> Table | None:
    """Return what rows claim beside what their predictions give, per cent; None where no row claims anything."""
    rows = [row for row in board.rows if row.claimed]
    metrics = [metric for metric in board_metrics() if any(metric.key in row.claimed for row in rows)]
    if not rows:
        return None

    def text(value: float | None) -> Cell:
        return Cell("-" if value is None else f"{100 * value:.2f}")

    def cells(row: Row) -> tuple[Cell, ...]:
        pairs = [(row.claimed.get(metric.key), row[metric.key]) for metric in metrics]
        return (Cell(row.method, name=True), Cell(row.state), *(text(value) for pair in pairs for value in pair))

    return Table(
        columns=("method", "state", *["claimed", "scored"] * len(metrics)),
        parts=(tuple(cells(row) for row in rows),),
        align="ll" + "rr" * len(metrics),
        groups=(("", 2), *((metric.title, 2) for metric in metrics)),
    )


def place(row: Row) -> str:
    """Return the first cell of a row: its rank, ``ref`` or a dash."""
    return str(row.rank) if row.rank is not None else "ref" if row.reference else "-"


def best(board: Board) -> set[tuple[str, str]]:
    """Return the (method, metric) pairs that hold the best value of a core metric among ranked rows."""
    ranked = [row for row in board.rows if row.rank is not None]
    found = set()
    for metric in board_metrics():
        values = [row[metric.key] for row in ranked]
        if metric.family == "core" and metric.unit == PERCENT and len(values) > 1 and None not in values:
            found |= {(row.method, metric.key) for row in ranked if row[metric.key] == max(values)}
    return found


def why_empty(row: Row, metric: Metric) -> str:
    """Return why a row has no value of a metric; empty where it has one."""
    if row[metric.key] is not None:
        return ""
    return metric.empty if row.runs else "none of its runs counts"


def has_states(board: Board) -> bool:
    """Return whether the board has committed rows, each of which has a state."""
    return any(row.state for row in board.rows)


def _empty(row: Row) -> str:
    found = [
        (metric.title, why_empty(row, metric))
        for metric in board_metrics()
        if metric.column == ALWAYS and metric.unit != LETTERS
    ]
    return "; ".join(f"{title}: {reason}" for title, reason in found if reason)
