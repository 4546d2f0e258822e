"""Write a report: figures as PDF and PNG, tables also as LaTeX and CSV, captions, and one page with everything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from markupsafe import Markup

from adu_bench.core.errors import UserError
from adu_bench.core.files import write_text
from adu_bench.core.progress import Progress, silent
from adu_bench.report.escape import tex_text
from adu_bench.report.figures.common import block
from adu_bench.report.section import Section
from adu_bench.report.sections import Report, unranked
from adu_bench.report.style import save, style
from adu_bench.report.tables.table import comma_separated, latex
from adu_bench.report.templates import environment, policy, resource

PAGE = "report.html"
CAPTIONS = "captions.tex"
SHOWN_DPI = 100
"""Pixels per inch at which the page shows a figure, unless the page is too narrow."""


def write_report(report: Report, folder: Path, progress: Progress = silent) -> list[Path]:
    """Write a report; the same results give the same bytes.

    Parameters
    ----------
    report
        The report.
    folder
        The folder to write to; other files in it are not touched.
    progress
        Called before each section is drawn.

    Returns
    -------
    list of Path
        The written files.

    Raises
    ------
    UserError
        If the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        written, shown = [], []
        for number, section in enumerate(report.sections):
            progress("report", number, len(report.sections), section.title)
            files, size = _write(section, folder)
            written += files
            shown.append(_described(section, files, size))
        progress("report", len(report.sections), len(report.sections))
        captions, page = folder / CAPTIONS, folder / PAGE
        write_text(captions, _captions(report))
        write_text(page, _page(report, shown))
    except OSError as error:
        raise UserError(
            f"The report cannot be written to '{folder}'.", f"{error.strerror or error}.", "Name a folder with --out."
        ) from error
    return [*written, captions, page]


def _captions(report: Report) -> str:
    """Return the captions as text for LaTeX, each below the name of its files."""
    return "\n".join(f"% {section.name}: {section.title}\n{tex_text(section.caption)}\n" for section in report.sections)


def _write(section: Section, folder: Path) -> tuple[list[Path], tuple[float, float]]:
    """Write a section's files; return them, and the figure's size in inches."""
    with style():
        figure = section.draw()
        files = save(figure, folder / section.name)
        width, height = figure.get_size_inches()
    if section.table is not None:
        for ending, text in (("tex", latex(section.table)), ("csv", comma_separated(section.table))):
            path = folder / f"{section.name}.{ending}"
            write_text(path, text)
            files.append(path)
    return files, (float(width), float(height))


def _described(section: Section, files: list[Path], size: tuple[float, float]) -> dict[str, Any]:
    return {
        "name": section.name,
        "title": section.title,
        "caption": section.caption,
        "table": section.table,
        "seen": section.seen,
        "files": [path.name for path in files],
        "width": round(size[0] * SHOWN_DPI),
        "height": round(size[1] * SHOWN_DPI),
    }


def _page(report: Report, sections: list[dict[str, Any]]) -> str:
    board = report.board
    style_text = resource("web/base.css") + resource("report/report.css")
    script = resource("report/report.js")
    return (
        environment("report")
        .get_template(PAGE)
        .render(
            policy=policy(style_text, script, images="'self' data:"),
            style=Markup(style_text),
            script=Markup(script),
            suite=board.suite,
            title=board.title,
            block=block(board),
            runs=len(board.runs),
            backbones=", ".join(dict.fromkeys(run.spec.backbone.name for run in board.runs)),
            protocols=", ".join(dict.fromkeys(str(run.spec.protocol) for run in board.runs)),
            unranked=unranked(board),
            sections=sections,
            missing=report.missing,
            captions=CAPTIONS,
        )
    )
