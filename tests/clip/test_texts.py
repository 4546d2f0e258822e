"""Class texts that a tower would truncate or could not tell apart are refused, and the message names the classes."""

from __future__ import annotations

import numpy as np
import open_clip
import pytest
from open_clip.tokenizer import SimpleTokenizer

from adu_bench.clip.texts import check_texts, text_lengths
from adu_bench.core.errors import UserError

TEMPLATE = "a picture of a {}."


def checked(classes: list[str], context: int = 32, template: str = TEMPLATE) -> None:
    tokenizer = SimpleTokenizer(context_length=context)
    texts = [template.format(name) for name in classes]
    check_texts(classes, template, tokenizer(texts).numpy(), tokenizer(texts, 4 * context).numpy())


def test_distinct_short_texts_pass():
    checked(["dog", "cat", "hot dog"])


def test_a_text_of_exactly_the_context_passes_and_one_token_more_is_refused():
    """The tokens are: start, end, five of the template with its full stop, and the words of the class."""
    checked(["dog", " ".join(["dog"] * 25)])
    with pytest.raises(UserError, match=r"1 of 2 classes are too long.*dog dog.* \(33\)") as caught:
        checked(["cat", " ".join(["dog"] * 26)])
    assert "reads 32 tokens" in caught.value.why


def test_two_truncated_texts_that_would_tie_are_both_named():
    long = " ".join(["very"] * 40)
    with pytest.raises(UserError, match="2 of 3 classes") as caught:
        checked(["cat", f"{long} big dog", f"{long} small dog"])
    assert "big dog" in caught.value.what
    assert "small dog" in caught.value.what


@pytest.mark.parametrize("pair", [("Dog", "dog"), ("hot  dog", "hot dog")])
def test_texts_with_equal_tokens_are_refused_with_both_named(pair):
    with pytest.raises(UserError, match=f"'{pair[0]}' and '{pair[1]}' have the same text"):
        checked(["cat", *pair])


def test_lengths_do_not_depend_on_the_padding_value():
    rows = np.array([[7, 5, 9, 0, 0, 0], [7, 9, 1, 1, 1, 1], [7, 5, 5, 5, 5, 9], [4, 4, 4, 4, 4, 4]])
    assert text_lengths(rows).tolist() == [3, 2, 5, 0]


def test_real_tokenizers_take_a_longer_context():
    tokens = open_clip.get_tokenizer("ViT-B-32")(["a photo of a dog."], 160)
    assert tokens.shape == (1, 160)
    assert text_lengths(tokens.numpy()).tolist() == [8]
