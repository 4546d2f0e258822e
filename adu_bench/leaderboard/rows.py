"""Committed rows: one JSON file and one compact Parquet file per method, from which every metric can be computed."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from adu_bench.core.errors import UserError
from adu_bench.core.files import read_text, replacing, write_text
from adu_bench.core.hashing import canonical_json, file_sha256
from adu_bench.core.parquet_files import DAMAGES
from adu_bench.core.specs import RunSpec
from adu_bench.leaderboard.outside import OUTSIDE
from adu_bench.leaderboard.packed import LARGEST, pack, require_columns, unpacked
from adu_bench.metrics.frame import Scorable, with_probe
from adu_bench.runner.plan import PlannedRun

FORMAT = 2
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
            whole = unpacked(self.table, self.sha256, changed, size, self.of, len(task.classes), tuple(task.domains))
        except DAMAGES as error:
            raise _damaged(self.table, error) from error
        frame = whole[whole["run"].to_numpy() == self.number].drop(columns="run").reset_index(drop=True)
        frame["forget"] = frame["domain"].isin(self.spec.task.forget)
        return frame


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
    packed = pack([run.predictions() for run in runs], len(planned[0].spec.task.classes))
    with replacing(path.with_suffix(".parquet")) as table:
        pq.write_table(packed, table, compression="zstd")
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


def _require_whole(run: StoredRun) -> None:
    """Check the file of predictions of a run's row, without decoding it."""
    try:
        require_columns(run.table, run.sha256, run.of)
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
        record = json.loads(read_text(path, LARGEST))
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


def _distinct(values: list[dict]) -> list[dict]:
    return [json.loads(text) for text in dict.fromkeys(json.dumps(value, sort_keys=True) for value in values)]
