"""Boards as one web page that loads nothing; its template, style and script are in resources/web."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from adu_bench.core.groups import GROUPS
from adu_bench.core.words import counted
from adu_bench.leaderboard.board import Board, Row
from adu_bench.leaderboard.published import has_paper
from adu_bench.metrics.frame import Scorable
from adu_bench.metrics.measures import METRICS
from adu_bench.metrics.metric import DOWN, INTERVAL, LETTERS, Metric
from adu_bench.report.style import look
from adu_bench.report.tables.board import (
    ABOUT,
    INTERVALS,
    absent_text,
    best,
    board_csv,
    board_json,
    has_states,
    place,
    shown_metrics,
    why_empty,
)
from adu_bench.report.tables.paper import paper_legend, paper_table
from adu_bench.report.tables.settings import HEADING, settings_lines
from adu_bench.report.templates import environment, policy, resource
from adu_bench.report.web.columns import METHOD, RANK, Column, sections
from adu_bench.report.web.details import Cards, Details
from adu_bench.report.web.forgetting import forgetting_panel
from adu_bench.report.web.links import Link, download, page_links, suite_links
from adu_bench.report.web.scatter import scatter

_BEFORE = (
    RANK,
    METHOD,
    Column(
        "group",
        "family",
        "; ".join(f"{group}: {what}" for group, what in GROUPS.items()),
        "family",
        "ascending",
    ),
)
_AFTER = (Column("runs", "runs", "finished runs that count"),)
_HEADLINE = ("h_mean", "h_interval", "letters")
"""The metrics that the ranking rests on come first."""


def web_page(boards: Sequence[Board], cards: Cards, folder: Path | None = None) -> str:
    """Return boards as one HTML page.

    Parameters
    ----------
    boards
        One per suite.
    cards
        Cards of the methods, by preset.
    folder
        The folder of the rows, if the page will be in it: then it links to the rows' files, and to what is beside the
        folder in a copy of the repository.

    Returns
    -------
    str
        The same text for the same boards.  Everything but the project's own template is escaped, and a content
        security policy allows the page's own style and script only.
    """
    panels = [panel for board in boards for panel in _panels(board, cards, folder)]
    style, script = resource("web/base.css") + resource("web/page.css"), resource("web/page.js")
    template = environment("web").get_template("page.html")
    return template.render(
        title="Leaderboard" if len(boards) > 1 else f"{boards[0].suite}: leaderboard",
        policy=policy(style, script),
        style=Markup(style),
        script=Markup(script),
        suites=[board.suite for board in boards],
        sizes=sorted({size for board in boards for size in _sizes(board)}),
        families=list(dict.fromkeys(row["family"] for panel in panels for row in _rows(panel))),
        columns=list({(each.title, each.note): each for panel in panels for each in panel["columns"]}.values()),
        choosable=list({each.name: each for panel in panels for each in panel["columns"][2:]}.values()),
        methods=list(dict.fromkeys(row["method"] for panel in panels for row in _rows(panel))),
        links=page_links(folder),
        panels=panels,
        states=any(has_states(board) for board in boards),
        warnings=_warnings(boards),
        settings=HEADING,
        about=ABOUT,
        runs=len({run.key for board in boards for run in board.runs}),
    )


def _warnings(boards: Sequence[Board]) -> list[str]:
    """Return each board's warning, with the suites that it is about."""
    found: dict[str, list[str]] = {}
    for board in boards:
        if board.warning:
            found.setdefault(board.warning, []).append(board.suite)
    return [f"{', '.join(suites)}: {warning}" for warning, suites in found.items()]


def _panels(board: Board, cards: Cards, folder: Path | None) -> Iterator[dict[str, Any]]:
    """Yield the tables of a suite: all tasks, each number of forgotten domains, methods with a smaller block.

    What audits say of the methods of a table follows it.
    """
    sizes = _sizes(board)
    only = [str(size) for size in sizes] if len(sizes) == 1 else []
    tables = [(board, ["all", *only], "" if only else "all tasks")]
    tables += [
        (part, [str(size)], f"{size} forgotten") for size, part in board.sizes.items() if size in sizes and not only
    ]
    if board.part is not None:
        own = [str(size) for size in _sizes(board.part)]
        tables.append((board.part, ["all", *(own if len(own) == 1 else [])], "ablations"))
    links = suite_links(board, folder)
    for part, views, heading in tables:
        yield _panel(board, part, views, heading, cards, links, folder is not None)
        if part.forgetting is not None:
            yield forgetting_panel(part, views, heading)


def _panel(
    whole: Board, board: Board, views: list[str], heading: str, cards: Cards, links: Sequence[Link], files: bool
) -> dict[str, Any]:
    keys = set(board.frame["key"])
    runs = [run for run in whole.runs if run.key in keys]
    metrics = sorted(shown_metrics(board), key=lambda metric: metric.key not in _HEADLINE)
    columns = [*_BEFORE, *map(_column, metrics), *_AFTER]
    details = Details(board, runs, cards, f"{quote(whole.suite)}/" if files else "")
    rows = [_row(row, board, columns, metrics, details) for row in board.rows]
    block = f"{counted(len(board.tasks), 'task')} x {counted(len(board.seeds), 'seed')}"
    letters = any(row["letters"] for row in board.rows)
    name = " ".join(filter(None, (board.suite, heading))).replace(" ", "-")
    for row in rows:
        # The target of links to the row; quoted, since names may contain characters that identifiers may not.
        row["id"] = quote("/".join(filter(None, (board.suite, "" if board is whole else heading, row["method"]))))
    return {
        "id": quote(f"{board.suite}/{heading}"),
        "suite": board.suite,
        "views": views,
        "heading": heading,
        "block": f"{board.title}. Complete rows have {block}.{f' {INTERVALS}' * letters}",
        "made": _made(board, runs),
        "absent": absent_text(board),
        "links": [
            *(links if board is whole else ()),
            download("CSV", board_csv(board), f"{name}.csv", "text/csv"),
            download("JSON", board_json(board), f"{name}.json", "application/json"),
        ],
        "scatter": scatter(board),
        "columns": columns,
        "domains": details.domains,
        "sections": sections(rows),
        "row_ids": {row["method"]: row["id"] for row in rows},
        "settings": list(settings_lines(board)),
        "paper": _paper(board) if board is whole else None,
    }


def _made(board: Board, runs: Sequence[Scorable]) -> str:
    """Return with what and when the runs of a board were made."""
    days = sorted(run.finished[:10] for run in runs if run.finished)
    when = f", finished {days[0]}{f' to {days[-1]}' if days[-1] != days[0] else ''}" if days else ""
    return f"Protocol {board.common.protocol}, {board.common.backbone.name}, {counted(len(runs), 'run')}{when}."


def _column(metric: Metric) -> Column:
    kind = "headline" if metric.key == "h_mean" else "letters" if metric.unit == LETTERS else "number"
    ascending = metric.direction == DOWN or metric.unit == LETTERS
    first = "ascending" if ascending else "descending"
    return Column(metric.key, metric.title, metric.explanation, kind, first, metric.priority > 1)


def _row(
    row: Row, board: Board, columns: Sequence[Column], metrics: Sequence[Metric], details: Details
) -> dict[str, Any]:
    drawn = look(row.method, row.group)
    return {
        "kind": row.kind,
        "family": row.group,
        "method": row.method,
        "state": row.state,
        "reason": row.reason,
        "cells": list(_cells(row, board, columns, metrics)),
        "colour": drawn.colour,
        "filled": drawn.filled,
        **details.of(row),
    }


def _cells(row: Row, board: Board, columns: Sequence[Column], metrics: Sequence[Metric]) -> Iterator[dict[str, Any]]:
    labels: dict[str, tuple[str, Any]] = {
        "rank": (place(row), row.rank),
        "method": (row.method, row.method),
        "group": (row.group, row.group),
        "runs": (str(row.runs), row.runs),
    }
    by_key, bold = {metric.key: metric for metric in metrics}, best(board)
    for column in columns:
        if column.name in labels:
            text, value = labels[column.name]
            why = ""
        else:
            metric = by_key[column.name]
            text, value = metric.text(row[metric.key]), _sorted_by(metric, row[metric.key])
            text = text.replace("-", "\N{EN DASH}") if metric.unit == INTERVAL else text
            why = why_empty(row, metric)
        yield {
            "column": column,
            "text": text,
            "value": "" if value is None else value,
            "why": why,
            "best": (row.method, column.name) in bold,
            "bar": _bar(row) if column.kind == "headline" else None,
            "beside": _beside(row) if column.kind == "headline" else "",
        }


def _sorted_by(metric: Metric, value: Any) -> str | float | None:
    """Return the value that a cell is sorted by; for an interval its lower end."""
    own = value[0] if metric.unit == INTERVAL and value is not None else value
    return round(own, 6) if isinstance(own, float) else own


def _beside(row: Row) -> str:
    """Return the interval and letters of a row, which narrow screens show below the mean of H."""
    interval, letters = row["h_interval"], METRICS["letters"].text(row["letters"])
    text = METRICS["h_interval"].text(interval) if interval is not None else ""
    return f"{text} {letters}".strip()


def _bar(row: Row) -> dict[str, float] | None:
    """Return the mean of H and its interval as positions from 0 to 100."""
    mean = row["h_mean"]
    if mean is None:
        return None
    low, high = row["h_interval"] or (mean, mean)
    return {"low": round(100 * low, 1), "mean": round(100 * mean, 1), "width": round(100 * (high - low), 1)}


def _paper(board: Board) -> dict[str, Any] | None:
    """Return the paper's numbers beside the board's; None where the paper has none."""
    return {"legend": paper_legend(board), "table": paper_table(board)} if has_paper(board) else None


def _sizes(board: Board) -> list[int]:
    """Return the numbers of forgotten domains that occur among the runs."""
    return sorted(set(board.frame["forget"]))


def _rows(panel: dict[str, Any]) -> list[dict[str, Any]]:
    return [row for section in panel["sections"] for row in section["rows"]]
