"""Look where finished runs' classifiers look: attention maps of fixed test pictures, for the report."""

from __future__ import annotations

from typing import Any

from adu_bench.cli.artefacts import artefact_options, make_artefacts
from adu_bench.core.errors import UserError


def options(parser: Any) -> None:
    """Add the command's options."""
    artefact_options(parser)
    parser.add_argument("--pictures", type=int, default=2, metavar="N", help="test pictures a domain")


def run(options: Any) -> int:
    """Store attention maps beside the runs."""
    if options.pictures < 1:
        raise UserError(f"--pictures {options.pictures} is too few.", "It counts pictures a domain.", "Give 1 or more.")

    def make(run: Any, classifier: Any) -> Any:
        from adu_bench.audits.attention import attention_of

        return attention_of(classifier, run.spec.task, options.pictures)

    return make_artefacts(options, "attention", {"pictures_per_domain": options.pictures}, make)
