"""Store the features of more test images than a run keeps, for the report's embedding and probes."""

from __future__ import annotations

from typing import Any

from adu_bench.cli.artefacts import artefact_options, print_artefacts
from adu_bench.core.errors import UserError


def options(parser: Any) -> None:
    """Add the command's options."""
    artefact_options(parser)
    parser.add_argument("--images", type=int, default=0, metavar="N", help="test images (default: all)")


def run(options: Any) -> int:
    """Store features beside the runs."""
    if options.images < 0:
        raise UserError(f"--images {options.images} is below zero.", "It counts images.", "Leave it out for all.")

    def make(run: Any, classifier: Any) -> Any:
        from adu_bench.artefacts.features import features_of
        from adu_bench.runner.task_data import TaskData

        return features_of(
            run,
            classifier,
            TaskData(run.spec.task, classifier.backbone, run.spec.training.evaluation),
            options.images,
        )

    return print_artefacts(options, "features", {"count": options.images}, make)
