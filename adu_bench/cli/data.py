"""List, locate, prepare or verify data sets."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from adu_bench.cli.common import flag
from adu_bench.core.errors import UserError, unknown

OPTIONS = ("name", "from", "download", "skip_bad", "partial", "json")
ACTIONS = {
    "list": ("json",),
    "where": ("name",),
    "prepare": ("name", "from", "download", "skip_bad", "partial"),
    "verify": ("name",),
}
"""The actions, and which of the options have an effect on each."""


def options(parser: Any) -> None:
    """Add the command's options."""
    parser.add_argument("action", type=str, metavar="|".join(ACTIONS), help="what to do")
    parser.add_argument("name", type=str, nargs="?", default="", metavar="NAME", help="a data set")
    parser.add_argument(
        "--from", type=str, default="", metavar="PATH", help="folder or archive of the images, or their index file"
    )
    flag(parser, "download", "download what its owners publish, and continue where it stopped")
    flag(parser, "skip-bad", "leave out images that cannot be read, and record them")
    flag(parser, "partial", "accept counts that differ from the published ones, and record that")
    flag(parser, "json", "print JSON (list)")


def run(options: Any) -> int:
    """Do what is asked; 1 if verification finds a difference."""
    if options.action not in ACTIONS:
        raise unknown("action", options.action, ACTIONS)
    idle = [option for option in OPTIONS if options[option] and option not in ACTIONS[options.action]]
    if idle:
        shown = f"name ({options.name})" if idle[0] == "name" else f"--{idle[0].replace('_', '-')}"
        raise UserError(
            f"adu-bench data {options.action} takes no {shown}.",
            "It would have no effect.",
            "Leave it out; see adu-bench data --help",
        )
    if not options.name and options.action not in ("list", "where"):
        raise UserError(
            f"adu-bench data {options.action} needs a name.",
            "It works on one data set.",
            f"For example: adu-bench data {options.action} officehome",
        )
    return {"list": _list, "where": _where, "prepare": _prepare, "verify": _verify}[options.action](options)


def _list(options: Any) -> int:
    from adu_bench.workflows.data import list_data

    found = list_data()
    if options.json:
        print(json.dumps(found, indent=1))
        return 0
    width = max(len(item["name"]) for item in found)
    for item in found:
        print(f"{item['name']:<{width}}  {item['state']:<7}  {item['title']}")
    return 0


def _where(options: Any) -> int:
    from adu_bench.core.paths import data_dir
    from adu_bench.workflows.data import locate_data

    print("\n".join(locate_data(options.name)) if options.name else data_dir())
    return 0


def _prepare(options: Any) -> int:
    from adu_bench.cli.progress import display
    from adu_bench.workflows.data import before_preparing, prepare_data, run_hint, summary

    name, place = options.name, options["from"]
    notice = before_preparing(name, place, options.download)
    if notice:
        print(notice)
    with display() as shown:
        made = prepare_data(
            name,
            Path(place).expanduser() if place else None,
            shown,
            download=options.download,
            skip_bad=options.skip_bad,
            partial=options.partial,
        )
    print("\n".join([*summary(made), *run_hint(name)]))
    return 0


def _verify(options: Any) -> int:
    from adu_bench.cli.progress import display
    from adu_bench.workflows.data import verify_data

    with display() as shown:
        changes = verify_data(options.name, shown)
    for word, names in (("missing", changes.missing), ("changed", changes.changed)):
        for name in names:
            print(f"{word}: {name}")
    if changes.missing or changes.changed:
        print(
            f"'{options.name}' differs from its index in {len(changes.missing)} missing and {len(changes.changed)} "
            f"changed of {changes.count:,} images. Restore them, or prepare it again: "
            f"adu-bench data prepare {options.name} --from FOLDER",
            file=sys.stderr,
        )
        return 1
    print(f"{options.name}: all {changes.count:,} images are as they were prepared.")
    return 0
