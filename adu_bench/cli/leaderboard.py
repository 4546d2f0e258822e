"""Print a leaderboard from committed rows or from runs; write or check the committed ones."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from adu_bench.cli.common import flag, plan_options, results_of, results_options, selection_of
from adu_bench.cli.terminal import console
from adu_bench.core.commands import command
from adu_bench.core.errors import UserError, unknown


def options(parser: Any) -> None:
    """Add the command's options."""
    plan_options(parser)
    results_options(parser)
    parser.add_argument(
        "--format",
        type=str,
        default="",
        metavar="md|csv|json|tex|html",
        help="print in this format; a page (html) also takes several suites: --suite a,b or --suite all",
    )
    parser.add_argument(
        "--write",
        type=str,
        default="",
        metavar="DIR",
        help="write rows from --runs with what audits found, and all pages, there",
    )
    flag(parser, "paper", "print the paper's numbers beside the board's, in place of the board")
    flag(
        parser,
        "check",
        "fail if a generated file of --rows is not current, a row has other runs than are planned, or what audits "
        "measured is of other runs or by other code",
    )
    flag(parser, "allow-stale-rows", "with --check: print what is stale, and fail on generated files only")


def run(options: Any) -> int:
    """Print the board, or write or check the committed files."""
    from adu_bench.report.tables.board import FORMATS

    if options.format and options.format not in (*FORMATS, "html"):
        raise unknown("format", options.format, (*FORMATS, "html"))
    if options.check and (options.write or options.paper or options.format):
        raise UserError(
            "--check goes with neither --write, --paper nor --format.",
            "It only says whether committed files are current.",
            command("leaderboard", check=True, rows=options.rows),
        )
    if options.check:
        return _check(options)
    if options.write:
        return _write(options)
    if options.format == "html":
        return _page(options)
    if options.suite == "all" or "," in options.suite:
        raise UserError(
            f"--suite {options.suite} is more than one suite.",
            "Only a page (--format html) has several.",
            command("leaderboard", suite=options.suite, format="html"),
        )
    from adu_bench.workflows.board import board_of

    board = board_of(selection_of(options), results_of(options))
    if options.paper:
        _print_paper(board, options.format)
    elif options.format:
        sys.stdout.write(FORMATS[options.format](board))
    else:
        from adu_bench.report.terminal.boards import print_board

        print_board(board, console())
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
        from adu_bench.report.terminal.boards import print_paper

        print_paper(board, console())


def _page(options: Any) -> int:
    """Print one page of several suites."""
    from adu_bench.report.pages import cards
    from adu_bench.report.web.page import web_page
    from adu_bench.workflows.board import board_of, suites_with_results

    selection, results = selection_of(options), results_of(options)
    if options.suite == "all":
        suites, left_out = suites_with_results(results)
        for sentence in left_out:
            print(sentence, file=sys.stderr)
    else:
        suites = [name for part in options.suite.split(",") if (name := part.strip())]
    boards = [board_of(replace(selection, suite=suite), results) for suite in suites]
    sys.stdout.write(web_page(boards, cards(selection.catalogue)))
    return 0


def _write(options: Any) -> int:
    from adu_bench.report.pages import write_pages
    from adu_bench.workflows.rows import write_audits, write_rows

    target, selection = Path(options.write), selection_of(options)
    for label, path in write_rows(selection, Path(options.runs), target) if options.runs else ():
        print(f"wrote {path}" if path else f"left out {label}: its block is not complete")
    measured = write_audits(selection.suite, Path(options.runs), target) if options.runs else None
    if measured is not None:
        print(f"wrote {measured}")
    for path in write_pages(target, selection.catalogue):
        print(f"wrote {path}")
    return 0


def _check(options: Any) -> int:
    from adu_bench.workflows.rows import stale_files

    folder = results_of(options).rows_folder
    pages, stale = stale_files(folder, selection_of(options).catalogue)
    for path in pages:
        print(f"{path} is not current: {command('leaderboard', write=str(folder))}", file=sys.stderr)
    if not pages:
        print(f"The generated files in {folder} are current.")
    for suite, kind, reason, names in stale:
        print(f"{suite}: stale {kind} ({reason}): {', '.join(names)}", file=sys.stderr)
    return 1 if pages or (stale and not options.allow_stale_rows) else 0
