"""The readers of files that strangers may have written: each takes the path of a file and raises `UserError`."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

from adu_bench.core.errors import UserError
from adu_bench.core.hashing import file_sha256
from adu_bench.core.progress import uncounted
from adu_bench.data import prepared
from adu_bench.data.prepare.archive import unpack
from adu_bench.data.prepare.build import prepare
from adu_bench.leaderboard.measurements import read_measurements, read_oracle
from adu_bench.leaderboard.rows import read_row
from adu_bench.registry import Catalogue
from adu_bench.store import Store
from adu_bench.suites import load_suite
from adu_bench.workflows.selection import read_settings
from adu_bench.workflows.verify import read_submission
from tests.conftest import forge_run, make_spec, write_run
from tests.hostile.corpus import MODEL, SUITE, copied_rows


def _there(path: Path) -> Path:
    """Return a folder for what a reader needs beside the input; what is written there does not count."""
    folder = path.parent / "given"
    folder.mkdir()
    return folder


def _put(path: Path, target: Path) -> Path:
    """Put the input in the place of a file that a reader looks for."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    target.symlink_to(path)
    return target


def _classes(path: Path) -> object:
    suite = _there(path) / "s.yaml"
    suite.write_text(SUITE.replace("classes: all", f"classes: {{file: {path}}}"))
    return load_suite(str(suite))


def _bundle(path: Path) -> object:
    with tempfile.TemporaryDirectory() as folder:
        return read_submission(path, Path(folder), Catalogue())


def _row_predictions(path: Path) -> object:
    row = copied_rows(_there(path) / "emoji-mini")
    _put(path, row.with_suffix(".parquet"))
    return read_row(row)[0].predictions()


def _record(path: Path) -> object:
    os.environ["ADU_BENCH_DATA"] = str(_there(path))
    _put(path, path.parent / "given" / "mine" / "dataset.json")
    return prepared.require("mine")


def _index(path: Path) -> object:
    os.environ["ADU_BENCH_DATA"] = str(_there(path))
    made = prepared.Prepared("mine", "t", "", ("a",), ("b",), path.parent, "d", "folders")
    if path.is_file() and path.stat().st_size < 2**30:
        made = replace(made, index_sha256=file_sha256(path))
    _put(path, made.index_file)
    return made.read_index()


def _prepare(path: Path) -> object:
    os.environ["ADU_BENCH_DATA"] = str(_there(path))
    return prepare("mine", path)


def _run_json(path: Path) -> object:
    root = _there(path)
    key = write_run(root, make_spec())
    _put(path, root / key / "run.json")
    return Store(root).load(key)


def _run_predictions(path: Path) -> object:
    root = _there(path)
    key = write_run(root, make_spec())
    _put(path, root / key / "predictions.parquet")
    if path.is_file() and path.stat().st_size < 2**30:
        forge_run(root / key)
    return Store(root).load(key).predictions()


def _measured(name: str, read: Callable[[Path, str], object]) -> Callable[[Path], object]:
    def call(path: Path) -> object:
        folder = _there(path)
        _put(path, folder / "s" / "audits" / name)
        if not path.is_file():
            # Measurements are optional: what is not a file is none.
            raise UserError("None.", "None.", "None.")
        return read(folder, "s")

    return call


def _method(path: Path) -> object:
    return Catalogue([path.parent], shipped=False).select([path.stem])


def _model(name: str) -> Callable[[Path], object]:
    def call(path: Path) -> object:
        from adu_bench.clip.loading import load_backbone

        folder = _there(path) / "model"
        shutil.copytree(MODEL, folder)
        _put(path, folder / name)
        return load_backbone(str(folder))

    return call


def _weights(path: Path) -> object:
    from adu_bench.clip.loading import load_backbone

    return load_backbone(f"ViT-S-32-alt:{path}")


def _classifier(path: Path) -> object:
    from adu_bench.clip.files import load_classifier

    return load_classifier(path, _backbone())


@cache
def _backbone() -> object:
    from adu_bench.clip.loading import load_backbone

    return load_backbone("emoji-clip")


READERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "suite": (".yaml", lambda path: load_suite(str(path))),
    "settings": (".yaml", lambda path: read_settings(str(path))),
    "classes": (".txt", _classes),
    "bundle": (".zip", _bundle),
    "row": (".json", lambda path: read_submission(path, path.parent, Catalogue())),
    "row predictions": (".parquet", _row_predictions),
    "record": (".json", _record),
    "index": (".parquet", _index),
    "csv list": (".csv", _prepare),
    "parquet list": (".parquet", _prepare),
    "zip archive": (".zip", lambda path: unpack(path, _there(path), uncounted)),
    "tar archive": (".tar.gz", lambda path: unpack(path, _there(path), uncounted)),
    "run.json": (".json", _run_json),
    "run predictions": (".parquet", _run_predictions),
    "measurements": (".parquet", _measured("measurements.parquet", read_measurements)),
    "oracle": (".csv", _measured("oracle.csv", read_oracle)),
    "method": (".py", _method),
    "model configuration": (".json", _model("config.json")),
    "vocabulary": (".gz", _model("bpe.txt.gz")),
    "weights": (".pt", _weights),
    "classifier": (".safetensors", _classifier),
}
"""The ending of the file that each reader takes, and a call."""

ACCEPTED = {("zip archive", "zip"), ("settings", "null"), ("vocabulary", "folder"), ("vocabulary", "pipe")} | {
    ("vocabulary", kind) for kind in ("zero", "self")
}
"""Inputs that a reader may take: an archive of a text, and no vocabulary where there is no file of it."""
