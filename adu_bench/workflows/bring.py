"""Bring predictions that were made outside adu-bench onto a board."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from adu_bench.core.errors import UserError
from adu_bench.core.yaml_files import read_yaml
from adu_bench.leaderboard.committed import suite_file
from adu_bench.leaderboard.rows import VerificationStatus, write_row
from adu_bench.registry import Catalogue
from adu_bench.submission import schemas
from adu_bench.submission.outside import from_table, read_table
from adu_bench.submission.refusal import Refused
from adu_bench.submission.submission import Submission
from adu_bench.submission.verify import check
from adu_bench.suites import keep_suite, load_suite
from adu_bench.workflows.selection import DEFAULT_SUITE

_NAME = r"(?=.{1,40}$)[a-z0-9]+([.-][a-z0-9]+)*"


def bring(
    predictions: str | Path | pd.DataFrame | Sequence[str | Path],
    suite: str = DEFAULT_SUITE,
    *,
    method: str,
    card: str | Path | Mapping[str, Any],
    out: str | Path = "leaderboards",
) -> tuple[Submission, Path]:
    """Write a claimed row from predictions that were made outside adu-bench.

    Parameters
    ----------
    predictions
        A data frame, or CSV or Parquet files: one row per task, seed and test image, with the columns image (name, path
        or SHA-256), task, seed, and either predicted (class name) or one column per class with its probability.  Of
        several files, each may be one task with one seed and then be called ``TASK.SEED.csv``.
    suite
        Name of a suite, or path of a YAML file.
    method
        The method's name on the board; no method of adu-bench may have it.
    card
        Title, authors, year, and optionally paper, licence and notes; or a YAML file with these entries.
    out
        The folder of committed rows.

    Returns
    -------
    tuple
        The submission, whose claims are the scores of its predictions, and the row's JSON file.

    Raises
    ------
    UserError
        If the name is taken, the card is incomplete, or images are unknown, doubled or missing, with their names.
    """
    _check_name(method)
    described = _card(card)
    table = predictions if isinstance(predictions, pd.DataFrame) else _read(predictions)
    submission, answers = from_table(table, load_suite(suite), method, described)
    submission = replace(submission, claimed=submission.scored())
    check(submission)
    keep_suite(suite, suite_file(Path(out), suite))
    status = VerificationStatus(submission.claimed, {}, {}, {"answers": answers})
    runs = submission.plan.runs
    return submission, write_row(Path(out), submission.suite.name, runs, submission.runs, described, status)


def _check_name(method: str) -> None:
    if not re.fullmatch(_NAME, method):
        raise UserError(
            f"'{method}' is not a name for a method.",
            "A name has up to 40 lower-case letters and digits, in parts with a dot or a hyphen between them.",
            "For example --method my-method.",
        )
    if method in Catalogue().presets:
        raise UserError(
            f"A method called '{method}' ships with adu-bench.",
            "Its row is made by running it.",
            f"Choose another name: --method {method}-outside",
        )


def _card(card: str | Path | Mapping[str, Any]) -> dict[str, Any]:
    example = "Write title: ..., authors: ..., year: 2026, one per line; paper, licence and notes are optional."
    try:
        values = read_yaml(Path(card))[0] if isinstance(card, str | Path) else dict(card)
        missing = [name for name in schemas.CARD["required"] if name not in (values or ())]
        if missing:
            raise ValueError(f"It lacks {', '.join(missing)}")
        schemas.check_schema(values, schemas.CARD, "it")
    except Refused as error:
        why = error.what.partition(": ")[2]
        raise UserError("The card cannot be used.", f"{why[0].upper()}{why[1:]}", example) from error
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        named = f" '{card}'" if isinstance(card, str | Path) else ""
        raise UserError(f"The card{named} cannot be used.", f"{why}.", example) from error
    return values


def _read(files: str | Path | Sequence[str | Path]) -> pd.DataFrame:
    paths = [Path(file) for file in ([files] if isinstance(files, str | Path) else files)]
    tables = []
    for path in paths:
        table = read_table(path)
        task, _, seed = path.stem.rpartition(".")
        if task and seed.isdecimal():
            named = {"task": task, "seed": int(seed)}
            table = table.assign(**{name: value for name, value in named.items() if name not in table})
        tables.append(table)
    return pd.concat(tables, ignore_index=True)
