"""Hostile inputs for every reader of files: damaged, endless, huge when unpacked, or of another kind."""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import shutil
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from adu_bench.core.paths import RESOURCES

SUITE = """title: T
dataset: toy
template: "a {}."
classes: all
forget: {sizes: [1]}
shots: 4
seeds: [1]
backbone: emoji-clip
training: {batch: 32, precision: fp32}
methods: [zero-shot]
budget: {epochs: 4}
"""
ROWS = Path("leaderboards/emoji-mini").absolute()
MODEL = RESOURCES / "emoji_clip"


class Ran:
    """Its pickle would create a file called ``ran``."""

    def __reduce__(self) -> tuple:
        return (open, ("ran", "w"))


@dataclass(frozen=True)
class Input:
    """One hostile input.

    Parameters
    ----------
    reader, kind
        Which reader gets it, and what is wrong with it.
    make
        Creates it at a path.
    call
        Reads it, given its path; must raise `UserError`.
    """

    reader: str
    kind: str
    make: Callable[[Path], None]
    call: Callable[[Path], object]


def _bytes(content: bytes) -> Callable[[Path], None]:
    return lambda path: (path.parent.mkdir(parents=True, exist_ok=True), path.write_bytes(content))[0]


def _link(target: str) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(target)


def _sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(300_000_000)


def _zip(names: dict[str, bytes]) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in names.items():
            archive.writestr(name, content)
    return sink.getvalue()


def _tar(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w:gz") as archive:
        entry = tarfile.TarInfo(name)
        entry.size, entry.type, entry.linkname = size, kind, "/etc/passwd"
        archive.addfile(entry, io.BytesIO(bytes(size)))
    return sink.getvalue()


def _parquet(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return sink.getvalue().to_pybytes()


def _wide(text: str, rows: int, *names: str) -> bytes:
    """Return a small Parquet file in which one text stands in every row."""
    column = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array([text]))
    return _parquet(pa.table(dict.fromkeys(names, column)))


ZEROS = gzip.compress(bytes(200_000_000), 1)
"""200 MB of zeros in a few hundred kB."""
DEEP = b"[" * 10_000
GARBAGE: dict[str, Callable[[Path], None]] = {
    "empty": _bytes(b""),
    "nul": _bytes(bytes(1000)),
    "random": _bytes(np.random.default_rng(0).bytes(5000)),
    "page": _bytes(b"<!DOCTYPE html><html><body>404</body></html>"),
    "latin": _bytes("Straße: für".encode("latin-1")),
    "deep": _bytes(DEEP),
    "list": _bytes(b"[1, 2, 3]"),
    "null": _bytes(b"null"),
    "pickle": _bytes(pickle.dumps({"a": Ran()})),
    "gzip": _bytes(ZEROS),
    "zip": _bytes(_zip({"a.txt": b"x"})),
    "parquet": _bytes(_parquet(pa.table({"x": [1, 2]}))),
    "zero": _link("/dev/zero"),
    "self": _link("input"),
    "pipe": lambda path: os.mkfifo(path),
    "folder": lambda path: path.mkdir(),
    "sparse": _sparse,
}
"""What no reader can use."""


def inputs() -> Iterator[Input]:
    """Yield all inputs."""
    from tests.hostile import readers

    for reader, (suffix, call) in readers.READERS.items():
        for kind, make in GARBAGE.items():
            if (reader, kind) not in readers.ACCEPTED:
                yield Input(reader, f"{kind}{suffix}", make, call)
    for reader, kind, content in _specific():
        suffix, call = readers.READERS[reader]
        yield Input(reader, f"{kind}{suffix}", _bytes(content), call)


def _specific() -> Iterator[tuple[str, str, bytes]]:
    """Yield reader, kind and content of inputs that are nearly right."""
    for number, (old, new) in enumerate(
        [
            ("title: T", "title: [1]"),
            ("title: T", "extends: input"),
            ("title: T", "extends: ../../../../../../../../tmp/input"),
            ("title: T", "extends: [toy]"),
            ("title: T", "title: 2024-13-45"),
            ("dataset: toy", "dataset: ../toy"),
            ("classes: all", "classes: {file: /dev/zero}"),
            ("classes: all", "classes: {first: 99999999999999999999}"),
            ("sizes: [1]", "sizes: [-1]"),
            ("sizes: [1]", "sizes: [99999999999]"),
            ("shots: 4", "shots: 1.0e+21"),
            ("shots: 4", "shots: true"),
            ("seeds: [1]", "seeds: [-1]"),
            ("seeds: [1]", "seeds: {}"),
            ("batch: 32", "batch: 0"),
            ("fp32", "fp3"),
            ("methods: [zero-shot]", "methods: zero-shot"),
            ("budget: {epochs: 4}", "budget: [1]"),
            ("budget: {epochs: 4}", "studies: 3"),
            ("budget: {epochs: 4}", "studies: {a: [{methods: [adu], splits: 1000000}]}"),
            ("budget: {epochs: 4}", "x: &a [1]\ny: [*a, *a]"),
            ("budget: {epochs: 4}", "? [a]\n: 1"),
            ('template: "a {}."', "template: none"),
            ("backbone: emoji-clip", "backbone: [a]"),
        ]
    ):
        assert old in SUITE
        yield "suite", f"suite {number}", SUITE.replace(old, new).encode()
    yield "classes", "strange names", b"cat\ndog\n"
    yield "settings", "a list for fields", b"adu: [1]\n"
    for number, content in enumerate(
        [
            b"path,domain\na.png,day\n",
            b"path,domain,class\n",
            b'path,domain,class\n"a',
            b"path,domain,class,label\na,b,c,d\n",
            b"path,domain,class\n../../etc/passwd,day,dog\n/etc/passwd,night,cat\n",
            b"path,domain,class\na.png,day,\x1b[2J\n",
            b"path,domain,class\n" + b"a" * 200_000 + b",day,dog\n",
            b"path,domain,class\nC:\\a.png,day,dog\n",
        ]
    ):
        yield "csv list", f"csv {number}", content
    yield "parquet list", "long text", _wide("x" * 100_000, 30_000, "path", "domain", "class")
    yield "parquet list", "many rows", _wide("x", 10_000_001, "path", "domain", "class")
    index = ("image", "domain", "label", "pool", "sha256", "path")
    yield "index", "long text", _wide("x" * 1_000_000, 100_000, *index[:5])
    yield "index", "many rows", _wide("x", 10_000_001, *index)
    yield "index", "cut", _wide("x", 10, *index)[:-20]
    yield "measurements", "many rows", _wide("x", 6_000_000, "key", "method", "task")
    yield "run predictions", "many rows", _wide("x", 1_000_001, "image", "domain")
    yield "run predictions", "cut", _wide("x", 10, "image")[:-9]
    for number, content in enumerate(
        [
            _zip({"../submission.json": b"{}"}),
            _zip({"submission.json": b"{}", "/etc/x.py": b""}),
            _zip({"submission.json": b"[" * 5000, "method.py": b""}),
            _zip({"submission.json": bytes(10_000_000)}),
            _zip({"submission.json": b'{"a": NaN}'}),
            _zip({"runs/x/run.json": b"{}"}),
            _zip({f"runs/{'a' * 20}/run.json": bytes(3_000_000)}),
            _zip({"submission.json": b"{}"})[:-5],
            _zip({"submission.json": b"{}"}) + b"more",
        ]
    ):
        yield "bundle", f"bundle {number}", content
    for number, content in enumerate(
        [
            _zip({"../outside.png": b"x"}),
            _zip({"a/b.png": bytes(300_000_000)}),
            _zip({"a.png": b"x"})[:-30],
        ]
    ):
        yield "zip archive", f"zip {number}", content
    for number, content in enumerate(
        [_tar("../outside.png", 10), _tar("link.png", 0, tarfile.SYMTYPE), _tar("a.png", 300_000_000), ZEROS[:100_000]]
    ):
        yield "tar archive", f"tar {number}", content
    whole = (MODEL / "config.json").read_bytes()
    config = json.loads(whole)
    for number, (part, entry, value) in enumerate(
        [
            ("vision_cfg", "timm_model_name", "hf-hub:someone/something"),
            ("text_cfg", "hf_model_name", "someone/something"),
            ("vision_cfg", "width", 10**9),
            ("vision_cfg", "layers", -1),
            ("text_cfg", "context_length", "many"),
            ("preprocess_cfg", "mean", None),
        ]
    ):
        changed = config | {part: config[part] | {entry: value}}
        yield "model configuration", f"config {number}", json.dumps(changed).encode()
    yield "vocabulary", "bomb", ZEROS
    yield "weights", "git lfs", b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n"
    yield "weights", "script with code", _zip({"a/constants.pkl": b"", "a/data.pkl": pickle.dumps({"a": Ran()})})
    yield "weights", "torch with code", _zip({"a/data.pkl": pickle.dumps({"a": Ran()}, protocol=2), "a/version": b"3"})
    for number, header in enumerate(
        [{}, [], {"adu_bench": 3}, {"weights_hash": 1}, {"parts": [["a", "Part", {"x": 1}]], "classes": "x"}]
    ):
        yield "classifier", f"header {number}", _safetensors({"__metadata__": {"adu_bench": json.dumps(header)}})
    yield "classifier", "huge header", struct.pack("<Q", 2**60) + b"{" * 100
    huge = {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}
    yield "classifier", "huge tensor", _safetensors({"a": huge})
    for number, content in enumerate(
        [
            b"import os\ncard = os.system('touch ran')\n",
            b"x = " + b"(" * 5000 + b")" * 5000,
            b"# -*- coding: nonsense -*-\n",
            b"def f(:\n",
            b"x = 1\n" * 400_000,
            b"x = " + b"-" * 100_000 + b"1\n",
            b"\x00",
        ]
    ):
        yield "method", f"method {number}", content


def _safetensors(header: object) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text


def copied_rows(folder: Path) -> Path:
    """Copy a committed row, and return its JSON file."""
    folder.mkdir(parents=True, exist_ok=True)
    for suffix in (".json", ".parquet"):
        shutil.copy(ROWS / f"collapse{suffix}", folder / f"collapse{suffix}")
    return folder / "collapse.json"
