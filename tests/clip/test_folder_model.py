from __future__ import annotations

import gzip
import json
import shutil

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from open_clip.tokenizer import SimpleTokenizer

from adu_bench.clip import folder_model
from adu_bench.clip.identity import SHIPPED_FOLDER, SHIPPED_WEIGHTS
from adu_bench.clip.loading import load_backbone
from adu_bench.clip.weights import backbone_spec
from adu_bench.core.errors import UserError
from adu_bench.core.hashing import file_sha256
from adu_bench.data.emoji import HANDS
from adu_bench.pretraining.corpus import pool_corpus
from adu_bench.pretraining.emoji_clip import EMOJI
from adu_bench.pretraining.trainer import accuracies, statistics
from adu_bench.suites import load_suite


def test_the_shipped_model_recognises_unseen_images():
    """Accuracy on the test pool, as in the model card: at least .70 on average and .55 in the worst domain."""
    model, tokens = folder_model.build()
    unseen = pool_corpus("test", load_suite("emoji").classes)
    found = accuracies(model, tokens, unseen, EMOJI.templates[0], statistics())
    emoji = [found[domain] for domain in HANDS]
    assert np.mean(emoji) >= 0.70, found
    assert min(emoji) >= 0.55, found
    assert min(found[style] for style in found if style not in HANDS) >= 0.7, found


def test_the_file_is_small_and_its_hash_is_in_the_spec():
    assert SHIPPED_WEIGHTS.stat().st_size <= 12 * 2**20
    assert backbone_spec("emoji-clip").weights_hash == file_sha256(SHIPPED_WEIGHTS)[:20]


def test_the_backbone_is_frozen_and_agrees_with_its_configuration():
    backbone = load_backbone("emoji-clip")
    assert not any(parameter.requires_grad for parameter in backbone.model.parameters())
    assert backbone.preprocessing.size == 48
    features = backbone.image_features(torch.zeros(2, 3, 48, 48, dtype=torch.uint8))
    assert torch.allclose(features.norm(dim=1), torch.ones(2), atol=1e-5)


@pytest.mark.parametrize("suite", ["emoji", "toy"])
def test_class_names_of_the_suites_tokenise_as_with_the_full_vocabulary(suite):
    small, full = folder_model.tokenizer(), SimpleTokenizer()
    texts = [f"a picture of a {name}." for name in load_suite(suite).classes]
    for text in texts:
        assert [small.decoder[token] for token in small.encode(text)] == [
            full.decoder[token] for token in full.encode(text)
        ]


@settings(max_examples=50, deadline=None)
@given(st.text(min_size=1, max_size=12))
def test_any_class_name_tokenises(name):
    tokens = folder_model.tokenizer()([f"a picture of a {name}."])
    assert tokens.shape == (1, 32)
    assert (tokens == folder_model.tokenizer().eot_token_id).any()


def test_damaged_weights_are_refused(tmp_path):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(SHIPPED_WEIGHTS.read_bytes()[:-100])
    with pytest.raises(UserError, match="could not be read"):
        folder_model.build(weights=path)


def _without(config, part, name):
    del config[part][name]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda c: c["vision_cfg"].update(timm_model_name="hf-hub:a/b"), "'timm_model_name' .* another library"),
        (lambda c: c["text_cfg"].update(hf_model_name="a/b"), "'hf_model_name' .* another library"),
        (lambda c: c["vision_cfg"].update(width=4_000_000), "'width' .* larger than 1,000,000"),
        (lambda c: c["vision_cfg"].update(width=400_000), "another shape of"),
        (lambda c: c["text_cfg"].update(layers=10**30), "'layers' .* larger than 1,000"),
        (lambda c: c["vision_cfg"].update(layers=5), "lacks 'visual.transformer.resblocks.4"),
        (lambda c: c.update(vision_cfg=[]), "not a mapping"),
        (lambda c: _without(c, "text_cfg", "context_length"), "lacks 'context_length'"),
        (lambda c: _without(c, "preprocess_cfg", "mean"), "lacks 'mean'"),
        (lambda c: c["text_cfg"].update(context_length="x"), "could not be read"),
    ],
)
def test_configurations_that_do_not_fit_are_refused_before_they_take_memory(change, reason, tmp_path):
    folder = shutil.copytree(SHIPPED_FOLDER, tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    change(config)
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=reason):
        folder_model.build(folder)


@pytest.mark.parametrize(
    "content",
    # A gzip header holds the time, and a test's name must be the same in every process.
    [b"no gzip", gzip.compress(b"a" * 20_000_000, mtime=0), gzip.compress(b"one", mtime=0)],
    ids=["no gzip", "a long line", "one word"],
)
def test_a_vocabulary_that_is_none_is_refused(content, tmp_path):
    folder = shutil.copytree(SHIPPED_FOLDER, tmp_path / "model")
    (folder / "bpe.txt.gz").write_bytes(content)
    with pytest.raises(UserError, match=r"bpe\.txt\.gz|do not fit"):
        folder_model.build(folder)
