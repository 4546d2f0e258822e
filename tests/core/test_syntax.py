from __future__ import annotations

import ast
import io
import tokenize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adu_bench.core.hashing import digest
from adu_bench.core.syntax import canonical_code, names_read

CODE = '''"""A module."""
import warnings

LIMIT: float = 0x10 + 1.5e-3 - 2j


class Thing(Base, metaclass=Meta):
    """A class."""

    rate = 0.5
    """A field."""

    @property
    async def f(self, x, *rest, y=None, **more) -> "Thing":
        """Return something."""
        if x < LIMIT and not y:
            raise ValueError(f"bad {x:>{self.rate}} and {y!r}" + " twice") from None
        warnings.warn("careful")
        self.report(x / 2, f"step {x}")
        assert x, "no x"
        return {**more, "a": [i for i in rest if i != b"c"], (1, ...): lambda z: f"{z}{x=}"}
'''
SAMPLE_DIGEST = "bdb3927afdd8837403a0"


def code(text: str) -> str:
    return canonical_code(ast.parse(text))


def test_the_digest_of_a_sample_never_changes():
    """The sample has most kinds of nodes; a Python version with another digest would make all results stale."""
    assert digest(code(CODE)) == SAMPLE_DIGEST


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"""A module."""\n', ""),
        ('"""A class."""', '"""Another class,\n    described at length."""'),
        ('"""A field."""', "pass"),
        ("0x10", "1_6"),
        ("rate = 0.5", "rate = .50  # why"),
        ('"careful"', '"be careful"'),
        ("bad {x", "very bad {x"),
        (' + " twice"', ' + " three" " times"'),
        ("step {x}", "now at {x}"),
        ('"no x"', '"x is missing"'),
        ("if x < LIMIT and not y:", "if (\n            x < LIMIT\n            and not y\n        ):"),
        ("import warnings\n", "import warnings\n# a form feed \f and a line separator \u2028 in a comment\n"),
    ],
)
def test_layout_comments_docstrings_and_messages_do_not_count(old, new):
    assert old in CODE
    assert code(CODE.replace(old, new)) == code(CODE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"""A module."""', '"""A module."""; x = 1'),
        ('"""A class."""', '"""A class.""".upper()'),
        ('"""A class."""', 'f"""A class {f()}."""'),
        ("0x10", "0x11"),
        ("1.5e-3", "1.5e-4"),
        ("0x10", "16.0"),
        ("x < LIMIT", "x <= LIMIT"),
        ("{x:>{self.rate}}", "{f(x):>{self.rate}}"),
        ("{y!r}", "{y!s}"),
        ("ValueError(", "TypeError("),
        ('"careful"', 'careful("x")'),
        ("x / 2", "x / 3"),
        ("assert x", "assert not x"),
        ('"a":', '"b":'),
        ('b"c"', '"c"'),
        ("{z}{x=}", "{x=}{z}"),
        ("**more,", ""),
        ("y=None", "y"),
        ("*rest,", "*, rest,"),
        ("...", "None"),
        ("@property\n    ", ""),
        ("async def", "def"),
        ("import warnings\n", "import warnings\n# a form feed \f and a line separator \u2028 in a comment\nx = 1\n"),
    ],
)
def test_everything_that_is_evaluated_counts(old, new):
    assert old in CODE
    assert code(CODE.replace(old, new, 1)) != code(CODE)


def test_texts_count_where_they_are_not_the_message_itself():
    assert code('raise E(table["a"])') != code('raise E(table["b"])')
    assert code('raise E(f("a"))') != code('raise E(f("b"))')
    assert code('x = "a#b"') != code('x = "a#c"')
    assert code('x.write("a")') != code('x.write("b")')


def test_docstrings_count_where_the_caller_says_so():
    one, other = ast.parse('"""One."""'), ast.parse('"""Other."""')
    assert canonical_code(one) == canonical_code(other)
    assert canonical_code(one, docstrings=True) != canonical_code(other, docstrings=True)


def test_names_read_are_variables_attributes_and_texts_but_not_targets():
    found = names_read(ast.parse("a = b.c\nfrom d import e\ngetattr(f, 'g')"))
    assert {"b", "c", "e", "f", "g"} <= found
    assert "a" not in found


def test_long_expressions_are_no_problem():
    assert code("x = " + " + ".join(["1"] * 900)) != code("x = " + " + ".join(["1"] * 901))


def test_parts_of_a_text_that_python_versions_divide_differently_are_one():
    assert code('x = f"a{y}" "b" f"c"') == code('x = f"a{y}bc"')
    assert code('x = f"{y:}"') == code('x = f"{y}"')


comments = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\r\n\x00"), max_size=20)
LINES = CODE.splitlines()
OUTSIDE_BRACKETS = [place for place, line in enumerate(LINES) if line.strip()]


@given(st.lists(st.tuples(st.sampled_from(OUTSIDE_BRACKETS), comments, st.booleans()), max_size=6))
def test_comments_and_blank_lines_anywhere_keep_the_digest(edits):
    lines = list(LINES)
    for place, text, alone in sorted(edits, reverse=True):
        if alone:
            lines[place:place] = [f"# {text}", ""]
        else:
            lines[place] += f"  # {text}"
    assert digest(code("\n".join(lines) + "\n")) == SAMPLE_DIGEST


@given(st.text(st.characters(exclude_categories=("Cs",), exclude_characters='\r\n\x00"\\'), max_size=30), st.data())
def test_any_docstring_keeps_the_digest(text, data):
    docstring = data.draw(st.sampled_from(["A module.", "A class.", "A field.", "Return something."]))
    assert digest(code(CODE.replace(docstring, text))) == SAMPLE_DIGEST


TOKENS = [
    token
    for token in tokenize.generate_tokens(io.StringIO(CODE).readline)
    if token.type == tokenize.NUMBER or (token.type == tokenize.NAME and token.string.islower())
]
SWAPS = {"+": "-", "-": "+", "<": ">", "/": "*", "!=": "==", "and": "or", "not": "", "None": "0"}


def edited(token: tokenize.TokenInfo, text: str) -> str:
    lines = CODE.splitlines(keepends=True)
    row, start, end = token.start[0] - 1, token.start[1], token.end[1]
    lines[row] = lines[row][:start] + text + lines[row][end:]
    return "".join(lines)


@given(st.sampled_from(TOKENS), st.integers(0, 10**6))
def test_any_changed_number_or_name_changes_the_digest(token, number):
    changed = edited(token, f"{number}.75" if token.type == tokenize.NUMBER else f"{token.string}_{number}")
    try:
        found = digest(code(changed))
    except SyntaxError:  # a keyword
        return
    assert found != SAMPLE_DIGEST


def operators() -> list[tokenize.TokenInfo]:
    found = tokenize.generate_tokens(io.StringIO(CODE).readline)
    return [token for token in found if token.string in SWAPS]


@pytest.mark.parametrize("token", operators(), ids=lambda token: f"{token.start[0]}:{token.string}")
def test_any_changed_operator_changes_the_digest(token):
    changed = edited(token, SWAPS[token.string])
    assert digest(code(changed)) != SAMPLE_DIGEST
