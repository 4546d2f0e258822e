from __future__ import annotations

import io

from rich.console import Console

from adu_bench.report.printing import TWO_COLUMNS
from adu_bench.report.style import style
from adu_bench.report.tables.drawing import draw
from adu_bench.report.tables.table import Cell, Table, comma_separated, latex, markdown
from adu_bench.report.terminal.boards import print_table

TABLE = Table(
    columns=("method", "H", "change"),
    parts=(
        ((Cell("=a_b", name=True), Cell("61.0", True), Cell("\N{MINUS SIGN}1.5")),),
        ((Cell("c"), Cell(""), Cell("+2.0")),),
    ),
    align="lrr",
    groups=(("", 1), ("one & two", 2)),
    notes=("c has no H",),
)


def test_latex_escapes_names_and_sets_the_best_bold():
    text = latex(TABLE)
    assert "\\multicolumn{2}{c}{one \\& two}" in text
    assert "=a\\_b & \\textbf{61.0} & $-$1.5 \\\\" in text
    assert text.count("\\midrule") == 2
    assert "\\cmidrule(lr){2-3}" in text


def test_csv_has_plain_numbers_and_no_formulas():
    assert comma_separated(TABLE) == "method,one & two: H,one & two: change\n'=a_b,61.0,-1.5\nc,,+2.0\n"


def test_a_drawn_table_is_never_wider_than_a_page():
    wide = Table(("method", "words"), (((Cell("x"), Cell("long words " * 20)),),), "ll")
    with style():
        assert draw(wide).get_size_inches()[0] <= TWO_COLUMNS + 1e-9
        figure = draw(TABLE)
    assert figure.get_size_inches()[0] < TWO_COLUMNS / 2
    assert {text.get_text() for text in figure.axes[0].texts} >= {"=a_b", "61.0", "one & two", "change"}


def test_markdown_has_names_as_code_and_notes_below():
    assert markdown(TABLE) == (
        "| method | one & two: H | one & two: change |\n|---|---:|---:|\n"
        "| `=a_b` | **61.0** | \N{MINUS SIGN}1.5 |\n| c |  | +2.0 |\n\n- c has no H.\n"
    )


def test_the_terminal_shows_every_cell_and_no_markup_of_strangers():
    hostile = Table(("method",), (((Cell("[red]x[/red]"),),),), "l")
    for table, texts in ((TABLE, ("=a_b", "61.0", "one & two: H")), (hostile, ("[red]x[/red]",))):
        console = Console(width=80, file=io.StringIO())
        print_table(console, table, "a title")
        assert all(text in console.file.getvalue() for text in (*texts, "a title"))


def test_the_terminal_shows_whole_names_of_methods_and_variables():
    """Two variables of a study that differ at their ends were both cut to ``missing-...``."""
    names = ("domain-gate", "missing-kmeans")
    cells = (*map(Cell, names), *[Cell("100.0")] * 6)
    table = Table(("method", "variable", *["words of heads"] * 6), ((cells,),), "ll" + "r" * 6)
    console = Console(width=80, file=io.StringIO())
    print_table(console, table)
    assert all(name in console.file.getvalue() for name in names)


def test_some_columns_alone_keep_the_heading_of_their_group():
    found = TABLE.only([0, 2])
    assert (found.columns, found.align) == (("method", "one & two: change"), "lr")
    assert [cell.text for cell in found.rows[1]] == ["c", "+2.0"]
