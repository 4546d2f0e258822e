"""What figures show, in words: alternative texts for readers who do not see them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from adu_bench.leaderboard.board import Board, Row
from adu_bench.metrics.measures import METRICS
from adu_bench.report.figures import depth, domains, sweeps
from adu_bench.report.figures.common import complete, listed, percent, ranked, scores_of
from adu_bench.report.printing import in_order, name_of


def tradeoff_words(rows: Sequence[Row]) -> str:
    """Say which methods lie where in the plane of For and Mem."""
    ends = [f"{METRICS[key].title} is highest for {_best(rows, key)}" for key in ("mem", "for")]
    return (
        f"Scatter plot of {len(rows)} methods by For (horizontal) and Mem (vertical). {ends[0]}, {ends[1]}. "
        f"{_highest(rows)}"
    )


def depth_words(board: Board) -> str:
    """Say which methods are deep, and which of them answer well."""
    rows, found = depth.shown(board), board.forgetting
    assert found is not None
    depths = {row.method: one.estimate.value for row in rows if (one := found.of(row.method, "depth")) is not None}
    low, high = min(depths, key=depths.__getitem__), max(depths, key=depths.__getitem__)
    return (
        f"Scatter plot of {len(rows)} methods by depth (horizontal) and mean of H (vertical). Depth runs from "
        f"{percent(depths[low])} ({name_of(low)}) to {percent(depths[high])} ({name_of(high)}). {_highest(rows)}"
    )


def intervals_words(board: Board) -> str:
    """Say in which order the methods stand."""
    rows = in_order(complete(board))
    means = listed([f"{name_of(row.method)} {percent(row['h_mean'])}" for row in rows])
    return f"One line per method with its mean of H, its interval and its single tasks, from top to bottom: {means}."


def profile_words(board: Board) -> str:
    """Say which H half of each method's runs reach."""
    rows = ranked(board)
    found = scores_of(board, rows)
    medians = [f"{name_of(row.method)} {percent(float(np.median(found.values[at])))}" for at, row in enumerate(rows)]
    return f"Falling step lines, one per ranked method. Half of the runs reach an H of: {listed(medians)}."


def domains_words(board: Board) -> str:
    """Say how far accuracy falls on forgotten and on other domains, for each method."""
    before, after = domains.accuracies(board, "accuracy_before"), domains.accuracies(board)
    said = []
    for method in domains.shown(board):
        first, rest = before.loc[method].mean(), after.loc[method]
        drops: dict[bool, list[float]] = {True: [], False: []}
        for task, line in rest.iterrows():
            for domain, value in line.items():
                drops[domain in board.forget[str(task)]].append(first[domain] - value)
        gone, kept = (percent(-float(np.nanmean(drops[forgotten])), signed=True) for forgotten in (True, False))
        said.append(
            f"that of {name_of(method)} changes by {gone} points on forgotten domains and by {kept} on the others"
        )
    return f"One heat map of accuracy per method, forget sets by domains. Mean accuracy: {listed(said)}."


def embedding_words(sets: Mapping[str, np.ndarray], forget: Sequence[str]) -> str:
    """Say what the clouds of features are of."""
    count = len(next(iter(sets.values())))
    return (
        f"{len(sets)} clouds of {count:,} points, one panel for each of "
        f"{listed([name_of(method) for method in sets])}; a point is a test image, its colour the domain; "
        f"{listed(list(forget))} {'is' if len(forget) == 1 else 'are'} to be forgotten."
    )


def attention_words(methods: Sequence[str], images: Sequence[str], forget: Sequence[str]) -> str:
    """Say what the grid of maps has in its rows and columns."""
    return (
        f"A grid of heat maps over {len(images)} test images: the first rows show the images and zero-shot CLIP, the "
        f"next ones {listed([name_of(method) for method in methods])} after forgetting {listed(list(forget))}."
    )


def sweep_words(points: pd.DataFrame, variables: Sequence[str]) -> str:
    """Say how the mean of H changes from the first to the last value of each variable."""
    said = []
    for variable in variables:
        for method, own in sweeps.usable(points, variable).groupby("method", sort=False):
            first, last = own.iloc[0], own.iloc[-1]
            said.append(
                f"{name_of(str(method))} goes from {percent(first['h_mean'])} at {variable} {first['value']} to "
                f"{percent(last['h_mean'])} at {last['value']}"
            )
    return f"Lines of the mean of H: {'; '.join(said)}."


def cost_words(board: Board) -> str:
    """Say what the best methods cost."""
    rows = complete(board)
    dearest = max(rows, key=lambda row: row["seconds"] or 0)
    largest = max(rows, key=lambda row: row["trainable_parameters"] or 0)
    return (
        f"Two scatter plots of {len(rows)} methods: mean of H over training time and over trained parameters. "
        f"{name_of(dearest.method)} trains longest ({dearest['seconds'] or 0:.1f} s), "
        f"{name_of(largest.method)} trains the most parameters ({largest['trainable_parameters'] or 0:,.0f}). "
        f"{_highest(rows)}"
    )


def _best(rows: Sequence[Row], key: str) -> str:
    return name_of(max(rows, key=lambda row: row[key]).method)


def _highest(rows: Sequence[Row]) -> str:
    """Name the method with the highest mean of H, and the best ranked one where that is a reference."""
    best = max(rows, key=lambda row: row["h_mean"] or 0)
    own = [row for row in rows if row.rank is not None]
    more = f", of ranked methods {_best(own, 'h_mean')}" if own and best.rank is None else ""
    return f"{name_of(best.method)} has the highest mean of H{more}."
