"""Measure the harness against the bare backbone: training and evaluation ratios."""

from __future__ import annotations

import json
import sys
from typing import Any

from adu_bench.cli.common import flag, suite_option


def options(parser: Any) -> None:
    """Add the command's options."""
    suite_option(parser)
    parser.add_argument("--rounds", type=int, default=7, metavar="N", help="interleaved rounds; the median counts")
    flag(parser, "json", "print JSON")


def run(options: Any) -> int:
    """Print the ratios."""
    from adu_bench.suites import load_suite

    suite = load_suite(options.suite)
    import torch

    from adu_bench.benchmark import measure

    device = "cuda" if torch.cuda.is_available() else "cpu"
    found = measure(suite, device, max(1, options.rounds), lambda text: print(text, file=sys.stderr, flush=True))
    if options.json:
        print(json.dumps({"device": device, "threads": torch.get_num_threads(), **found}, indent=1))
    else:
        for name, value in found.items():
            print(f"{name:<36} {value:.3f}" if "ratio" in name else f"{name:<36} {value:.0f}")
    return 0
