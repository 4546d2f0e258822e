"""Store attention maps of finished runs on fixed test images, for the report."""

from __future__ import annotations

from typing import Any

from adu_bench.cli.artefacts import artefact_options, print_artefacts
from adu_bench.core.errors import UserError


def options(parser: Any) -> None:
    """Add the command's options."""
    artefact_options(parser)
    parser.add_argument("--images", type=int, default=2, metavar="N", help="test images per domain")


def run(options: Any) -> int:
    """Store attention maps beside the runs."""
    if options.images < 1:
        raise UserError(f"--images {options.images} is too few.", "It counts images per domain.", "Give 1 or more.")

    def make(run: Any, classifier: Any) -> Any:
        from adu_bench.artefacts.attention import attention_of

        return attention_of(classifier, run.spec.task, options.images)

    return print_artefacts(options, "attention", {"pictures_per_domain": options.images}, make)
