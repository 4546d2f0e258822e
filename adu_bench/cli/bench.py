"""Measure the speed of the harness against the bare backbone and published training, or of files against bare Pillow.

A ratio is the other's time over the harness's time. --acceptance instead checks that a device gives right results in
good time, each line against a threshold.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from adu_bench.cli.common import device_option, flag, suite_option
from adu_bench.core.errors import UserError
from adu_bench.core.files import write_text
from adu_bench.core.words import counted


def options(parser: Any) -> None:
    """Add the command's options."""
    suite_option(parser)
    device_option(parser)
    flag(parser, "acceptance", "instead, check numbers, failures, speed and memory on the device")
    parser.add_argument("--rounds", type=int, default=7, metavar="N", help="interleaved rounds; the median counts")
    parser.add_argument(
        "--files", type=int, default=0, metavar="N", help="instead, index and cache N small image files"
    )
    parser.add_argument(
        "--tower", type=str, default="", metavar="MODEL", help="instead, an open_clip image tower with random weights"
    )
    parser.add_argument("--backbone", type=str, default="", metavar="NAME", help="a backbone in place of the suite's")
    parser.add_argument(
        "--image-size", type=int, default=0, metavar="N", help="side of the images of --tower in pixels"
    )
    parser.add_argument(
        "--workers", type=int, default=0, metavar="N", help="processes that load images for published training"
    )
    parser.add_argument("--batch", type=int, default=32, metavar="N", help="images per step of --tower")
    parser.add_argument(
        "--json", type=str, nargs="?", const="-", default="", metavar="FILE", help="print JSON, or write it to a file"
    )


def run(options: Any) -> int:
    """Print the ratios, or the lines of the acceptance battery; 1 if one of them fails."""
    if options.files < 0:
        raise UserError(f"--files {options.files} is below zero.", "It counts files.", "Try --files 10000.")
    if options.image_size and not options.tower:
        raise UserError(
            "--image-size is for --tower.",
            "Other backbones have the image size of their weights.",
            "For example: adu-bench bench --tower ViT-B-32 --image-size 64",
        )
    for name in ("rounds", "batch"):
        if (given := getattr(options, name)) < 1:
            raise UserError(f"--{name} {given} is below one.", "It is a count.", f"Try: adu-bench bench --{name} 1")
    if options.acceptance:
        return _acceptance(options)
    found = _files(options.files) if options.files else _backbone(options)
    if _given_as_json(options.json, found):
        return 0
    for name, value in found.items():
        if isinstance(value, float):
            digits = 3 if "ratio" in name else 1 if value < 100 else 0
            print(f"{name:<36} {value:.{digits}f}")
    return 0


def _acceptance(options: Any) -> int:
    from adu_bench.acceptance.battery import accept
    from adu_bench.cli.progress import display
    from adu_bench.clip.device import resolve_device

    device = resolve_device(options.device)
    lines = []
    with display() as shown:
        for line in accept(device, shown):
            lines.append(line)
            if options.json != "-":
                shown.line(f"{line.state:<12}  {line.name}: {line.found} [{line.threshold}]")
    _given_as_json(options.json, {"device": device, "lines": [asdict(line) for line in lines]})
    failed = sum(line.state == "fail" for line in lines)
    print(f"{counted(len(lines), 'line')}, {failed} failed.", file=sys.stderr)
    return 1 if failed else 0


def _given_as_json(target: str, found: dict[str, Any]) -> bool:
    """Write what was found to a file, or print it for ``-``; return whether it was printed."""
    text = json.dumps(found, indent=1)
    if target == "-":
        print(text)
    elif target:
        write_text(Path(target), text + "\n")
    return target == "-"


def _files(count: int) -> dict[str, Any]:
    from adu_bench.cli.progress import display
    from adu_bench.data.speed import measure_files

    with display() as shown:
        return measure_files(count, shown)


def _backbone(options: Any) -> dict[str, Any]:
    from adu_bench.suites import load_suite

    suite = load_suite(options.suite)
    import torch

    from adu_bench.cli.progress import display
    from adu_bench.clip.device import resolve_device
    from adu_bench.speed.harness import measure, measure_tower

    device = resolve_device(options.device)
    rounds, workers = options.rounds, max(0, options.workers)
    with display() as shown:
        if options.tower:
            size = options.image_size or None
            found = measure_tower(options.tower, options.batch, device, rounds, workers, size, shown)
        else:
            found = measure(suite, device, rounds, workers, options.backbone, shown)
    return {"device": device, "threads": torch.get_num_threads(), "loading_processes": workers, **found}
