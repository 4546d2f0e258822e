"""Print a leaderboard from committed rows or from runs; write or check the committed ones."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from adu_bench.cli.boards import board_of, board_options
from adu_bench.cli.common import catalogue_of, flag, plan_of, plan_options
from adu_bench.core.errors import UserError, unknown


def options(parser: Any) -> None:
    """Add the command's options."""
    plan_options(parser)
    board_options(parser)
    parser.add_argument(
        "--format",
        type=str,
        default="",
        metavar="md|csv|json|tex|html",
        help="print in this format; a page (html) also takes several suites: --suite a,b or --suite all",
    )
    parser.add_argument(
        "--write", type=str, default="", metavar="DIR", help="write rows from --runs, and all pages, there"
    )
    flag(parser, "paper", "print the paper's numbers beside the board's, in place of the board")
    flag(
        parser,
        "check",
        "fail if a generated file of --rows is not current, or a row has other runs than are planned",
    )
    flag(parser, "allow-stale-rows", "with --check: print the stale rows, and fail on generated files only")


def run(options: Any) -> int:
    """Print the board, or write or check the committed files."""
    from adu_bench.report.tables.board import FORMATS

    if options.format and options.format not in (*FORMATS, "html"):
        raise unknown("format", options.format, (*FORMATS, "html"))
    if options.check:
        return _check(options)
    if options.write:
        return _write(options)
    if options.format == "html":
        return _page(options)
    board = board_of(options)
    if options.paper:
        _print_paper(board, options.format)
    elif options.format:
        sys.stdout.write(FORMATS[options.format](board))
    else:
        from rich.console import Console

        from adu_bench.report.terminal.boards import print_board

        print_board(board, Console())
    return 0


def _print_paper(board: Any, kind: str) -> None:
    from adu_bench.leaderboard.published import claimed_suites, has_paper
    from adu_bench.report.tables.paper import PAPER_FORMATS

    if not has_paper(board):
        raise UserError(
            f"The paper has no numbers for '{board.suite}'.",
            f"Its table has {', '.join(claimed_suites())}.",
            "Leave --paper out.",
        )
    if kind and kind not in PAPER_FORMATS:
        raise unknown("format of the comparison", kind, PAPER_FORMATS)
    if kind:
        sys.stdout.write(PAPER_FORMATS[kind](board))
    else:
        from rich.console import Console

        from adu_bench.report.terminal.boards import print_paper

        print_paper(board, Console())


def _page(options: Any) -> int:
    """Print one page of several suites."""
    from adu_bench.report.pages import cards
    from adu_bench.report.web.page import web_page

    boards = []
    for suite in _suites(options):
        own = options.clone()
        own.suite = suite
        boards.append(board_of(own))
    sys.stdout.write(web_page(boards, cards(catalogue_of(options))))
    return 0


def _suites(options: Any) -> list[str]:
    """Read ``--suite`` of a page: names with commas, or ``all`` that have rows or runs.

    Raises
    ------
    UserError
        If there is nothing to show.
    """
    from adu_bench.leaderboard.rows import rows_dir
    from adu_bench.store import Store
    from adu_bench.suites import suite_names

    if options.suite != "all":
        return [name for part in options.suite.split(",") if (name := part.strip())]
    if options.runs:
        datasets = {run.spec.task.dataset for run in Store(Path(options.runs)).runs()}
        found = [name for name in suite_names() if _dataset(name) in datasets]
    else:
        rows = Path(options.rows) if options.rows else rows_dir()
        found = sorted({path.parent.name for path in rows.glob("*/*.json")})
    if not found:
        raise UserError(
            f"There are no results in '{options.runs or options.rows or rows_dir()}'.",
            "A page is made of results.",
            "Name a folder with runs: adu-bench leaderboard --suite all --runs runs --format html",
        )
    return found


def _dataset(suite: str) -> str:
    """Return the data set of a suite; one that is damaged is named, left out, and keeps no other from the page."""
    from adu_bench.suites import load_suite

    try:
        return load_suite(suite).dataset
    except UserError as error:
        print(f"left out {suite}: {error}", file=sys.stderr)
        return ""


def _write(options: Any) -> int:
    from adu_bench.report.pages import write_pages

    target, catalogue = Path(options.write), catalogue_of(options)
    if options.runs:
        _write_rows(options, target, catalogue)
    for path in write_pages(target, catalogue):
        print(f"wrote {path}")
    return 0


def _write_rows(options: Any, target: Path, catalogue: Any) -> None:
    """Write the rows of all complete blocks among the runs, each checked as a stranger's submission would be."""
    from adu_bench.store import Store
    from adu_bench.submission.submission import of_plan
    from adu_bench.submission.verify import check, verification_status, write

    plan, store = plan_of(options, Path(options.runs)), Store(Path(options.runs))
    for label in dict.fromkeys(run.label for run in plan.runs):
        own = replace(plan, runs=tuple(run for run in plan.runs if run.label == label), todo=())
        if all(store.has(run.spec.key) for run in own.runs):
            submission = of_plan(own, catalogue.select([label])[0], store)
            check(submission)
            print(f"wrote {write(submission, target, verification_status(submission))}")
        else:
            print(f"left out {label}: its block is not complete")


def _check(options: Any) -> int:
    from adu_bench.leaderboard.committed import committed_stale_rows, committed_suites
    from adu_bench.leaderboard.rows import rows_dir
    from adu_bench.report.pages import stale_pages

    folder, catalogue = Path(options.rows) if options.rows else rows_dir(), catalogue_of(options)
    pages = stale_pages(folder, catalogue)
    for path in pages:
        print(f"{path} is not current: adu-bench leaderboard --write {folder}", file=sys.stderr)
    if not pages:
        print(f"The generated files in {folder} are current.")
    rows = {suite: committed_stale_rows(folder, suite, catalogue) for suite in committed_suites(folder)}
    for suite, found in rows.items():
        labels: dict[str, list[str]] = {}
        for label, reason in found.items():
            labels.setdefault(reason, []).append(label)
        for reason, names in labels.items():
            print(f"{suite}: stale rows ({reason}): {', '.join(names)}", file=sys.stderr)
    return 1 if pages or (any(rows.values()) and not options.allow_stale_rows) else 0
