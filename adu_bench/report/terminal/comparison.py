"""Comparisons of two methods, and what a comparison can detect, on the terminal and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from rich.console import Console

from adu_bench.metrics.measures import METRICS
from adu_bench.report.tables.table import Cell, Table
from adu_bench.report.terminal.boards import print_table, say
from adu_bench.stats.across import Across
from adu_bench.stats.estimates import LEVEL, Estimate
from adu_bench.stats.measured import wrong
from adu_bench.stats.paired import WILCOXON, Comparison, Difference, Test
from adu_bench.stats.power import POWER, Power

WIDTH = 112
"""Columns that the tables need; a narrower terminal wraps their lines and no number is lost."""

MANY = 10_000
"""Numbers of tasks above this are not written out: nobody will run them."""
_FOUND = f"{POWER:.0%}".replace("%", " %")


def print_comparison(found: Comparison, console: Console) -> None:
    """Print differences with intervals, the tests of H, and for each task the images on which one method is better."""
    seeds = f"{len(found.seeds)} seed{'s' * (len(found.seeds) != 1)}"
    tasks = f"{len(found.tasks)} task{'s' * (len(found.tasks) != 1)}"
    say(console, f"{found.suite}: {found.a} minus {found.b}, {tasks} x {seeds}, percentage points", style="bold")
    if found.left_out:
        say(console, f"Left out, not finished by both with every seed: {', '.join(found.left_out)}.")
    domains = found.differences[0].domains
    _print_differences(
        f"On other domains like these {domains.units} (Student's t over domains, {domains.df} degrees of freedom)",
        [(one, one.domains) for one in found.differences],
        console,
    )
    _print_differences(
        "On these tasks with other seeds (Student's t over seeds)",
        [(one, one.seeds) for one in found.differences],
        console,
    )
    whole = next(one for one in reversed(found.differences) if one.metric == "h")
    _print_tests(whole, found.caveat, console)
    _print_tasks(found, console)
    say(console, verdict(found, whole))


def print_across(a: str, b: str, found: Across, console: Console) -> None:
    """Print the difference of H on each suite, and over data sets if there are enough."""
    say(console, f"{a} minus {b}, mean of H, percentage points", style="bold")
    rows = [
        (suite, str(one.domains.tasks), *(f"{_points(own.value)} {_span(own)}" for own in (one.domains, one.seeds)))
        for suite, one in found.suites.items()
    ]
    _print_table(console, ("suite", "tasks", "other domains, 95 %", "these tasks, 95 %"), rows)
    if found.together is None:
        say(console, found.reason)
        return
    together = found.together
    say(
        console,
        f"Over {together.units} data sets, which weigh the same: {_points(together.value)} {_span(together)}, "
        f"p = {_p(together.p or 0)} (studentised bootstrap of whole data sets).",
    )


def across_record(found: Across) -> dict[str, Any]:
    """Return a comparison over several suites as plain values; differences in fractions."""
    return _plain(asdict(found))


def verdict(found: Comparison, one: Difference) -> str:
    """Return a sentence on what a difference of H shows."""
    ahead, behind = (found.a, found.b) if one.domains.value >= 0 else (found.b, found.a)
    where = "all tasks" if one.size is None else f"tasks that forget {one.size}"
    head = f"H, {where}: {ahead} is {100 * abs(one.domains.value):.1f} points ahead of {behind}; "
    here = _sure(one.seeds, "on these tasks this holds with other seeds", "other seeds could reverse it")
    beyond = _sure(one.domains, "it holds for other domains", "other domains could reverse it")
    if found.caveat and one.domains.p is not None and one.domains.p < LEVEL:
        beyond = "these tasks cannot show whether it holds for other domains"
    return f"{head}{here}, {beyond}."


def _sure(estimate: Estimate, yes: str, no: str) -> str:
    if estimate.p is None:
        return (
            "there are too few seeds to test it"
            if "seeds" in estimate.reason
            else "there are too few domains to test it"
        )
    return f"{yes if estimate.p < LEVEL else no} (p = {_p(estimate.p)})"


def _print_table(console: Console, columns: Sequence[str], rows: Sequence[Sequence[str]], title: str = "") -> None:
    """Print a table; its first column holds words, all other columns hold numbers."""
    parts = (tuple(tuple(map(Cell, row)) for row in rows),)
    print_table(console, Table(tuple(columns), parts, "l" + "r" * (len(columns) - 1)), title)


def _print_differences(title: str, shown: Sequence[tuple[Difference, Estimate]], console: Console) -> None:
    metrics = list(dict.fromkeys(one.metric for one, _ in shown))
    rows = []
    for size in dict.fromkeys(one.size for one, _ in shown):
        row = {one.metric: estimate for one, estimate in shown if one.size == size}
        cells = [f"{_points(row[metric].value)} {_span(row[metric])}" for metric in metrics]
        rows.append(("any" if size is None else str(size), str(row["h"].tasks), *cells))
    _print_table(console, ("forgets", "tasks", *(f"{METRICS[key].title}, 95 %" for key in metrics)), rows, title)
    reasons = dict.fromkeys(estimate.reason for _, estimate in shown if estimate.reason)
    for reason in reasons:
        say(console, reason)


def _print_tests(one: Difference, caveat: str, console: Console) -> None:
    """Print the tests of H that readers expect, each with whether it is valid."""
    where = "all tasks" if one.size is None else f"tasks that forget {one.size}"
    say(console, f"Tests of H, {where}", style="bold")
    if one.domains.p is not None:
        effect = "" if one.effect is None else f", Hedges' g {one.effect:.2f}"
        say(console, f"  t over {one.domains.units} domains: p = {_p(one.domains.p)}{effect}")
        if caveat:
            say(console, f"  {caveat}")
    say(console, f"  {_test(one.apart)}")
    if one.together.n != one.apart.n:
        note = "" if one.together.p is None else _warning(one.size)
        say(console, f"  {_test(one.together)}{note}")
    say(console, f"  rank-biserial correlation over tasks: {one.rank_biserial:+.2f}")
    console.print()


def _warning(size: int | None) -> str:
    """Return that tasks are not independent, and how often the test was wrong on simulated boards for that reason."""
    share = wrong(WILCOXON, size)
    measured = "" if share is None else f" ({100 * share:.0f} % of simulated boards without a difference show one)"
    return f" This test is not valid, because tasks share domains{measured}: use the t over domains."


def _print_tasks(found: Comparison, console: Console) -> None:
    images = {(own["task"], own["part"]): own for own in found.images.to_dict("records")}
    rows = []
    for row in found.by_task.to_dict("records"):
        cells = [f"{100 * row['h_a']:.1f}", f"{100 * row['h_b']:.1f}", _points(row["h_difference"])]
        for part in ("mem", "for"):
            own = images[(row["task"], part)]
            cells += [f"{own['a_better']} : {own['b_better']}", _p(own["p_holm"])]
        rows.append((row["task"], *cells))
    columns = ("forgets", "H A", "H B", "A - B", "Mem A : B", "p", "For A : B", "p")
    title = "Each task: H, and the numbers of images on which A or B is better (exact McNemar, Holm)"
    _print_table(console, columns, rows, title)


def print_power(suite: str, a: str, b: str, found: Sequence[Power], wanted: float, console: Console) -> None:
    """Print what the comparison of two methods can detect, and how many domains or seeds a difference needs."""
    points = f"{100 * wanted:g} points"
    say(console, f"{suite}: what a comparison of {a} and {b} can show of H", style="bold")
    rows = []
    for one in found:
        span = "" if one.detectable_low is None else f"{100 * one.detectable_low:.1f} to {_large(one.detectable_high)}"
        rows.append((*_head(one), str(one.seeds), _large(one.detectable), span, _large(one.detectable_here)))
    columns: Sequence[str] = ("forgets", "domains", "tasks", "seeds", "other domains", "95 %", "these tasks")
    _print_table(console, columns, rows, f"Smallest difference found {_FOUND} of the time, percentage points")
    rows = []
    for one in found:
        many = one.detectable is None
        rows.append(
            (
                *_head(one),
                _needed(one.domains_needed, "?" if many else "> 1000"),
                _needed(one.tasks_needed, "") if (one.tasks_needed or 0) <= MANY else f"> {MANY:,}",
                _needed(one.seeds_needed, "?" if many or one.seeds < 2 else "none"),
                _needed(one.seeds_needed_here, "?" if one.detectable_here is None else "> 1000"),
            )
        )
    columns = ("forgets", "domains", "tasks", "domains needed", "their tasks", "or seeds", "seeds, these tasks")
    _print_table(console, columns, rows, f"What is needed to find {points}")
    say(
        console,
        "Other domains: how far domains differ is estimated from these few, hence the interval. 'or seeds': with the "
        "present domains; none where domains differ too much for any number of seeds. '?': too few to estimate.",
    )


def _head(one: Power) -> tuple[str, str, str]:
    return "any" if one.size is None else str(one.size), str(one.domains), str(one.tasks)


def comparison_record(found: Comparison) -> dict[str, Any]:
    """Return a comparison as plain values; differences in fractions."""
    record = asdict(found)
    record["by_task"] = found.by_task.to_dict("records")
    record["images"] = found.images.to_dict("records")
    return _plain(record)


def power_record(found: Sequence[Power]) -> list[dict[str, Any]]:
    """Return powers as plain values; differences in fractions."""
    return _plain([asdict(one) for one in found])


def _plain(value: Any) -> Any:
    """Convert NumPy's numbers to Python's with six digits; what is not finite becomes None."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return float(f"{value:.6g}") if np.isfinite(value) else None
    return value


def _test(test: Test) -> str:
    return f"{test.name}: p = {_p(test.p)}, n = {test.n}." if test.p is not None else f"{test.name}: {test.reason}"


def _p(p: float) -> str:
    if p >= 0.9995:
        return "1"
    return "< .001" if p < 0.001 else f"{p:.3f}".removeprefix("0")


def _points(value: float) -> str:
    return f"{100 * value:+.1f}"


def _span(estimate: Estimate) -> str:
    if estimate.low is None or estimate.high is None:
        return "[?]"
    return f"[{100 * estimate.low:.1f}, {100 * estimate.high:.1f}]"


def _large(value: float | None) -> str:
    """Return a difference in points; a fraction cannot differ by more than one."""
    if value is None:
        return "?"
    return f"{100 * value:.1f}" if value <= 1 else "> 100"


def _needed(count: int | None, otherwise: str) -> str:
    return otherwise if count is None else f"{count:,}"
