from __future__ import annotations

from adu_bench.report.style import TWO_COLUMNS, style
from adu_bench.report.tables.table import Cell, Table, comma_separated, drawn, latex

TABLE = Table(
    groups=(("", 1), ("one & two", 2)),
    columns=("method", "H", "change"),
    parts=(((Cell("=a_b"), Cell("61.0", True), Cell("\N{MINUS SIGN}1.5")),), ((Cell("c"), Cell(""), Cell("+2.0")),)),
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
    wide = Table((("", 2),), ("method", "words"), (((Cell("x"), Cell("long words " * 20)),),), words=2)
    with style():
        assert drawn(wide).get_size_inches()[0] <= TWO_COLUMNS + 1e-9
        figure = drawn(TABLE)
    assert figure.get_size_inches()[0] < TWO_COLUMNS / 2
    assert {text.get_text() for text in figure.axes[0].texts} >= {"=a_b", "61.0", "one & two", "change"}
