"""One step of every method at its published settings on a tower with the shape of ViT-B/16."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from adu_bench.clip.backbone import Backbone
from adu_bench.core.specs import BackboneSpec, TrainingSpec
from adu_bench.data.preprocessing import Preprocessing
from adu_bench.registry import Catalogue, load_class
from adu_bench.training.problem import FullImages

# One batch holds all images, so loops and searches run once, and all other settings are the published ones.
SHORT = {"epochs": 1, "iterations": 1, "grid": 1}
CHOICES = Catalogue().select(["authorisation", "tuning", "weights", "training-free"])


@pytest.fixture(scope="module")
def large_backbone(tiny_backbone):
    import open_clip

    torch.manual_seed(0)
    model = open_clip.CLIP(
        embed_dim=512,
        vision_cfg={"image_size": 224, "patch_size": 16, "width": 768, "layers": 12},
        text_cfg={
            "context_length": 77,
            "vocab_size": tiny_backbone.tokenizer.vocab_size,
            "width": 512,
            "heads": 8,
            "layers": 12,
        },
    )
    half = torch.full((3, 1, 1), 0.5)
    tokens = tiny_backbone.tokenizer
    return Backbone(
        BackboneSpec("large", "w" * 20),
        model.eval().requires_grad_(False),
        lambda texts, length=77: tokens(texts, length),
        Preprocessing(224, "bicubic", "shortest"),
        half,
        half,
        torch.device("cpu"),
    )


@pytest.mark.slow
@pytest.mark.parametrize("choice", CHOICES, ids=lambda choice: choice.preset.name)
def test_one_step_at_published_settings(choice, large_backbone, tiny_problem):
    images = torch.randint(0, 256, (4, 3, 224, 224), dtype=torch.uint8)
    rows = torch.tensor([0, 4, 8, 12])  # domains a, b, c and a
    train = tiny_problem.train.select(rows)
    train = replace(train, source=images, frozen=large_backbone.image_features(images))
    canvases = np.zeros((4, 448, 448, 3), np.uint8)
    canvases[:, :224, :224] = images.permute(0, 3, 2, 1).numpy()
    problem = replace(
        tiny_problem,
        backbone=large_backbone,
        train=train,
        full=FullImages(lambda places: canvases[places], torch.full((4, 4), 224, dtype=torch.int32)),
        training=TrainingSpec(4, "fp32"),
    )
    spec = choice.resolve(SHORT, {})
    method = load_class(choice.entry.path, choice.entry.class_name, spec.source_hash)(**dict(spec.fields))
    model = method.unlearn(problem).eval()
    with torch.no_grad():
        assert torch.isfinite(model.logits(images)).all()
