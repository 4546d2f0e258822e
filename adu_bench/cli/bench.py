"""Measure the speed of the harness against the bare backbone, or of image files against bare Pillow.

A ratio is the bare time over the harness's time.
"""

from __future__ import annotations

import json
from typing import Any

from adu_bench.cli.common import flag, suite_option
from adu_bench.core.errors import UserError


def options(parser: Any) -> None:
    """Add the command's options."""
    suite_option(parser)
    parser.add_argument("--rounds", type=int, default=7, metavar="N", help="interleaved rounds; the median counts")
    parser.add_argument(
        "--files", type=int, default=0, metavar="N", help="instead, index and cache N small image files"
    )
    parser.add_argument(
        "--tower", type=str, default="", metavar="MODEL", help="instead, an open_clip image tower with random weights"
    )
    parser.add_argument("--batch", type=int, default=32, metavar="N", help="images per step of --tower")
    flag(parser, "json", "print JSON")


def run(options: Any) -> int:
    """Print the ratios."""
    if options.files < 0:
        raise UserError(f"--files {options.files} is below zero.", "It counts files.", "Try --files 10000.")
    found = _files(options.files) if options.files else _backbone(options)
    if options.json:
        print(json.dumps(found, indent=1))
        return 0
    for name, value in found.items():
        if isinstance(value, float):
            digits = 3 if "ratio" in name else 1 if value < 100 else 0
            print(f"{name:<36} {value:.{digits}f}")
    return 0


def _files(count: int) -> dict[str, Any]:
    from adu_bench.cli.progress import display
    from adu_bench.data.speed import measure_files

    with display() as shown:
        return measure_files(count, shown)


def _backbone(options: Any) -> dict[str, Any]:
    from adu_bench.suites import load_suite

    suite = load_suite(options.suite)
    import torch

    from adu_bench.benchmark import measure, measure_tower
    from adu_bench.cli.progress import display
    from adu_bench.clip.device import resolve_device

    device = resolve_device()
    rounds = max(1, options.rounds)
    with display() as shown:
        if options.tower:
            found = measure_tower(options.tower, max(1, options.batch), device, rounds, shown)
        else:
            found = measure(suite, device, rounds, shown)
    return {"device": device, "threads": torch.get_num_threads(), **found}
