"""What audits found, on the terminal: one table per audit."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from rich.console import Console

from adu_bench.audits.audit import AuditCard
from adu_bench.report.tables.table import Cell, Table
from adu_bench.report.terminal.boards import print_table


def print_audits(rows: pd.DataFrame, cards: Sequence[AuditCard], console: Console) -> None:
    """Print one table per audit, with its question and one line per method.

    Parameters
    ----------
    rows
        See `adu_bench.audits.results.audit_rows`.
    cards
        The cards of the audits.
    console
        Where to print.
    """
    for card in cards:
        means = summary(rows, card)
        shown = [metric for metric in card.metrics if metric.name in means]
        if not shown:
            continue
        body = tuple(
            (Cell(str(method)), *(Cell(metric.text(row[metric.name])) for metric in shown))
            for method, row in means.iterrows()
        )
        table = Table(("method", *(metric.column for metric in shown)), (body,), "l" + "r" * len(shown))
        print_table(console, table, f"{card.name}: {card.question}")


def summary(rows: pd.DataFrame, card: AuditCard) -> pd.DataFrame:
    """Average the metrics of an audit that tables show.

    Returns
    -------
    DataFrame
        One row per method (the index), one column per metric that has results: the mean over seeds, then over tasks.
    """
    names = [metric.name for metric in card.metrics if metric.column]
    own = rows[(rows["audit"] == card.name) & rows["metric"].isin(names)]
    by_task = own.groupby(["method", "metric", "task"], sort=False)["value"].mean()
    means = by_task.groupby(["method", "metric"], sort=False).mean().unstack("metric")
    return means.reindex(index=own["method"].unique(), columns=[name for name in names if name in set(own["metric"])])
