"""Whether predictions can be what they say: of exactly the test images, and possible as answers of one classifier."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from adu_bench.core.specs import Task
from adu_bench.data.index import task_rows
from adu_bench.data.sources import open_source
from adu_bench.submission.refusal import Refused, shown

TOLERANCE = 1e-4
"""Rounding of single precision over a thousand classes, and of committed rows, stays below this."""


def pool_of(task: Task) -> pd.DataFrame:
    """Return the test images of a task: image (the row labels), domain, label (class index)."""
    rows = task_rows(open_source(task.dataset).index, task.domains, task.classes)
    rows = rows[rows["pool"] == "test"]
    labels = pd.Categorical(rows["label"], categories=task.classes).codes.astype(np.int64)
    return pd.DataFrame({"domain": rows["domain"].to_numpy(object), "label": labels}, index=rows["image"].astype(str))


def check_predictions(frame: pd.DataFrame, task: Task, pool: pd.DataFrame, exact: bool, name: str) -> None:
    """Check the predictions of one run.

    Parameters
    ----------
    frame
        One row an image; the columns are those of `adu_bench.runner.evaluate.predict`.
    task
        What was predicted.
    pool
        Its test images, see `pool_of`.
    exact
        Whether numbers are as they were computed; committed rows hold rounded ones.
    name
        What to call it in a refusal.

    Raises
    ------
    Refused
        If an image is missing, doubled or strange, has another domain or label, or an answer is impossible.
    """
    _check_images(frame, pool, name)
    for wrong, what in (*_numbers(frame, len(task.classes)), *_answers(frame, task, exact)):
        if wrong.any():
            image = frame["image"].to_numpy()[np.argmax(wrong)]
            raise Refused(f"{name}: {what} (image {shown(image)})")


def _check_images(frame: pd.DataFrame, pool: pd.DataFrame, name: str) -> None:
    images = frame["image"].astype(str)
    if images.duplicated().any():
        raise Refused(f"{name}: the image {shown(images[images.duplicated()].iloc[0])} occurs twice")
    strange = ~images.isin(pool.index)
    if strange.any():
        raise Refused(f"{name}: {shown(images[strange].iloc[0])} is no test image of this task")
    missing = pool.index.difference(images)
    if len(missing):
        raise Refused(f"{name}: the test image {shown(missing[0])} is missing")
    truth = pool.loc[images]
    for column in ("domain", "label"):
        differs = truth[column].to_numpy(object) != frame[column].to_numpy(object)
        if differs.any():
            image = images.iloc[int(np.argmax(differs))]
            raise Refused(f"{name}: the image {shown(image)} has another {column} in the data set")


def _numbers(frame: pd.DataFrame, classes: int) -> Iterator[tuple[np.ndarray, str]]:
    """Yield which rows have numbers out of their range; later conditions rely on the earlier ones."""
    for column in ("p_label", "p_max", "margin", "entropy"):
        values = frame[column].to_numpy(np.float64)
        highest = np.log(classes) if column == "entropy" else 1.0
        # Written so that NaN is outside.
        yield ~((values >= -TOLERANCE) & (values <= highest + TOLERANCE)), f"{column} is outside 0 to {highest:.4g}"
    predicted, tied = frame["predicted"].to_numpy(), frame["tied"].to_numpy()
    yield (predicted < 0) | (predicted >= classes), "the predicted class does not exist"
    yield (tied < 1) | (predicted + tied > classes), "more classes are tied than there are from the predicted one on"


def _answers(frame: pd.DataFrame, task: Task, exact: bool) -> Iterator[tuple[np.ndarray, str]]:
    """Yield which rows no probability distribution over the classes can give."""
    classes = len(task.classes)
    p_label, p_max, margin, entropy = (
        frame[column].to_numpy(np.float64) for column in ("p_label", "p_max", "margin", "entropy")
    )
    label, predicted, tied = (frame[column].to_numpy() for column in ("label", "predicted", "tied"))
    hit, top = label == predicted, p_label == p_max
    yield p_label > p_max, "p_label is above p_max"
    yield hit & ~top, "the predicted class is the label, yet p_label is not p_max"
    yield top & ~hit & ((tied < 2) | (label < predicted)), "p_label is p_max, yet the label is not among tied classes"
    yield (tied > 1) & (margin > 0), "classes are tied, yet the margin is not zero"
    if exact:
        yield (tied == 1) & (margin == 0), "the margin is zero, yet no classes are tied"
    yield p_max * tied > 1 + TOLERANCE, "the tied classes have more than probability one"
    yield p_max < 1 / classes - TOLERANCE, "p_max is below one over the number of classes"
    second = p_max - margin
    yield second < -TOLERANCE, "the margin is above p_max"
    yield (tied == 1) & (p_max + second > 1 + TOLERANCE), "the two highest probabilities are above one together"
    yield ~top & (tied == 1) & (p_label > second + TOLERANCE), "p_label is between the two highest probabilities"
    yield _impossible_entropy(p_max, entropy, classes), "the entropy is impossible at this p_max"
    forget = np.isin(frame["domain"].to_numpy(str), task.forget)
    yield forget != frame["forget"].to_numpy(bool), "forget does not follow from the domain"


def _impossible_entropy(p_max: np.ndarray, entropy: np.ndarray, classes: int) -> np.ndarray:
    """Say where an entropy is below that of as few classes as p_max allows, or above that of an even rest."""
    above, below = (p_max + TOLERANCE).clip(max=1), (p_max - TOLERANCE).clip(1 / classes, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        rest = np.where(below < 1, (1 - below) * np.log((1 - below) / (classes - 1)), 0)
        highest = -below * np.log(below) - rest
        lowest = -np.log(above)
    return (entropy < lowest - TOLERANCE) | (entropy > highest + TOLERANCE)
