"""Comparisons of two methods, and what a comparison can detect, on the terminal and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from rich.console import Console

from adu_bench.core.words import counted
from adu_bench.metrics.measures import METRICS
from adu_bench.report.tables.table import Cell, Table
from adu_bench.report.terminal.boards import print_table, say
from adu_bench.stats.across import Across
from adu_bench.stats.chance import POWER
from adu_bench.stats.domains import OtherDomains
from adu_bench.stats.estimates import LEVEL, Estimate
from adu_bench.stats.paired import Comparison
from adu_bench.stats.power import MOST, Powers

WIDTH = 112
"""Columns that the tables need; a narrower terminal wraps their lines and no number is lost."""

_FOUND = f"{POWER:.0%}".replace("%", " %")
_WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")


def print_comparison(found: Comparison, console: Console) -> None:
    """Print the differences on these tasks, the one on other domains, each task, and what H shows in a sentence."""
    say(
        console,
        f"{found.suite}: {found.a} minus {found.b}, {counted(len(found.tasks), 'task')} x "
        f"{counted(len(found.seeds), 'seed')}, percentage points",
        style="bold",
    )
    if found.left_out:
        say(console, f"Left out, not finished by both with every seed: {', '.join(found.left_out)}.")
    _print_differences(found, console)
    say(console, other_domains(found.other_domains))
    console.print()
    _print_tasks(found, console)
    say(console, verdict(found))


def print_across(a: str, b: str, found: Across, console: Console) -> None:
    """Print the difference of H on each suite, and over data sets if there are enough."""
    say(console, f"{a} minus {b}, mean of H, percentage points", style="bold")
    rows = [
        (suite, str(one.tasks), f"{_points(one.value)} {_span(one)}", "" if one.p is None else _p(one.p))
        for suite, one in found.suites.items()
    ]
    _print_table(console, ("suite", "tasks", "these tasks, 95 %", "p"), rows)
    if found.together is None:
        say(console, found.reason)
        return
    together, count = found.together, len(found.suites)
    say(
        console,
        f"Over {count} data sets, which weigh the same: {_points(together.value)} {_span(together)}, "
        f"p {_is(together.p)} (Student's t over data sets).",
    )


def across_record(found: Across) -> dict[str, Any]:
    """Return a comparison over several suites as plain values; differences in fractions."""
    return _plain(asdict(found))


def verdict(found: Comparison) -> str:
    """Return a sentence on what the difference of H shows on these tasks."""
    size = found.differences[-1].size
    one = found.of("h", size)
    where = "all tasks" if size is None else f"tasks that forget {size}"
    gap = abs(one.value)
    ahead, behind = (found.a, found.b) if one.value >= 0 else (found.b, found.a)
    # What rounds to 0.0 is nobody's lead, however certain it is.
    small = 100 * gap < 0.05
    head = "no difference" if small else f"{ahead} is {100 * gap:.1f} points ahead of {behind}"
    if one.p is None:
        return f"H, {where}: {head}. {one.reason}"
    if small:
        return f"H, {where}: {head} when rounded to a tenth of a point (p {_is(one.p)})."
    if one.p < LEVEL:
        return f"H, {where}: {head}, more than seeds and test images explain (p {_is(one.p)})."
    return f"H, {where}: {head}; seeds and test images alone can explain what is seen (p {_is(one.p)})."


def other_domains(found: OtherDomains) -> str:
    """Return a sentence on what the difference of H would be on other domains, and what these cannot tell."""
    one, count = found.estimate, _number(found.domains)
    if one is None:
        return f"On other domains: these tasks cannot tell; {found.reason}."
    return (
        f"On other domains: {_points(one.value)} {_span(one)} (t over {count} domains, p {_is(one.p)}); {count} "
        f"domains {_shown(found)}."
    )


def _print_table(console: Console, columns: Sequence[str], rows: Sequence[Sequence[str]], title: str = "") -> None:
    print_table(console, _table(columns, rows), title)


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]], notes: tuple[str, ...] = ()) -> Table:
    """Return a table whose first column holds words, and all other columns numbers."""
    parts = (tuple(tuple(map(Cell, row)) for row in rows),)
    return Table(tuple(columns), parts, "l" + "r" * (len(columns) - 1), notes=notes)


def differences_table(found: Comparison) -> Table:
    """Return the differences on these tasks in percentage points with intervals; notes say why one is missing."""
    metrics = list(dict.fromkeys(one.metric for one in found.differences))
    rows = []
    for size in dict.fromkeys(one.size for one in found.differences):
        own = {metric: found.of(metric, size) for metric in metrics}
        cells = [f"{_points(one.value)} {_span(one)}" for one in own.values()]
        p = own["h"].p
        rows.append((_size(size), str(own["h"].tasks), *cells, "" if p is None else _p(p)))
    columns = ("forgets", "tasks", *(f"{METRICS[key].title}, 95 %" for key in metrics), "p of H")
    reasons = dict.fromkeys(one.estimate.reason for one in found.differences if one.estimate.reason)
    return _table(columns, rows, tuple(reason.rstrip(".") for reason in reasons))


def _print_differences(found: Comparison, console: Console) -> None:
    table = differences_table(found)
    print_table(console, table, "On these tasks, with other few-shot draws and other test images")
    for reason in table.notes:
        say(console, f"{reason}.")


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


def print_power(suite: str, a: str, b: str, found: Powers, wanted: float, console: Console) -> None:
    """Print what the comparison of two methods can detect, and how many seeds or domains a difference needs."""
    points = f"{100 * wanted:g} points"
    say(console, f"{suite}: what a comparison of {a} and {b} can show of H", style="bold")
    rows = [
        (
            _size(one.size),
            str(one.tasks),
            str(one.seeds),
            _large(one.detectable),
            _large(one.with_any_seeds),
            "?" if one.detectable is None else "none" if one.seeds_needed is None else f"{one.seeds_needed:,}",
        )
        for one in found.here
    ]
    columns: Sequence[str] = ("forgets", "tasks", "seeds", "now", "any number of seeds", f"seeds for {points}")
    title = f"On these tasks: smallest difference found {_FOUND} of the time, percentage points"
    _print_table(console, columns, rows, title)
    if any(one.detectable is None for one in found.here):
        say(console, "'?': too few seeds to estimate.")
    if any(one.detectable is not None and one.seeds_needed is None for one in found.here):
        say(console, f"'none': {MOST:,} seeds do not show {points}, because the test images are too few.")
    say(console, _power_over_domains(found, points))


def _power_over_domains(found: Powers, points: str) -> str:
    """Return a sentence on what the domains can show, and how many domains the wanted difference needs."""
    own = found.domains
    if own.spread is None:
        return f"On other domains: these tasks cannot tell; {own.reason}."
    needed = found.domains_needed
    return (
        f"On other domains: {_number(own.domains)} domains, between which the difference has a standard deviation of "
        f"{100 * own.spread:.1f} points, {_shown(own)}; {points} need "
        + (f"more than {MOST:,} domains." if needed is None else f"{needed} domains ({2 * needed} tasks).")
    )


def comparison_record(found: Comparison) -> dict[str, Any]:
    """Return a comparison as plain values; differences in fractions."""
    record = asdict(found)
    record["by_task"] = found.by_task.to_dict("records")
    record["images"] = found.images.to_dict("records")
    return _plain(record)


def power_record(found: Powers) -> dict[str, Any]:
    """Return powers as plain values; differences in fractions."""
    record = asdict(found)
    record["domains"]["detectable"] = found.domains.detectable
    return _plain(record)


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


def _p(p: float) -> str:
    if p >= 0.9995:
        return "1"
    return "< .001" if p < 0.001 else f"{p:.3f}".removeprefix("0")


def _is(p: float | None) -> str:
    """Return a p-value with its relation, as ``= .012`` or ``< .001``."""
    text = _p(1.0 if p is None else p)
    return text if text.startswith("<") else f"= {text}"


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


def _shown(found: OtherDomains) -> str:
    """Return which differences this many domains show."""
    if found.detectable is None or found.detectable > 1:
        return "cannot show any difference"
    return f"can only show differences above {100 * found.detectable:.1f} points"


def _size(size: int | None) -> str:
    return "any" if size is None else str(size)


def _number(number: int) -> str:
    return _WORDS[number] if number < len(_WORDS) else str(number)
