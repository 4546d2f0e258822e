"""Show a method's card and fields, or a suite's tasks and settings."""

from __future__ import annotations

from typing import Any

from adu_bench.cli.common import catalogue_of, from_option
from adu_bench.core.errors import unknown


def options(parser: Any) -> None:
    """Add the command's options."""
    parser.add_argument("name", type=str, metavar="NAME", help="a method or a suite")
    parser.add_argument("--figure", type=str, default="", metavar="FILE", help="write a picture of the suite's data")
    from_option(parser)


def run(options: Any) -> int:
    """Print what is known about the name."""
    from adu_bench.suites import suite_names

    catalogue = catalogue_of(options)
    name = options.name
    if name in catalogue.presets:
        _method(*catalogue.presets[name])
    elif name in suite_names() or name.endswith((".yaml", ".yml")):
        _suite(name, options.figure)
    else:
        raise unknown("method or suite", name, [*catalogue.presets, *suite_names()])
    return 0


def _method(preset: Any, entry: Any) -> None:
    print(f"{preset.name} ({preset.group}): {preset.summary}")
    for title, value in entry.card.items():
        if value:
            print(f"  {title}: {value}")
    print(f"  file: {entry.path}")
    print("Fields:" if entry.fields else "It has no fields.")
    for name, field in entry.fields.items():
        value = preset.fields.get(name, field.default)
        print(f"  {name}: {field.kind} = {value!r}  {field.help}")


def _suite(name: str, figure: str) -> None:
    from adu_bench.data.index import task_rows
    from adu_bench.data.sources import open_source
    from adu_bench.suites import load_suite

    suite = load_suite(name)
    if figure:
        from adu_bench.report.datafig import data_figure

        data_figure(suite).savefig(figure, dpi=150)
        print(f"wrote {figure}")
        return
    source = open_source(suite.dataset)
    print(f"{suite.name}: {suite.title}")
    print(f"  data: {source.name}, hash {suite.data_hash}")
    if source.attribution:
        print(f"  pictures: {source.attribution}")
    print(f"  classes ({len(suite.classes)}): {', '.join(suite.classes)}")
    print(f"  shots: {suite.shots} a (class, domain); seeds {', '.join(map(str, suite.seeds))}")
    print(f"  backbone: {suite.backbone}; batch {suite.training.batch}, {suite.training.precision}")
    print(f"  methods: {', '.join(suite.methods)}; budget: {dict(suite.budget)}")
    for preset, fields in suite.settings.items():
        print(f"  chosen on the validation pool for {preset}: {dict(fields)}")
    for group, forget in suite.blocks.items():
        print(f"  methods of the group {group} run on {len(forget)} of its {len(suite.forget)} tasks")
    for study, sweeps in suite.studies.items():
        varied = ", ".join(f"{sweep.variable} of {', '.join(sweep.methods)}" for sweep in sweeps if sweep.variable)
        print(f"  study {study}: {varied or ', '.join(name for sweep in sweeps for name in sweep.methods)}")
    rows = task_rows(source.index, suite.domains, suite.classes)
    counts = rows.groupby(["domain", "pool"]).size().unstack(fill_value=0)
    for domain in suite.domains:
        print(f"  {domain}: " + ", ".join(f"{counts.loc[domain, pool]} {pool}" for pool in counts.columns))
    print(f"Tasks ({len(suite.forget)}):")
    for task in suite.tasks():
        print(f"  forget {', '.join(task.forget)}; keep {', '.join(task.retain)}")
