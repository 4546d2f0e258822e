"""The web page as text: what is in it, and that nothing a stranger wrote becomes markup."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser

import pytest

from adu_bench.leaderboard.board import by_size
from adu_bench.leaderboard.published import claims_of
from adu_bench.report.tables.board import board_csv, board_json
from adu_bench.report.web.page import web_page
from adu_bench.report.web.scatter import scatter
from tests.report.conftest import two_boards

HOSTILE = "</script><script>alert(1)</script>\"' onmouseover=alert(1) <img src=x onerror=alert(1)> {{ 7 * 7 }}"


@dataclass
class Element:
    tag: str
    attributes: dict[str, str | None]
    text: str = ""


@dataclass
class Reader(HTMLParser):
    """Elements of a page in their order, each with the text directly in it."""

    elements: list[Element] = field(default_factory=list)

    def __post_init__(self):
        super().__init__()

    def handle_starttag(self, tag, attrs):
        self.elements.append(Element(tag, dict(attrs)))

    def handle_data(self, data):
        if self.elements:
            self.elements[-1].text += data


def read(text: str) -> list[Element]:
    reader = Reader()
    reader.feed(text)
    return reader.elements


def rows(text: str) -> list[str | None]:
    return [
        element.attributes["data-method"]
        for element in read(text)
        if element.tag == "tr" and "data-method" in element.attributes
    ]


def test_every_method_has_a_row_in_every_table(boards):
    names = ["adu", "baseline", "adu-less", "zero-shot", "late"]
    text = web_page(boards, {})
    assert sorted(rows(text)) == sorted(3 * names + ["adu", "baseline"])
    assert "Not ranked: 1 of 5 runs finished." in text


def test_the_page_is_the_same_for_the_same_runs(boards, root):
    again = two_boards(root)
    shuffled = [replace(board, runs=tuple(reversed(board.runs))) for board in again]
    assert web_page(boards, {}) == web_page(again, {}) == web_page(shuffled, {})


def test_tables_by_number_show_what_the_board_by_number_has(boards):
    table = by_size(boards[0]).set_index(["method", "forget"])
    for size, part in boards[0].sizes.items():
        for row in part.rows:
            expected = table.loc[(row.method, size)] if (row.method, size) in table.index else None
            if expected is None:
                assert row["h_mean"] is None
            else:
                assert row["h_mean"] == pytest.approx(expected["h_mean"])
                assert (row["mem"], row["for"]) == pytest.approx((expected["mem"], expected["for"]))
    cells = [element.text.strip() for element in read(web_page(boards[:1], {})) if element.tag == "td"]
    assert f"{100 * table.loc[('late', 1), 'mem']:.1f}" in cells


def test_what_strangers_wrote_stays_text(boards, tmp_path):
    board = boards[0]
    rename = {"late": HOSTILE, "adu": "a<b>&c"}
    hostile = replace(
        board,
        suite=HOSTILE,
        title=HOSTILE,
        rows=tuple(replace(row, method=rename.get(row.method, row.method), reason=HOSTILE) for row in board.rows),
        frame=board.frame.assign(method=board.frame["method"].replace(rename)),
        sizes={},
    )
    card = dict.fromkeys(("title", "authors", "year", "notes", "licence"), HOSTILE) | {"paper": "javascript:alert(1)"}
    text = web_page([hostile], {"a<b>&c": card, HOSTILE: card}, tmp_path)
    elements = read(text)
    assert [element.tag for element in elements].count("script") == 1
    assert not [element for element in elements if element.tag == "img"]
    for element in elements:
        assert not [name for name in element.attributes if name.startswith("on") or name == "style"]
        link = element.attributes.get("href") or ""
        taken = link.startswith(("data:text/csv;base64,", "data:application/json;base64,"))
        assert not taken or element.attributes["download"]
        inside = link.startswith(("#", "data:,", "https://arxiv.org/")) or link.endswith((".json", "/README.md"))
        assert taken or inside or not link
    assert HOSTILE in [element.text for element in elements if element.tag == "dd"]
    assert "49" not in [element.text.strip() for element in elements]


def test_only_what_is_an_arxiv_number_becomes_a_link(boards):
    cards = {"adu": {"paper": "arXiv:2510.08132"}, "baseline": {"paper": "arXiv:2510.08132/../x"}}
    links = {element.attributes["href"] for element in read(web_page(boards[1:], cards)) if element.tag == "a"}
    assert {link for link in links if not link.startswith(("#", "data:"))} == {"https://arxiv.org/abs/2510.08132"}


def test_the_policy_allows_the_style_and_script_of_the_page_alone(boards):
    text = web_page(boards, {})
    elements = read(text)
    (policy,) = (
        element.attributes["content"] for element in elements if element.attributes.get("http-equiv") is not None
    )
    for tag in ("style", "script"):
        content = re.search(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)[1]
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy


def addresses(text: str) -> set[str]:
    """The links of a page that lead out of it."""
    found = {element.attributes["href"] or "" for element in read(text) if element.tag == "a"}
    return {link for link in found if not link.startswith(("#", "data:"))}


def test_pages_link_only_to_what_is_beside_them(boards, tmp_path):
    assert addresses(web_page(boards[1:], {})) == set()
    own = {"second/adu.json", "second/baseline.json", "second/README.md"}
    folder = tmp_path / "leaderboards"
    folder.mkdir()
    assert addresses(web_page(boards[1:], {}, folder)) == own
    beside = {"README.md", "CONTRIBUTING.md", "CITATION.cff", "reports/second/report.html"}
    (tmp_path / "reports" / "second").mkdir(parents=True)
    for name in beside:
        (tmp_path / name).touch()
    assert addresses(web_page(boards[1:], {}, folder)) == own | {f"../{name}" for name in beside}


def test_every_table_can_be_taken_along_as_csv_and_json(boards):
    found = {}
    for element in read(web_page(boards, {})):
        if element.tag == "a" and element.attributes.get("download"):
            content = base64.b64decode((element.attributes["href"] or "").partition("base64,")[2]).decode()
            found[element.attributes["download"]] = content
    parts = {"toy-all-tasks": boards[0], "toy-1-forgotten": boards[0].sizes[1], "toy-2-forgotten": boards[0].sizes[2]}
    parts["second"] = boards[1]
    assert found == {
        f"{name}.{kind}": make(board)
        for name, board in parts.items()
        for kind, make in (("csv", board_csv), ("json", board_json))
    }


def test_the_chart_has_every_method_where_its_numbers_are(boards):
    plane = scatter(boards[0])
    rows_ = {row.method: row for row in boards[0].rows}
    points = {point["method"]: point for point in plane["points"]}
    assert set(points) == set(rows_)
    assert sorted(points, key=lambda name: points[name]["x"]) == sorted(rows_, key=lambda name: rows_[name]["for"])
    assert sorted(points, key=lambda name: -points[name]["y"]) == sorted(rows_, key=lambda name: rows_[name]["mem"])
    one = rows_["adu"]
    assert (
        f"Mem {100 * one['mem']:.1f}, For {100 * one['for']:.1f}, mean of H {100 * one['h_mean']:.1f}"
        == (points["adu"]["text"])
    )
    # Ticks give the scale; a point on a curve of equal H has this H.
    (low, start), *_, (high, end) = plane["across"]
    (floor, foot), *_, (ceiling, top) = plane["up"]
    for curve in plane["curves"]:
        for x, y in ([float(part) for part in pair.split()] for pair in curve["path"][1:].split("L")):
            gone = low + (high - low) * (x - start) / (end - start)
            kept = floor + (ceiling - floor) * (y - foot) / (top - foot)
            assert 2 * gone * kept / (gone + kept) == pytest.approx(float(curve["label"]), abs=0.5)
    assert "adu" in plane["words"] or "zero-shot" in plane["words"]
    assert scatter(replace(boards[0], rows=boards[0].rows[:1])) is None


def test_tables_say_when_and_how_their_runs_were_made(boards):
    made = [element.text for element in read(web_page(boards, {})) if element.attributes.get("class") == "made"]
    assert len(made) == 4
    days = {run.finished[:10] for run in boards[0].runs}
    assert made[0].startswith(f"Protocol {boards[0].common.protocol}, {boards[0].common.backbone.name}, ")
    assert all(day in made[0] for day in (min(days), max(days)))


def test_identifiers_are_unique_and_without_spaces(boards):
    identifiers = [element.attributes["id"] for element in read(web_page(boards, {})) if "id" in element.attributes]
    assert len(identifiers) == len(set(identifiers))
    assert not [identifier for identifier in identifiers if re.search(r"\s", identifier)]
    assert {"toy/adu", "toy/2%20forgotten/adu", "second/adu"} <= set(identifiers)


def test_empty_cells_say_why(boards):
    (row,) = (row for row in boards[0].sizes[2].rows if row.method == "late")
    assert row["h_mean"] is None
    reasons = [element.attributes.get("title") for element in read(web_page(boards[:1], {}))]
    assert "none of its runs counts" in reasons
    assert "too few seeds for an interval" in reasons


def test_letters_have_a_column_and_a_sentence(boards):
    board = boards[1]
    for letters in (("a", "b"), ("", "")):
        lettered = replace(
            board,
            rows=tuple(
                replace(row, values={**row.values, "letters": own or None})
                for row, own in zip(board.rows, letters, strict=True)
            ),
        )
        elements = read(web_page([lettered], {}))
        cells = [element for element in elements if "letters" in element.attributes.get("class", "").split()]
        assert [cell.attributes.get("data-value") for cell in cells] == [None, *letters]
        assert [cell.text.strip() for cell in cells] == ["letters", *letters]
        (block,) = (element.text for element in elements if element.attributes.get("class") == "block")
        assert block.strip().endswith("cannot be told apart.") == any(letters)
    spoken = [element.text.strip() for element in read(web_page([board], {})) if element.tag == "span"]
    assert any("cannot be told apart" in text for text in spoken)


def test_rows_say_how_far_they_were_checked_and_what_they_claim(boards):
    board = boards[1]
    assert "verified" not in web_page([board], {})
    first, *others = board.rows
    checked = replace(first, state="verified", claimed={"mem": 0.5, "for": 0.25, "h_mean": 0.375})
    text = web_page([replace(board, rows=(checked, *others))], {})
    states = [element.text.strip() for element in read(text) if element.attributes.get("class") == "state"]
    assert states == ["verified"]
    assert "Mem 50.00, For 25.00, mean of H 37.50; the table shows what the predictions give" in text
    assert "every number was computed again" in text


def test_the_papers_claims_stand_apart_without_rank(boards):
    named = replace(boards[0], suite="officehome")
    text = web_page([named], {})
    after = text.split("The paper's numbers beside these")[1]
    assert rows(after.partition("</details>")[0]) == []
    cells = [element.text.strip() for element in read(after) if element.tag == "td"]
    (claim,) = (claim for claim in claims_of("officehome") if (claim.method, claim.forget) == ("adu", 1))
    own = by_size(boards[0]).set_index(["method", "forget"]).loc[("adu", 1)]
    assert f"{100 * claim.mem:.1f}" in cells
    assert f"{100 * (own['mem'] - claim.mem):+.1f}" in cells
    assert "The paper's numbers" not in web_page(boards, {})
