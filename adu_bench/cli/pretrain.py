"""Train a small CLIP on a suite's training images, for use as a backbone.

It starts from the shipped model. The same command continues where an earlier one stopped.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from adu_bench.cli.common import device_option, require_seed, suite_option
from adu_bench.core.commands import command
from adu_bench.core.errors import UserError


def options(parser: Any) -> None:
    """Add the command's options."""
    suite_option(parser)
    device_option(parser)
    parser.add_argument("--out", type=str, default="model", metavar="DIR", help="folder of the model")
    parser.add_argument("--steps", type=int, default=0, metavar="N", help="length of the training (default: 2500)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="seed of the training")


def run(options: Any) -> int:
    """Train and say how to use the model; 130 after Ctrl-C."""
    if options.steps < 0:
        raise UserError(
            f"--steps {options.steps} is below zero.", "It counts training steps.", "Leave it out for the default."
        )
    require_seed(options.seed)
    from adu_bench.suites import load_suite

    suite = load_suite(options.suite)
    from adu_bench.cli.progress import display
    from adu_bench.clip.device import resolve_device
    from adu_bench.pretraining.suite import STEPS, pretrain

    device = resolve_device(options.device)
    steps = options.steps or STEPS
    try:
        with display() as shown:
            record = lambda row: shown.line(_sentence(row, steps))  # noqa: E731
            pretrain(suite, Path(options.out), steps, options.seed, record, shown, device=device)
    except KeyboardInterrupt:
        print(f"Interrupted; the last checkpoint is in {options.out}/. The same command continues.")
        return 130
    print(f"Use it: {command('run', suite=options.suite, backbone=options.out)}")
    return 0


def _sentence(row: dict[str, float], steps: int) -> str:
    """Describe what a checkpoint measured."""
    domains = {name: row[name] for name in row if name not in ("step", "seconds", "loss", "seen")}
    return (
        f"step {row['step']}/{steps}, {row['seconds']} s, loss {row['loss']:.3f}; zero-shot on training images "
        f"{row['seen']:.1%}, on validation images: "
        + ", ".join(f"{name} {value:.1%}" for name, value in domains.items())
    )
