"""Read a submission from a bundle or a committed row as untrusted input: nothing of it is run.

Its runs are compared with the runs that are planned here, so that keys, split, labels and weights are the suite's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from adu_bench.core.errors import UserError
from adu_bench.core.hashing import canonical_json, digest, file_sha256
from adu_bench.core.specs import RunSpec, forget_name
from adu_bench.leaderboard.board import differences
from adu_bench.leaderboard.outside import recorded_outside
from adu_bench.leaderboard.packed import ROW_COLUMNS
from adu_bench.leaderboard.rows import read_row
from adu_bench.registry import Catalogue, Choice
from adu_bench.runner.plan import Plan, PlannedRun, plan
from adu_bench.submission import schemas
from adu_bench.submission.bundle import MANIFEST, METHOD, PREDICTIONS, RUN, unpack
from adu_bench.submission.consistency import images_of
from adu_bench.submission.predictions_file import RUN_COLUMNS, read_predictions
from adu_bench.submission.refusal import Refused, shown
from adu_bench.submission.submission import Submission, code_files
from adu_bench.suites import load_suite


@dataclass(frozen=True)
class BundledRun:
    """A run of an unpacked bundle; it is scored like a run directory.

    Parameters
    ----------
    spec, label, measured, finished, environment
        As in `adu_bench.store.Run`.
    path
        The Parquet file with its predictions.
    images
        The number of predictions that it must have.
    """

    spec: RunSpec
    label: str
    measured: dict[str, Any]
    finished: str
    environment: dict[str, str]
    path: Path
    images: int

    @cached_property
    def key(self) -> str:
        """The run's key."""
        return self.spec.key

    @property
    def source(self) -> str:
        """Empty: its metrics are computed once."""
        return ""

    def predictions(self) -> pd.DataFrame:
        """Return one row per test image; errors as in `adu_bench.submission.predictions_file.read_predictions`.

        The file is read once, so that nothing which happens to it later changes the answers.
        """
        return self._predictions.copy()

    @cached_property
    def _predictions(self) -> pd.DataFrame:
        return read_predictions(self.path, RUN_COLUMNS, self.images, f"{self.key}/{PREDICTIONS}")


def read_bundle(path: Path, folder: Path, suite: str = "") -> Submission:
    """Read a bundle.

    Parameters
    ----------
    path
        The zip file.
    folder
        An empty folder to unpack it into.
    suite
        Path of the suite's YAML file, if the suite does not ship with the package.

    Raises
    ------
    Refused
        If anything in the bundle is not what it should be.
    UserError
        If the suite is unknown, or its data are not on this machine.
    """
    files = unpack(path, folder)
    manifest = schemas.read_json(_file(files, MANIFEST), schemas.MANIFEST, MANIFEST)
    _check_hashes(manifest["files"], files)
    choice = _bundled_choice(_file(files, METHOD), manifest)
    spare = {name for name in files if name.endswith(".py")} - set(code_files(choice))
    if spare:
        raise Refused(f"{METHOD} does not import {sorted(spare)[0]}")
    planned = _plan(manifest["suite"], suite, choice)
    stated = {entry["key"]: entry for entry in manifest["runs"]}
    if len(stated) != len(manifest["runs"]):
        raise Refused(f"{MANIFEST} names a run twice")
    folders = {name.split("/")[1] for name in files if name.startswith("runs/")}
    if folders != set(stated):
        raise Refused(f"{MANIFEST} and the folder runs name different runs")
    found = {key: _bundled_run(key, entry, files, choice, planned) for key, entry in stated.items()}
    claims = {key: entry["claimed"] for key, entry in stated.items()}
    return Submission(choice, planned, _in_order(found, planned), manifest["claimed"], claims, exact=True)


def read_committed(path: Path, catalogue: Catalogue, suite: str = "") -> Submission:
    """Read a committed row.

    Parameters
    ----------
    path
        The row's JSON file; the name of its folder is the suite's.
    catalogue
        The known methods, among them the row's.
    suite
        As in `read_bundle`.

    Raises
    ------
    Refused
        If anything in the row is not what it should be.
    UserError
        If the method or the suite is unknown, or the data are not on this machine.
    """
    if not path.is_file():
        raise UserError(
            f"There is no row '{path}'.", "A row's JSON file is verified.", "Give a JSON file in leaderboards/."
        )
    record = schemas.read_json(path, schemas.ROW, path.name)
    if record["label"] != path.stem:
        raise Refused(f"{path.name} contains the row of {shown(record['label'])}")
    choice = recorded_outside(path)
    if choice is None:
        choice = _one(catalogue, record["label"])
    planned = _plan(path.resolve().parent.name, suite, choice)
    found = {run.key: run for run in read_row(path)}
    for run in found.values():
        _planned_run(run.key, run.spec, planned)
    predictions = path.with_suffix(".parquet")
    if not predictions.is_file():
        raise Refused(f"{predictions.name} is missing")
    images = len(images_of(planned.runs[0].spec.task))
    read_predictions(predictions, ROW_COLUMNS, images * len(record["runs"]), predictions.name)
    if file_sha256(predictions) != record["predictions"]:
        raise Refused(f"{predictions.name} is not the file that {path.name} names")
    return Submission(choice, planned, _in_order(found, planned), record.get("claimed") or {}, {}, exact=False)


def _file(files: Mapping[str, Path], name: str) -> Path:
    if name not in files:
        raise Refused(f"{name} is missing")
    return files[name]


def _check_hashes(stated: Mapping[str, str], files: Mapping[str, Path]) -> None:
    packed = set(files) - {MANIFEST}
    if set(stated) != packed:
        name = sorted(set(stated) ^ packed)[0]
        raise Refused(f"{shown(name)} is not both in {MANIFEST} and in the zip file")
    for name in sorted(packed):
        if file_sha256(files[name]) != stated[name]:
            raise Refused(f"{name} was changed: its hash is not the one in {MANIFEST}")


def _bundled_choice(path: Path, manifest: Mapping[str, Any]) -> Choice:
    """Read the bundled method file as text, without running it."""
    try:
        catalogue = Catalogue([path], shipped=False)
    except UserError:
        raise
    except Exception as error:
        # Untrusted text can make the parser raise anything (recursion, memory, syntax errors).
        raise Refused(f"{METHOD} cannot be read: {type(error).__name__}") from error
    if catalogue.broken:
        raise Refused(f"{METHOD} cannot be read: {shown(catalogue.broken[0].reason, 100)}")
    choice = _one(catalogue, manifest["label"])
    schemas.check_schema(choice.entry.card, schemas.CARD, f"the card in {METHOD}")
    if canonical_json(choice.entry.card) != canonical_json(manifest["card"]):
        raise Refused(f"the card in {MANIFEST} is not the one in {METHOD}")
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
    own = (choice.entry.source, choice.entry.source_hash)
    if shipped is not None and (shipped[1].source, shipped[1].source_hash) != own:
        raise Refused(f"a method called '{choice.preset.name}' ships with adu-bench, and its file is a different one")


def _plan(named: str, path: str, choice: Choice) -> Plan:
    suite = load_suite(path or named)
    if suite.name != named:
        raise Refused(f"it is for the suite {shown(named)}, not for '{suite.name}'")
    return plan(suite, [choice])


def _bundled_run(
    key: str, stated: Mapping[str, Any], files: Mapping[str, Path], choice: Choice, planned: Plan
) -> BundledRun:
    name = f"runs/{key}/{RUN}"
    info = schemas.read_json(_file(files, name), schemas.RUN, name)
    path = _file(files, f"runs/{key}/{PREDICTIONS}")
    if info["checksums"].get(PREDICTIONS) != file_sha256(path):
        raise Refused(f"runs/{key}/{PREDICTIONS} is not the file that the run wrote")
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
    wanted = _planned_run(key, spec, planned)
    measured = info["measured"] | {"domain_probe": stated["domain_probe"]}
    images = len(images_of(wanted.spec.task))
    return BundledRun(wanted.spec, choice.label, measured, info["finished"], info["environment"], path, images)


def _planned_run(key: str, spec: RunSpec, planned: Plan) -> PlannedRun:
    """Return the planned run with a key; the key contains protocol, split, weights and method, so these agree."""
    for run in planned.runs:
        if run.spec.key == key:
            return run
    for run in planned.runs:
        if run.spec.seed == spec.seed and run.spec.task.forget == spec.task.forget:
            differing = ", ".join(differences(spec, run.spec)) or "another data set"
            raise Refused(f"the run {key} (forget {shown(forget_name(map(str, spec.task.forget)))}) has {differing}")
    raise Refused(f"the run {key} is not in the suite '{planned.suite.name}': it has another forget set or seed")


def _in_order(found: Mapping[str, Any], planned: Plan) -> tuple[Any, ...]:
    missing = [run for run in planned.runs if run.spec.key not in found]
    if missing:
        raise Refused(f"{len(missing)} of {len(planned.runs)} runs are missing, for example {missing[0].title}")
    return tuple(found[run.spec.key] for run in planned.runs)
