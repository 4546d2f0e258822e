"""Run methods from Python, and find the runs in a folder."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from adu_bench.audits.catalogue import choose_audits, find_audits
from adu_bench.core.child import main_hidden
from adu_bench.core.commands import command
from adu_bench.core.errors import UserError
from adu_bench.registry import Catalogue, Choice
from adu_bench.registry.live_class import method_file
from adu_bench.runner.executors.interface import Result
from adu_bench.store import Store
from adu_bench.training.method import Method
from adu_bench.workflows.audit import pending, run_audits
from adu_bench.workflows.board import Results, suites_with_results
from adu_bench.workflows.finished import Runs
from adu_bench.workflows.run import Fuse, Where, prepare
from adu_bench.workflows.selection import DEFAULT_SUITE, Selection, seeds_from

METHODS = "methods"
"""The folder below that of the runs with the files of classes that were defined in a notebook."""


def run(
    suite: str = DEFAULT_SUITE,
    methods: str | Method | type[Method] | Sequence[str | Method | type[Method]] = (),
    *,
    seeds: int | Sequence[int] = (),
    sizes: Sequence[int] = (),
    limit: int = 0,
    backbone: str = "",
    settings: str = "",
    study: str = "",
    extra: str | Path | Sequence[str | Path] = (),
    out: str | Path = "runs",
    device: str = "auto",
    jobs: int = 1,
    fuse: Fuse = 1,
    timeout: float | None = None,
    cluster: str = "",
    address: str = "",
    scheduler_file: str = "",
    slurm: str = "",
    audits: str = "",
    force: bool = False,
    log: str = "",
    quiet: bool = False,
) -> Runs:
    """Run methods on a suite, as ``adu-bench run`` does; finished runs are skipped.

    Parameters
    ----------
    suite
        Name of a suite, or path of a YAML file.
    methods
        Names such as ``adu[gamma=10]``, groups, and your own methods: instances such as ``MyMethod(lr=0.1)``, or
        classes.  Fields that an instance leaves at their defaults are set by the suite's budget, as for every method.
        Empty for the suite's methods.
    seeds
        Seeds, or their number; empty for the suite's.
    sizes
        All forget sets of these numbers of domains in place of the suite's.
    limit
        Only the first tasks; 0 for all.
    backbone, settings
        In place of the suite's; see ``adu-bench run --help``.
    study
        A study that the suite declares; ``methods`` replaces its methods.
    extra
        Folders and files with further methods.
    out
        Folder of the runs.
    device, jobs, fuse, timeout, cluster, address, scheduler_file, slurm
        Where runs are executed, see `adu_bench.workflows.run.Where`.
    audits
        ``core``, ``full`` or names of audits, for the finished runs.
    force
        Run again what is finished.
    log
        ``tensorboard``, ``wandb`` or ``trackio``, to which the curves of runs are sent while they train.
    quiet
        Do not print a line per run.

    Returns
    -------
    Runs
        The runs; what failed is in ``failed``, and a warning says so.

    Raises
    ------
    UserError
        If the choice names something that does not exist, or a class cannot be written to a file.
    """
    folder = Path(out)
    names, files = _named(methods, folder)
    selection = Selection(
        suite=suite,
        methods=",".join(names),
        seeds=seeds_from(seeds),
        sizes=tuple(sizes),
        limit=limit,
        backbone=backbone,
        settings=settings,
        study=study,
        extra=tuple(dict.fromkeys([*files, *_places(extra)])),
    )
    with main_hidden():
        entries = choose_audits(audits, find_audits(*_places(extra)[:1])) if audits else []
        where = Where(device, jobs, fuse, timeout, cluster, address, scheduler_file, slurm)
        made = prepare(selection, folder, where, force=force, log=log)
        failed = _followed(made.results(), len(made.todo), quiet)
        done = [run for run in made.plan.runs if made.store.has(run.spec.key)] if entries else []
        jobs_left = pending(done, made.store, entries)
        not_audited = _followed(run_audits(jobs_left, made.executor), len(jobs_left), quiet) if jobs_left else {}
    for kind, reasons, count in (("runs", failed, len(made.todo)), ("audits", not_audited, len(jobs_left))):
        if reasons:
            title, reason = next(iter(reasons.items()))
            warnings.warn(f"{len(reasons)} of {count} {kind} failed; {title}: {reason}", stacklevel=2)
    return Runs(selection, folder, failed)


def _followed(results: Iterable[Result], total: int, quiet: bool) -> dict[str, str]:
    """Print a line per result, and return why those that failed did, by their titles."""
    failed = {}
    for count, result in enumerate(results, start=1):
        if not quiet:
            print(f"{count}/{total} {result.job.title}: {result.text or result.state}, {result.seconds:.1f} s")
        if result.state == "failed":
            failed[result.job.title] = result.text
    return failed


def load_runs(
    folder: str | Path = "runs",
    suite: str = DEFAULT_SUITE,
    methods: str | Sequence[str] = (),
    *,
    seeds: Sequence[int] = (),
    sizes: Sequence[int] = (),
    limit: int = 0,
    backbone: str = "",
    settings: str = "",
    extra: str | Path | Sequence[str | Path] = (),
) -> Runs:
    """Return the finished runs of a suite in a folder; no run starts.

    Parameters
    ----------
    folder
        Folder of the runs.
    suite, seeds, sizes, limit, backbone, settings, extra
        As in `run`.  Without seeds: the suite's, or all that the folder has where it has none of the suite's.
    methods
        Labels or groups; empty for all that the folder has.

    Raises
    ------
    UserError
        If the folder has no run of the suite.
    """
    folder = Path(folder)
    written = folder / METHODS
    selection = Selection(
        suite=suite,
        seeds=tuple(seeds),
        sizes=tuple(sizes),
        limit=limit,
        backbone=backbone,
        settings=settings,
        extra=(*_places(extra), *([str(written)] if written.is_dir() else [])),
    )
    found = Store(folder).runs()
    known = selection.catalogue.presets
    labels = list(dict.fromkeys(run.label for run in found if run.label.partition("[")[0] in known))
    selection = replace(selection, methods=",".join([methods] if isinstance(methods, str) else methods or labels))
    if found and not labels and not methods:
        raise _nothing(folder, suite, f"Its methods are not known here: {found[0].label}, for example")
    runs = Runs(selection, folder, {})
    if found and not runs and not seeds:
        dataset = selection.load_suite().dataset
        there = {run.spec.seed for run in found if run.spec.task.dataset == dataset}
        runs = Runs(replace(selection, seeds=tuple(sorted(there))), folder, {})
    if not runs:
        others = suites_with_results(Results(runs=str(folder)))[0] if found else []
        raise _nothing(folder, suite, f"It has runs of the data of {', '.join(others)}" if others else "It is empty")
    return runs


def _nothing(folder: Path, suite: str, why: str) -> UserError:
    return UserError(
        f"The folder '{folder}' has no finished run of '{suite}' that counts.",
        f"{why}.",
        "Name another suite, the folder of the method with extra=, or run it: "
        + command("run", suite=suite, folder=folder),
    )


def _named(methods: Any, folder: Path) -> tuple[list[str], list[str]]:
    """Return methods by their labels, and the files of those that are not shipped."""
    names, files = [], []
    shipped = Catalogue()
    for method in [methods] if isinstance(methods, str | type) or not isinstance(methods, Sequence) else methods:
        if isinstance(method, str):
            names.append(method)
            continue
        kind = method if isinstance(method, type) else type(method)
        if not issubclass(kind, Method):
            raise UserError(
                f"{kind.__name__} is not a method.",
                "A method is a subclass of adu_bench.api.Method.",
                "A model or function from images to logits is evaluated by adu_bench.evaluate.",
            )
        path = method_file(kind, folder / METHODS)
        choice = _choice(shipped, path, kind.__name__)
        if choice is None:
            own = Catalogue([path], shipped=False)
            if own.broken:
                raise UserError(
                    f"The class {kind.__name__} cannot be read.", f"{own.broken[0].reason}.", "Correct the class."
                )
            choice = _choice(own, path, kind.__name__)
            files.append(str(path))
        if choice is None:
            raise UserError(
                f"The class {kind.__name__} cannot be run.",
                "It has no card, which names it.",
                'Write card = Card(name="my-method", group="other", ...) in the class, from adu_bench.api.',
            )
        if not isinstance(method, type):
            given = {name: getattr(method, name) for name in choice.entry.fields}
            for name, value in given.items():
                if value != choice.entry.fields[name].default:
                    choice = choice.with_field(name, value)
        names.append(choice.label)
    return names, files


def _choice(catalogue: Catalogue, path: Path, class_name: str) -> Choice | None:
    for preset, entry in catalogue.presets.values():
        if entry.class_name == class_name and entry.path.resolve() == path.resolve():
            return Choice(preset, entry)
    return None


def _places(extra: str | Path | Sequence[str | Path]) -> list[str]:
    given = [extra] if isinstance(extra, str | Path) else extra
    return [str(place) for place in given if str(place)]
