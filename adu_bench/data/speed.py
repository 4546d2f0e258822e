"""How fast image files are indexed and cached compared with bare Pillow, and in how much memory.

The harness and Pillow take turns on the same files with the same number of threads, and the ratio is taken per turn, so
that a noisy machine disturbs both alike.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from adu_bench.core.cores import usable_cores
from adu_bench.core.memory import peak_memory_mb
from adu_bench.core.paths import cache_in
from adu_bench.core.progress import Count, Progress, silent
from adu_bench.data.files import inspect_files
from adu_bench.data.preprocessing import Preprocessing
from adu_bench.data.sources import Source

SIDE = 64
"""Side of the files and of the cached images, in pixels: so small that the work beside decoding weighs most."""
TURNS = 10
BATCH = 128


def measure_files(count: int, progress: Progress = silent) -> dict[str, float]:
    """Write small JPEG files to a temporary folder, index them, cache their images, and read these in batches.

    Parameters
    ----------
    count
        Number of files.
    progress
        Called with each step.

    Returns
    -------
    dict
        ``index_*`` (hash and decode), ``cache_*`` (decode, resize, store): ``files_per_second``, ``mb_per_second`` (of
        files) and ``ratio`` (bare Pillow's time over ours, median over turns); ``read_images_per_second`` in random
        order; ``peak_memory_mb`` of this process so far.
    """
    with tempfile.TemporaryDirectory() as folder, cache_in(Path(folder) / "cache"):
        root = Path(folder) / "files"
        paths = _write(root, count, partial(progress, "writing files"))
        megabytes = sum((root / path).stat().st_size for path in paths) / 1e6
        index = pd.DataFrame(
            {"image": paths, "domain": "d", "label": "c", "pool": "test", "sha256": "", "path": paths}, dtype=object
        )
        source = Source("files", "Files of a benchmark", "", ("d",), lambda: index, root=root)
        preprocessing = Preprocessing(SIDE, "bicubic", "shortest")

        def indexing(part: np.ndarray) -> None:
            folder, names = zip(*(path.split("/") for path in index["path"][part]), strict=True)
            index.loc[part, "sha256"] = inspect_files(root / folder[0], names)["sha256"].to_numpy()

        def caching(part: np.ndarray) -> None:
            source.images(preprocessing).ensure(part)

        found = {}
        for name, ours, bare in (
            ("index", indexing, lambda path: Image.open(path).convert("RGB")),
            ("cache", caching, lambda path: preprocessing.apply(Image.open(path))),
        ):
            ratio, seconds = _turns(root, paths, ours, bare, partial(progress, name))
            found[f"{name}_files_per_second"] = count / seconds
            found[f"{name}_mb_per_second"] = megabytes / seconds
            found[f"{name}_ratio"] = ratio
        inspect_files(root, paths, progress=partial(progress, "index in one go"))  # for the memory that it takes
        found["read_images_per_second"] = count / _reading(source, preprocessing, count)
        return {**found, "peak_memory_mb": peak_memory_mb()}


def _write(root: Path, count: int, report: Count) -> list[str]:
    """Write images that all differ, into one folder per turn."""
    noise = np.random.default_rng(0).integers(0, 256, (SIDE // 8, SIDE // 8, 3), np.uint8)
    image = Image.fromarray(noise).resize((SIDE, SIDE))
    paths = []
    for turn, part in enumerate(_parts(count)):
        (root / str(turn)).mkdir(parents=True)
        for number in part:
            path = root / str(turn) / f"{number}.jpg"
            image.save(path, quality=90, comment=str(number))
            paths.append(path.relative_to(root).as_posix())
        report(len(paths), count)
    return paths


def _parts(count: int) -> list[np.ndarray]:
    return np.array_split(np.arange(count), TURNS)


def _turns(
    root: Path,
    paths: list[str],
    ours: Callable[[np.ndarray], None],
    bare: Callable[[Path], object],
    report: Count,
) -> tuple[float, float]:
    """Return the median ratio of bare time to ours, and our total seconds."""
    ratios, total = [], 0.0
    for part in _parts(len(paths)):
        files = [root / paths[position] for position in part]
        theirs = _timed(lambda files=files: _bare(files, bare))  # type: ignore[misc]
        seconds = _timed(lambda part=part: ours(part))  # type: ignore[misc]
        ratios.append(theirs / seconds)
        total += seconds
        report(int(part[-1]) + 1, len(paths))
    return statistics.median(ratios), total


def _bare(files: list[Path], work: Callable[[Path], object]) -> None:
    """Give every thread its share of the files, without anything else to do."""

    def share(part: list[Path]) -> None:
        for path in part:
            work(path)

    threads = usable_cores()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(share, [files[thread::threads] for thread in range(threads)]))


def _reading(source: Source, preprocessing: Preprocessing, count: int) -> float:
    images = source.images(preprocessing)
    places = images.places(np.random.default_rng(0).permutation(count))

    def read() -> None:
        for start in range(0, count, BATCH):
            images.rows[places[start : start + BATCH]].sum(dtype=np.uint8)

    return _timed(read)


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
