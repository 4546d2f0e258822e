"""Check that predictions are of exactly the test images, and that a classifier can have made them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from adu_bench.core.specs import Task
from adu_bench.data.index import task_rows
from adu_bench.data.sources import open_source
from adu_bench.submission.refusal import Refused, shown

TOLERANCE = 1e-4
"""Rounding errors of single precision over a thousand classes, and of committed rows, are below this."""


def images_of(task: Task) -> pd.DataFrame:
    """Return one row per test image of a task: image (the index), domain, label (int64 class index)."""
    rows = task_rows(open_source(task.dataset).index, task.domains, task.classes)
    rows = rows[rows["pool"] == "test"]
    labels = pd.Categorical(rows["label"], categories=task.classes).codes.astype(np.int64)
    return pd.DataFrame({"domain": rows["domain"].to_numpy(object), "label": labels}, index=rows["image"].astype(str))


def check_predictions(frame: pd.DataFrame, task: Task, images: pd.DataFrame, exact: bool, name: str) -> None:
    """Check the predictions of one run.

    Parameters
    ----------
    frame
        One row per image; the columns are those of `adu_bench.runner.evaluate.predict`.
    task
        The task.
    images
        Its test images, see `images_of`.
    exact
        Whether the numbers are unrounded; those of committed rows are rounded.
    name
        The run's name in a refusal.

    Raises
    ------
    Refused
        If an image is missing, duplicate or unknown, has a wrong domain or label, or a prediction is impossible.
    """
    _check_images(frame, images, name)
    for wrong, what in (*_numbers(frame, len(task.classes)), *_answers(frame, task, exact)):
        if wrong.any():
            image = frame["image"].to_numpy()[np.argmax(wrong)]
            raise Refused(f"{name}: {what} (image {shown(image)})")


def _check_images(frame: pd.DataFrame, images: pd.DataFrame, name: str) -> None:
    named = frame["image"].astype(str)
    if named.duplicated().any():
        raise Refused(f"{name}: the image {shown(named[named.duplicated()].iloc[0])} occurs twice")
    unknown = ~named.isin(images.index)
    if unknown.any():
        raise Refused(f"{name}: {shown(named[unknown].iloc[0])} is not a test image of this task")
    missing = images.index.difference(named)
    if len(missing):
        raise Refused(f"{name}: the test image {shown(missing[0])} is missing")
    truth = images.loc[named]
    for column in ("domain", "label"):
        differs = truth[column].to_numpy(object) != frame[column].to_numpy(object)
        if differs.any():
            image = named.iloc[int(np.argmax(differs))]
            raise Refused(f"{name}: the image {shown(image)} has another {column} in the data set")


def _numbers(frame: pd.DataFrame, classes: int) -> Iterator[tuple[np.ndarray, str]]:
    """Yield (mask of wrong predictions, what is wrong) for numbers out of range; later checks need the earlier ones."""
    for column in ("p_label", "p_max", "margin", "entropy"):
        values = frame[column].to_numpy(np.float64)
        highest = np.log(classes) if column == "entropy" else 1.0
        # Negated, so that NaN counts as outside.
        yield ~((values >= -TOLERANCE) & (values <= highest + TOLERANCE)), f"{column} is outside 0 to {highest:.4g}"
    predicted, tied = frame["predicted"].to_numpy(), frame["tied"].to_numpy()
    yield (predicted < 0) | (predicted >= classes), "the predicted class does not exist"
    yield (
        (tied < 1) | (predicted + tied > classes),
        "more classes are tied than there are from the predicted class on",
    )


def _answers(frame: pd.DataFrame, task: Task, exact: bool) -> Iterator[tuple[np.ndarray, str]]:
    """Yield (mask of wrong predictions, what is wrong) for what no probability distribution over the classes gives."""
    classes = len(task.classes)
    p_label, p_max, margin, entropy = (
        frame[column].to_numpy(np.float64) for column in ("p_label", "p_max", "margin", "entropy")
    )
    label, predicted, tied = (frame[column].to_numpy() for column in ("label", "predicted", "tied"))
    hit, top = label == predicted, p_label == p_max
    yield p_label > p_max, "p_label is above p_max"
    yield hit & ~top, "the predicted class is the label, but p_label is not p_max"
    yield (
        top & ~hit & ((tied < 2) | (label < predicted)),
        "p_label is p_max, but the label is not among tied classes",
    )
    yield (tied > 1) & (margin > 0), "classes are tied, but the margin is not zero"
    if exact:
        yield (tied == 1) & (margin == 0), "the margin is zero, but no classes are tied"
    yield p_max * tied > 1 + TOLERANCE, "the probabilities of the tied classes add up to more than one"
    yield p_max < 1 / classes - TOLERANCE, "p_max is below one over the number of classes"
    second = p_max - margin
    yield second < -TOLERANCE, "the margin is above p_max"
    yield (tied == 1) & (p_max + second > 1 + TOLERANCE), "the two highest probabilities add up to more than one"
    yield ~top & (tied == 1) & (p_label > second + TOLERANCE), "p_label is between the two highest probabilities"
    yield _impossible_entropy(p_max, entropy, classes), "the entropy is impossible with this p_max"
    forget = np.isin(frame["domain"].to_numpy(str), task.forget)
    yield forget != frame["forget"].to_numpy(bool), "forget does not agree with the domain"


def _impossible_entropy(p_max: np.ndarray, entropy: np.ndarray, classes: int) -> np.ndarray:
    """Return where the entropy is outside the range that distributions with this p_max can have."""
    above, below = (p_max + TOLERANCE).clip(max=1), (p_max - TOLERANCE).clip(1 / classes, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        rest = np.where(below < 1, (1 - below) * np.log((1 - below) / (classes - 1)), 0)
        highest = -below * np.log(below) - rest
        lowest = -np.log(above)
    return (entropy < lowest - TOLERANCE) | (entropy > highest + TOLERANCE)
