"""Boards as one self-contained web page that loads nothing; its template, style and script are in resources/web."""

from __future__ import annotations

import base64
import hashlib
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from adu_bench.core.paths import RESOURCES
from adu_bench.leaderboard.board import Board, Row
from adu_bench.leaderboard.published import MEASURES, beside_paper
from adu_bench.metrics.frame import Scorable
from adu_bench.metrics.measures import DOWN, METRICS, NEITHER, UP
from adu_bench.report.style import look
from adu_bench.report.tables.board import best, cells_of, has_states, place, row_class, why_empty
from adu_bench.report.tables.paper import KINDS, TITLES, has_paper, paper_cells, paper_legend
from adu_bench.report.templates import environment
from adu_bench.report.web.ranks import rank_picture

Cards = Mapping[str, Mapping[str, Any]]
"""What methods say about themselves, by preset."""

AUDIT = "audit"
"""The family of metrics that become columns when a board has them."""


@dataclass(frozen=True)
class Column:
    """A column of the page's tables.

    Parameters
    ----------
    name
        Field of `Row`, or name of a metric.
    title, note
        Heading, and what it means.
    kind
        Style: ``rank``, ``method``, ``family``, ``letters``, ``headline`` (a number with a bar) or ``number``.
    first
        Which way it is sorted first: ``ascending`` or ``descending``.
    wide
        Whether narrow screens show it in the row's details only.
    spoken
        What a screen reader says after the title, where that is not enough by itself.
    """

    name: str
    title: str
    note: str
    kind: str = "number"
    first: str = "descending"
    wide: bool = True
    spoken: str = ""


COLUMNS = (
    Column("rank", "rank", "Place by mean of H among complete methods.", "rank", "ascending", False),
    Column("method", "method", "Press a name for its domains, card and runs.", "method", "ascending", False),
    Column("group", "family", "paper: published; ablation: a part left out; reference: bounds.", "family", "ascending"),
    Column("h_mean", "mean of H", "H, the harmonic mean of Mem and For, averaged.", "headline", wide=False),
    Column(
        "interval",
        "95 % interval",
        "Of mean of H on other domains (Student's t), bar between 0 and 100; needs three.",
    ),
    Column(
        "letters",
        "letters",
        "Ranked methods that share one cannot be told apart on other domains (t over domains, Holm, 5 %).",
        "letters",
        "ascending",
        spoken=": methods that share one cannot be told apart",
    ),
    Column("mem", "Mem", "Accuracy on the domains to keep.", wide=False),
    Column("for_", "For", "Error rate on the domains to forget.", wide=False),
    Column("h_of_means", "H of means", "Harmonic mean of the columns Mem and For; papers use either."),
    Column("normalised_forgetting", "forgot", "Share of zero-shot skill over chance that is gone."),
    Column("domain_probe", "probe", "Accuracy of a linear probe for the domain on the features.", first="ascending"),
    Column("parameters", "parameters", "Trained parameters.", first="ascending"),
    Column("seconds", "s", "Training time in seconds.", first="ascending"),
    Column("runs", "runs", "Finished runs that count."),
)

_FIRST = {UP: "descending", DOWN: "ascending", NEITHER: "descending"}
"""Which way a metric is sorted first, by its direction."""

_SECTIONS = {
    "ranked": "",
    "reference": "References: bounds and controls, without rank",
    "unranked": "Without rank: the block is not complete",
}


def web_page(boards: Sequence[Board], cards: Cards, files: bool = False) -> str:
    """Return boards as one HTML page.

    Parameters
    ----------
    boards
        One a suite.
    cards
        Cards of the methods, by preset.
    files
        Whether the page will stand in the folder of the rows, and may link to them.

    Returns
    -------
    str
        The same text for the same boards.  Everything but the project's own template is escaped, and a content
        security policy allows the page's own style and script only.
    """
    panels = [panel for board in boards for panel in _panels(board, cards, files)]
    style, script = (_resource(name) for name in ("page.css", "page.js"))
    template = environment("web").get_template("page.html")
    return template.render(
        title="Leaderboard" if len(boards) > 1 else f"{boards[0].suite}: leaderboard",
        policy=_policy(style, script),
        style=Markup(style),
        script=Markup(script),
        suites=[board.suite for board in boards],
        sizes=sorted({size for board in boards for size in _sizes(board)}),
        families=list(dict.fromkeys(row["family"] for panel in panels for row in _rows(panel))),
        columns=list(dict.fromkeys(column for panel in panels for column in panel["columns"] if column.title)),
        panels=panels,
        states=any(has_states(board) for board in boards),
        runs=len({run.key for board in boards for run in board.runs}),
    )


def _panels(board: Board, cards: Cards, files: bool) -> Iterator[dict[str, Any]]:
    """Describe the tables of a suite: all tasks, each number of forgotten domains, methods with a smaller block."""
    sizes = _sizes(board)
    only = [str(size) for size in sizes] if len(sizes) == 1 else []
    yield _panel(board, board, ["all", *only], "" if only else "all tasks", cards, files)
    for size, part in board.sizes.items():
        if size in sizes and not only:
            yield _panel(board, part, [str(size)], f"{size} forgotten", cards, files)
    if board.part is not None:
        own = [str(size) for size in _sizes(board.part)]
        yield _panel(board, board.part, ["all", *(own if len(own) == 1 else [])], "ablations", cards, files)


def _panel(whole: Board, board: Board, views: list[str], heading: str, cards: Cards, files: bool) -> dict[str, Any]:
    keys = set(board.frame["key"])
    runs = [run for run in whole.runs if run.key in keys]
    columns = [*COLUMNS, *_audits(board)]
    details = _Details(board, runs, cards, f"{quote(whole.suite)}/" if files else "")
    rows = [_row(row, board, columns, details) for row in board.rows]
    sections = [
        {"heading": title, "rows": [row for row in rows if row["kind"] == kind]} for kind, title in _SECTIONS.items()
    ]
    tasks, seeds = len(board.tasks), len(board.seeds)
    for row in rows:
        # What a link to a row says; quoted, since a name may hold what no identifier may.
        row["id"] = quote("/".join(filter(None, (board.suite, "" if board is whole else heading, row["method"]))))
    return {
        "id": quote(f"{board.suite}/{heading}"),
        "suite": board.suite,
        "views": views,
        "heading": heading,
        "block": f"{board.title}. A complete block is {tasks} task{'s' * (tasks != 1)} x {seeds} "
        f"seed{'s' * (seeds != 1)}.{_told_apart(board)}{' ' * bool(board.caveat)}{board.caveat}",
        "columns": columns,
        "domains": details.domains,
        "sections": [section for section in sections if section["rows"]],
        "ranks": rank_picture(whole, board),
        "paper": _paper(board) if board is whole else None,
    }


def _told_apart(board: Board) -> str:
    """Say what the letters of a board mean; nothing where it has none."""
    found = [row.letters for row in board.rows if row.letters]
    if not found:
        return ""
    if set.intersection(*map(set, found)):
        return " No two ranked methods can be told apart on other domains, so all share a letter."
    return " Ranked methods that share a letter cannot be told apart on other domains."


def _row(row: Row, board: Board, columns: Sequence[Column], details: _Details) -> dict[str, Any]:
    drawn = look(row.method, row.group)
    return {
        "kind": row_class(row),
        "family": row.group,
        "method": row.method,
        "state": row.state,
        "reason": row.reason,
        "cells": list(_cells(row, board, columns, details)),
        "colour": drawn.colour,
        "filled": drawn.filled,
        **details.of(row),
    }


def _cells(row: Row, board: Board, columns: Sequence[Column], details: _Details) -> Iterator[dict[str, Any]]:
    texts = {name: text.replace("-", "\N{EN DASH}") for name, text in cells_of(row)}
    texts |= {"rank": place(row), "method": row.method, "group": row.group, "runs": str(row.runs)}
    texts["letters"] = row.letters
    bold = best(board)
    for column in columns:
        if column.name in texts:
            text, value = texts[column.name], _value(row, column.name)
            why = "" if text else _no_letter(row) if column.name == "letters" else why_empty(row, column.name)
        else:
            text, value = details.audit(row.method, column.name)
            why = "" if text else "not measured"
        yield {
            "column": column,
            "text": text,
            "value": "" if value is None else value,
            "why": why,
            "best": (row.method, column.name) in bold,
            "bar": _bar(row) if column.kind == "headline" else None,
        }


def _no_letter(row: Row) -> str:
    return "nothing to tell it apart by" if row.rank is not None else "not ranked"


def _value(row: Row, name: str) -> str | float | None:
    """Return what a cell is sorted by."""
    value = getattr(row, "h_low" if name == "interval" else name)
    return round(value, 6) if isinstance(value, float) else value


def _bar(row: Row) -> dict[str, float] | None:
    """Return an interval as positions from 0 to 100."""
    if row.h_mean is None:
        return None
    low, high = (row.h_mean if end is None else end for end in (row.h_low, row.h_high))
    return {"low": round(100 * low, 1), "mean": round(100 * row.h_mean, 1), "width": round(100 * (high - low), 1)}


class _Details:
    """What unfolds below the rows of a board.

    Parameters
    ----------
    board
        The board.
    runs
        Its finished runs.
    cards
        Cards by preset.
    folder
        Where the rows' files are, as seen from the page; empty for no links.
    """

    def __init__(self, board: Board, runs: Sequence[Scorable], cards: Cards, folder: str) -> None:
        self.board, self.cards, self.folder = board, cards, folder
        self.runs = sorted(runs, key=lambda run: (board.tasks.index(run.spec.task.name), run.spec.seed))
        self.domains = list(dict.fromkeys(domain for run in runs for domain in run.spec.task.domains))
        labels = board.frame.groupby("key")["method"].first().to_dict()
        self.methods = {run.key: labels[run.key] for run in runs}
        self.means = board.frame.groupby(["method", "metric", "task"])["value"].mean().to_dict()

    def of(self, row: Row) -> dict[str, Any]:
        """Return a method's heat map, card, runs and file."""
        method = row.method
        runs = [run for run in self.runs if self.methods[run.key] == method]
        return {
            "heat": list(self._heat(method)),
            "card": [*_card(self.cards.get(method.partition("[")[0], {}), runs), *_claims(row)],
            "runs": [
                {"task": run.spec.task.name, "seed": run.spec.seed, "date": run.finished[:10], "key": run.key}
                for run in runs
            ],
            "file": f"{self.folder}{quote(method)}.json" if self.folder else "",
        }

    def audit(self, method: str, metric: str) -> tuple[str, float | None]:
        """Return a method's mean of a metric over tasks as text and number; nothing where it has none."""
        found = self._mean(method, metric)
        return ("", None) if found is None else (f"{100 * found:.1f}", round(found, 6))

    def _mean(self, method: str, metric: str) -> float | None:
        found = [self.means[key] for task in self.board.tasks if (key := (method, metric, task)) in self.means]
        return math.fsum(found) / len(found) if found else None

    def _heat(self, method: str) -> Iterator[dict[str, Any]]:
        """Describe the lines of a heat map: zero-shot CLIP, and each forget set."""
        tasks = [task for task in self.board.tasks if (method, "h", task) in self.means]
        old: dict[str, float | None] = {}
        for domain in self.domains:
            found = [
                self.means[key] for task in tasks if (key := (method, f"accuracy_before:{domain}", task)) in self.means
            ]
            old[domain] = math.fsum(found) / len(found) if found else None
        if any(value is not None for value in old.values()):
            yield {"task": "before", "before": True, "cells": [_heat_cell(old[domain]) for domain in self.domains]}
        for task in tasks:
            cells = []
            for domain in self.domains:
                now = self.means.get((method, f"accuracy:{domain}", task))
                cells.append(_heat_cell(now, old[domain], domain in self.board.forget[task]))
            yield {"task": task, "before": False, "cells": cells}


def _heat_cell(value: float | None, before: float | None = None, gone: bool = False) -> dict[str, Any]:
    if value is None:
        return {"text": "-", "shade": "none", "change": "", "gone": gone}
    change = f"{100 * (value - before):+.0f}".replace("-", "\N{MINUS SIGN}") if before is not None else ""
    return {"text": f"{100 * value:.0f}", "shade": f"s{round(20 * value)}", "change": change, "gone": gone}


def _card(card: Mapping[str, Any], runs: Sequence[Scorable]) -> Iterator[tuple[str, str, str]]:
    """Yield a method's card as (name, text, link or nothing), and its hyper-parameters."""
    for name in ("title", "authors", "year", "paper", "licence", "notes"):
        text = str(card.get(name, ""))
        if text not in ("", "-", "none"):
            number = re.fullmatch(r"arXiv:(\d{4}\.\d{4,5})", text)
            yield name, text, f"https://arxiv.org/abs/{number[1]}" if number else ""
    # Every run of a row has the same fields, since the plan of a suite gives them.
    fields = runs[0].spec.method.fields if runs else ()
    if fields:
        yield "fields", ", ".join(f"{name} {value}" for name, value in fields), ""


def _claims(row: Row) -> Iterator[tuple[str, str, str]]:
    """Yield what a row's submitter claims, as a line of its card."""
    claims = (("Mem", row.claimed_mem), ("For", row.claimed_for), ("mean of H", row.claimed_h))
    said = [f"{name} {100 * value:.2f}" for name, value in claims if value is not None]
    if said:
        yield "claimed", f"{', '.join(said)}; the table shows what the predictions give", ""


def _paper(board: Board) -> dict[str, Any] | None:
    """Describe the paper's numbers beside the board's; None where the paper has none."""
    if not has_paper(board):
        return None
    lines = [{**row, "cells": paper_cells(row)} for row in beside_paper(board).to_dict("records")]
    titles = [TITLES[name] for name in MEASURES]
    return {"legend": paper_legend(board), "titles": titles, "kinds": KINDS, "lines": lines}


def _audits(board: Board) -> list[Column]:
    """Return a column for each audit that the board's frame has."""
    return [
        Column(
            name, name.replace("_", " "), metric.title, first="ascending" if metric.direction == DOWN else "descending"
        )
        for name, metric in METRICS.items()
        if metric.family == AUDIT and (board.frame["metric"] == name).any()
    ]


def _sizes(board: Board) -> list[int]:
    """Return the numbers of forgotten domains of which there is a run."""
    return sorted(set(board.frame["forget"]))


def _rows(panel: dict[str, Any]) -> list[dict[str, Any]]:
    return [row for section in panel["sections"] for row in section["rows"]]


def _resource(name: str) -> str:
    return (RESOURCES / "web" / name).read_text(encoding="utf-8")


def _policy(style: str, script: str) -> str:
    """Return a content security policy that allows this style and this script, and no request at all."""
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (style, script)]
    return (
        f"default-src 'none'; style-src 'sha256-{hashes[0]}'; script-src 'sha256-{hashes[1]}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
