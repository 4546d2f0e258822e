"""One pass for several runs gives each of them what its own pass gives, in double precision to the last digits."""

from __future__ import annotations

import copy
from functools import partial

import pytest
import torch
from torch import nn

from adu_bench.clip.backbone import encode_image
from adu_bench.clip.loading import load_backbone
from adu_bench.clip.part import Part
from adu_bench.clip.prompts import InstaPG, VisualPrompts
from adu_bench.clip.together import draws_at_random, encode_together, forward_of


class Shift(Part):
    """Moves the tokens before one block."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.by = nn.Parameter(torch.randn(width))

    def before_block(self, index, tokens):
        return tokens + self.by if index == 2 else tokens


@pytest.fixture(scope="module")
def model():
    return copy.deepcopy(load_backbone("emoji-clip").model).double()


def parts_of(kind, seed, model):
    torch.manual_seed(seed)
    width, heads = model.visual.transformer.width, model.visual.transformer.resblocks[0].attn.num_heads
    made = {
        "prompts": lambda: [VisualPrompts(4, 3, width)],
        "longer": lambda: [VisualPrompts(6, 3, width)],
        "instapg": lambda: [VisualPrompts(4, 3, width), InstaPG(4, 1, width, heads)],
        "instapg-first": lambda: [VisualPrompts(4, 3, width), InstaPG(4, 0, width, heads)],
        "shift": lambda: [VisualPrompts(4, 3, width), Shift(width)],
        "none": list,
    }[kind]()
    return [part.double() for part in made]


@pytest.mark.parametrize(
    "kinds",
    [
        ["prompts"] * 3,
        ["instapg", "instapg", "prompts"],
        ["instapg-first", "prompts"],
        ["shift", "prompts", "instapg"],
        ["prompts", "longer", "none", "prompts"],
    ],
    ids="-".join,
)
def test_features_and_gradients_are_those_of_single_passes(model, kinds):
    sets = [parts_of(kind, seed, model) for seed, kind in enumerate(kinds)]
    torch.manual_seed(9)
    images = [torch.randn(2 + place, 3, 48, 48, dtype=torch.float64) for place in range(len(kinds))]
    encode = partial(encode_image, model)

    def gradients(features):
        for parts in sets:
            for part in parts:
                part.zero_grad()
        torch.autograd.backward([one.square().sum() for one in features if one.requires_grad])
        return [
            parameter.grad.clone()
            for parts in sets
            for part in parts
            for parameter in part.parameters()
            if parameter.grad is not None
        ]

    alone = [encode(own, parts) for own, parts in zip(images, sets, strict=True)]
    expected = gradients(alone)
    blocks = len(model.visual.transformer.resblocks)
    runs = [forward_of(own, parts, blocks) for own, parts in zip(images, sets, strict=True)]
    found = encode_together(encode, runs)
    for one, other in zip(found, alone, strict=True):
        assert torch.allclose(one, other, rtol=1e-9, atol=1e-12)
    made = gradients(found)
    assert len(made) == len(expected) > 0
    for one, other in zip(made, expected, strict=True):
        assert torch.allclose(one, other, rtol=1e-6, atol=1e-9)


def test_runs_with_prompts_of_one_shape_share_a_pass(model):
    calls = []

    def encode(images, parts):
        calls.append(len(images))
        return encode_image(model, images, parts)

    sets = [parts_of(kind, 0, model) for kind in ("prompts", "longer", "instapg")]
    blocks = len(model.visual.transformer.resblocks)
    runs = [forward_of(torch.zeros(2, 3, 48, 48, dtype=torch.float64), parts, blocks) for parts in sets]
    assert [len(one) for one in encode_together(encode, runs)] == [2, 2, 2]
    assert calls == [4, 2]


def test_parts_with_dropout_are_recognised():
    assert draws_at_random([nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.1))])
    assert not draws_at_random([nn.Linear(2, 2)])
