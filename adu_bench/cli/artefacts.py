"""Options of the commands that make artefacts of finished runs, and the loop that prints what was made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adu_bench.cli.common import device_option, from_option, require_seed, selection_of, suite_option

if TYPE_CHECKING:
    from adu_bench.clip.classifier import Classifier
    from adu_bench.store import Run
    from adu_bench.store.artefacts import Artefact


def artefact_options(parser: Any) -> None:
    """Add the options that choose runs and where to compute."""
    parser.add_argument(
        "names", type=str, nargs="+", metavar="RUN|METHOD", help="keys of runs, or methods: their runs of one seed"
    )
    suite_option(parser)
    parser.add_argument("--runs", type=str, default="runs", metavar="DIR", help="folder of the runs")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of a method's runs (default: the first)")
    parser.add_argument(
        "--backbone", type=str, default="", metavar="NAME", help="where the runs' backbone is, if its name does not say"
    )
    device_option(parser)
    parser.add_argument("--force", action="store_true", help="make artefacts again that exist")
    from_option(parser)


def print_artefacts(options: Any, name: str, fits: dict[str, Any], make: Callable[[Run, Classifier], Artefact]) -> int:
    """Make an artefact of every run that the options name, and print its file.

    Parameters
    ----------
    options
        See `artefact_options`.
    name, fits, make
        See `adu_bench.workflows.artefacts.make_artefacts`.
    """
    from adu_bench.workflows.artefacts import make_artefacts, named_runs
    from adu_bench.workflows.run import require_device

    require_device(options.device)
    require_seed(options.seed)
    root = Path(options.runs)
    selection = replace(selection_of(options), seeds=(options.seed,) if options.seed else ())
    runs = named_runs(options.names, root, selection)
    made = make_artefacts(runs, root, name, fits, make, selection, device=options.device, force=options.force)
    for number, (run, path, new) in enumerate(made, start=1):
        head = f"[{number}/{len(runs)}] {run.label}, forget {run.spec.task.name}, seed {run.spec.seed}:"
        print(f"{head} {path}" if new else f"{head} already in {path}", flush=True)
    return 0
