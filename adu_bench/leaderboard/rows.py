"""Committed rows: one JSON file and one compact Parquet file per method, from which every metric can be computed."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from adu_bench.core.errors import UserError
from adu_bench.core.files import read_bytes, read_text, replacing, write_text
from adu_bench.core.hashing import canonical_json, file_sha256
from adu_bench.core.parquet_files import DAMAGES, opened, plain_type, read_table
from adu_bench.core.specs import RunSpec
from adu_bench.leaderboard.outside import OUTSIDE
from adu_bench.metrics.evidence import credit
from adu_bench.metrics.frame import Scorable, with_probe
from adu_bench.runner.plan import PlannedRun

FORMAT = 2
_LARGEST = 200_000_000
"""Bound in bytes of a row's files; on DomainNet's 41 forget sets and three seeds a row has about a tenth."""
_MOST_IMAGES = 250_000
"""Bound of the test images of a task; DomainNet has 176,743."""
_WIDTH = 100
"""Bound in bytes of one prediction, as declared: eight numbers, and the positions of two names."""
_STEPS = 65535
"""Probabilities and margins are stored as multiples of 1/65535, entropies as multiples of ln(C)/65535."""
_TEXT, _SHORT, _STEP = ("string", "large_string"), ("int16",), ("uint16",)
ANSWERS = {"image": _TEXT, "domain": _TEXT, "label": _SHORT, "predicted": _SHORT, "tied": _SHORT}
"""The columns of predictions that are names and counts, and the allowed types of each."""
MEASURES = ("p_label", "p_max", "entropy", "margin")
"""The columns of predictions that are measures of an answer."""
ROW_COLUMNS = {"run": _STEP, **ANSWERS, **dict.fromkeys(MEASURES, _STEP)}
"""The columns of a committed row's predictions, and the allowed types of each."""
_FINISHED = re.compile(r"\d{4}-\d\d-\d\dT[0-9:.+Z-]{1,20}")
_MOST = 1e15
"""Largest value of a measure."""


@dataclass(frozen=True)
class StoredRun:
    """A run of a committed row; its metrics are computed as for a run directory.

    Parameters
    ----------
    spec, label, measured
        As in `adu_bench.store.Run`.
    number
        The position of the run in the row.
    of
        The number of runs in the row.
    table, sha256
        The Parquet file with the predictions of all runs of the row, and its hash.
    finished
        When it finished, ISO 8601.
    """

    spec: RunSpec
    label: str
    measured: dict[str, Any]
    number: int
    of: int
    table: Path
    sha256: str
    finished: str

    @cached_property
    def key(self) -> str:
        """The run's key."""
        return self.spec.key

    @property
    def source(self) -> str:
        """The hash of the predictions, the run's place there, and what was measured; see `read_suite`."""
        return f"{self.sha256} {self.number} {canonical_json(self.measured)}"

    def predictions(self) -> pd.DataFrame:
        """Return one row per test image; probabilities are exact to 1/65535, and which answers are right is exact.

        Raises
        ------
        UserError
            If the Parquet file is missing, damaged, or not the row's.
        """
        try:
            state = self.table.stat()
            changed, size = state.st_mtime_ns, state.st_size
            task = self.spec.task
            whole = _all_predictions(
                self.table, self.sha256, changed, size, self.of, len(task.classes), tuple(task.domains)
            )
        except DAMAGES as error:
            raise _damaged(self.table, error) from error
        frame = whole[whole["run"].to_numpy() == self.number].drop(columns="run").reset_index(drop=True)
        frame["forget"] = frame["domain"].isin(self.spec.task.forget)
        return frame


@lru_cache(maxsize=2)
def _all_predictions(
    table: Path, sha256: str, changed: int, size: int, runs: int, classes: int, domains: tuple[str, ...]
) -> pd.DataFrame:
    """Return the predictions of all runs of a row, with their number in ``run``.

    The runs of a row are read one after another, so the file is decoded once; its time of change and its size tell
    when it has to be read again.
    """
    most = runs * _MOST_IMAGES
    found = read_table(_content(table, sha256), most, most * _WIDTH, texts=("image", "domain"))
    if any(found.column(name).null_count for name in found.column_names):
        raise ValueError("a prediction lacks a value")
    frame = found.to_pandas()
    _check_values(frame, runs, classes, domains)
    for name in ("p_label", "p_max", "margin"):
        frame[name] = (frame[name].astype(np.float64) / _STEPS).astype(np.float32)
    frame["entropy"] = (frame["entropy"].astype(np.float64) / _STEPS * np.log(classes)).astype(np.float32)
    return frame.assign(domain=frame["domain"].astype(str))


def _check_values(frame: pd.DataFrame, runs: int, classes: int, domains: tuple[str, ...]) -> None:
    """Raise a `ValueError` where predictions, as stored, cannot be those of a row's runs."""
    named = pd.concat([frame["label"], frame["predicted"]])
    wrong = {
        "there is a run without predictions, or one too many": not np.array_equal(frame["run"].unique(), range(runs)),
        "there is a domain that the task does not have": not set(frame["domain"].unique()) <= set(domains),
        "there is a class that the task does not have": not named.between(0, classes - 1).all(),
        "more classes are tied than there are": not frame["tied"].between(1, classes).all(),
        "a class is more probable than the most probable one": (frame["p_label"] > frame["p_max"]).any(),
        "an image has two predictions in a run": frame.duplicated(["run", "image"]).any(),
    }
    for why, found in wrong.items():
        if found:
            raise ValueError(why)


@dataclass(frozen=True)
class VerificationStatus:
    """How far a committed row was checked.

    Parameters
    ----------
    claimed
        What its submitter claims: mem, for, h_mean and h_of_means as fractions; empty if nothing.
    verified
        The same numbers computed from the row's predictions by `adu-bench verify`, and its version; empty before that.
    reproduced
        Which runs were also run again, the seed that drew them, how close the results were, and how the method was
        kept apart; empty before that.
    outside
        What a method without code answered, see `adu_bench.submission.outside`; empty for runs of adu-bench.
    """

    claimed: Mapping[str, Any]
    verified: Mapping[str, Any]
    reproduced: Mapping[str, Any]
    outside: Mapping[str, Any] = field(default_factory=dict)

    @property
    def state(self) -> str:
        """The furthest step; docs/trust.md says what each promises."""
        if self.outside:
            return "outside: re-scored" if self.verified else "outside: claimed"
        if not self.verified:
            return "claimed"
        if not self.reproduced:
            return "verified"
        return "reproduced, with parts of its own" if self.reproduced.get("own_parts") else "reproduced"


class Finished(Scorable, Protocol):
    """A finished run that can become part of a row."""

    @property
    def environment(self) -> dict[str, str]:
        """Versions and device."""


def rows_dir() -> Path:
    """Return the folder of the committed rows: the repository's, or the installed package's copy."""
    spec = find_spec("adu_bench._leaderboards")
    folders = list(spec.submodule_search_locations or []) if spec is not None else []
    return Path(folders[0]) if folders else Path("leaderboards")


def write_row(
    folder: Path,
    suite: str,
    planned: Sequence[PlannedRun],
    runs: Sequence[Finished],
    card: Mapping[str, Any],
    status: VerificationStatus | None = None,
) -> Path:
    """Write the row of one method: ``<folder>/<suite>/<label>.json`` and ``.parquet``.

    The JSON file is written last and names the hash of the other, so files of two rows are never read as one.

    Parameters
    ----------
    folder
        The leaderboards folder.
    suite
        The suite's name.
    planned
        The method's runs in the order of the suite.
    runs
        The same runs, finished.
    card
        The method's card.
    status
        What is claimed, and how far the row was checked.

    Returns
    -------
    Path
        The JSON file.
    """
    path = folder / suite / f"{planned[0].label}.json"
    common = planned[0].spec.to_dict()
    common["task"].pop("forget")
    common.pop("seed")
    record = {
        "format": FORMAT,
        "label": planned[0].label,
        "group": planned[0].group,
        "card": dict(card),
        **(_status_record(status) if status is not None else {}),
        "common": common,
        "runs": [
            {
                "key": run.key,
                "forget": list(plan.spec.task.forget),
                "seed": plan.spec.seed,
                "finished": run.finished,
                "measured": with_probe(run),
            }
            for plan, run in zip(planned, runs, strict=True)
        ],
        "environments": _distinct([run.environment for run in runs]),
    }
    tables = [_compact(run.predictions(), number, len(planned[0].spec.task.classes)) for number, run in enumerate(runs)]
    with replacing(path.with_suffix(".parquet")) as table:
        pq.write_table(pa.concat_tables(tables).combine_chunks(), table, compression="zstd")
        record["predictions"] = file_sha256(table)
    write_text(path, _json(record))
    return path


def stamp_row(path: Path, status: VerificationStatus) -> None:
    """Write into a row how far it was checked; its predictions do not change."""
    record = json.loads(path.read_text(encoding="utf-8"))
    write_text(path, _json(record | _status_record(status)))


@dataclass(frozen=True)
class SuiteRows:
    """The committed rows of a suite.

    Parameters
    ----------
    runs
        The runs of all rows that are whole.
    statuses
        How far each of these rows was checked, by label.
    damaged
        Why the others cannot be used, by label.
    """

    runs: list[StoredRun]
    statuses: dict[str, VerificationStatus]
    damaged: dict[str, str]


def read_suite(folder: Path, suite: str) -> SuiteRows:
    """Read the committed rows of a suite; a damaged row does not keep the others from the board."""
    found = SuiteRows([], {}, {})
    for path in sorted((folder / suite).glob("*.json")):
        try:
            runs, status = read_row(path), recorded_status(path)
            _require_whole(runs[0])
        except UserError as error:
            found.damaged[path.stem] = f"its row is damaged ({error.why.rstrip('.')})"
        else:
            found.runs.extend(runs)
            found.statuses[path.stem] = status
    return found


def recorded_status(path: Path) -> VerificationStatus:
    """Return how far a committed row was checked.

    Raises
    ------
    UserError
        If its JSON file is damaged.
    """
    record = _record(path)
    claimed, *checks = (record.get(name) for name in ("claimed", "verified", "reproduced", OUTSIDE))
    return VerificationStatus(_numbers(claimed), *(check if isinstance(check, dict) else {} for check in checks))


def _numbers(value: Any) -> dict[str, float]:
    """Keep the finite numbers of a mapping; other claims are ignored."""
    items = value.items() if isinstance(value, dict) else ()
    return {name: float(number) for name, number in items if isinstance(number, int | float) and np.isfinite(number)}


def read_rows(folder: Path, suite: str) -> list[StoredRun]:
    """Return the runs of all committed rows of a suite; empty where there are none.

    Raises
    ------
    UserError
        If a row is damaged, or a run's key does not follow from its spec.
    """
    return [run for path in sorted((folder / suite).glob("*.json")) for run in read_row(path)]


def _content(table: Path, sha256: str) -> bytes:
    """Return the bytes of a file of predictions, which must have the hash that the row's JSON file names."""
    content = read_bytes(table, _LARGEST)
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ValueError("the row's JSON file names predictions with another hash")
    return content


def _require_whole(run: StoredRun) -> None:
    """Check the file of predictions of a run's row, without decoding it."""
    try:
        most = run.of * _MOST_IMAGES
        with opened(_content(run.table, run.sha256), most, most * _WIDTH) as file:
            found = [(field.name, plain_type(field.type)) for field in file.schema_arrow]
            if [name for name, _ in found] != list(ROW_COLUMNS):
                raise ValueError(f"its predictions do not have the columns {', '.join(ROW_COLUMNS)}")
            for name, kind in found:
                if kind not in ROW_COLUMNS[name]:
                    raise ValueError(f"its predictions have {kind} in the column {name}, not {ROW_COLUMNS[name][0]}")
    except DAMAGES as error:
        raise _damaged(run.table, error) from error


def read_row(path: Path) -> list[StoredRun]:
    """Return the runs of one committed row, at least one; errors as in `read_rows`."""
    record = _record(path)
    try:
        if record["format"] != FORMAT:
            raise ValueError(f"its format is {str(record['format'])[:20]}; this version reads {FORMAT}")
        runs = []
        for number, entry in enumerate(record["runs"]):
            common = record["common"]
            spec = RunSpec.from_dict(
                common | {"seed": entry["seed"], "task": common["task"] | {"forget": entry["forget"]}}
            )
            if spec.key != entry["key"]:
                raise ValueError(f"the key of run {number} does not follow from its spec")
            if not all(value is None or _is_amount(value) for value in entry["measured"].values()):
                raise ValueError(f"a measure of run {number} is not a number")
            if not isinstance(entry["finished"], str) or _FINISHED.fullmatch(entry["finished"]) is None:
                raise ValueError(f"the time at which run {number} finished is none")
            table = path.with_suffix(".parquet")
            runs.append(
                StoredRun(
                    *(spec, record["label"], entry["measured"], number, len(record["runs"])),
                    *(table, str(record["predictions"]), entry["finished"]),
                )
            )
        if not runs or record["label"] != path.stem:
            raise ValueError("it has no run" if not runs else f"it is the row of '{record['label']}'")
        if len({run.key for run in runs}) < len(runs):
            raise ValueError("it has a run twice")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _damaged(path, error) from error
    return runs


def _is_amount(value: Any) -> bool:
    return isinstance(value, int | float) and -_MOST < value < _MOST


def _record(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(read_text(path, _LARGEST))
        if not isinstance(record, dict):
            raise ValueError("it is not a JSON object")
    except (OSError, ValueError, RecursionError) as error:
        raise _damaged(path, error) from error
    return record


def _damaged(path: Path, error: Exception) -> UserError:
    return UserError(
        f"The leaderboard row '{path}' is damaged.",
        f"{type(error).__name__}: {' '.join(str(error).split())[:200]}.",
        "Restore it, or write it again with adu-bench leaderboard --write.",
    )


def _status_record(status: VerificationStatus) -> dict[str, Any]:
    return {name: dict(value) or None for name, value in vars(status).items() if value or name != OUTSIDE}


def _json(record: dict[str, Any]) -> str:
    return json.dumps(record, indent=1, allow_nan=False) + "\n"


def _compact(frame: pd.DataFrame, number: int, classes: int) -> pa.Table:
    p_max = _quantised(frame["p_max"])
    p_label = _quantised(frame["p_label"])
    # Rounding must not turn a wrong answer into a tie, nor a right one into a wrong one.
    right = credit(frame) > 0
    p_label = np.where(right, p_max, np.minimum(p_label, p_max.astype(np.int32) - 1).clip(0)).astype(np.uint16)
    columns = {  # `ROW_COLUMNS`
        "run": pa.array(np.full(len(frame), number, np.uint16)),
        "image": pa.array(frame["image"].astype(str).to_list()).dictionary_encode(),
        "domain": pa.array(frame["domain"].astype(str).to_list()).dictionary_encode(),
        "label": pa.array(frame["label"].to_numpy(np.int16)),
        "predicted": pa.array(frame["predicted"].to_numpy(np.int16)),
        "tied": pa.array(frame["tied"].to_numpy(np.int16)),
        "p_label": pa.array(p_label),
        "p_max": pa.array(p_max),
        "entropy": pa.array(_quantised(frame["entropy"] / np.log(classes))),
        "margin": pa.array(_quantised(frame["margin"])),
    }
    return pa.table(columns)


def _quantised(values: pd.Series) -> np.ndarray:
    return np.rint(values.to_numpy(np.float64).clip(0, 1) * _STEPS).astype(np.uint16)


def _distinct(values: list[dict]) -> list[dict]:
    return [json.loads(text) for text in dict.fromkeys(json.dumps(value, sort_keys=True) for value in values)]
