"""The towers compared with open_clip's forward passes, with hooks that insert learned tokens."""

from __future__ import annotations

import open_clip
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from adu_bench.clip.blocks import lowered
from adu_bench.clip.classifier import Classifier
from adu_bench.clip.lora import LowRank
from adu_bench.clip.part import Part
from adu_bench.clip.prompts import InstaPG, TextPrompts, VisualPrompts
from adu_bench.clip.tower import ImageTower, TextTower
from adu_bench.speed.reference import encode_with_blocks

VISION = {"image_size": 16, "patch_size": 8, "width": 32, "layers": 3, "head_width": 16}
TEXT = {"context_length": 16, "vocab_size": 50, "width": 32, "heads": 2, "layers": 3}


def make_model(vision: dict | None = None, text: dict | None = None, **options) -> open_clip.CLIP:
    torch.manual_seed(0)
    model = open_clip.CLIP(embed_dim=24, vision_cfg=VISION | (vision or {}), text_cfg=TEXT | (text or {}), **options)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model.double().eval().requires_grad_(False)


def make_images(count: int = 5) -> torch.Tensor:
    return torch.randn(count, 3, 16, 16, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def make_tokens() -> torch.Tensor:
    """Texts of different lengths: start 48, words, end 49, padding 0."""
    rows = [[48, 5, 49], [48, 7, 8, 9, 3, 49], [48, 49], [48, *range(1, 12), 49]]
    return torch.tensor([row + [0] * (16 - len(row)) for row in rows])


@pytest.mark.parametrize(
    ("vision", "options"),
    [({}, {}), ({"ls_init_value": 0.3}, {}), ({"final_ln_after_pool": True}, {}), ({}, {"quick_gelu": True})],
)
def test_images_are_encoded_as_open_clip_does(vision, options):
    model = make_model(vision, **options)
    assert ImageTower.runs(model.visual)
    assert torch.allclose(ImageTower(model.visual).encode(make_images()), model.encode_image(make_images()), atol=1e-12)


@pytest.mark.parametrize("vision", [{"pool_type": "avg"}, {"attentional_pool": True}, {"qk_norm": True}])
def test_towers_that_pool_other_tokens_are_run_by_open_clip(vision):
    assert not ImageTower.runs(make_model(vision).visual)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_prompts_without_queries_give_the_same_results(depth):
    """Features and gradients equal those of complete sequences in open_clip's blocks."""
    visual = make_model().visual
    part = VisualPrompts(4, depth, 32).double()
    prompts = [nn.Parameter(own.detach().clone()) for own in part.tokens]
    ours = ImageTower(visual).encode(make_images(), [part])
    theirs = encode_with_blocks(visual, make_images(), prompts)
    assert torch.allclose(ours, theirs, atol=1e-12)
    direction = torch.randn_like(ours)
    (ours * direction).sum().backward()
    (theirs * direction).sum().backward()
    assert torch.allclose(part.tokens.grad, torch.stack([prompt.grad for prompt in prompts]), atol=1e-11)


@pytest.mark.parametrize("form", [(True, True), (False, False)])
@pytest.mark.parametrize("block", [0, 1, 2])
def test_instapg_is_attention_from_prompts_to_patches(form, block):
    """Compared with torch's attention module on complete sequences; block 2 receives the prompts of block 1."""
    visual, depth = make_model().visual, 2
    part = VisualPrompts(4, depth, 32).double()
    made = InstaPG(4, block, 32, 2, *form).double()
    for parameter in made.parameters():
        nn.init.normal_(parameter, std=0.3)

    def replaced(_module: nn.Module, inputs: tuple) -> tuple:
        head, prompts = inputs[0][:, :5], inputs[0][:, 5:]
        query, patches = made.norm_query(prompts), made.norm_patches(head[:, 1:])
        new = query + made.attention(query, patches, patches, need_weights=False)[0]
        if made.feed_forward is not None:
            new = new + made.feed_forward(new)
        return (torch.cat([head, new], dim=1),)

    prompts = [nn.Parameter(own.detach().clone()) for own in part.tokens]
    target = visual.transformer.resblocks[block]
    # After the hook that appends the prompts, which `encode_with_blocks` registers with the same call.
    register = type(target).register_forward_pre_hook
    handles = []

    def late(module: nn.Module, hook) -> object:
        handle = register(module, hook)
        if module is target:
            handles.append(register(target, replaced))
        return handle

    if block in (0, 2):
        handles.append(target.register_forward_pre_hook(replaced))
        theirs = encode_with_blocks(visual, make_images(), prompts)
    else:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(target), "register_forward_pre_hook", late)
            theirs = encode_with_blocks(visual, make_images(), prompts)
    for handle in handles:
        handle.remove()
    ours = ImageTower(visual).encode(make_images(), [part, made])
    assert torch.allclose(ours, theirs, atol=1e-11)
    ours.sum().backward()
    own = {name: parameter.grad.clone() for name, parameter in made.named_parameters()}
    made.zero_grad()
    theirs.sum().backward()
    assert all(torch.allclose(own[name], parameter.grad, atol=1e-10) for name, parameter in made.named_parameters())
    assert torch.allclose(part.tokens.grad, torch.stack([prompt.grad for prompt in prompts]), atol=1e-10)


def test_outputs_of_blocks_are_complete_and_parts_receive_all_tokens():
    visual = make_model().visual
    caught, seen = [], []
    for block in visual.transformer.resblocks:
        block.register_forward_hook(lambda _module, _inputs, output: caught.append(output))
    visual(make_images())

    class Reader(Part):
        def before_block(self, index: int, tokens: torch.Tensor) -> torch.Tensor:
            seen.append(tokens)
            return tokens

    for index in range(3):
        tokens = ImageTower(visual).tokens_after(make_images(), index, [Reader()])
        assert torch.allclose(tokens, caught[index], atol=1e-12)
    assert all(tokens.shape == (5, 5, 32) for tokens in seen)
    assert torch.allclose(ImageTower(visual).tokens_after(make_images(), -1), caught[2], atol=1e-12)


@pytest.mark.parametrize(
    "text",
    [
        {},
        {"pool_type": "eos", "eos_id": 49},
        {"pool_type": "last"},
        {"pool_type": "last", "no_causal_mask": True, "proj_bias": True},
        {"pool_type": "first", "no_causal_mask": True},
        {"ls_init_value": 0.3},
    ],
)
def test_texts_are_encoded_as_open_clip_does(text):
    model = make_model(text=text)
    assert TextTower.runs(model)
    tower, tokens = TextTower(model), make_tokens()
    texts = tower.prepare(tokens, torch.device("cpu"))
    assert torch.allclose(tower.encode(texts), model.encode_text(tokens), atol=1e-12)
    causal_end = not text.get("no_causal_mask") and text.get("pool_type") != "last"
    assert texts.ids.shape == (4, 13 if causal_end else 16)


def test_a_text_tower_with_a_class_token_is_run_by_open_clip():
    text = TEXT | {"embed_cls": True}
    model = open_clip.CustomTextCLIP(embed_dim=24, vision_cfg=VISION, text_cfg=text)
    assert not TextTower.runs(model)


@pytest.mark.parametrize("depth", [1, 3])
def test_text_context_equals_context_in_complete_sequences(depth):
    model, part = make_model(), TextPrompts(3, depth, 32).double()
    tokens = part.text_tokens(make_tokens())

    def at(index: int):
        def replaced(_module: nn.Module, inputs: tuple) -> tuple:
            own = part.tokens[index].expand(len(tokens), -1, -1)
            return (torch.cat([inputs[0][:, :1], own, inputs[0][:, 4:]], dim=1), *inputs[1:])

        return replaced

    handles = [
        block.register_forward_pre_hook(at(index))
        for index, block in enumerate(model.transformer.resblocks)
        if 0 < index < depth
    ]
    first = at(0)
    handles.append(model.token_embedding.register_forward_hook(lambda _m, _i, output: first(None, (output,))[0]))
    theirs = model.encode_text(tokens)
    for handle in handles:
        handle.remove()
    tower = TextTower(model)
    ours = tower.encode(tower.prepare(tokens, torch.device("cpu")), [part])
    assert torch.allclose(ours, theirs, atol=1e-12)
    (gradient,) = torch.autograd.grad(theirs.sum(), part.tokens)
    ours.sum().backward()
    assert torch.allclose(part.tokens.grad, gradient, atol=1e-11)


def test_low_rank_updates_equal_merged_weights(tiny_backbone):
    images = torch.randint(0, 256, (4, 3, 16, 16), generator=torch.Generator().manual_seed(2), dtype=torch.uint8)
    classifier = Classifier(tiny_backbone, ("dog", "cat"), "a {}.").eval()
    part = classifier.add("lora", LowRank(2, 4.0))
    for update in part.updates.values():
        nn.init.normal_(update.up)
    found = classifier.logits(images)
    merged = Classifier(tiny_backbone, ("dog", "cat"), "a {}.").eval()
    merged.unfreeze("*in_proj_weight")
    with torch.no_grad():
        for tower, root in (("visual", merged.model.visual), ("text", merged.text_tower)):
            for index, block in enumerate(root.transformer.resblocks):
                update = part.updates[f"{tower}_{index}"]
                block.attn.in_proj_weight += 2.0 * torch.bmm(update.up, update.down).flatten(0, 1)
    merged.set_classes(("dog", "cat"))
    assert torch.allclose(found, merged.logits(images), atol=1e-4)


def test_frozen_weights_are_converted_once_and_again_when_they_change():
    frozen, trained = nn.Parameter(torch.randn(3), requires_grad=False), nn.Parameter(torch.randn(3))
    assert lowered(frozen) is frozen
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert lowered(trained) is trained
        with torch.inference_mode():
            first = lowered(frozen)
        assert first.dtype == torch.bfloat16
        assert not first.is_inference()
        assert lowered(frozen) is first
        frozen.zero_()
        assert torch.equal(lowered(frozen), torch.zeros(3, dtype=torch.bfloat16))


def test_errors_under_autocast_are_like_those_of_open_clip():
    model = make_model().float()
    images = make_images().float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        ours, theirs = ImageTower(model.visual).encode(images), model.encode_image(images)
    exact = model.encode_image(images)
    assert F.cosine_similarity(ours.float(), exact).min() > 0.999
    assert (ours.float() - exact).abs().max() < 3 * (theirs.float() - exact).abs().max()
