"""CoOp, CoCoOp, MaPLe, PromptSRC, CLIP-LoRA, Tip-Adapter-F and TaskRes compared with closed forms."""

from __future__ import annotations

import pytest
import torch
from adu_bench._methods import bbf, clip_lora, cocoop, maple, prompt_src, task_res, tip_adapter
from adu_bench._methods._contexts import TemplateContexts

from adu_bench.api import Classifier, TextPrompts
from adu_bench.training.losses import memorize, uniform_ce
from tests.methods.closed_forms import prepared


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


@pytest.fixture
def plain(tiny_problem):
    with torch.no_grad():
        return tiny_problem.classifier().logits(tiny_problem.train.images)


def answers(model, problem):
    with torch.no_grad():
        return model.eval().logits(problem.train.images)


@pytest.mark.parametrize(
    "method", [clip_lora.ClipLora(), task_res.TaskRes(), tip_adapter.TipAdapter(alpha=0.0)], ids=lambda m: m.card.name
)
def test_a_method_starts_from_zero_shot_answers(method, tiny_problem, plain):
    torch.testing.assert_close(answers(prepared(method, tiny_problem), tiny_problem), plain, atol=1e-4, rtol=1e-4)


def test_task_res_adds_the_scaled_residual_to_the_texts(tiny_problem):
    model = prepared(task_res.TaskRes(alpha=0.3), tiny_problem)
    residual = torch.randn(3, 24)
    model.parts["residual"].residual.data.copy_(residual)
    text = torch.nn.functional.normalize(tiny_problem.classifier().text_features() + 0.3 * residual, dim=1)
    expected = tiny_problem.backbone.logit_scale * tiny_problem.train.frozen @ text.T
    torch.testing.assert_close(answers(model, tiny_problem), expected, atol=1e-4, rtol=1e-4)


def test_tip_adapters_values_are_labels_and_uniform(tiny_problem, plain):
    train = tiny_problem.train
    part = prepared(tip_adapter.TipAdapter(alpha=2.0, beta=3.0), tiny_problem).parts["cache"]
    kinds = torch.eye(3)[train.labels]
    expected = torch.where(train.forget[:, None], torch.full_like(kinds, 1 / 3), kinds)
    torch.testing.assert_close(part.values, expected)
    cosines = train.frozen @ train.frozen.T
    logits = plain + 2 * torch.exp(-3 * (1 - cosines)) @ expected
    torch.testing.assert_close(part.score(plain, train.frozen, None).detach(), logits, atol=1e-4, rtol=1e-4)
    opposed = prepared(tip_adapter.TipAdapter(values="opposed"), tiny_problem).parts["cache"].values
    torch.testing.assert_close(opposed[train.forget], 1 / 3 - kinds[train.forget])


def test_tip_adapter_learns_its_keys(tiny_problem, plain):
    frozen = tiny_problem.train.frozen
    part = prepared(tip_adapter.TipAdapter(alpha=2.0, beta=3.0), tiny_problem).parts["cache"]
    keys, weights = frozen.clone().requires_grad_(), torch.randn(36, 3)
    answers = 2 * torch.exp(-3 * (1 - frozen @ keys.T)) @ part.values
    (expected,) = torch.autograd.grad((answers * weights).sum(), keys)
    (found,) = torch.autograd.grad((part.score(plain, frozen, None) * weights).sum(), part.keys)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_clip_lora_adds_alpha_over_the_ranks_root_times_the_product_to_query_key_and_value(tiny_problem):
    model = prepared(clip_lora.ClipLora(rank=4, alpha=3.0), tiny_problem)
    for name, start, tower in (
        ("visual_2", tiny_problem.backbone.model.visual.transformer, model.model.visual.transformer),
        ("text_1", tiny_problem.backbone.model.transformer, model.text_tower.transformer),
    ):
        update, block = model.parts["updates"].updates[name], int(name[-1])
        # Uniform within one over the root of the width, as in the official code.
        bound = update.down.shape[-1] ** -0.5
        assert 0.9 * bound < update.down.abs().max() <= bound
        update.up.data.normal_()
        change = torch.cat([1.5 * update.up[i] @ update.down[i] for i in range(3)])
        before = start.resblocks[block].attn.in_proj_weight
        torch.testing.assert_close(tower.resblocks[block].attn.in_proj_weight, before + change)


def test_cocoop_equals_coop_when_its_network_is_zero(tiny_problem):
    model = prepared(cocoop.CoCoOp(contexts=3), tiny_problem)
    part = model.parts["contexts"]
    moved = answers(model, tiny_problem)
    for parameter in part.network.parameters():
        parameter.data.zero_()
    coop = tiny_problem.classifier()
    coop.add("contexts", bbf.BareContexts(3, 1, coop.text_width)).tokens.data[0] = part.tokens.data
    expected = answers(coop, tiny_problem)
    torch.testing.assert_close(answers(model, tiny_problem), expected, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(moved, expected, atol=1e-4)


def test_texts_for_images_in_chunks_equal_those_at_once(tiny_problem, monkeypatch):
    model = prepared(cocoop.CoCoOp(), tiny_problem)
    part, features = model.parts["contexts"], tiny_problem.train.frozen[:5]
    whole = part.texts(features)
    (whole_gradient,) = torch.autograd.grad(whole.square().sum() + whole[:, 0, 0].sum(), part.tokens)
    monkeypatch.setattr("adu_bench.clip.conditioned.TEXT_BYTES", 1)
    parts = part.texts(features)
    (gradient,) = torch.autograd.grad(parts.square().sum() + parts[:, 0, 0].sum(), part.tokens)
    torch.testing.assert_close(parts, whole)
    torch.testing.assert_close(gradient, whole_gradient, atol=1e-5, rtol=1e-3)
    with torch.no_grad():
        torch.testing.assert_close(part.texts(features), whole)


def contexts_of(problem, template, part):
    model = Classifier(problem.backbone, problem.classes, template)
    return model, model.add("contexts", part)


def test_contexts_in_place_of_words_start_from_the_templates_texts_and_keep_its_other_words(tiny_problem):
    width = tiny_problem.classifier().text_width
    model, part = contexts_of(tiny_problem, "a picture of {}.", TemplateContexts(2, 2, width))
    with torch.no_grad():
        with model.without("contexts"):
            before = model.text_features()
        part.depth = 1  # later blocks have tokens that start at random
        torch.testing.assert_close(model.text_features(), before)
        words = tiny_problem.backbone.tokenizer(["the dog"])[0, 1:3]
        part.tokens[0] = model.text_tower.token_embedding(words)
        same = Classifier(tiny_problem.backbone, tiny_problem.classes, "the dog of {}.")
        torch.testing.assert_close(model.text_features(), same.text_features())


def test_contexts_that_exceed_the_templates_words_stand_in_front_of_it(tiny_problem):
    width = tiny_problem.classifier().text_width
    model, part = contexts_of(tiny_problem, "a {}.", TemplateContexts(2, 1, width))
    other, free = contexts_of(tiny_problem, "a {}.", TextPrompts(2, 1, width))
    with torch.no_grad():
        free.tokens.copy_(part.tokens)
        torch.testing.assert_close(model.text_features(), other.text_features())


def test_cocoop_starts_from_the_templates_words_where_there_are_enough(tiny_problem):
    word = tiny_problem.backbone.tokenizer(["a"])[0, 1]
    start = prepared(cocoop.CoCoOp(contexts=1), tiny_problem).parts["contexts"].tokens
    torch.testing.assert_close(start[0], tiny_problem.backbone.model.token_embedding.weight[word])
    assert prepared(cocoop.CoCoOp(contexts=4), tiny_problem).parts["contexts"].tokens.std() < 0.1


@pytest.mark.parametrize(
    ("method", "part"),
    [(maple.MaPLe(prompt_length=1), "prompts"), (prompt_src.PromptSrc(prompt_length=1), "text_prompts")],
)
def test_maple_and_prompt_src_start_from_the_templates_words(method, part, tiny_problem):
    model = prepared(method, tiny_problem)
    word = tiny_problem.backbone.tokenizer(["a"])[0, 1]
    torch.testing.assert_close(model.parts[part].tokens[0, 0], model.text_tower.token_embedding.weight[word])


def test_maple_couples_image_prompts_to_the_context(tiny_problem):
    model = prepared(maple.MaPLe(prompt_length=1), tiny_problem)
    part = model.parts["prompts"]
    assert part.depth == 2
    assert part.image_prompts(2) is None
    before = part.image_prompts(1)
    part.tokens.data[1] += 1
    torch.testing.assert_close(part.image_prompts(1) - before, part.couple[1].weight.sum(dim=1)[None])


def test_prompt_src_averages_epochs_by_gaussian_weights(tiny_problem):
    method = prompt_src.PromptSrc(epochs=20)
    weights = torch.tensor(method.weights(), dtype=torch.float64)
    expected = torch.exp(-((torch.arange(1, 21) - 15.0).double() ** 2) / 2)
    torch.testing.assert_close(weights, expected / expected.sum())
    model = prepared(prompt_src.PromptSrc(epochs=3), tiny_problem)
    average = prompt_src.Average(model, [0.2, 0.3, 0.5])
    start = [parameter.detach().clone() for parameter in model.trainable()]
    for epoch in range(3):
        for parameter, value in zip(model.trainable(), start, strict=True):
            parameter.data.copy_(value + epoch)
        average.add(epoch)
        average.add(epoch)  # a batch that is tried again counts once
    average.apply()
    for parameter, value in zip(model.trainable(), start, strict=True):
        torch.testing.assert_close(parameter.detach(), value + 0.3 + 2 * 0.5)


def test_prompt_src_holds_retain_images_only(tiny_problem):
    method = prompt_src.PromptSrc(epochs=1)
    model = prepared(method, tiny_problem)
    terms = method.loss(tiny_problem, model)
    batch = next(tiny_problem.batches())
    batch.forget[:] = True
    values = {name: float(value) for name, value in terms(batch).items()}
    assert values["images"] == values["answers"] == values["memorize"] == 0
    assert values["texts"] > 0


def test_the_shared_loss_is_that_of_the_baseline(tiny_problem):
    method = task_res.TaskRes()
    model = prepared(method, tiny_problem)
    batch = next(tiny_problem.batches())
    logits = model.logits(batch.images)
    terms = method.loss(tiny_problem, model)(batch)
    assert set(terms) == {"memorize", "forget"}
    torch.testing.assert_close(terms["memorize"], memorize(logits, batch.labels, batch.forget))
    torch.testing.assert_close(terms["forget"], uniform_ce(logits, batch.forget))
