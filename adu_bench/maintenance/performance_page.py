"""The page ``reports/performance.md`` from what `adu_bench.maintenance.performance` measured."""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

TARGETS: Mapping[str, Mapping[str, float]] = {
    "emoji-clip": {"train_ratio.baseline": 1.5, "train_ratio.adu": 1.3, "eval_ratio": 1.4, "naive_ratio": 1.5},
    "ViT-B-32": {"train_ratio": 1.2, "train_ratio.instapg": 1.2, "eval_ratio": 1.12, "naive_ratio": 1.5},
    "ViT-B-16": {"train_ratio": 1.2, "train_ratio.instapg": 1.2, "eval_ratio": 1.06},
}
"""The smallest ratios wanted on a CPU, by backbone."""
FEATURES_LIMIT = 60
"""Seconds on two cores for all runs of the methods that read frozen features."""
EFFICIENCY = 0.9
"""The smallest efficiency wanted of two workers."""
MANY = {"plan": 20, "status": 10, "read": 10, "board": 10}
"""Seconds that a step may take with 100,000 runs."""
MANY_MB = 1024
NONE = "not measured"
_STEPS = {"prepare": "`data prepare`", "plan": "`run --sizes 1-5 --methods all --dry`", "start": "the first run"}


def page(found: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the page; parts that are missing are "not measured"."""
    parts = [_START, _bound(found), _features(found.get("features")), _fused(found.get("fused"))]
    parts += [_workers(found.get("workers")), _growth(found.get("growth")), _files(found.get("files"))]
    parts += [_texts(found.get("texts")), _GPU]
    return re.sub("\n{3,}", "\n\n", "\n".join([*parts, _machines(found)]))


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table whose first column is text and whose others are numbers."""
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _bound(found: Mapping[str, Mapping[str, Any]]) -> str:
    machines = {machine: f"on {letter}" for machine, letter in _letters(found).items()} or {"": "measured"}
    work, rows = found.get("arithmetic", {}), []
    for backbone, targets in TARGETS.items():
        for name, least in targets.items():
            own = {machine: ratios.get(name) for machine, ratios in found.get(backbone, {}).items()}
            values = [own.get(machine) for machine in machines]
            row = [backbone, f"`{name}`", _number(work.get(backbone, {}).get(name), ""), *map(_number, values)]
            rows.append([*row, f"{least:g}", _verdict(own, least, machines)])
    head = ["backbone", "ratio", "arithmetic", *machines.values(), "wanted", ""]
    return _BOUND + table(head, rows) + _operators(found.get("operators"))


def _letters(found: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Name the machines on which the ratios to the backbone were measured A, B and so on."""
    machines = dict.fromkeys(machine for backbone in TARGETS for machine in found.get(backbone, {}))
    return dict(zip(machines, string.ascii_uppercase, strict=False))


def _number(value: float | None, missing: str = NONE) -> str:
    return missing if value is None else f"{value:.2f}"


def _verdict(own: Mapping[str, float | None], least: float, machines: Mapping[str, str]) -> str:
    values = {machine: value for machine, value in own.items() if value is not None}
    reached = [machines[machine] for machine, value in values.items() if value >= least]
    if not values:
        return ""
    if len(reached) in (0, len(values)):
        return _word(bool(reached))
    return f"reached {' and '.join(reached)}"


def _operators(own: Mapping[str, Any] | None) -> str:
    if own is None:
        return f"{_OPERATORS}\n{NONE}\n"
    methods = [name for name in own if name != "machine"]
    rows = [[kind, *(f"{100 * own[name][kind]:.0f} %" for name in methods)] for kind in own[methods[0]]]
    return _OPERATORS + table(["operators", *(f"`{name}`" for name in methods)], rows)


def _features(own: Mapping[str, Any] | None) -> str:
    if own is None:
        return f"{_FEATURES}\n{NONE}\n"
    half = {label: seconds / 2 for label, seconds in own["cpu"].items()}
    rows = [
        [f"`{label}`", str(own["runs"][label]), _share(half[label], FEATURES_LIMIT)]
        for label in sorted(half, key=lambda label: half[label])
    ]
    usual = [label for label in half if label not in own["searches"]]
    for name, labels in (("all but searches", usual), ("all", list(half))):
        runs, total = sum(own["runs"][label] for label in labels), sum(half[label] for label in labels)
        rows.append([name, str(runs), _share(total, FEATURES_LIMIT)])
    return _FEATURES + table(["method", "runs", "share of the minute"], rows)


def _fused(own: Mapping[str, Any] | None) -> str:
    if own is None:
        return f"{_FUSED}\n{NONE}\n"
    size = f"`--fuse {own['together']}`"
    rows = [
        [f"`{name}`", f"{each['single_cpu'] / each['fused_cpu']:.2f}"]
        for name, each in own.items()
        if isinstance(each, Mapping)
    ]
    return _FUSED + table(["command", f"processor time without over with {size}"], rows)


def _workers(own: Mapping[str, Any] | None) -> str:
    if own is None:
        return f"{_WORKERS}\n{NONE}\n"
    rows = [
        [name, f"{100 * value:.0f} %", f"{100 * EFFICIENCY:.0f} %", _word(value >= EFFICIENCY)]
        for name, value in own["engines"].items()
    ]
    one, two = own["others"]
    beside = (
        f"\n{own['runs']} equal runs, beside {one:.1f} busy cores of other processes for one worker and {two:.1f} "
        "for two.\n\n"
    )
    return _WORKERS + beside + table(["engine", "efficiency", "wanted", ""], rows)


def _growth(own: Mapping[str, Any] | None) -> str:
    if own is None:
        return f"{_GROWTH}\n{NONE}\n"
    rows = []
    for step, limit in MANY.items():
        for runs, each in own[step].items():
            cells = [_share(each[turn]["cpu"], limit) for turn in ("first", "again")]
            rows.append([step, f"{int(runs):,}", *cells, _share(each["again"]["mb"], MANY_MB)])
    head = ["step", "runs", "share of its seconds, first time", "again", "share of 1 GiB of memory"]
    return _GROWTH + table(head, rows)


def _files(own: Mapping[str, Any] | None) -> str:
    if own is None:
        return f"{_FILES}\n{NONE}\n"
    rows = [[_STEPS[step], f"{figures['cpu']:.0f}", f"{figures['mb']:,.0f}"] for step, figures in own["steps"].items()]
    text = f"\n{own['files']:,} files; the plan has {own['runs']} runs.\n\n"
    return _FILES + text + table(["step", "processor seconds", "peak memory, MiB"], rows)


def _texts(own: Mapping[str, Any] | None) -> str:
    if own is None:
        return f"{_TEXTS}\n{NONE}\n"
    return (
        f"{_TEXTS}\nOne training step with {own['texts']:,} classes took {own['peak'] / own['limit']:.2f} times the "
        f"stated {own['limit'] / 1024:g} GiB at its peak; an upper bound for all texts at once is "
        f"{own['at_once'] / own['limit']:.1f} times.\n"
    )


def _machines(found: Mapping[str, Mapping[str, Any]]) -> str:
    by: dict[str, list[str]] = {}
    for name, own in found.items():
        if name not in TARGETS:
            by.setdefault(own["machine"], []).append(name)
    lines = [f"- {letter}: {machine}\n" for machine, letter in _letters(found).items()]
    lines += [f"- {', '.join(names)}: {machine}\n" for machine, names in by.items()]
    return "## Machines\n\n" + "".join(lines)


def _share(value: float, limit: float) -> str:
    return f"{100 * value / limit:.0f} %" if value >= limit / 100 else "under 1 %"


def _word(reached: bool) -> str:
    return "reached" if reached else "missed"


_START = """# Speed and memory

Written by `OMP_NUM_THREADS=1 python -m adu_bench.maintenance.performance` from `performance.json` beside it; `--only
NAME` measures one part anew. Ratios and shares are of processor time of one thread, which busy neighbours disturb
least. Times of a CPU are given only where a limit in seconds is stated.
"""
_BOUND = """## How close to the backbone

`train_ratio` and `eval_ratio`: the time of open_clip's own blocks with the same batch and tokens, which do nothing
else, over that of the harness, which also crops, computes losses and steps (`adu-bench bench`; ViTs have random
weights: `--tower`). Above 1 the harness is faster than the bare model. `naive_ratio`: the time of training that
decodes and transforms each image in each epoch, over that of the harness. Medians of interleaved rounds, in single
precision; 32 images per step with emoji-clip, 8 with ViT-B-32, one with ViT-B-16. `arithmetic`: the operations of all
linear layers in the reference over those in the harness, so what leaving work out can give on any machine.

"""
_OPERATORS = """
Where the time of training on `emoji` goes, by the profiler of torch. Matrix products, attention, activations and
LayerNorm are the backbone itself, forward and backward.

"""
_FEATURES = """
## Methods that read frozen features

All tasks and seeds of `emoji` (ablations: its tasks with one forget domain), from an empty cache to stored runs, on
two cores. The first run includes drawing and encoding the images of the data set, once for all methods. Methods with
`iterations` are timed for one run, and multiplied. A search (`bbf`) encodes the class texts anew for each of its
candidates, so its time is that of the text tower.

"""
_FUSED = """
## Several runs in one pass

Few settings on `toy` with the start of all processes. On one core the arithmetic is the same, so about 1 is expected:
`--fuse` is for GPUs that one small run does not fill.

"""
_WORKERS = """
## Two workers

The runs per second of two workers of one thread, over twice those of one worker, on two cores, without the start of
the processes (`python -m adu_bench.maintenance.workers`). Busy neighbours take a core from two workers first.
"""
_GROWTH = """
## Many runs

Limits for 100,000 runs: planning 20 s, the others 10 s, 1 GiB of memory. The first time makes the index of the
folder.

"""
_FILES = """
## Small files in the shape of DomainNet

345 classes in 6 domains, from files to the first finished run.
"""
_TEXTS = """
## Learned prompts of many classes

Text tower of ViT-B/32 in single precision, on the CPU.
"""
_GPU = """
## On a GPU

Not measured: no GPU was at hand. `adu-bench bench --acceptance --device cuda --json FILE` measures all of it there.
"""
