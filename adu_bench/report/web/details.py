"""The details below a row of the web page: accuracy by domain, the method's card, its runs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from adu_bench.core.specs import forget_name
from adu_bench.leaderboard.board import Board, Row
from adu_bench.metrics.frame import Scorable
from adu_bench.metrics.measures import METRICS
from adu_bench.report.web.links import paper_address

Cards = Mapping[str, Mapping[str, Any]]
"""The cards of methods, by preset."""


class Details:
    """The details of the rows of a board.

    Parameters
    ----------
    board
        The board.
    runs
        Its finished runs.
    cards
        Cards by preset.
    folder
        The folder of the rows' files, relative to the page; no links if empty.
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
            "summary": "domains, card and runs",
            "heat": list(self._heat(method)),
            "attacks": [],
            "card": [*_card(self.cards.get(method.partition("[")[0], {}), runs), *_claims(row)],
            "runs": [
                {"task": run.spec.task.name, "seed": run.spec.seed, "date": run.finished[:10], "key": run.key}
                for run in runs
            ],
            "file": f"{self.folder}{quote(method)}.json" if self.folder else "",
        }

    def _heat(self, method: str) -> Iterator[dict[str, Any]]:
        """Yield the lines of a heat map: zero-shot CLIP, and each forget set."""
        tasks = [task for task in self.board.tasks if (method, "h", task) in self.means]
        old: dict[str, float | None] = {}
        for domain in self.domains:
            found = [
                self.means[key] for task in tasks if (key := (method, f"accuracy_before:{domain}", task)) in self.means
            ]
            old[domain] = math.fsum(found) / len(found) if found else None
        if any(value is not None for value in old.values()):
            cells = [_heat_cell(old[domain]) for domain in self.domains]
            yield {"forget": ["before"], "before": True, "cells": cells}
        for task in tasks:
            cells = []
            for domain in self.domains:
                now = self.means.get((method, f"accuracy:{domain}", task))
                cells.append(_heat_cell(now, old[domain], domain in self.board.forget[task]))
            # Quoted as in the task's name, one by one, so that lines may break between domains.
            yield {"forget": [forget_name([one]) for one in self.board.forget[task]], "before": False, "cells": cells}


def _heat_cell(value: float | None, before: float | None = None, gone: bool = False) -> dict[str, Any]:
    if value is None:
        return {"text": "-", "shade": "none", "change": "", "gone": gone}
    change = f"{100 * (value - before):+.0f}".replace("-", "\N{MINUS SIGN}") if before is not None else ""
    return {"text": f"{100 * value:.0f}", "shade": f"s{round(20 * value)}", "change": change, "gone": gone}


def _card(card: Mapping[str, Any], runs: Sequence[Scorable]) -> Iterator[tuple[str, str, str]]:
    """Yield a method's card and hyper-parameters as (name, text, link); the link may be empty."""
    for name in ("title", "authors", "year", "paper", "licence", "notes"):
        text = str(card.get(name, ""))
        if text not in ("", "-", "none"):
            yield name, text, paper_address(text)
    # Every run of a row has the same fields, since the plan of a suite gives them.
    fields = runs[0].spec.method.fields if runs else ()
    if fields:
        yield "fields", ", ".join(f"{name} {value}" for name, value in fields), ""


def _claims(row: Row) -> Iterator[tuple[str, str, str]]:
    """Yield what a row's submitter claims, as a line of its card."""
    said = [f"{METRICS[key].title} {100 * value:.2f}" for key, value in row.claimed.items() if key in METRICS]
    if said:
        yield "claimed", f"{', '.join(said)}; the table shows what the predictions give", ""
