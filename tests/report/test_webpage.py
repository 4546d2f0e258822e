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
from adu_bench.report.web.page import web_page
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
    return [element.attributes["data-method"] for element in read(text) if "data-method" in element.attributes]


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


def test_what_strangers_wrote_stays_text(boards):
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
    text = web_page([hostile], {"a<b>&c": card, HOSTILE: card}, files=True)
    elements = read(text)
    assert [element.tag for element in elements].count("script") == 1
    assert not [element for element in elements if element.tag == "img"]
    for element in elements:
        assert not [name for name in element.attributes if name.startswith("on") or name == "style"]
        link = element.attributes.get("href") or ""
        assert link.startswith(("#", "data:,", "https://arxiv.org/")) or link.endswith(".json") or not link
    assert HOSTILE in [element.text for element in elements if element.tag == "dd"]
    assert "49" not in [element.text.strip() for element in elements]


def test_only_what_is_an_arxiv_number_becomes_a_link(boards):
    cards = {"adu": {"paper": "arXiv:2510.08132"}, "baseline": {"paper": "arXiv:2510.08132/../x"}}
    links = {element.attributes["href"] for element in read(web_page(boards[1:], cards)) if element.tag == "a"}
    assert {link for link in links if not link.startswith("#")} == {"https://arxiv.org/abs/2510.08132"}


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


def test_rows_link_to_their_files_only_beside_them(boards):
    def links(files: bool) -> set[str]:
        found = {element.attributes.get("href") for element in read(web_page(boards[1:], {}, files=files))}
        return {link for link in found if link and link.endswith(".json")}

    assert links(False) == set()
    assert links(True) == {"second/adu.json", "second/baseline.json"}


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
