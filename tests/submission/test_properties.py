"""For any bytes, the readers return what was asked for or refuse it with one sentence."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adu_bench.submission.bundle import unpack
from adu_bench.submission.consistency import check_predictions, images_of
from adu_bench.submission.predictions_file import RUN_COLUMNS, read_predictions
from adu_bench.submission.refusal import Refused, shown
from adu_bench.submission.schemas import MANIFEST, ROW, RUN, read_json
from adu_bench.suites import load_suite
from tests.conftest import make_predictions
from tests.submission.conftest import possible_predictions

QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("properties")


@pytest.fixture(scope="module")
def task():
    return load_suite("toy").tasks()[0]


def refused_or(read, *arguments):
    """Return what a reader returns, or None if it refuses in one line."""
    try:
        return read(*arguments)
    except Refused as error:
        one_short_line(error.what)
        return None


def one_short_line(text: str) -> None:
    assert text.isprintable()
    assert len(text) < 400


@QUICK
@given(content=st.binary(max_size=300) | JSON.map(lambda value: json.dumps(value).encode()))
@pytest.mark.parametrize("schema", [MANIFEST, RUN, ROW], ids=["manifest", "run", "row"])
def test_any_bytes_as_json(place, content, schema):
    (place / "x.json").write_bytes(content)
    assert refused_or(read_json, place / "x.json", schema, "x.json") is None


@QUICK
@given(place_=st.integers(0, 10**9), value=st.integers(0, 255), cut=st.integers(0, 40))
def test_a_bundle_with_a_changed_byte_unpacks_to_bundle_names_or_is_refused(block, place, place_, value, cut):
    content = bytearray((block / "b.zip").read_bytes())
    content[place_ % len(content)] = value
    (place / "b.zip").write_bytes(bytes(content[: len(content) - (cut if cut > 30 else 0)]))
    shutil.rmtree(place / "unpacked", ignore_errors=True)
    found = refused_or(unpack, place / "b.zip", place / "unpacked")
    for name, path in (found or {}).items():
        assert path.resolve().is_relative_to((place / "unpacked").resolve())
        assert path == place / "unpacked" / name


@QUICK
@given(name=st.text(st.sampled_from("./\\runs0a\0:é") | st.characters(max_codepoint=0x2FF), min_size=1, max_size=24))
def test_no_name_leaves_the_folder(place, name):
    buffer = io.BytesIO()
    try:
        with zipfile.ZipFile(buffer, "w") as packed:
            packed.writestr(zipfile.ZipInfo(name), b"x")
    except (UnicodeEncodeError, ValueError):
        return
    (place / "b.zip").write_bytes(buffer.getvalue())
    shutil.rmtree(place / "unpacked", ignore_errors=True)
    assert refused_or(unpack, place / "b.zip", place / "unpacked") is None
    assert not list((place / "unpacked").rglob("*"))


@QUICK
@given(position=st.integers(0, 10**9), value=st.integers(0, 255))
def test_predictions_with_a_changed_byte_keep_their_shape_or_are_refused(block, place, position, value):
    content = bytearray(next((block / "runs").glob("*/predictions.parquet")).read_bytes())
    rows = pq.ParquetFile(io.BytesIO(bytes(content))).metadata.num_rows
    content[position % len(content)] = value
    (place / "p.parquet").write_bytes(bytes(content))
    frame = refused_or(read_predictions, place / "p.parquet", RUN_COLUMNS, rows, "p.parquet")
    if frame is not None:
        assert len(frame) == rows
        assert set(frame.columns) == set(RUN_COLUMNS)
        assert not frame.isna().drop(columns=["p_label", "p_max", "entropy", "margin"]).any().any()


@QUICK
@given(seed=st.integers(0, 2**32 - 1), sharpness=st.floats(-3, 3), quantised=st.booleans(), ties=st.booleans())
def test_the_answers_of_every_classifier_are_possible(task, seed, sharpness, quantised, ties):
    """Predictions of the harness are never refused: sharp, flat, uniform and tied distributions."""
    images, rng, classes = images_of(task), np.random.default_rng(seed), len(task.classes)
    probabilities = rng.dirichlet(np.full(classes, 10.0**sharpness) + 1e-3, len(images)).astype(np.float32)
    probabilities += np.float32(1e-9)
    if quantised:
        probabilities = np.exp(np.round(np.log(probabilities)))
    if ties:
        probabilities[:, 1] = probabilities[:, 0]
    probabilities = (probabilities / probabilities.sum(axis=1, keepdims=True)).astype(np.float32)
    frame = make_predictions(probabilities, images["label"].to_numpy(), list(images["domain"]), task.forget)
    check_predictions(frame.assign(image=images.index.to_numpy()), task, images, True, "run")


@QUICK
@given(
    row=st.integers(0, 10**6),
    column=st.sampled_from(["p_label", "p_max", "margin", "entropy"]),
    value=st.floats(width=32),
)
def test_any_number_in_a_prediction_is_possible_or_refused(task, row, column, value):
    images = images_of(task)
    frame = possible_predictions(task, 3)
    frame.loc[row % len(frame), column] = np.float32(value)
    try:
        check_predictions(frame, task, images, True, "run")
    except Refused as error:
        one_short_line(error.what)
        return
    ln = np.log(len(task.classes)) + 1e-4
    assert frame["p_label"].between(0 - 1e-4, 1 + 1e-4).all()
    assert (frame["p_label"] <= frame["p_max"]).all()
    assert frame["entropy"].between(-1e-4, ln).all()


@QUICK
@given(st.text() | st.binary() | JSON)
def test_quoted_text_is_short_and_printable(value):
    text = shown(value)
    assert text.isascii()
    assert text.isprintable()
    assert len(text) <= 70


def test_the_order_of_predictions_does_not_matter(task):
    frame = possible_predictions(task, 1)
    check_predictions(frame.sample(frac=1, random_state=0).reset_index(drop=True), task, images_of(task), True, "run")
