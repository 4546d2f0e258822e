"""A user's model: its training images, and its use as a backbone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from adu_bench.clip.loading import load_backbone
from adu_bench.core.errors import UserError
from adu_bench.data.index import task_rows
from adu_bench.data.sources import open_source
from adu_bench.pretraining.suite import course, pool, pretrain
from adu_bench.suites import load_suite


@pytest.fixture(scope="module")
def suite():
    return load_suite("toy")


def test_only_images_of_the_training_split_are_used(suite):
    source = open_source(suite.dataset)
    rows = task_rows(source.index, suite.domains, suite.classes)
    learnt = {image.tobytes() for image in pool(suite, "train").pixels}
    assert len(learnt) == (rows["pool"] == "train").sum()
    held_out = rows.index[rows["pool"].isin(["test", "validation"])]
    assert not learnt & {np.ascontiguousarray(source.pixels[row]).tobytes() for row in held_out}


def test_captions_name_the_class_or_class_and_domain(suite):
    corpus = pool(suite, "validation")
    assert set(corpus.labels) == set(suite.classes)
    assert corpus.names[0] == f"{corpus.labels[0]}, {corpus.styles[0]}"
    assert course(suite.template, 10).templates == (suite.template, "{}")


def test_the_model_is_a_backbone_with_trained_weights(suite, tmp_path):
    lines: list[str] = []
    out = pretrain(suite, tmp_path / "model", 3, 1, lines.append)
    assert len(lines) == 1
    backbone, shipped = load_backbone(str(out)), load_backbone("emoji-clip")
    assert backbone.spec.weights_hash != shipped.spec.weights_hash
    image = torch.zeros(1, 3, 48, 48, dtype=torch.uint8)
    apart = (backbone.image_features(image) - shipped.image_features(image)).abs().max()
    # After three steps the features differ from those of the shipped model, but not much.
    assert 1e-4 < apart < 0.5
    with pytest.raises(UserError, match="differs in: stages"):
        pretrain(suite, out, 2, 1, lines.append)
