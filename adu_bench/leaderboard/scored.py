"""All metrics and samples of a board's runs, kept in the cache folder, since computing them takes longest.

What is kept is never the truth.  It counts only for the same runs with the same content, and for the same code that
computes metrics.  What is missing, changed or damaged is computed again; it can be deleted at any time, and a cache
folder that cannot be written does without.
"""

from __future__ import annotations

import io
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from adu_bench.core.hashing import digest, file_sha256
from adu_bench.core.paths import RESOURCES, cache_dir
from adu_bench.core.sealed import read_sealed, write_sealed
from adu_bench.metrics.frame import Scorable, score
from adu_bench.metrics.measures import METRICS
from adu_bench.stats.sample import Collector, Sample

FOLDER = "boards"
"""The folder below that of the cache.  It has one sealed file per plan: NumPy arrays in a zip file."""
WORTH = 30
"""Fewer runs than these are scored anew each time."""
METRIC = "h"
"""The metric whose samples boards need."""
CODE = (
    "metrics/*.py",
    "stats/*.py",
    "data/clusters.py",
    "leaderboard/rows.py",
    "leaderboard/scored.py",
    "store/run.py",
)
"""The code that reads predictions and computes metrics and samples."""


def scored(
    suite: str, runs: Sequence[Scorable], labels: Mapping[str, str], views: Mapping[Any, Collection[str]]
) -> tuple[pd.DataFrame, dict[Any, Sample]]:
    """Return all metrics of runs, and samples of H.

    Parameters
    ----------
    suite
        The suite's name.
    runs
        Finished runs of the suite.
    labels
        The method of each run of the plan by the run's key.
    views
        Sets of tasks by any name.

    Returns
    -------
    tuple
        See `adu_bench.metrics.frame.score`, and one `adu_bench.stats.sample.Sample` per view.
    """
    sources = [(run.label, run.source) for run in runs]
    kept = len(runs) >= WORTH and all(source for _, source in sources)
    path, key = Path(), ""
    if kept:
        plan = [suite, list(labels.items()), [list(tasks) for tasks in views.values()]]
        path = cache_dir() / FOLDER / f"{digest(plan)}.npz"
        key = digest([sources, list(METRICS), _code()])
        with suppress(OSError, ValueError):
            return _read(path, key, views)
    collector = Collector(labels, views, metrics=(METRIC,))
    frame = score(runs, suite, also=collector.add)
    samples = collector.samples()
    if kept:
        with suppress(OSError):
            _write(path, key, frame, samples)
    return frame, samples


@cache
def _code() -> list[str]:
    """Return the digests of the code and the versions of the libraries that compute."""
    root = RESOURCES.parent
    return [
        *(file_sha256(path) for pattern in CODE for path in sorted(root.glob(pattern))),
        *(np.__version__, pd.__version__),
    ]


def _write(path: Path, key: str, frame: pd.DataFrame, samples: Mapping[Any, Sample]) -> None:
    table = io.BytesIO()
    pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), table, compression="zstd")
    arrays = {"frame": np.frombuffer(table.getvalue(), np.uint8)}
    for place, sample in enumerate(samples.values()):
        arrays |= {
            f"methods {place}": np.array(sample.methods, np.str_),
            f"seeds {place}": np.array(sample.seeds, np.int64),
            f"means {place}": sample.means[METRIC],
            f"influences {place}": sample.influences[METRIC],
        }
    packed = io.BytesIO()
    np.savez(packed, allow_pickle=False, **arrays)
    write_sealed(path, packed.getvalue(), of=key)


def _read(path: Path, key: str, views: Mapping[Any, Collection[str]]) -> tuple[pd.DataFrame, dict[Any, Sample]]:
    """Return what is kept; errors are raised where it is missing, damaged, or of other runs or code."""
    with np.load(io.BytesIO(read_sealed(path, of=key)), allow_pickle=False) as arrays:
        frame = pq.read_table(pa.BufferReader(arrays["frame"].tobytes())).to_pandas()
        return frame, {
            view: Sample(
                tuple(map(str, arrays[f"methods {place}"])),
                tuple(tasks),
                tuple(map(int, arrays[f"seeds {place}"])),
                {METRIC: arrays[f"means {place}"]},
                {METRIC: arrays[f"influences {place}"]},
            )
            for place, (view, tasks) in enumerate(views.items())
        }
