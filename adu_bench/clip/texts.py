"""Checks of class texts: every class needs a text of its own, and the text tower must read all of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from adu_bench.core.errors import UserError


def check_texts(classes: Sequence[str], template: str, tokens: np.ndarray, longer: np.ndarray) -> None:
    """Refuse texts that the tower cuts, and classes whose texts have equal tokens.

    Parameters
    ----------
    classes
        C class names.
    template
        Text with one ``{}`` for the class name.
    tokens
        (C, L), integers: the texts as the tower gets them.
    longer
        (C, M), integers, M at least L + 2: the same texts tokenised with a longer context.  What follows the last
        token of a text is padding, whichever value that has.

    Raises
    ------
    UserError
        If a text is cut, or two texts are equal; all cut classes are named, or the first two equal ones.
    """
    lengths = text_lengths(longer)
    context = tokens.shape[1]
    cut = [f"'{name}' ({length})" for name, length in zip(classes, lengths, strict=True) if length > context]
    if cut:
        raise UserError(
            f"The texts of {len(cut)} of {len(classes)} classes are too long for the backbone: {', '.join(cut[:5])}"
            + (f" and {len(cut) - 5} more." if len(cut) > 5 else "."),
            f'It reads {context} tokens of "{template}", start and end included, and would ignore the rest.',
            "Shorten the class names or the template, or choose a backbone with a longer context.",
        )
    first: dict[bytes, str] = {}
    for name, row in zip(classes, np.ascontiguousarray(tokens), strict=True):
        other = first.setdefault(row.tobytes(), name)
        if other != name:
            raise UserError(
                f"The classes '{other}' and '{name}' have the same text for the backbone.",
                f'Its tokenizer makes the same {context} tokens of both in "{template}", so their scores are equal.',
                "Rename one of the classes, or leave it out of the suite.",
            )


def text_lengths(tokens: np.ndarray) -> np.ndarray:
    """Return the number of tokens in each row before its padding, int64 (C,).

    Padding is the run of equal values at the end of a row; a row without padding counts one token short.
    """
    padding = tokens == tokens[:, -1:]
    run = np.argmin(padding[:, ::-1], axis=1)
    return np.where(padding.all(axis=1), 0, tokens.shape[1] - run).astype(np.int64)
