from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from adu_bench.artefacts.attention import attention_of, fixed_images
from adu_bench.clip.classifier import Classifier
from adu_bench.clip.lora import LowRank
from adu_bench.clip.prompts import VisualPrompts
from adu_bench.core.errors import UserError
from adu_bench.core.specs import Task
from adu_bench.data.index import task_rows
from adu_bench.data.sources import open_source
from adu_bench.speed.reference import encode_with_blocks
from tests.conftest import make_task

CLASSES = ("one", "two", "three")


def images(count: int = 3) -> torch.Tensor:
    return torch.randint(0, 256, (count, 3, 16, 16), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)


def written_out(classifier: Classifier, batch: torch.Tensor) -> torch.Tensor:
    """The softmax of scaled products of queries and keys in the last block, for all tokens: (N, heads, L, L)."""
    visual = classifier.model.visual
    block = visual.transformer.resblocks[-1]
    caught = []
    handle = block.register_forward_pre_hook(lambda _module, inputs: caught.append(inputs[0]))
    prompts = [part.tokens for part in classifier.parts.values() if isinstance(part, VisualPrompts)]
    encode_with_blocks(visual, classifier.backbone.normalise(batch), [*prompts[0]] if prompts else [])
    handle.remove()
    tokens = block.ln_1(caught[0])
    if prompts:
        # The hook above ran before the one that appends the block's own prompts.
        tokens = block.ln_1(torch.cat([caught[0][:, :5], prompts[0][-1].expand(len(batch), -1, -1)], dim=1))
    weight, bias, heads = block.attn.in_proj_weight, block.attn.in_proj_bias, block.attn.num_heads
    width = tokens.shape[-1]
    query, key, _ = (tokens @ weight.T + bias).split(width, dim=-1)
    parts = [part.unflatten(-1, (heads, width // heads)).transpose(1, 2) for part in (query, key)]
    return (parts[0] @ parts[1].transpose(-1, -2) / (width // heads) ** 0.5).softmax(dim=-1)


@pytest.mark.parametrize("kind", ["zero-shot", "prompts", "low rank"])
@torch.no_grad()
def test_attention_is_what_the_last_block_computes(tiny_backbone, kind):
    classifier = Classifier(tiny_backbone, CLASSES, "a {}.")
    torch.manual_seed(0)
    if kind == "prompts":
        classifier.add("prompts", VisualPrompts(5, 3, classifier.image_width))
    if kind == "low rank":
        part = classifier.add("lora", LowRank(2))
        for update in part.updates.values():
            torch.nn.init.normal_(update.up)
    classifier.eval()
    found = classifier.class_attention(images())
    whole = written_out(classifier, images())
    assert whole.shape[-1] == 1 + 4 + 5 * (kind == "prompts")
    expected = whole.mean(dim=1)[:, 0, 1:5].reshape(-1, 2, 2)
    assert found.shape == (3, 2, 2)
    assert torch.allclose(found, expected, atol=1e-5)
    assert bool((found.sum(dim=(1, 2)) < 1).all())


@torch.no_grad()
def test_reading_attention_does_not_change_the_classifier(tiny_backbone):
    classifier = Classifier(tiny_backbone, CLASSES, "a {}.").eval()
    before = classifier.logits(images())
    classifier.class_attention(images())
    assert torch.equal(classifier.logits(images()), before)


def test_another_kind_of_attention_is_refused(tiny_backbone):
    classifier = Classifier(tiny_backbone, CLASSES, "a {}.").eval()
    classifier.model.visual.transformer.resblocks[-1].attn = torch.nn.Identity()
    with pytest.raises(UserError, match="standard ViT"):
        classifier.class_attention(images())


def test_the_same_classes_are_chosen_in_every_domain():
    rows = pd.DataFrame(
        [
            {"pool": "test", "domain": domain, "label": f"class {label}"}
            for domain in ("a", "b", "c")
            for label in range(3)
            for _ in range(4)
            if (domain, label) != ("b", 0)
        ]
    )
    chosen = fixed_images(rows, make_task(("b",)), 2)
    assert rows.loc[chosen, "domain"].tolist() == ["a", "a", "b", "b", "c", "c"]
    assert set(rows.loc[chosen, "label"]) == {"class 1", "class 2"}
    assert (chosen == fixed_images(rows, make_task(("a", "c")), 2)).all()


def test_an_artefact_has_images_maps_and_predictions(tiny_backbone):
    source = open_source("toy")
    rows = task_rows(source.index, source.domains, source.classes)
    task = Task("toy", "d" * 20, source.domains, source.domains[:1], source.classes, "a {}.", 2)
    classifier = Classifier(tiny_backbone, task.classes, task.template)
    torch.manual_seed(0)
    classifier.add("prompts", VisualPrompts(5, 3, classifier.image_width))
    made = attention_of(classifier.eval(), task, 1)
    count = len(source.domains)
    assert made.tensors["images"].shape == (count, 96, 96, 3)
    assert made.tensors["before"].shape == made.tensors["after"].shape == (count, 2, 2)
    assert np.abs(made.tensors["before"] - made.tensors["after"]).max() > 1e-4
    assert made.info["domains"] == list(source.domains)
    assert set(made.info["answers_after"]) <= {*source.classes, ""}
    assert set(made.info["images"]) <= set(rows["image"])
