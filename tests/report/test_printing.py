"""Reports for papers: width, size of text, style sheets, names and order of methods, and LaTeX that compiles."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from adu_bench.core.errors import UserError
from adu_bench.report.printing import ONE_COLUMN, TWO_COLUMNS, Printing, name_of, printed, printing_of
from adu_bench.report.sections import make_report
from adu_bench.report.style import style
from adu_bench.report.tables.table import comma_separated, latex
from adu_bench.report.write import write_report
from tests.report.test_sections import check_that_no_text_is_cut, material, root, texts_of  # noqa: F401

pytestmark = pytest.mark.thorough

NAMES = {"zero-shot": "CLIP, as it is", "baseline": "Base", "adu": "ADU & 50% $x_1$"}
WAYS = {
    "one column": Printing(width=ONE_COLUMN, labels=NAMES),
    "large text": Printing(font_size=11),
}
# Large text matters most where positions are fixed: a square, a table, a grid of images.
CASES = [*(("one column", number) for number in range(14)), *(("large text", number) for number in (2, 5, 11))]


@pytest.fixture(scope="module")
def reports(root):  # noqa: F811
    found = {}
    for name, how in WAYS.items():
        with printed(how):
            found[name] = make_report(material(root))
    return found


@pytest.mark.parametrize(("way", "number"), CASES)
def test_no_figure_is_wider_than_asked_for_and_no_text_is_cut(reports, way, number):
    with printed(WAYS[way]):
        figure = check_that_no_text_is_cut(reports[way].sections[number])
    assert figure.get_size_inches()[0] <= WAYS[way].width + 1e-6


def test_methods_have_their_printed_names_everywhere(reports):
    whole = NAMES["adu"]
    by_name = {section.name: section for section in reports["one column"].sections}
    with printed(WAYS["one column"]), style():
        for name in (
            "trade-off",
            "did-it-forget",
            "intervals",
            "profile",
            "domains",
            "embedding",
            "study-shots",
            "cost",
        ):
            shown = [text.get_text() for text in texts_of(by_name[name].draw())]
            assert whole in shown, name
            assert "adu" not in shown, name
    for name in ("main-table", "summary-table", "improvement", "ablation-adu"):
        table = by_name[name].table
        assert any(whole in text for text in (*(cell.text for row in table.rows for cell in row), *table.columns)), name
    assert whole in by_name["ablation-adu"].caption
    assert "ADU \\& 50\\% \\$x\\_1\\$ &" in latex(by_name["main-table"].table)


def test_named_methods_come_first_in_the_order_of_the_file_and_references_stay_below(reports):
    table = next(section.table for section in reports["one column"].sections if section.name == "main-table")
    first = [[row[0].text for row in part] for part in table.parts]
    assert first[0][:2] == ["Base", NAMES["adu"]]
    assert first[1][0] == "CLIP, as it is"
    usual = next(section.table for section in reports["large text"].sections if section.name == "main-table")
    assert usual.parts[0][0][0].text == "adu"
    # The values are those of the board in any order.
    assert sorted(comma_separated(table).splitlines()[2].split(",")[1:]) in [
        sorted(line.split(",")[1:]) for line in comma_separated(usual).splitlines()
    ]


def test_overrides_stay_behind_a_printed_name():
    with printed(Printing(labels={"adu": "ADU"})):
        assert name_of("adu[gamma=3.0]") == "ADU[gamma=3.0]"
        assert name_of("adu-released") == "adu-released"


def test_text_grows_with_its_size_and_a_style_sheet_comes_on_top(tmp_path):
    import matplotlib

    sheet = tmp_path / "mine.mplstyle"
    sheet.write_text("font.family: serif\npdf.fonttype: 3\n")
    with printed(printing_of(font_size=9, sheet=str(sheet))), style():
        assert matplotlib.rcParams["font.size"] == 9
        assert matplotlib.rcParams["xtick.labelsize"] == pytest.approx(8.4)
        assert matplotlib.rcParams["font.family"] == ["serif"]
        # Fonts are embedded whatever the sheet says: publishers refuse type 3.
        assert matplotlib.rcParams["pdf.fonttype"] == 42
    with style():
        assert matplotlib.rcParams["font.size"] == 7.5
        assert matplotlib.rcParams["font.family"] == ["DejaVu Sans"]


def test_widths_are_columns_or_inches():
    assert printing_of("one").width == ONE_COLUMN
    assert printing_of("").width == TWO_COLUMNS
    assert printing_of("5.5").width == 5.5


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"width": "three"}, "three"),
        ({"width": "0.1"}, "0.1"),
        ({"width": "nan"}, "nan"),
        ({"font_size": 100.0}, "100 points"),
        ({"font_size": float("nan")}, "nan points"),
        ({"sheet": "no such style"}, "no such style"),
        ({"labels": "absent.yaml"}, "absent.yaml"),
    ],
)
def test_other_values_are_refused_by_name(options, named):
    with pytest.raises(UserError, match=named):
        printing_of(**options)


@pytest.mark.parametrize("text", ["", "- adu", "adu: [1]", "adu: ''", "1: one", "adu: {"])
def test_files_that_do_not_name_methods_are_refused(tmp_path, text):
    file = tmp_path / "labels.yaml"
    file.write_text(text)
    with pytest.raises(UserError, match="does not name methods"):
        printing_of(labels=str(file))


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="there is no pdflatex on this machine")
def test_tables_and_captions_compile_with_booktabs_alone(reports, tmp_path, monkeypatch):
    monkeypatch.setattr("adu_bench.report.style.DPI", 20)
    with printed(WAYS["one column"]):
        write_report(reports["one column"], tmp_path)
    body = [r"\documentclass{article}\usepackage{booktabs}\begin{document}"]
    body += [rf"\begin{{table}}\input{{{path.name}}}\end{{table}}" for path in sorted(tmp_path.glob("*.tex"))]
    (tmp_path / "paper.tex").write_text("\n".join([*body, r"\input{captions}\end{document}"]))
    done = subprocess.run(
        ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "paper.tex"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "paper.pdf").stat().st_size > 10_000
