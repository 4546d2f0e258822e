"""Checks of class texts: every class needs a different text that fits into the context of the text tower."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from adu_bench.core.errors import UserError


def check_texts(classes: Sequence[str], template: str, tokens: np.ndarray, longer: np.ndarray) -> None:
    """Raise an error if the tower would truncate a text, or if the texts of two classes have equal tokens.

    Parameters
    ----------
    classes
        C class names.
    template
        Text with one ``{}`` for the class name.
    tokens
        (C, L), integers: the token ids of the texts that the tower receives.
    longer
        (C, M), integers, M at least L + 2: the same texts tokenised with a longer context.  The values
        after the last token of a text are padding, which may be any token id.

    Raises
    ------
    UserError
        See above; the message names the classes: up to five with too long texts, or the first two with equal tokens.
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
                f'With "{template}" both have the same {context} token ids, so their scores would be equal.',
                "Rename one of the classes, or leave it out of the suite.",
            )


def text_lengths(tokens: np.ndarray) -> np.ndarray:
    """Return the number of tokens in each row before its padding, int64 (C,).

    Padding is the run of equal values at the end of a row; a row without padding counts one token short.
    """
    padding = tokens == tokens[:, -1:]
    run = np.argmin(padding[:, ::-1], axis=1)
    return np.where(padding.all(axis=1), 0, tokens.shape[1] - run).astype(np.int64)
