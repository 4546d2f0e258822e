"""Runs by key or method name, and a loop that makes an artefact of each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adu_bench.cli.common import catalogue_of, from_option, suite_option
from adu_bench.core.errors import UserError

if TYPE_CHECKING:
    from adu_bench.clip.classifier import Classifier
    from adu_bench.store import Run
    from adu_bench.store.artefacts import Artefact

SHORTEST = 6
"""Digits of a key that name a run, if no other key starts with them."""


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
    parser.add_argument("--device", type=str, default="auto", metavar="auto|cpu|cuda", help="where to compute")
    parser.add_argument("--force", action="store_true", help="make again what is there")
    from_option(parser)


def make_artefacts(options: Any, name: str, fits: dict[str, Any], make: Callable[[Run, Classifier], Artefact]) -> int:
    """Make an artefact of every run that the options name, and say where it is.

    Parameters
    ----------
    options
        See `artefact_options`.
    name
        Kind of the artefact.
    fits
        Entries that an artefact has if it need not be made again.
    make
        Makes it from a run and its rebuilt classifier.
    """
    from adu_bench.store.artefacts import artefact_path, read_artefact, write_artefact

    root = Path(options.runs)
    runs = _named(options, root)
    for number, run in enumerate(runs, start=1):
        there = None if options.force else read_artefact(root, run.key, name)
        head = f"[{number}/{len(runs)}] {run.label}, forget {run.spec.task.name}, seed {run.spec.seed}:"
        if there is not None and all(there.info.get(entry) == value for entry, value in fits.items()):
            print(f"{head} already in {artefact_path(root, run.key, name)}", flush=True)
            continue
        made = make(run, _classifier(run, options))
        print(f"{head} {write_artefact(root, run.key, name, made)}", flush=True)
    return 0


def _named(options: Any, root: Path) -> list[Run]:
    """Return the runs that the names stand for, each once."""
    from adu_bench.store import Store

    store = Store(root)
    if not root.is_dir():
        raise UserError(
            f"There is no folder '{root}' with runs.", "An artefact is made from a run.", "Name it with --runs DIR."
        )
    keys = store.keys()
    found: dict[str, Run] = {}
    for name in options.names:
        matching = [key for key in keys if len(name) >= SHORTEST and key.startswith(name)]
        if len(matching) > 1:
            raise UserError(
                f"'{name}' names several runs.", f"{', '.join(matching)} start with it.", "Give more digits."
            )
        for key in matching or _of_method(options, name, root):
            found[key] = store.load(key)
    return list(found.values())


def _of_method(options: Any, name: str, root: Path) -> list[str]:
    """Return the keys of a method's finished runs of one seed, in the order of the suite's tasks."""
    from adu_bench.runner.plan import plan
    from adu_bench.store import Store
    from adu_bench.suites import load_suite

    suite, store = load_suite(options.suite), Store(root)
    choices = catalogue_of(options).select([name])
    seed = options.seed or suite.seeds[0]
    wanted = plan(suite, choices, store, seeds=[seed], backbone=options.backbone or None)
    keys = [run.spec.key for run in wanted.runs if store.has(run.spec.key)]
    if not keys:
        raise UserError(
            f"'{root}' has no finished run of '{name}' on '{suite.name}' with seed {seed}.",
            "An artefact is made from a run.",
            f"adu-bench run --suite {suite.name} --methods {name} --seeds {seed}, --out {root}",
        )
    return keys


def _classifier(run: Run, options: Any) -> Classifier:
    import torch

    from adu_bench.audits.rebuild import rebuild
    from adu_bench.runner.task_data import load_shared_backbone

    device = ("cuda" if torch.cuda.is_available() else "cpu") if options.device == "auto" else options.device
    backbone = load_shared_backbone(options.backbone or run.spec.backbone.name, device)
    return rebuild(run, backbone, catalogue_of(options))
