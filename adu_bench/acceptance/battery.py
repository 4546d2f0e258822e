"""The acceptance battery: all its checks in order."""

from __future__ import annotations

from collections.abc import Iterator

from adu_bench.acceptance.failures import failures_and_workers
from adu_bench.acceptance.lines import Line, run_battery
from adu_bench.acceptance.numbers import chunks, environment, every_method, precisions, reference, repeats
from adu_bench.acceptance.rates import batches, evaluation, tables, texts, training
from adu_bench.core.progress import Progress, silent

CHECKS = (
    environment,
    every_method,
    reference,
    precisions,
    repeats,
    chunks,
    training,
    batches,
    evaluation,
    texts,
    tables,
    failures_and_workers,
)
"""All checks; injected failures come last, in processes of their own."""


def accept(device: str, report: Progress = silent) -> Iterator[Line]:
    """Run the battery on ``cpu`` or ``cuda``, and yield its lines as they are known.

    It needs no data set and no download: images are drawn, and weights are shipped or random.  On a CPU, sizes are
    small, lines of speed are not judged, and what only a GPU has is not measured.
    """
    return run_battery(CHECKS, device, report)
