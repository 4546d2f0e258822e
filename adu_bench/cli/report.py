"""Make the figures and tables of a paper from finished results, and a page to read them.

Figures that need features or attention maps come from runs; committed rows hold predictions alone.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from adu_bench.cli.boards import board_of, board_options
from adu_bench.cli.common import catalogue_of, plan_options, suite_of
from adu_bench.core.errors import UserError


def options(parser: Any) -> None:
    """Add the command's options."""
    plan_options(parser)
    board_options(parser)
    parser.add_argument("--out", type=str, default="", metavar="DIR", help="folder (default: reports/SUITE)")
    parser.add_argument(
        "--task",
        type=str,
        default="",
        metavar="NAME",
        help="whose features and attention are shown (default: the first)",
    )
    parser.add_argument(
        "--show",
        type=str,
        default="",
        metavar="NAMES",
        help="methods whose features and attention are shown (default: the best two)",
    )


def run(options: Any) -> int:
    """Write the report, and say what was left out and why."""
    from adu_bench.report.sections import Material, make_report
    from adu_bench.report.write import write_report
    from adu_bench.store import Store

    if options.study:
        raise UserError(
            "A report takes no --study.", "It shows every study whose runs there are.", "Leave --study out."
        )
    catalogue = catalogue_of(options)
    suite = suite_of(options, catalogue)
    store = Store(Path(options.runs or "runs"))
    if options.runs and not options.methods:
        options.methods = ",".join(_whole_methods(store, catalogue))
    board = board_of(options)
    shown = tuple(name.strip() for name in options.show.split(",") if name.strip())
    choices = {"backbone": options.backbone or None, "limit": options.limit or None}
    report = make_report(Material(suite, catalogue, board, store, options.task, shown, **choices))
    folder = Path(options.out or f"reports/{suite.name}")
    for path in write_report(report, folder, lambda text: print(text, file=sys.stderr, flush=True)):
        print(f"wrote {path}")
    for one in report.missing:
        print(f"left out: {one.title}, because {one.reason}. Make it: {one.command}")
    return 0


def _whole_methods(store: Any, catalogue: Any) -> list[str]:
    """Return the methods in a store that are no points of a study."""
    labels = dict.fromkeys(run.label for run in store.runs())
    return [label for label in labels if label in catalogue.presets]
