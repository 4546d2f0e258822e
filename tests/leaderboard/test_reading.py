"""Every number of READING.md and of README on audits follows from committed files, or has a source."""

from __future__ import annotations

import re

import pytest

from tests.leaderboard.claims import (
    ANCHORED,
    BOARD,
    FORGOT,
    QUOTED,
    READING,
    README,
    ROOT,
    Claim,
    Results,
    committed_results,
)

WORDS = (
    "two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|twenty|half|"
    "twice|third|quarter"
)
NUMBER = re.compile(rf"(?<![\w.])\d+(?:[.,]\d+)*|\b(?:{WORDS})\b", re.IGNORECASE)


def plain(text: str) -> str:
    """Return a page on one line, without code blocks and the targets of links."""
    text = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    return " ".join(re.sub(r"\]\([^)]*\)", "]", text).split())


def page(path: str) -> str:
    return plain((ROOT / path).read_text(encoding="utf-8"))


def reading() -> str:
    return page("leaderboards/emoji/READING.md")


def readme() -> str:
    return page("README.md")


def forgot() -> str:
    """Return the section of README on audits."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return plain(text.split("\n## Did it forget?\n")[1].partition("\n## ")[0])


def board() -> str:
    return page("docs/reading.md")


def anchored() -> str:
    return page("docs/anchored.md")


PAGES = [(reading, READING), (forgot, FORGOT), (readme, README), (board, BOARD), (anchored, ANCHORED)]


def unsupported(text: str, fragments: list[str]) -> list[str]:
    """Return each number of a text that lies outside all fragments, with the words around it.

    Numbers inside code, such as those of a method's name, are no claims.
    """
    free = text
    for fragment in sorted(fragments, key=len, reverse=True):
        free = free.replace(fragment, "_" * len(fragment))
    free = re.sub(r"`[^`]*`", lambda code: "_" * len(code[0]), free)
    return [text[max(0, hit.start() - 40) : hit.end() + 40] for hit in NUMBER.finditer(free)]


@pytest.fixture(scope="module")
def found() -> Results:
    return committed_results()


@pytest.mark.parametrize(("page", "claims"), PAGES)
def test_every_claim_stands_in_its_page_with_the_numbers_of_the_committed_rows(page, claims, found):
    wrong = [claim.text for claim in claims if not claim.holds(found)]
    assert not wrong, f"the results do not agree with: {wrong}"
    absent = [text for claim in claims if (text := claim.filled(found)) not in page()]
    assert not absent, "the page does not contain:\n" + "\n".join(absent)


@pytest.mark.parametrize(("page", "claims"), PAGES[:2])
def test_every_number_is_part_of_a_claim_or_has_a_source(page, claims, found):
    fragments = [claim.filled(found) for claim in claims] + [quoted.text for quoted in QUOTED]
    assert unsupported(page(), fragments) == []


def test_every_quotation_is_used():
    assert [quoted.text for quoted in QUOTED if quoted.text not in reading()] == []


def test_a_number_without_a_claim_is_found():
    fragment = Claim("H is {}", lambda found: [57.48]).filled(None)
    assert unsupported("H is 57.5, as `adu-2` shows.", [fragment]) == []
    assert unsupported("H is 57.6.", [fragment]) == ["H is 57.6."]
    assert unsupported("It is -1.5.", [fragment]) == ["It is -1.5."]
    assert unsupported("H is 57.5, a quarter of 2,720.", [fragment]) == [
        "H is 57.5, a quarter of 2,720.", "H is 57.5, a quarter of 2,720.",
    ]  # fmt: skip
