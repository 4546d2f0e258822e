"""Committed rows: one JSON file and one compact Parquet file a method, from which every number can be scored again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from adu_bench.core.errors import UserError
from adu_bench.core.specs import RunSpec
from adu_bench.metrics.frame import domain_probe
from adu_bench.metrics.measures import credit
from adu_bench.registry import Catalogue
from adu_bench.runner.plan import PlannedRun
from adu_bench.store import Run

FORMAT = 1
_STEPS = 65535
"""Probabilities and margins are stored as multiples of 1/65535, entropies as multiples of ln(C)/65535."""


@dataclass(frozen=True)
class StoredRun:
    """A run of a committed row; it is scored like a run directory.

    Parameters
    ----------
    spec, label, measured
        As in `adu_bench.store.Run`.
    number
        Which run of the row it is.
    table
        The Parquet file with the predictions of all runs of the row.
    """

    spec: RunSpec
    label: str
    measured: dict[str, Any]
    number: int
    table: Path

    @cached_property
    def key(self) -> str:
        """The run's key."""
        return self.spec.key

    def predictions(self) -> pd.DataFrame:
        """Return one row a test image; probabilities are exact to 1/65535, what is right or wrong is exact."""
        frame = pq.read_table(self.table, filters=[("run", "==", self.number)]).to_pandas()
        for name in ("p_label", "p_max", "margin"):
            frame[name] = (frame[name].astype(np.float64) / _STEPS).astype(np.float32)
        classes = len(self.spec.task.classes)
        frame["entropy"] = (frame["entropy"].astype(np.float64) / _STEPS * np.log(classes)).astype(np.float32)
        frame["domain"] = frame["domain"].astype(str)
        frame["forget"] = frame["domain"].isin(self.spec.task.forget)
        return frame.drop(columns="run").reset_index(drop=True)


def rows_dir() -> Path:
    """Return the folder of the committed rows: the repository's, or the installed package's copy."""
    spec = find_spec("adu_bench._leaderboards")
    folders = list(spec.submodule_search_locations or []) if spec is not None else []
    return Path(folders[0]) if folders else Path("leaderboards")


def write_row(
    folder: Path, suite: str, planned: Sequence[PlannedRun], runs: Sequence[Run], card: dict[str, Any]
) -> Path:
    """Write the row of one method: ``<folder>/<suite>/<label>.json`` and ``.parquet``.

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

    Returns
    -------
    Path
        The JSON file.
    """
    place = folder / suite
    place.mkdir(parents=True, exist_ok=True)
    common = planned[0].spec.to_dict()
    common["task"].pop("forget")
    common.pop("seed")
    record = {
        "format": FORMAT,
        "label": planned[0].label,
        "group": planned[0].group,
        "card": card,
        "common": common,
        "runs": [
            {
                "key": run.key,
                "forget": list(plan.spec.task.forget),
                "seed": plan.spec.seed,
                "finished": run.info["finished"],
                "measured": run.measured | {"domain_probe": round(domain_probe(run), 6)},
            }
            for plan, run in zip(planned, runs, strict=True)
        ],
        "environments": _distinct([run.info["environment"] for run in runs]),
    }
    path = place / f"{planned[0].label}.json"
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    tables = [_compact(run.predictions(), number, len(planned[0].spec.task.classes)) for number, run in enumerate(runs)]
    pq.write_table(pa.concat_tables(tables).combine_chunks(), path.with_suffix(".parquet"), compression="zstd")
    return path


def read_rows(folder: Path, suite: str) -> list[StoredRun]:
    """Return the runs of all committed rows of a suite; empty where there are none.

    Raises
    ------
    UserError
        If a row is damaged, or a run's key does not follow from its spec.
    """
    return [run for path in sorted((folder / suite).glob("*.json")) for run in _read(path)]


def methods_of(catalogue: Catalogue, folder: Path, suite: str) -> list[str]:
    """Return the labels of the committed rows of a suite that the catalogue still knows."""
    labels = [path.stem for path in sorted((folder / suite).glob("*.json"))]
    return [label for label in labels if label.partition("[")[0] in catalogue.presets]


def _read(path: Path) -> list[StoredRun]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        runs = []
        for number, entry in enumerate(record["runs"]):
            common = record["common"]
            spec = RunSpec.from_dict(
                common | {"seed": entry["seed"], "task": common["task"] | {"forget": entry["forget"]}}
            )
            if spec.key != entry["key"]:
                raise ValueError(f"the key of run {number} does not follow from its spec")
            runs.append(StoredRun(spec, record["label"], entry["measured"], number, path.with_suffix(".parquet")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"The leaderboard row '{path}' is damaged.",
            f"{type(error).__name__}: {error}.",
            "Restore it, or write it again with adu-bench leaderboard --write.",
        ) from error
    return runs


def _compact(frame: pd.DataFrame, number: int, classes: int) -> pa.Table:
    p_max = _quantised(frame["p_max"])
    p_label = _quantised(frame["p_label"])
    # Rounding must not turn a wrong answer into a tie, nor a right one into a wrong one.
    right = credit(frame) > 0
    p_label = np.where(right, p_max, np.minimum(p_label, p_max.astype(np.int32) - 1).clip(0)).astype(np.uint16)
    columns = {
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
