"""Make the figures and tables of a paper from finished results, and a page to read them.

Figures that need features or attention maps come from runs; committed rows hold predictions alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from adu_bench.cli.common import plan_options, results_of, results_options, selection_of
from adu_bench.report.printing import FONT_SIZE


def options(parser: Any) -> None:
    """Add the command's options."""
    plan_options(parser)
    results_options(parser)
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
    parser.add_argument(
        "--labels", type=str, default="", metavar="FILE", help="YAML file: methods and their names in print, in order"
    )
    parser.add_argument(
        "--width", type=str, default="two", metavar="one|two|INCHES", help="widest figure: columns of a page, or inches"
    )
    parser.add_argument("--font-size", type=float, default=FONT_SIZE, metavar="POINTS", help="size of text in figures")
    parser.add_argument("--style", type=str, default="", metavar="FILE", help="style sheet of matplotlib, name or path")


def run(options: Any) -> int:
    """Write the report, and say what was left out and why."""
    from adu_bench.cli.progress import display
    from adu_bench.report.printing import printed, printing_of
    from adu_bench.report.write import write_report
    from adu_bench.workflows.report import report_of

    methods = tuple(name.strip() for name in options.show.split(",") if name.strip())
    how = printing_of(options.width, options.font_size, options.style, options.labels)
    # Captions are written with the sections, and they name methods as figures do.
    with printed(how):
        report, suite = report_of(selection_of(options), results_of(options), options.task, methods)
        folder = Path(options.out or f"reports/{suite}")
        with display() as shown:
            for path in write_report(report, folder, shown):
                shown.line(f"wrote {path}")
    for one in report.missing:
        print(f"left out: {one.title}, because {one.reason}. Make it: {one.command}")
    return 0
