"""Find runs by key or method name, and make an artefact of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adu_bench.core.commands import command
from adu_bench.core.errors import UserError
from adu_bench.store import Run, Store
from adu_bench.store.artefacts import Artefact, artefact_path, read_artefact, write_artefact
from adu_bench.workflows.selection import Selection

if TYPE_CHECKING:
    from adu_bench.clip.classifier import Classifier

SHORTEST = 6
"""Digits of a key that name a run, if no other key starts with them."""


def make_artefacts(
    runs: Sequence[Run],
    root: Path,
    name: str,
    fits: dict[str, Any],
    make: Callable[[Run, Classifier], Artefact],
    selection: Selection,
    *,
    device: str = "auto",
    force: bool = False,
) -> Iterator[tuple[Run, Path, bool]]:
    """Make an artefact of every run that lacks it.

    Parameters
    ----------
    runs, root
        The runs, and their folder.
    name
        Kind of the artefact.
    fits
        Entries that an artefact has if it need not be made again.
    make
        Makes it from a run and its rebuilt classifier.
    selection
        Gives the methods, and the backbone where a run's own name of it does not say where the weights are.
    device
        See `adu_bench.core.devices.parse_device`.
    force
        Make artefacts that are there again.

    Yields
    ------
    tuple
        The run, the artefact's file, and whether it was made now.
    """
    for run in runs:
        there = None if force else read_artefact(root, run.key, name)
        if there is not None and all(there.info.get(entry) == value for entry, value in fits.items()):
            yield run, artefact_path(root, run.key, name), False
            continue
        made = make(run, classifier_of(run, selection, device))
        yield run, write_artefact(root, run.key, name, made), True


def classifier_of(run: Run, selection: Selection, device: str) -> Classifier:
    """Rebuild the classifier of a run; parameters and errors as in `make_artefacts`."""
    from adu_bench.artefacts.rebuild import rebuild  # these import torch, which artefacts that are there do not need
    from adu_bench.clip.device import resolve_device
    from adu_bench.runner.task_data import load_shared_backbone

    backbone = load_shared_backbone(selection.backbone or run.spec.backbone.name, resolve_device(device))
    return rebuild(run, backbone, selection.catalogue)


def named_runs(names: Sequence[str], root: Path, selection: Selection) -> list[Run]:
    """Return finished runs, each once.

    Parameters
    ----------
    names
        Keys of runs (6 digits are enough where they are unique), or methods: their runs of the selection's suite.
    root
        Folder of the runs.
    selection
        Suite, backbone and seed (the suite's first by default) of a method's runs.

    Raises
    ------
    UserError
        If a name fits no run, or a key several.
    """
    store = Store(root)
    if not root.is_dir():
        raise UserError(
            f"There is no folder '{root}' with runs.", "An artefact is made from a run.", "Name it with --runs DIR."
        )
    keys = store.keys()
    found: dict[str, Run] = {}
    for name in names:
        matching = [key for key in keys if len(name) >= SHORTEST and key.startswith(name)]
        if len(matching) > 1:
            raise UserError(
                f"'{name}' fits several runs.", f"{', '.join(matching)} start with it.", "Give more digits."
            )
        for key in matching or _of_method(name, store, selection):
            found[key] = store.load(key)
    return list(found.values())


def _of_method(name: str, store: Store, selection: Selection) -> list[str]:
    """Return the keys of a method's finished runs of one seed, in the order of the suite's tasks."""
    suite = selection.load_suite()
    seeds = selection.seeds or suite.seeds[:1]
    wanted = replace(selection, methods=name, seeds=seeds).plan(store)
    keys = [run.spec.key for run in wanted.runs if store.has(run.spec.key)]
    if not keys:
        raise UserError(
            f"'{store.root}' has no finished run of '{name}' on '{suite.name}' with seed {seeds[0]}.",
            "An artefact is made from a run.",
            command("run", suite=selection.suite, methods=name, seeds=f"{seeds[0]},", folder=store.root),
        )
    return keys
