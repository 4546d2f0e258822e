"""The paper's published numbers, and a board beside them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import comb
from typing import Any

import pandas as pd
import yaml

from adu_bench.core.paths import RESOURCES
from adu_bench.core.words import counted
from adu_bench.leaderboard.board import Board, by_size
from adu_bench.metrics.evidence import harmonic

MEASURES = ("mem", "for", "h")
H_OF_MEANS, MEAN_OF_H = "H of means", "mean of H"
_ROUNDING = 0.00025
"""A published H within this of the harmonic mean of its row's Mem and For is an H of means: all have two decimals."""


@dataclass(frozen=True)
class Claim:
    """A published row: claimed by its authors, not computed again here.

    Parameters
    ----------
    forget
        Number of forget domains.
    title, method
        The paper's name of the method, and the preset that corresponds to it here.
    mem, for_, h
        Fractions.
    """

    forget: int
    title: str
    method: str
    mem: float
    for_: float
    h: float

    @property
    def convention(self) -> str:
        """The kind of H, inferred from Mem and For: the paper does not say, and its table mixes the two kinds."""
        return H_OF_MEANS if abs(self.h - harmonic(self.mem, self.for_)) < _ROUNDING else MEAN_OF_H


def claims_of(suite: str) -> list[Claim]:
    """Return the published rows of a suite, in the paper's order; empty where the paper has none."""
    document = _document()
    rows = [dict(zip(document["columns"], row, strict=True)) for row in document["suites"].get(suite, [])]
    return [
        Claim(
            forget=row["forget"],
            title=row["method"],
            method=document["methods"][row["method"]],
            mem=row["mem"] / 100,
            for_=row["for"] / 100,
            h=row["h"] / 100,
        )
        for row in rows
    ]


def claimed_suites() -> tuple[str, ...]:
    """Return the suites for which the paper has numbers."""
    return tuple(_document()["suites"])


def has_paper(board: Board) -> bool:
    """Return whether the paper has numbers for the board's suite."""
    return board.suite in claimed_suites()


def source() -> str:
    """Return the source of the published rows and how they were made, as a sentence."""
    return f"Paper: {_document()['source']}; {_document()['setting']}."


def beside_paper(board: Board) -> pd.DataFrame:
    """Compare a board with the paper's rows of its suite; each H is compared with the H of the same kind.

    Returns
    -------
    DataFrame
        One row per published row: forget, method, title, convention; ``paper_X``, ``here_X`` and ``difference_X`` for X
        in mem, for and h (fractions; NaN where there is nothing); note, which says why, or which runs are missing.
    """
    own = by_size(board).set_index(["method", "forget"]) if len(board.frame) else pd.DataFrame()
    rows = []
    for claim in claims_of(board.suite):
        paper = {"mem": claim.mem, "for": claim.for_, "h": claim.h}
        missing, note = _missing(board, claim)
        here = dict.fromkeys(MEASURES, float("nan"))
        if not missing:
            found = own.loc[(claim.method, claim.forget)]
            which = "h_of_means" if claim.convention == H_OF_MEANS else "h_mean"
            here = {"mem": found["mem"], "for": found["for"], "h": found[which]}
        row: dict[str, Any] = {"forget": claim.forget, "method": claim.method, "title": claim.title}
        row["convention"] = claim.convention
        for name in MEASURES:
            row |= {f"paper_{name}": paper[name], f"here_{name}": here[name]}
            row[f"difference_{name}"] = here[name] - paper[name]
        rows.append({**row, "note": note})
    return pd.DataFrame(rows)


def conditions(board: Board) -> str:
    """Return the conditions of the board's own numbers, for comparison with the paper's."""
    spec = board.common
    return f"Here: {spec.backbone.name}, {spec.task.shots} shots, {counted(len(board.seeds), 'seed')}."


def _missing(board: Board, claim: Claim) -> tuple[bool, str]:
    """Return whether there is nothing to compare a claim with, and a note."""
    tasks = [task for task in board.tasks if len(board.forget[task]) == claim.forget]
    whole = comb(len(board.common.task.domains), claim.forget)
    frame = board.frame
    own = frame[(frame["method"] == claim.method) & (frame["forget"] == claim.forget)]
    done, planned = own["key"].nunique(), len(tasks) * len(board.seeds)
    if not done:
        return True, "not run"
    if done < planned:
        return True, f"{done} of {planned} runs"
    return False, f"{len(tasks)} of {whole} forget sets" if len(tasks) < whole else ""


@cache
def _document() -> dict[str, Any]:
    return yaml.safe_load((RESOURCES / "claims" / "kawamura2025.yaml").read_text(encoding="utf-8"))
