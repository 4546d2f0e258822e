"""What is submitted: a method's complete block of runs with its claims, from a store, a bundle or a committed row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from adu_bench import __version__
from adu_bench.core.errors import UserError
from adu_bench.core.hashing import canonical_json, digest, file_sha256, source_digest
from adu_bench.core.specs import RunSpec, forget_name
from adu_bench.leaderboard.board import Board, differences, make_board
from adu_bench.leaderboard.rows import read_row
from adu_bench.metrics.frame import with_probe
from adu_bench.registry import Catalogue, Choice
from adu_bench.runner.plan import Plan, PlannedRun, plan
from adu_bench.store import Store
from adu_bench.submission import archive, documents
from adu_bench.submission.consistency import pool_of
from adu_bench.submission.documents import read_document
from adu_bench.submission.refusal import Refused, shown
from adu_bench.submission.tables import ROW_COLUMNS, RUN_COLUMNS, read_table
from adu_bench.suites import Suite, load_suite

FORMAT = 1
SUMMARY = ("mem", "for", "h_mean", "h_of_means")
PER_RUN = ("mem", "for", "h")


@dataclass(frozen=True)
class BundledRun:
    """A run of an unpacked bundle; it is scored like a run directory.

    Parameters
    ----------
    spec, label, measured, finished, environment
        As in `adu_bench.store.Run`.
    table
        Its predictions.
    images
        How many there must be.
    """

    spec: RunSpec
    label: str
    measured: dict[str, Any]
    finished: str
    environment: dict[str, str]
    table: Path
    images: int

    @cached_property
    def key(self) -> str:
        """The run's key."""
        return self.spec.key

    def predictions(self) -> pd.DataFrame:
        """Return one row a test image; errors as in `adu_bench.submission.tables.read_table`."""
        return read_table(self.table, RUN_COLUMNS, self.images, f"{self.key}/{archive.PREDICTIONS}")


@dataclass(frozen=True)
class Submission:
    """A method's complete block on a suite.

    Parameters
    ----------
    choice
        The method as its file declares it.
    plan
        The runs that make up its block, as they are planned here.
    runs
        The submitted runs, in the plan's order.
    claimed
        mem, for, h_mean and h_of_means, as fractions; empty where nothing is claimed.
    claimed_runs
        mem, for and h by key; empty where nothing is claimed.
    exact
        Whether predictions are as they were computed (committed rows hold rounded ones).
    """

    choice: Choice
    plan: Plan
    runs: tuple[Any, ...]
    claimed: Mapping[str, float]
    claimed_runs: Mapping[str, Mapping[str, float]]
    exact: bool

    @property
    def suite(self) -> Suite:
        """The suite."""
        return self.plan.suite

    @cached_property
    def board(self) -> Board:
        """The board of the submitted runs alone: every number is scored from their predictions."""
        return make_board(self.plan, self.runs)

    def scored(self) -> dict[str, float]:
        """Return mem, for, h_mean and h_of_means as the predictions give them, rounded to six decimals."""
        (row,) = self.board.rows
        return {name: round(float(row[name] or 0.0), 6) for name in SUMMARY}

    def scored_runs(self) -> dict[str, dict[str, float]]:
        """Return mem, for and h by key as the predictions give them, rounded to six decimals."""
        frame = self.board.frame
        wide = frame[frame["metric"].isin(PER_RUN)].pivot(index="key", columns="metric", values="value").round(6)
        return {str(key): {name: float(row[name]) for name in PER_RUN} for key, row in wide.iterrows()}


def from_runs(suite: Suite, choice: Choice, store: Store, folder: str) -> Submission:
    """Take a method's finished runs, and claim what they score.

    Raises
    ------
    UserError
        If runs are missing.
    """
    planned = plan(suite, [choice], store)
    if planned.todo:
        raise UserError(
            f"{choice.label} is not complete on {suite.name}.",
            f"{len(planned.runs) - len(planned.todo)} of {len(planned.runs)} runs are finished in '{folder}', without "
            f"{planned.todo[0].title}, for instance.",
            f'adu-bench run --suite {suite.name} --methods "{choice.label}" --out {folder}',
        )
    return of_plan(planned, choice, store)


def of_plan(planned: Plan, choice: Choice, store: Store) -> Submission:
    """Take the finished runs of a plan of one method, and claim what they score."""
    runs = tuple(store.load(run.spec.key) for run in planned.runs)
    bare = Submission(choice, planned, runs, {}, {}, exact=True)
    return replace(bare, claimed=bare.scored(), claimed_runs=bare.scored_runs())


def write_bundle(submission: Submission, path: Path) -> None:
    """Write a submission of finished runs as a bundle."""
    files: dict[str, bytes | Path] = {archive.METHOD: submission.choice.entry.path}
    for run in submission.runs:
        files |= {f"runs/{run.key}/{name}": run.path / name for name in (archive.RUN, archive.PREDICTIONS)}
    manifest = {
        "format": FORMAT,
        "made_with": f"adu-bench {__version__}",
        "suite": submission.suite.name,
        "label": submission.choice.label,
        "card": submission.choice.entry.card,
        "claimed": submission.claimed,
        "runs": [
            {
                "key": run.key,
                "claimed": submission.claimed_runs[run.key],
                "domain_probe": with_probe(run)["domain_probe"],
            }
            for run in submission.runs
        ],
        "files": {name: file_sha256(content) for name, content in files.items() if isinstance(content, Path)},
    }
    archive.pack(path, {archive.MANIFEST: (canonical_json(manifest) + "\n").encode(), **files})


def read_bundle(path: Path, folder: Path, suite: str = "") -> Submission:
    """Read a bundle without running anything of it.

    Parameters
    ----------
    path
        The zip file.
    folder
        An empty folder to unpack it into.
    suite
        Path of the suite's YAML file, where it does not ship with the package.

    Raises
    ------
    Refused
        If anything in it is not what it should be.
    UserError
        If the suite is not known, or its data are not here.
    """
    files = archive.unpack(path, folder)
    manifest = read_document(_file(files, archive.MANIFEST), documents.MANIFEST, archive.MANIFEST)
    _check_hashes(manifest["files"], files)
    choice = _bundled_choice(_file(files, archive.METHOD), manifest)
    planned = _plan(manifest["suite"], suite, choice)
    stated = {entry["key"]: entry for entry in manifest["runs"]}
    if len(stated) != len(manifest["runs"]):
        raise Refused(f"{archive.MANIFEST} names a run twice")
    folders = {name.split("/")[1] for name in files if name.startswith("runs/")}
    if folders != set(stated):
        raise Refused(f"{archive.MANIFEST} and the folder runs name different runs")
    found = {key: _bundled_run(key, entry, files, choice, planned) for key, entry in stated.items()}
    runs = _in_order(found, planned)
    claims = {key: entry["claimed"] for key, entry in stated.items()}
    return Submission(choice, planned, runs, manifest["claimed"], claims, exact=True)


def read_committed(path: Path, catalogue: Catalogue, suite: str = "") -> Submission:
    """Read a committed row as if a stranger had written it.

    Parameters
    ----------
    path
        The row's JSON file; its folder's name is the suite's.
    catalogue
        Knows the row's method.
    suite
        As in `read_bundle`.

    Raises
    ------
    Refused
        If anything in it is not what it should be.
    UserError
        If method or suite are not known, or the data are not here.
    """
    if not path.is_file():
        raise UserError(f"There is no row '{path}'.", "It was to be verified.", "Name a JSON file in leaderboards/.")
    record = read_document(path, documents.ROW, path.name)
    if record["label"] != path.stem:
        raise Refused(f"{path.name} holds the row of {shown(record['label'])}")
    choice = _one(catalogue, record["label"])
    planned = _plan(path.resolve().parent.name, suite, choice)
    found = {run.key: run for run in read_row(path)}
    for run in found.values():
        _check_wanted(run.key, run.spec, planned)
    table = path.with_suffix(".parquet")
    if not table.is_file():
        raise Refused(f"{table.name} is missing")
    images = len(pool_of(planned.runs[0].spec.task))
    read_table(table, ROW_COLUMNS, images * len(record["runs"]), table.name)
    return Submission(choice, planned, _in_order(found, planned), record.get("claimed") or {}, {}, exact=False)


def _file(files: Mapping[str, Path], name: str) -> Path:
    if name not in files:
        raise Refused(f"{name} is missing")
    return files[name]


def _check_hashes(stated: Mapping[str, str], files: Mapping[str, Path]) -> None:
    packed = set(files) - {archive.MANIFEST}
    if set(stated) != packed:
        name = sorted(set(stated) ^ packed)[0]
        raise Refused(f"{shown(name)} is not both in {archive.MANIFEST} and in the zip file")
    for name in sorted(packed):
        if file_sha256(files[name]) != stated[name]:
            raise Refused(f"{name} was changed: its hash is not the one in {archive.MANIFEST}")


def _bundled_choice(path: Path, manifest: Mapping[str, Any]) -> Choice:
    """Read the bundled method file as text; no part of it is run."""
    try:
        catalogue = Catalogue([path], shipped=False)
        source_digest([path.read_text(encoding="utf-8")])
    except UserError:
        raise
    except Exception as error:
        # Whatever a stranger's text makes the parser raise (recursion, memory, odd syntax), it is no method file.
        raise Refused(f"{archive.METHOD} cannot be read: {type(error).__name__}") from error
    if catalogue.broken:
        raise Refused(f"{archive.METHOD} cannot be read: {shown(catalogue.broken[0].reason, 100)}")
    choice = _one(catalogue, manifest["label"])
    documents.check_shape(choice.entry.card, documents.CARD, f"the card in {archive.METHOD}")
    if canonical_json(choice.entry.card) != canonical_json(manifest["card"]):
        raise Refused(f"the card in {archive.MANIFEST} is not the one in {archive.METHOD}")
    _check_name_is_free(choice)
    return choice


def _one(catalogue: Catalogue, label: str) -> Choice:
    try:
        choices = catalogue.select([label])
    except UserError as error:
        raise Refused(f"its method cannot be found: {shown(error.what.rstrip('.'), 100)}") from error
    if len(choices) != 1 or choices[0].label != label:
        raise Refused(f"{shown(label)} is not the plain name of one method")
    return choices[0]


def _check_name_is_free(choice: Choice) -> None:
    shipped = Catalogue().presets.get(choice.preset.name)
    if shipped is not None and shipped[1].source != choice.entry.source:
        raise Refused(f"a method called '{choice.preset.name}' ships with adu-bench, and its file is another one")


def _plan(named: str, path: str, choice: Choice) -> Plan:
    suite = load_suite(path or named)
    if suite.name != named:
        raise Refused(f"it is for the suite {shown(named)}, not for '{suite.name}'")
    return plan(suite, [choice], Store(Path("none")))


def _bundled_run(
    key: str, stated: Mapping[str, Any], files: Mapping[str, Path], choice: Choice, planned: Plan
) -> BundledRun:
    name = f"runs/{key}/{archive.RUN}"
    info = read_document(_file(files, name), documents.RUN, name)
    table = f"runs/{key}/{archive.PREDICTIONS}"
    path = _file(files, table)
    if info["checksums"].get(archive.PREDICTIONS) != file_sha256(path):
        raise Refused(f"{table} is not the file that the run wrote")
    if info["label"] != choice.label:
        raise Refused(f"{name} is a run of {shown(info['label'])}, not of {choice.label}")
    if info["key"] != key or digest(info["spec"]) != key:
        raise Refused(f"the key of {name} does not follow from its spec")
    try:
        spec = RunSpec.from_dict(info["spec"])
        same = canonical_json(spec.to_dict()) == canonical_json(info["spec"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Refused(f"the spec in {name} is malformed") from error
    if not same:
        raise Refused(f"the spec in {name} is malformed")
    wanted = _check_wanted(key, spec, planned)
    measured = info["measured"] | {"domain_probe": stated["domain_probe"]}
    images = len(pool_of(wanted.spec.task))
    return BundledRun(wanted.spec, choice.label, measured, info["finished"], info["environment"], path, images)


def _check_wanted(key: str, spec: RunSpec, planned: Plan) -> PlannedRun:
    """Return the planned run of a key; protocol, split, weights and method cannot differ, since the key holds them."""
    for run in planned.runs:
        if run.spec.key == key:
            return run
    for run in planned.runs:
        if run.spec.seed == spec.seed and run.spec.task.forget == spec.task.forget:
            differing = ", ".join(differences(spec, run.spec)) or "another data set"
            raise Refused(f"the run {key} (forget {shown(forget_name(map(str, spec.task.forget)))}) has {differing}")
    raise Refused(f"the run {key} is none of the suite '{planned.suite.name}': it has another forget set or seed")


def _in_order(found: Mapping[str, Any], planned: Plan) -> tuple[Any, ...]:
    missing: Sequence[PlannedRun] = [run for run in planned.runs if run.spec.key not in found]
    if missing:
        raise Refused(f"{len(missing)} of {len(planned.runs)} runs are missing, for instance {missing[0].title}")
    return tuple(found[run.spec.key] for run in planned.runs)
