"""Predictions that were made outside adu-bench become a claimed row: images are matched, and gaps are named."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from adu_bench.core.errors import UserError
from adu_bench.core.files import read_bytes
from adu_bench.core.hashing import digest
from adu_bench.core.parquet_files import DAMAGES, opened
from adu_bench.core.specs import RunSpec, Task
from adu_bench.data.index import task_rows
from adu_bench.data.sources import open_source
from adu_bench.leaderboard.outside import outside_choice
from adu_bench.runner.plan import plan
from adu_bench.submission.submission import Submission
from adu_bench.suites import Suite

PROBABILITIES, CLASSES = "probabilities", "classes"
"""What an outside method answered; with classes alone, its confidence is unknown and is taken as 1."""
_SUM = 1e-3
"""Probabilities may add up to one with this error, which is that of three decimals, and are scaled."""
_SHOWN = 3
_MOST_SHOWN, _LONGEST_SHOWN = 1000, 100
"""Names in a message, and characters of a name."""
LARGEST, MOST_ROWS = 2**31, 50_000_000
"""Bounds of a file of predictions: bytes, and rows."""
_DEEPEST = 100
"""Folders of a path that are looked at, from its end."""
_TEXTS = ("image", "task", "predicted")


@dataclass(frozen=True)
class OutsideRun:
    """The predictions of one task and seed as a finished run."""

    spec: RunSpec
    label: str
    frame: pd.DataFrame
    finished: str
    measured: dict[str, Any] = field(default_factory=lambda: {"domain_probe": None})
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The run's key."""
        return self.spec.key

    @property
    def source(self) -> str:
        """Empty: its metrics are computed once."""
        return ""

    def predictions(self) -> pd.DataFrame:
        """Return one row per test image; the columns are those of `adu_bench.runner.evaluate.predict`."""
        return self.frame


def from_table(table: pd.DataFrame, suite: Suite, method: str, card: Mapping[str, Any]) -> tuple[Submission, str]:
    """Make a submission of predictions.

    Parameters
    ----------
    table
        One row per task, seed and test image, with the columns image (name, path or SHA-256), task and seed (each may
        be missing where the suite has one), and either predicted (a class name) or one column per class with its
        probability.
    suite, method, card
        The suite, the method's name, and its card.

    Returns
    -------
    tuple
        The submission, and `PROBABILITIES` or `CLASSES`.

    Raises
    ------
    UserError
        If columns are missing, a task, seed, class or image is unknown, doubled or missing, or a row is not a
        probability distribution.
    """
    kind = _kind(table, suite)
    tasks = {task.name: task for task in suite.tasks()}
    images = _Images(suite)
    parts = _parts(table, tasks, suite)
    frames = {pair: _frame(part, tasks[pair[0]], kind, images, pair) for pair, part in parts.items()}
    found = digest([[*pair, frame.to_csv(index=False)] for pair, frame in sorted(frames.items())])
    choice = outside_choice(method, card, found)
    planned = plan(suite, [choice])
    now = datetime.now(UTC).isoformat(timespec="seconds")
    runs = tuple(OutsideRun(run.spec, method, frames[(run.spec.task.name, run.spec.seed)], now) for run in planned.runs)
    return Submission(choice, planned, runs, {}, {}, exact=True), kind


def _kind(table: pd.DataFrame, suite: Suite) -> str:
    missing = [name for name in suite.classes if name not in table]
    if "image" not in table:
        raise _refused("There is no column 'image'.", "It names the image of each row.", "Its columns", table.columns)
    if not missing:
        return PROBABILITIES
    if "predicted" not in table or len(missing) < len(suite.classes):
        why = "There is no column 'predicted', and" if "predicted" not in table else "Of the classes,"
        raise _refused(f"{why} {_some(missing, 'column')} missing.", "Each class needs one.", "Classes", suite.classes)
    wrong = table.loc[~table["predicted"].isin(suite.classes), "predicted"]
    if len(wrong):
        raise _refused(
            f"'{_short(wrong.iloc[0])}' is predicted, which is not a class of '{suite.name}'.",
            f"It occurs in {len(wrong)} rows.",
            "Classes",
            suite.classes,
        )
    return CLASSES


def _parts(table: pd.DataFrame, tasks: Mapping[str, Task], suite: Suite) -> dict[tuple[str, int], pd.DataFrame]:
    """Split the table into the block of the suite: all of its tasks with all of its seeds, and nothing else."""
    for column, known in (("task", list(tasks)), ("seed", list(suite.seeds))):
        if column not in table and len(known) > 1:
            raise _refused(
                f"There is no column '{column}'.",
                f"'{suite.name}' has {len(known)} {column}s.",
                f"Add the column, or give one file each, called TASK.SEED.csv; {column}s",
                known,
            )
        table = table if column in table else table.assign(**{column: known[0]})
        wrong = table.loc[~table[column].isin(known), column]
        if len(wrong):
            raise _refused(
                f"'{_short(wrong.iloc[0])}' is not a {column} of '{suite.name}'.",
                f"It occurs in {len(wrong)} rows.",
                f"{column.capitalize()}s",
                known,
            )
    parts = {(str(task), int(seed)): part for (task, seed), part in table.groupby(["task", "seed"], sort=False)}
    gaps = [f"{name} with seed {seed}" for name in tasks for seed in suite.seeds if (name, seed) not in parts]
    if gaps:
        raise UserError(
            f"{_some(gaps, 'block')} missing.",
            f"A row of '{suite.name}' has {len(tasks)} x {len(suite.seeds)} tasks and seeds, so that all means agree.",
            "Add them, or bring the predictions to a suite of your own with fewer tasks.",
        )
    return parts


class _Images:
    """The test images of a suite by name, by path and by content hash."""

    def __init__(self, suite: Suite) -> None:
        rows = task_rows(open_source(suite.dataset).index, suite.domains, suite.classes)
        self.rows = rows[rows["pool"] == "test"].astype({"image": str}).set_index("image", drop=False)
        names = self.rows["image"]
        self.known = dict(zip(names, names, strict=True))
        for column in ("path", "sha256"):
            if column in rows:
                once = self.rows[~self.rows[column].duplicated(keep=False)]
                self.known = dict(zip(once[column], once["image"], strict=True)) | self.known

    def find(self, given: str) -> str | None:
        """Return the name of an image; of a path, any number of leading folders may differ."""
        parts = given.replace("\\", "/").split("/")[-_DEEPEST:]
        for start in range(len(parts)):
            found = self.known.get("/".join(parts[start:]))
            if found is not None:
                return found
        return None


def _frame(part: pd.DataFrame, task: Task, kind: str, images: _Images, pair: tuple[str, int]) -> pd.DataFrame:
    """Return the predictions of one task and seed as a run stores them, in the order of the index."""
    where = f"task {pair[0]}, seed {pair[1]}"
    given = part["image"].astype(str)
    names = given.map({name: images.find(name) for name in given.unique()})
    unknown = list(given[names.isna()])
    doubled = list(names[names.duplicated() & names.notna()])
    missing = list(images.rows.index.difference(names.dropna()))
    for wrong, what, remedy in (
        (
            unknown,
            "is not a test image of the suite",
            "Give its path in the data set, its SHA-256, or its name in the predictions of a run",
        ),
        (doubled, "occurs twice", "Keep one row per image"),
        (missing, "is missing", "Add its row"),
    ):
        if wrong:
            raise UserError(
                f"{where}: the image {_short(wrong[0])} {what}.",
                f"So it is with {_listed(wrong)} of {len(images.rows)}.",
                f"{remedy}, and run the same command again.",
            )
    rows = images.rows
    labels = pd.Categorical(rows["label"], categories=task.classes).codes.astype(np.int64)
    part = part.assign(image=names).set_index("image").loc[rows.index]
    return _answers(_probabilities(part, task, kind, where), labels).assign(
        image=rows["image"].to_numpy(object),
        domain=rows["domain"].to_numpy(object),
        forget=rows["domain"].isin(task.forget).to_numpy(),
    )


def _probabilities(part: pd.DataFrame, task: Task, kind: str, where: str) -> np.ndarray:
    """Return the probability of each class, float32, (N, C)."""
    if kind == CLASSES:
        codes = pd.Categorical(part["predicted"], categories=task.classes).codes
        return np.eye(len(task.classes), dtype=np.float32)[codes]
    p = part[list(task.classes)].apply(pd.to_numeric, errors="coerce").to_numpy(np.float64)
    wrong = ~((p >= 0).all(1) & (abs(p.sum(1) - 1) <= _SUM))
    if wrong.any():
        row = p[np.argmax(wrong)]
        raise UserError(
            f"{where}: the columns of the classes are not probabilities.",
            f"For the image {part.index[np.argmax(wrong)]} they are between {row.min():.4g} and {row.max():.4g}, and "
            f"add up to {row.sum():.4g}.",
            "Give the softmax of the logits, without gaps.",
        )
    return (p / p.sum(1, keepdims=True)).astype(np.float32)


def _answers(p: np.ndarray, labels: np.ndarray) -> pd.DataFrame:
    """Return what is stored of probabilities (N, C), as `adu_bench.runner.evaluate.predict` does."""
    top = np.sort(p, axis=1)[:, ::-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        entropy = -np.where(p > 0, p * np.log(p), 0).sum(1)
    return pd.DataFrame(
        {
            "label": labels.astype(np.int16),
            "predicted": p.argmax(1).astype(np.int16),
            "tied": (p == top[:, :1]).sum(1).astype(np.int16),
            "p_label": p[np.arange(len(p)), labels],
            "p_max": top[:, 0],
            "entropy": entropy.astype(np.float32),
            "margin": top[:, 0] - top[:, 1],
        }
    )


def _some(names: Sequence[Any], noun: str) -> str:
    verb = "is" if len(names) == 1 else "are"
    return f"{len(names)} {noun}{'s' * (len(names) != 1)} ({_listed(names, False)}) {verb}"


def _listed(names: Sequence[Any], counted: bool = True) -> str:
    shown = ", ".join(map(_short, names[:_SHOWN])) + (", ..." if len(names) > _SHOWN else "")
    return f"{len(names)} ({shown})" if counted else shown


def _short(name: Any) -> str:
    """Return a name of a file as messages show it."""
    text = str(name)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


def _refused(what: str, why: str, head: str, names: Sequence[Any] | pd.Index) -> UserError:
    more = f" and {len(names) - _MOST_SHOWN:,} more" if len(names) > _MOST_SHOWN else ""
    return UserError(what, why, f"{head}: {', '.join(map(_short, names[:_MOST_SHOWN]))}{more}.")


def read_table(path: Path) -> pd.DataFrame:
    """Read a CSV or Parquet file; texts stay texts, so that an image called 007 keeps its name.

    Raises
    ------
    UserError
        If it cannot be read, or has a column twice, lists in a column, or lines longer than its header.
    """
    try:
        content = read_bytes(path, LARGEST)
        return _parquet(content) if path.suffix == ".parquet" else _csv(content)
    except (*DAMAGES, ImportError) as error:
        why = getattr(error, "strerror", None) or " ".join(str(error).split())[:200] or type(error).__name__
        raise UserError(
            f"The predictions '{path}' cannot be read.",
            f"{why}.",
            "Give a .csv or .parquet file with a column 'image'.",
        ) from error


def _csv(content: bytes) -> pd.DataFrame:
    _once(pd.read_csv(io.BytesIO(content), header=None, nrows=1, dtype=str, keep_default_na=False).iloc[0])
    table = pd.read_csv(io.BytesIO(content), dtype=dict.fromkeys(_TEXTS, str), keep_default_na=False)
    if not isinstance(table.index, pd.RangeIndex):
        raise ValueError("Its lines have more fields than its header")
    return table


def _parquet(content: bytes) -> pd.DataFrame:
    with opened(content, MOST_ROWS, LARGEST, _TEXTS, foreign=True) as file:
        schema = file.schema_arrow
        _once(schema.names)
        nested = [name for name, kind in zip(schema.names, schema.types, strict=True) if pa.types.is_nested(kind)]
        if nested:
            raise ValueError(f"The column {_short(nested[0])} has lists or records")
        return file.read(use_threads=False).to_pandas(ignore_metadata=True)


def _once(names: Sequence[str]) -> None:
    doubled = next((name for name, count in Counter(names).items() if count > 1), None)
    if doubled is not None:
        raise ValueError(f"The column {_short(doubled)} is there twice")
