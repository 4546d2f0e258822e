"""List, locate, prepare or verify data sets."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adu_bench.cli.common import flag
from adu_bench.core.errors import UserError, unknown

if TYPE_CHECKING:
    from adu_bench.data.prepared import Prepared

ACTIONS = ("list", "where", "prepare", "verify")


def options(parser: Any) -> None:
    """Add the command's options."""
    parser.add_argument("action", type=str, metavar="|".join(ACTIONS), help="what to do")
    parser.add_argument("name", type=str, nargs="?", default="", metavar="NAME", help="a data set")
    parser.add_argument(
        "--from", type=str, default="", metavar="PATH", help="folder or archive of the pictures, or their index file"
    )
    flag(parser, "download", "fetch what its owners let anybody fetch, and continue where it stopped")
    flag(parser, "skip-bad", "leave out pictures that cannot be read, and record them")
    flag(parser, "partial", "accept counts that differ from the published ones, and record that")
    flag(parser, "json", "print JSON (list)")


def run(options: Any) -> int:
    """Do it; 1 if verification finds a difference."""
    if options.action not in ACTIONS:
        raise unknown("action", options.action, ACTIONS)
    if options.action == "list":
        return _list(options.json)
    if not options.name and options.action != "where":
        raise UserError(
            f"adu-bench data {options.action} needs a name.",
            "It works on one data set.",
            f"For example: adu-bench data {options.action} officehome",
        )
    return {"where": _where, "prepare": _prepare, "verify": _verify}[options.action](options)


def _list(as_json: bool) -> int:
    from adu_bench.data import prepared
    from adu_bench.data.prepare.description import described
    from adu_bench.data.sources import drawn_names, open_source

    found = [{"name": name, "state": "ok", "title": open_source(name).title} for name in drawn_names()]
    found += [_listed(name) for name in sorted({*described(), *prepared.prepared_names()})]
    if as_json:
        print(json.dumps(found, indent=1))
        return 0
    width = max(len(item["name"]) for item in found)
    for item in found:
        print(f"{item['name']:<{width}}  {item['state']:<7}  {item['title']}")
    return 0


def _listed(name: str) -> dict[str, str]:
    """Describe a data set; a damaged one says so, and hides no other."""
    from adu_bench.data import prepared
    from adu_bench.data.prepare.description import describe, described

    try:
        made = prepared.read(name)
    except UserError as error:
        return {"name": name, "state": "damaged", "title": str(error)}
    title = describe(name).title if name in described() else made.title if made else ""
    return {"name": name, "state": "ok" if made else "missing", "title": title}


def _where(options: Any) -> int:
    """Print where data are, and how to get those that are not there."""
    from adu_bench.core.paths import data_dir
    from adu_bench.data import prepared
    from adu_bench.data.prepare.description import describe, described
    from adu_bench.data.sources import drawn_names

    name = options.name
    if not name:
        print(data_dir())
        return 0
    made = prepared.read(name)
    if made is not None:
        print(f"{name}: prepared in {made.folder}, pictures in {made.root}")
        return 0
    if name in drawn_names():
        print(f"{name}: ships with adu-bench; there is nothing to prepare")
        return 0
    if name not in described():
        raise unknown("data set", name, {*drawn_names(), *described(), *prepared.prepared_names()})
    description = describe(name)
    print(f"{name}: not prepared; it would be in {data_dir() / name}")
    for title, value in (("what", description.title), ("home", description.home), ("terms", description.licence)):
        print(f"  {title}: {value}")
    print("How to get it:")
    for step in description.steps:
        print(f"  {step}")
    return 0


def _prepare(options: Any) -> int:
    from adu_bench.cli.progress import steps
    from adu_bench.data.prepare.build import prepare
    from adu_bench.data.prepare.description import describe, described
    from adu_bench.data.sources import drawn_names
    from adu_bench.suites.suite import PATTERN, shipped_names

    name, place = options.name, options["from"]
    if name in (*drawn_names(), PATTERN, *shipped_names()) and name not in described():
        raise UserError(
            f"'{name}' cannot be the name of your data.", "adu-bench uses it itself.", "Choose another name."
        )
    if options.download and name not in described():
        raise unknown("public data set", name, described())
    if not place and not options.download:
        raise UserError(
            f"'{name}' has to come from somewhere.",
            "Neither --from nor --download is given.",
            f"adu-bench data prepare {name} --from FOLDER (`adu-bench data where {name}` says how to get it)."
            if name in described()
            else f"adu-bench data prepare {name} --from FOLDER, where FOLDER/<domain>/<class>/* are the pictures.",
        )
    if name not in described():
        print(f"'{name}' is none of the public data sets ({', '.join(described())}); these are pictures of your own.")
    elif options.download and describe(name).downloads:
        size = sum(file.bytes for file in describe(name).downloads) / 2**30
        print(f"{describe(name).licence[0].upper()}{describe(name).licence[1:]}. Fetching {size:.1f} GiB.")
    with steps() as started:
        made = prepare(
            name,
            Path(place).expanduser() if place else None,
            download=options.download,
            skip_bad=options.skip_bad,
            partial=options.partial,
            steps=started,
        )
    _print(made)
    print(f"Run it: adu-bench run --suite {name}")
    return 0


def _print(made: Prepared) -> None:
    from adu_bench.data.index import POOLS

    index = made.read_index()
    counts = index.groupby(["domain", "pool"]).size().unstack(fill_value=0)
    print(f"{made.name}: {len(index):,} pictures, {len(made.classes)} classes, data hash {made.data_hash}")
    print(f"  pictures: {made.root} ({made.layout})")
    for domain in made.domains:
        print(f"  {domain}: " + ", ".join(f"{counts.loc[domain, pool]:,} {pool}" for pool in POOLS))
    for note in made.notes:
        print(f"  {note}")


def _verify(options: Any) -> int:
    from adu_bench.cli.progress import steps
    from adu_bench.data.prepare.build import verify

    with steps() as started:
        changes = verify(options.name, started)
    for word, names in (("missing", changes.missing), ("changed", changes.changed)):
        for name in names:
            print(f"{word}: {name}")
    if changes.missing or changes.changed:
        print(
            f"'{options.name}' differs from its index in {len(changes.missing)} missing and {len(changes.changed)} "
            f"changed of {changes.count:,} pictures. Restore them, or prepare it again: "
            f"adu-bench data prepare {options.name} --from FOLDER",
            file=sys.stderr,
        )
        return 1
    print(f"{options.name}: all {changes.count:,} pictures are as they were prepared.")
    return 0
