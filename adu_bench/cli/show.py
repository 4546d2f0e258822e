"""Show a method's card and fields, a suite's tasks and settings, or a finished run and the curves of its training."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adu_bench.cli.common import from_option
from adu_bench.core.errors import unknown

if TYPE_CHECKING:
    from adu_bench.registry import Catalogue, Choice
    from adu_bench.store import Run
    from adu_bench.suites import Suite
    from adu_bench.suites.suite import Sweep

WHO = {"budget": "the suite's budget", "tuned": "the suite's settings", "preset": "the preset"}
"""How `show` calls the origin of a value."""
_KEY = re.compile("[0-9a-f]{6,20}")
"""The key of a run, or its beginning."""


def options(parser: Any) -> None:
    """Add the command's options."""
    parser.add_argument("name", type=str, metavar="NAME", help="a method, a suite, or the key of a run")
    parser.add_argument("--suite", type=str, default="", metavar="NAME", help="show a method's fields as in this suite")
    parser.add_argument("--runs", type=str, default="runs", metavar="DIR", help="folder of the runs")
    parser.add_argument(
        "--figure", type=str, default="", metavar="FILE", help="write a figure: the suite's data, or the run's curves"
    )
    from_option(parser)


def run(options: Any) -> int:
    """Print what is known about the name."""
    from adu_bench.registry import Choice
    from adu_bench.store import Store
    from adu_bench.suites import suite_names
    from adu_bench.suites.reading import PATTERN
    from adu_bench.workflows.selection import open_catalogue

    catalogue = open_catalogue(options["from"])
    name = options.name
    if name in catalogue.presets:
        _method(Choice(*catalogue.presets[name]), _loaded(options.suite, options) if options.suite else None)
    elif name in (*suite_names(), PATTERN) or name.endswith((".yaml", ".yml")):
        _suite(_loaded(name, options), catalogue, options.figure)
    elif _KEY.fullmatch(name):
        _run(Store(Path(options.runs)).find(name), options.figure)
    else:
        raise unknown("method or suite", name, [*catalogue.presets, *suite_names()])
    return 0


def _loaded(name: str, options: Any) -> Suite:
    from adu_bench.workflows.selection import Selection

    return Selection(suite=name, extra=(options["from"],)).load_suite()


def _method(choice: Choice, suite: Suite | None) -> None:
    from adu_bench.registry import format_value

    preset, entry = choice.preset, choice.entry
    print(f"{preset.name} ({preset.group}): {preset.summary}")
    for title, value in entry.card.items():
        if value:
            print(f"  {title}: {value}")
    print(f"  file: {entry.path}")
    given = (suite.budget, suite.settings) if suite is not None else ({}, {})
    changed = {field.name: field for field in choice.changed(*given)}
    where = f" in {suite.name}" if suite is not None else ""
    print(f"Fields{where}:" if entry.fields else "It has no fields.")
    for name, field in entry.fields.items():
        value, allowed = field.default, field.allowed
        if name in changed:
            value = changed[name].value
            allowed += f"; default {format_value(field.default)}, changed by {WHO[changed[name].origin]}"
        print(f"  {name} = {format_value(value)} ({allowed})  {field.help}")


def _suite(suite: Suite, catalogue: Catalogue, figure: str) -> None:
    from adu_bench.data.sources import open_source, outline
    from adu_bench.workflows.listing import budget_lines

    if figure:
        from adu_bench.report.figures.data import data_figure

        data_figure(suite).savefig(figure, dpi=150)
        print(f"wrote {figure}")
        return
    print(f"{suite.name}: {suite.title}")
    ready = outline(suite.dataset).ready
    if ready:
        print(f"  data: {suite.dataset}, hash {suite.data_hash}")
    else:
        print(f"  data: {suite.dataset}, missing: adu-bench data where {suite.dataset} says how to get it, then")
        print(f"    adu-bench data prepare {suite.dataset} --from FOLDER")
    if ready and open_source(suite.dataset).attribution:
        print(f"  images: {open_source(suite.dataset).attribution}")
    print(f"  classes ({len(suite.classes)}): {', '.join(suite.classes)}")
    print(f"  shots: {suite.shots} per (class, domain); seeds {', '.join(map(str, suite.seeds))}")
    print(f"  backbone: {suite.backbone}; batch {suite.training.batch}, {suite.training.precision}")
    print(f"  methods: {', '.join(suite.methods)}")
    changed = {choice.label: choice.changed(suite.budget, suite.settings) for choice in catalogue.select(suite.methods)}
    for line in budget_lines(changed):
        print(f"  budget: {line}")
    for preset, fields in suite.settings.items():
        print(f"  chosen on the validation pool for {preset}: {dict(fields)}")
    for group, forget in suite.blocks.items():
        print(f"  methods of the group {group} run on {len(forget)} of its {len(suite.forget)} tasks")
    for study, sweeps in suite.studies.items():
        for sweep in sweeps:
            print(f"  study {study}: {_swept(suite, sweep)}")
    for number in range(max((sweep.splits for sweeps in suite.studies.values() for sweep in sweeps), default=0)):
        part = suite.split(number)
        print(
            f"  split {part.tasks('-')[0].split}: seen {', '.join(part.classes)}; held out {', '.join(part.held_out)}"
        )
    for sentence in suite.inferred:
        print(f"  not stated by the paper: {sentence}")
    for line in _counts(suite) if ready else _published(suite):
        print(f"  {line}")
    print(f"Tasks ({len(suite.forget)}):")
    for domains in suite.forget:
        print(f"  forget {', '.join(domains)}; keep {', '.join(suite.retain(domains))}")


def _swept(suite: Suite, sweep: Sweep) -> str:
    """Describe a sweep in one line."""
    from adu_bench.registry import format_value

    values = f"{sweep.variable} {', '.join(map(format_value, sweep.values))} of " if sweep.variable else ""
    text = values + ", ".join(sweep.methods)
    if sweep.forget is not None:
        text += f"; {len(sweep.tasks(suite.forget))} of {len(suite.forget)} tasks"
    return text + (f"; {sweep.splits} splits into seen and held-out classes" if sweep.splits else "")


def _run(run: Run, figure: str) -> None:
    from adu_bench.metrics.measures import METRICS, measure
    from adu_bench.registry import format_value
    from adu_bench.report.terminal.training import curve_lines

    if figure:
        from adu_bench.report.figures.training import training_figure
        from adu_bench.report.style import style

        with style():
            training_figure(run).savefig(figure, dpi=150)
        print(f"wrote {figure}")
        return
    spec = run.spec
    found = measure(run.predictions(), len(spec.task.classes))
    print(f"{run.label}, forget {spec.task.name}, seed {spec.seed}")
    print(f"  key: {run.key}, protocol {spec.protocol}")
    print("  scores: " + ", ".join(f"{METRICS[name].title} {100 * found[name][0]:.1f}" for name in ("h", "mem", "for")))
    print(f"  data: {spec.task.dataset}, {len(spec.task.classes)} classes; keep {', '.join(spec.task.retain)}")
    print(f"  backbone: {spec.backbone.name}; batch {spec.training.batch}, {spec.training.precision}")
    if spec.method.fields:
        print("  fields: " + ", ".join(f"{name} = {format_value(value)}" for name, value in spec.method.fields))
    device = run.environment.get("device", "")
    print(f"  finished: {run.finished}" + (f" on {device}" if device else "") + f", {run.measured['seconds']:.1f} s")
    for line in curve_lines(run, sys.stdout.encoding):
        print(line)


def _counts(suite: Suite) -> Iterator[str]:
    """Count the images of each domain and pool, and name what was left out when they were prepared."""
    from adu_bench.data import prepared
    from adu_bench.data.index import task_rows
    from adu_bench.data.sources import open_source

    rows = task_rows(open_source(suite.dataset).index, suite.domains, suite.classes)
    counts = rows.groupby(["domain", "pool"]).size().unstack(fill_value=0)
    for domain in suite.domains:
        yield f"{domain}: " + ", ".join(f"{counts.loc[domain, pool]:,} {pool}" for pool in counts.columns)
    made = prepared.read(suite.dataset)
    yield from made.notes if made else ()


def _published(suite: Suite) -> Iterator[str]:
    """Give the published counts of a data set that is not prepared."""
    from adu_bench.data.prepare.description import describe

    figures = describe(suite.dataset).figures
    for domain in suite.domains:
        pools = {
            pool: sum(count for (where, _, which), count in figures.counts.items() if (where, which) == (domain, pool))
            for pool in ("train", "test", "")
        }
        words = {"train": "training", "test": "test", "": "in total"}
        known = ", ".join(f"{count:,} {words[pool]}" for pool, count in pools.items() if count)
        yield f"{domain}: {known or 'not known'} (published)"
