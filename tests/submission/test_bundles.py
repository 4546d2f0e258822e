from __future__ import annotations

import json
import pickle
import stat
import struct
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from adu_bench.core import parquet_files
from adu_bench.core.errors import UserError
from adu_bench.registry import Catalogue, load_class
from adu_bench.runner.plan import plan
from adu_bench.store import Store
from adu_bench.submission import bundle as bundle_file
from adu_bench.submission import predictions_file
from adu_bench.submission.predictions_file import RUN_COLUMNS, read_predictions
from adu_bench.submission.reading import read_bundle
from adu_bench.submission.refusal import Refused
from adu_bench.submission.schemas import RUN, read_json
from adu_bench.submission.submission import from_runs, write_bundle
from adu_bench.submission.verify import check, claims
from adu_bench.suites import load_suite
from tests.conftest import write_run
from tests.submission.conftest import Bundle, possible_predictions


def refused(read, path: Path, reason: str) -> None:
    """The bundle is refused with a one-line reason, and nothing of it was run."""
    with pytest.raises(UserError, match=reason) as caught:
        check(read(path))
    assert all("\n" not in sentence for sentence in caught.value.args)
    assert len(caught.value.what) < 300


def test_an_honest_bundle_is_read_and_scores_what_it_claims(bundle, tmp_path, read):
    submission = read(bundle.pack(tmp_path / "b.zip"))
    check(submission)
    found = claims(submission)
    assert len(found) == 4 + 3 * 4
    assert all(claimed == scored for _, claimed, scored in found)


def test_packing_twice_gives_the_same_bytes(block, tmp_path):
    from adu_bench.registry import Catalogue
    from adu_bench.store import Store
    from adu_bench.submission.submission import from_runs, write_bundle
    from adu_bench.suites import load_suite

    (choice,) = Catalogue([block / "mine"]).select(["blur"])
    write_bundle(from_runs(load_suite("toy"), choice, Store(block / "runs"), ""), tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == (block / "b.zip").read_bytes()


def test_an_incomplete_block_is_not_submitted(block, tmp_path):
    (choice,) = Catalogue([block / "mine"]).select(["blur"])
    with pytest.raises(UserError, match="0 of 4 runs"):
        from_runs(load_suite("toy"), choice, Store(tmp_path), "runs")


# The zip file.


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd",
        "../evil.py",
        "runs/../../evil.py",
        "runs\\..\\evil.py",
        "C:/evil.py",
        "method.py/",
        "METHOD.PY",
        "./method.py",
        "submission.json\n",
        "runs/0123456789abcdef0123/weights.pkl",
        "runs/\uff10123456789abcdef0123/run.json",
        "method.py .",
        "runs/conftest.py",
        "Conftest.py",
        "",
    ],
)
def test_unknown_file_names_are_refused(bundle, tmp_path, read, name):
    path = bundle.pack(tmp_path / "b.zip")
    with zipfile.ZipFile(path, "a") as packed:
        packed.writestr(zipfile.ZipInfo(name), b"x")
    refused(read, path, "does not have a file called|link or a folder|damaged")
    assert not (tmp_path / "evil.py").exists()
    assert not list((tmp_path / "unpacked").rglob("*"))


def test_a_module_that_the_method_does_not_import_is_refused(bundle, tmp_path, read):
    bundle.files["conftest.py"] = b"x = 1\n"
    bundle.rehash()
    refused(read, bundle.pack(tmp_path / "b.zip"), "method.py does not import conftest.py")


def test_modules_beside_the_methods_file_travel_with_it(block, tmp_path, read):
    mine = tmp_path / "mine"
    (mine / "inner").mkdir(parents=True)
    text = (block / "mine" / "blur.py").read_text()
    (mine / "blur.py").write_text(text.replace("from adu_bench", "from helper import x\nfrom adu_bench", 1))
    (mine / "helper.py").write_text("from .inner.deep import x\nfrom adu_bench._methods.baseline import Baseline\n")
    (mine / "inner" / "deep.py").write_text("x = 1\n")
    (choice,) = Catalogue([mine]).select(["blur"])
    store, suite = Store(tmp_path / "runs"), load_suite("toy")
    for number, run in enumerate(plan(suite, [choice]).runs):
        write_run(tmp_path / "runs", run.spec, run.label, possible_predictions(run.spec.task, number))
    write_bundle(from_runs(suite, choice, store, "runs"), tmp_path / "b.zip")
    found = read(tmp_path / "b.zip")
    assert {run.key for run in found.runs} == {run.spec.key for run in plan(suite, [choice]).runs}
    entry = found.choice.entry
    assert load_class(entry.path, entry.class_name, entry.source_hash).__name__ == "Blur"
    changed = Bundle(tmp_path / "b.zip")
    changed.files["inner/deep.py"] = b"x = 2\n"
    changed.rehash()
    refused(read, changed.pack(tmp_path / "c.zip"), "an earlier version of the method's file")


def test_a_module_that_a_bundle_cannot_hold_is_named(block, tmp_path):
    (tmp_path / "blur.py").write_text("from .Helper import x\n" + (block / "mine" / "blur.py").read_text())
    (tmp_path / "Helper.py").write_text("x = 1\n")
    (choice,) = Catalogue([tmp_path]).select(["blur"])
    store, suite = Store(tmp_path / "runs"), load_suite("toy")
    for number, run in enumerate(plan(suite, [choice]).runs):
        write_run(tmp_path / "runs", run.spec, run.label, possible_predictions(run.spec.task, number))
    with pytest.raises(UserError, match=r"Helper\.py' cannot be part of a bundle"):
        write_bundle(from_runs(suite, choice, store, "runs"), tmp_path / "b.zip")


def test_a_name_cut_by_a_null_byte_is_refused(bundle, tmp_path, read):
    path = bundle.pack(tmp_path / "b.zip")
    path.write_bytes(path.read_bytes().replace(b"method.py", b"metho\0.py"))
    refused(read, path, "does not have a file called")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_files_of_one_name_are_refused(bundle, tmp_path, read):
    path = bundle.pack(tmp_path / "b.zip")
    with zipfile.ZipFile(path, "a") as packed:
        packed.writestr("method.py", b"import os")
    refused(read, path, "two files called method.py")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFDIR, stat.S_IFIFO, stat.S_IFCHR])
def test_links_and_devices_are_refused(bundle, tmp_path, read, kind):
    del bundle.files["method.py"]
    path = bundle.pack(tmp_path / "b.zip")
    entry = zipfile.ZipInfo("method.py")
    entry.external_attr = (kind | 0o777) << 16
    with zipfile.ZipFile(path, "a") as packed:
        packed.writestr(entry, b"/etc/passwd")
    refused(read, path, "a link or a folder")


def test_a_file_that_is_too_large_is_refused_before_it_is_unpacked(bundle, tmp_path, read):
    bundle.files["method.py"] = b"#" * (bundle_file.MIB // 4 + 1)
    refused(read, bundle.pack(tmp_path / "b.zip"), "more than the 262144 allowed")
    assert not (tmp_path / "unpacked").exists()


def test_a_bomb_that_lies_about_its_size_is_stopped_while_reading(bundle, tmp_path, read):
    """The directory and the local header declare 1,000 bytes; the content is 200 kB of zeros."""
    bundle.files = {"method.py": b"\0" * 200_000}
    path = bundle.pack(tmp_path / "b.zip")
    content = path.read_bytes().replace(struct.pack("<L", 200_000), struct.pack("<L", 1000))
    path.write_bytes(content)
    refused(read, path, "damaged|more than the 1000 bytes|fewer than")
    assert sum(file.stat().st_size for file in (tmp_path / "unpacked").rglob("*")) <= 1000


def test_too_much_together_is_refused(bundle, tmp_path, read, monkeypatch):
    monkeypatch.setattr(bundle_file, "MOST_BYTES", 20_000)
    refused(read, bundle.pack(tmp_path / "b.zip"), "entries in|bytes unpacked")


def test_too_many_entries_are_refused_before_the_directory_is_read(bundle, tmp_path, read, monkeypatch):
    path = bundle.pack(tmp_path / "b.zip")
    content = bytearray(path.read_bytes())
    content[-12:-10] = struct.pack("<H", bundle_file.MOST_ENTRIES + 1)
    path.write_bytes(bytes(content))
    monkeypatch.setattr(zipfile, "ZipFile", None)
    refused(read, path, "4003 entries")


@pytest.mark.parametrize("ending", [b"trailing", struct.pack("<H", 3)[:0] + b"PK"])
def test_data_after_the_end_are_refused(bundle, tmp_path, read, ending):
    path = bundle.pack(tmp_path / "b.zip")
    path.write_bytes(path.read_bytes() + ending)
    refused(read, path, "not a zip file")


def test_a_file_that_is_not_a_zip_file_is_refused(tmp_path, read):
    for content in (b"", b"PK", b"rubbish" * 100, pickle.dumps({"a": 1})):
        (tmp_path / "b.zip").write_bytes(content)
        refused(read, tmp_path / "b.zip", "not a zip file")
    with pytest.raises(UserError, match="cannot be read"):
        read(tmp_path / "nowhere.zip")


def test_an_encrypted_or_unusually_compressed_file_is_refused(bundle, tmp_path, read):
    path = tmp_path / "b.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as packed:
        packed.writestr("method.py", b"x" * 100)
    refused(read, path, "in an unusual way")
    bundle.pack(path)
    content = bytearray(path.read_bytes())
    place = content.index(b"PK\x01\x02") + 8
    content[place] |= 1
    path.write_bytes(bytes(content))
    refused(read, path, "encrypted")


def test_a_flipped_bit_is_noticed(bundle, tmp_path, read):
    path = bundle.pack(tmp_path / "b.zip")
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 64
    path.write_bytes(bytes(content))
    refused(read, path, "damaged|does not have a file called|changed")


# Hashes, names and completeness.


@pytest.mark.parametrize("name", ["submission.json", "method.py"])
def test_a_missing_file_is_named(bundle, tmp_path, read, name):
    del bundle.files[name]
    refused(read, bundle.pack(tmp_path / "b.zip"), name.replace(".", "\\."))


def test_a_changed_file_is_named(bundle, tmp_path, read):
    bundle.files["method.py"] += b"\n# later\n"
    refused(read, bundle.pack(tmp_path / "b.zip"), "method.py was changed")


def test_predictions_that_the_run_did_not_write_are_refused(bundle, tmp_path, read):
    other = next(name for name in bundle.files if name.endswith(".parquet") and name != bundle.predictions)
    bundle.files[bundle.predictions] = bundle.files[other]
    recorded = bundle.files[bundle.run]
    bundle.rehash()
    bundle.files[bundle.run] = recorded
    manifest = json.loads(bundle.files["submission.json"])
    from hashlib import sha256

    manifest["files"][bundle.run] = sha256(recorded).hexdigest()
    bundle.files["submission.json"] = json.dumps(manifest).encode()
    refused(read, bundle.pack(tmp_path / "b.zip"), "not the file that the run wrote")


def test_a_missing_run_is_named(bundle, tmp_path, read):
    del bundle.files[bundle.run], bundle.files[bundle.predictions]
    bundle.edit("submission.json", lambda m: m.update(runs=[r for r in m["runs"] if r["key"] != bundle.key]))
    bundle.rehash()
    refused(read, bundle.pack(tmp_path / "b.zip"), "1 of 4 runs are missing, for example blur, forget")


def _spec(change):
    """Change a run's spec and its key accordingly."""
    from adu_bench.core.hashing import digest

    def tamper(bundle):
        info = json.loads(bundle.files[bundle.run])
        change(info["spec"])
        key = digest(info["spec"])
        info["key"] = key
        bundle.files[f"runs/{key}/run.json"] = json.dumps(info).encode()
        bundle.files[f"runs/{key}/predictions.parquet"] = bundle.files.pop(bundle.predictions)
        del bundle.files[bundle.run]
        bundle.edit("submission.json", lambda m: [r.update(key=key) for r in m["runs"] if r["key"] == bundle.key])
        bundle.rehash()

    return tamper


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda spec: spec.update(protocol=0), "another protocol version"),
        (lambda spec: spec["task"].update(data_hash="f" * 20), "other images"),
        (lambda spec: spec["task"].update(shots=99), "other shots"),
        (lambda spec: spec["task"]["classes"].reverse(), "another class set"),
        (lambda spec: spec["backbone"].update(weights_hash="f" * 20), "other weights"),
        (lambda spec: spec["training"].update(batch=1), "other training batches"),
        (lambda spec: spec["method"].update(source_hash="f" * 20), "an earlier version of the method's file"),
        (lambda spec: spec["method"].update(shared_hash="f" * 20), "shared training code"),
        (lambda spec: spec["method"].update(fields=[["lr", 9.0]]), "other hyper-parameters"),
        (lambda spec: spec.update(seed=77), "another forget set or seed"),
        (lambda spec: spec["task"].update(forget=[]), "another forget set or seed"),
        (lambda spec: spec["task"].update(surplus=1), "malformed"),
        (lambda spec: spec["task"].update(domains=3), "malformed"),
        (lambda spec: spec.pop("method"), "malformed"),
        (lambda spec: spec["method"].update(fields=3), "malformed"),
        (lambda spec: spec["method"].update(fields=[["lr", [[[[[[[[[1]]]]]]]]]]]), "nested too deeply"),
    ],
)
def test_runs_of_another_protocol_split_or_backbone_are_refused_by_name(bundle, tmp_path, read, change, reason):
    _spec(change)(bundle)
    refused(read, bundle.pack(tmp_path / "b.zip"), reason)


def test_a_key_that_does_not_follow_from_the_spec_is_refused(bundle, tmp_path, read):
    bundle.edit(bundle.run, lambda info: info["spec"].update(seed=2))
    bundle.rehash()
    refused(read, bundle.pack(tmp_path / "b.zip"), "does not follow from its spec")


def test_a_run_of_another_method_is_refused(bundle, tmp_path, read):
    bundle.edit(bundle.run, lambda info: info.update(label="adu"))
    bundle.rehash()
    refused(read, bundle.pack(tmp_path / "b.zip"), "a run of 'adu', not of blur")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda m: m.update(suite="../../etc/passwd"), "malformed at 'suite'"),
        (lambda m: m.update(suite="emoji-mini"), "other images|another forget set"),
        (lambda m: m.update(suite="no-such"), "There is no suite called 'no-such'"),
        (lambda m: m.update(label="blur[lr=0.2]"), "a run of 'blur'"),
        (lambda m: m.update(label="all"), "not the plain name of one method"),
        (lambda m: m.update(label="=HYPERLINK(1)"), "malformed at 'label'"),
        (lambda m: m.update(label="<script>"), "malformed at 'label'"),
        (lambda m: m.update(label="other-name"), "method cannot be found"),
        (lambda m: m["card"].update(title="<script>alert(1)</script>"), "the card in submission.json is not"),
        (lambda m: m["claimed"].update(mem=2), "malformed at 'claimed.mem'"),
        (lambda m: m["claimed"].update(mem="0.5"), "malformed at 'claimed.mem'"),
        (lambda m: m["claimed"].update(mem=True), "malformed at 'claimed.mem'"),
        (lambda m: m["claimed"].update(more=0.5), "malformed at 'claimed'"),
        (lambda m: m["runs"][0].update(domain_probe=-1), "malformed"),
        (lambda m: m.update(runs=[]), "malformed"),
        (lambda m: m["runs"].append(m["runs"][0]), "names a run twice"),
        (lambda m: m.update(format=2), "malformed at 'format'"),
        (lambda m: m.pop("claimed"), "malformed"),
        (lambda m: m["files"].pop("method.py"), "not both in"),
    ],
)
def test_a_manifest_that_was_tampered_with_is_refused(bundle, tmp_path, read, change, reason):
    bundle.edit("submission.json", change)
    refused(read, bundle.pack(tmp_path / "b.zip"), reason)


@pytest.mark.parametrize("name", ["mem", "for", "h_mean", "h_of_means"])
def test_a_claim_that_the_predictions_do_not_give_is_refused(bundle, tmp_path, read, name):
    bundle.edit("submission.json", lambda m: m["claimed"].update({name: m["claimed"][name] + 1e-5}))
    refused(read, bundle.pack(tmp_path / "b.zip"), f"{name} is claimed to be")


def test_a_claim_about_one_run_is_checked_too(bundle, tmp_path, read):
    bundle.edit("submission.json", lambda m: m["runs"][2]["claimed"].update(h=0.99))
    refused(read, bundle.pack(tmp_path / "b.zip"), "h of blur, forget .* is claimed to be 0.99")


# JSON.


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not valid JSON"),
        ("{", "not valid JSON"),
        ("[]", "malformed"),
        ("null", "malformed"),
        ('{"a": NaN}', "NaN is not a JSON number"),
        ('{"a": -Infinity}', "not a JSON number"),
        ('{"a": 1e999}', "too large"),
        ('{"a": 1, "a": 2}', "a key occurs twice"),
        ("[" * 50 + "]" * 50, "nested too deeply"),
        ("[" * 100_000, "nested too deeply|not valid JSON"),
        ("[" * 100_000 + "]" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply|not valid JSON"),
        ("9" * 100_000, "not valid JSON"),
        (b"\xff\xfe{}", "not valid JSON"),
        (b'"\xed\xa0\x80"', "not valid JSON"),
    ],
    ids=range(15),
)
def test_absurd_json_is_refused(text, reason, tmp_path):
    (tmp_path / "x.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(Refused, match=reason) as caught:
        read_json(tmp_path / "x.json", RUN, "x.json")
    assert len(str(caught.value)) < 400


def test_a_huge_json_file_is_not_read(tmp_path, monkeypatch):
    (tmp_path / "x.json").write_bytes(b" " * (4 * 2**20 + 1))
    monkeypatch.setattr(json, "loads", None)
    with pytest.raises(Refused, match="more than"):
        read_json(tmp_path / "x.json", RUN, "x.json")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda info: info["measured"].update(seconds=-1), "measured.seconds"),
        (lambda info: info["measured"].update(seconds="=1+1"), "measured.seconds"),
        (lambda info: info["measured"].update(more=1), "malformed at 'measured'"),
        (lambda info: info["environment"].update(device="a\nb"), "environment.device"),
        (lambda info: info["environment"].update(device="\u202eabc"), "environment.device"),
        (lambda info: info["environment"].update(device="x" * 300), "environment.device"),
        (lambda info: info.update(finished="yesterday"), "malformed at 'finished'"),
        (lambda info: info.update(surplus=1), "malformed"),
    ],
)
def test_a_run_json_of_another_shape_is_refused(bundle, tmp_path, read, change, reason):
    bundle.edit(bundle.run, change)
    bundle.rehash()
    refused(read, bundle.pack(tmp_path / "b.zip"), reason)


# The method's file.


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"def f(:\n", "cannot be read"),
        (b"\0", "cannot be read"),
        (b"\xff", "cannot be read"),
        (b"import os\nos.system('touch evil')\n", "method cannot be found"),
        (b"x = " + b"(" * 5000 + b")" * 5000, "cannot be read"),
        (b"x = " + b"-" * 200_000 + b"1", "cannot be read"),
        (b"x = " + b"[" * 90 + b"]" * 90 + b"\n", "method cannot be found"),
        (b"class A:\n" * 90, "cannot be read"),
    ],
    ids=range(8),
)
def test_a_strange_method_file_is_read_as_text_only(bundle, tmp_path, read, monkeypatch, text, reason):
    monkeypatch.chdir(tmp_path)
    bundle.files["method.py"] = text
    bundle.rehash()
    refused(read, bundle.pack(tmp_path / "b.zip"), reason)
    assert not (tmp_path / "evil").exists()


def test_verifying_never_imports_the_method(bundle, tmp_path, read, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bundle.files["method.py"] = b"open('evil', 'w').close()\n" + bundle.files["method.py"]
    bundle.rehash()
    refused(read, bundle.pack(tmp_path / "b.zip"), "an earlier version of the method's file")
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize(
    "title",
    ["<b>\\u0000", "a\\nb", "\\u202egnp.exe", "x" * 301, "\\ud800"],
    ids=["null", "line", "rtl", "long", "half"],
)
def test_a_card_with_unprintable_or_endless_text_is_refused(bundle, tmp_path, read, title):
    text = bundle.files["method.py"].decode().replace('title="t"', f'title="{title}"')
    bundle.files["method.py"] = text.encode()
    bundle.rehash()
    refused(read, bundle.pack(tmp_path / "b.zip"), "the card in method.py|not valid JSON|cannot be read")


def test_another_file_under_the_name_of_a_shipped_method_is_refused(bundle, tmp_path, read):
    bundle.files["method.py"] = bundle.files["method.py"].replace(b'"blur"', b'"adu"')
    bundle.edit("submission.json", lambda m: m.update(label="adu"))
    bundle.rehash()
    refused(read, bundle.pack(tmp_path / "b.zip"), "a method called 'adu' ships with adu-bench")


# Parquet.


def predictions_of(bundle) -> pa.Table:
    return pq.read_table(pa.BufferReader(bundle.files[bundle.predictions]))


def put(bundle, table: pa.Table, **options) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, **options)
    bundle.files[bundle.predictions] = sink.getvalue().to_pybytes()
    bundle.rehash()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda t: t.slice(1), "predictions; the test images"),
        (lambda t: pa.concat_tables([t, t.slice(0, 1)]), "predictions; the test images"),
        (lambda t: t.drop_columns(["margin"]), "has the columns"),
        (lambda t: t.append_column("more", t["margin"]), "has the columns"),
        (lambda t: t.append_column("margin", t["margin"]), "has the columns"),
        (lambda t: t.set_column(6, "p_label", t["p_label"].cast(pa.float64())), "'double' in the column p_label"),
        (lambda t: t.set_column(3, "label", t["label"].cast(pa.string())), "in the column label"),
        (lambda t: t.set_column(0, "image", pa.array([[1]] * len(t))), "'list<element: int64>' in the column image"),
        (lambda t: t.set_column(0, "image", pa.array([b"x"] * len(t))), "in the column image"),
        (lambda t: t.set_column(3, "label", pa.array([None] * len(t), pa.int16())), "missing values"),
        (lambda t: t.set_column(0, "image", pa.array([None, *t["image"].to_pylist()[1:]])), "missing values"),
        (lambda t: t.set_column(0, "image", pa.array(["x" * 600, *t["image"].to_pylist()[1:]])), "a name of 600 bytes"),
    ],
)
def test_predictions_with_other_columns_types_or_sizes_are_refused(bundle, tmp_path, read, change, reason):
    put(bundle, change(predictions_of(bundle)))
    refused(read, bundle.pack(tmp_path / "b.zip"), reason)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"row_group_size": 1}, "row groups"),
        ({"compression": "gzip"}, "in an unusual way"),
        ({"use_dictionary": False, "column_encoding": {"image": "DELTA_BYTE_ARRAY"}}, "in an unusual way"),
    ],
)
def test_an_unusual_compression_or_encoding_is_refused(bundle, tmp_path, read, options, reason):
    put(bundle, predictions_of(bundle), **options)
    refused(read, bundle.pack(tmp_path / "b.zip"), reason)


def test_a_file_that_declares_too_many_bytes_is_refused_unread(bundle, tmp_path, monkeypatch):
    """One name of 8 MB for all images: a small file that would become gigabytes of text."""
    table = predictions_of(bundle)
    names = pa.DictionaryArray.from_arrays(pa.array([0] * len(table), pa.int32()), pa.array(["x" * 8_000_000]))
    path = tmp_path / "p.parquet"
    pq.write_table(table.set_column(0, "image", names), path, dictionary_pagesize_limit=2**24, write_statistics=False)
    assert path.stat().st_size < 500_000
    monkeypatch.setattr(pq.ParquetFile, "read", None)
    with pytest.raises(Refused, match="declares 8,"):
        read_predictions(path, RUN_COLUMNS, len(table), "p.parquet")


def test_decoding_is_stopped_if_a_file_grows_nevertheless(tmp_path, monkeypatch):
    """Metadata can be false: a file with 4,096 names that share a prefix of 100 kB passes the checks, not the limit."""
    pytest.importorskip("resource", reason="this system cannot limit the memory of a process")
    rows = 4096
    names = pa.array([f"{'x' * 100_000}{number}" for number in range(64)])
    sink = tmp_path / "p.parquet"
    kinds = {"int16": pa.int16(), "float": pa.float32(), "bool": pa.bool_()}
    schema = pa.schema([(name, kinds.get(types[0], pa.string())) for name, types in RUN_COLUMNS.items()])
    columns = {name: pa.array([0] * 64).cast(schema.field(name).type) for name in schema.names}
    part = pa.table(columns | {"image": names}, schema=schema)
    packing = {"use_dictionary": False, "column_encoding": {"image": "DELTA_BYTE_ARRAY"}, "write_statistics": False}
    with pq.ParquetWriter(sink, schema, **packing) as writer:
        writer.write_table(pa.concat_tables([part] * (rows // 64)), row_group_size=rows)
    assert sink.stat().st_size < 20_000_000
    monkeypatch.setattr(parquet_files, "_ENCODINGS", parquet_files._ENCODINGS | {"DELTA_BYTE_ARRAY"})
    monkeypatch.setattr(predictions_file, "_WIDTH", 10**9)
    monkeypatch.setattr(parquet_files, "_MEMORY", 2**26)
    with pytest.raises(Refused, match="cannot be read"):
        read_predictions(sink, RUN_COLUMNS, rows, "p.parquet")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PAR1",
        b"PAR1" * 1000,
        pickle.dumps([1]),
        b"x" * 100 + b"\xff\xff\xff\x7fPAR1",
        b"x" * 100 + b"\0\0\0\0PAR1",
    ],
    ids=range(6),
)
def test_a_file_that_is_not_parquet_is_refused(content, tmp_path):
    (tmp_path / "p.parquet").write_bytes(content)
    with pytest.raises(Refused, match=r"p\.parquet"):
        read_predictions(tmp_path / "p.parquet", RUN_COLUMNS, 5, "p.parquet")


# Predictions.


def _set(column, value):
    def change(frame: pd.DataFrame) -> None:
        frame.loc[3, column] = value

    return change


def _swap(frame: pd.DataFrame) -> None:
    other = int(np.argmax(frame["label"] != frame["label"][0]))
    frame.loc[[0, other], "image"] = frame.loc[[other, 0], "image"].to_numpy()


def _move(frame: pd.DataFrame) -> None:
    frame.loc[3, "domain"] = next(name for name in frame["domain"].unique() if name != frame.loc[3, "domain"])


def _raise(frame: pd.DataFrame) -> None:
    """Make every answer on retain domains look right, without changing anything else."""
    frame.loc[~frame["forget"], "p_label"] = frame.loc[~frame["forget"], "p_max"]


def _hit(frame: pd.DataFrame) -> None:
    """Make every answer on retain domains right in a consistent way."""
    frame.loc[~frame["forget"], "predicted"] = frame.loc[~frame["forget"], "label"]
    frame.loc[~frame["forget"], "p_label"] = frame.loc[~frame["forget"], "p_max"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_set("image", "strange"), "not a test image of this task"),
        (lambda frame: frame.__setitem__("image", frame["image"].iloc[0]), "occurs twice"),
        (_swap, "another (label|domain) in the data set"),
        (_move, "another domain"),
        (lambda frame: frame.__setitem__("label", frame["predicted"]), "another label"),
        (_raise, "not among tied classes"),
        (_set("p_max", np.nan), "p_max is outside"),
        (_set("p_label", np.inf), "p_label is outside"),
        (_set("entropy", -np.inf), "entropy is outside"),
        (_set("p_max", 1.5), "p_max is outside"),
        (_set("p_label", -0.1), "p_label is outside"),
        (_set("margin", -0.1), "margin is outside"),
        (_set("entropy", 1.8), "entropy is outside"),
        (_set("entropy", 0.0), "the entropy is impossible"),
        (_set("p_label", 0.999), "p_label is above p_max"),
        (_set("p_max", 0.05), "p_label is above p_max|below one over|but p_label is not p_max"),
        (_set("predicted", -1), "the predicted class does not exist"),
        (_set("predicted", 6), "the predicted class does not exist"),
        (_set("tied", 0), "more classes are tied"),
        (_set("tied", 7), "more classes are tied"),
        (_set("tied", -3), "more classes are tied"),
        (_set("margin", 0.0), "but no classes are tied"),
        (lambda frame: frame.__setitem__("forget", ~frame["forget"]), "forget does not agree"),
    ],
)
def test_impossible_predictions_are_refused(bundle, tmp_path, read, change, reason):
    table = predictions_of(bundle)
    frame = table.to_pandas()
    change(frame)
    # NaN stays NaN: pandas' own conversion would make it a missing value.
    columns = {field.name: pa.array(frame[field.name].to_numpy(), field.type) for field in table.schema}
    put(bundle, pa.table(columns))
    refused(read, bundle.pack(tmp_path / "b.zip"), reason)


def test_consistently_improved_predictions_do_not_agree_with_the_claims(bundle, tmp_path, read):
    """The scores reveal changed predictions with the old claims; with new claims only a rerun would."""
    frame = predictions_of(bundle).to_pandas()
    _hit(frame)
    put(bundle, pa.Table.from_pandas(frame, preserve_index=False))
    refused(read, bundle.pack(tmp_path / "b.zip"), "is claimed to be")


def test_a_bundle_for_another_suite_than_the_given_one_is_refused(bundle, tmp_path):
    (tmp_path / "mine.yaml").write_text("extends: toy\ntitle: mine\n")
    path = bundle.pack(tmp_path / "b.zip")
    with pytest.raises(Refused, match="for the suite 'toy', not for 'mine'"):
        read_bundle(path, tmp_path / "unpacked", str(tmp_path / "mine.yaml"))
