from __future__ import annotations

import json

import pytest
import torch
from torch.nn import functional as F

from adu_bench.clip.classifier import Classifier
from adu_bench.clip.files import load_classifier, save_classifier
from adu_bench.clip.heads import DomainGate, UniformAnswer
from adu_bench.clip.lora import LowRank
from adu_bench.clip.part import Part
from adu_bench.clip.prompts import InstaPG, TextPrompts, VisualPrompts
from adu_bench.clip.tower import TextTower
from adu_bench.core.errors import UserError

CLASSES = ("dog", "cat", "house")


@pytest.fixture
def images():
    return torch.randint(0, 256, (6, 3, 16, 16), generator=torch.Generator().manual_seed(3), dtype=torch.uint8)


@pytest.fixture
def classifier(tiny_backbone):
    return Classifier(tiny_backbone, CLASSES, "a picture of a {}.").eval()


def zero_shot(backbone, images):
    """The formula of zero-shot CLIP, without `Classifier`."""
    image = F.normalize(backbone.model.encode_image((images.float() / 255 - 0.5) / 0.5), dim=-1)
    text = F.normalize(
        backbone.model.encode_text(backbone.tokenizer([f"a picture of a {c}." for c in CLASSES])), dim=-1
    )
    return backbone.model.logit_scale.exp() * image @ text.T


def test_a_fresh_classifier_is_zero_shot_clip(classifier, tiny_backbone, images):
    assert torch.allclose(classifier.logits(images), zero_shot(tiny_backbone, images), atol=1e-5)
    frozen = tiny_backbone.image_features(images)
    assert torch.allclose(classifier.logits(None, frozen), zero_shot(tiny_backbone, images), atol=1e-5)


def test_uint8_and_float_images_agree(classifier, images):
    assert torch.allclose(classifier.logits(images), classifier.logits(images.float() / 255), atol=1e-5)


PARTS = {
    "prompts": lambda c: VisualPrompts(4, 2, c.image_width),
    "text_prompts": lambda c: TextPrompts(4, 2, c.text_width),
    "lora": lambda c: LowRank(2, 4.0),
    "gate": lambda c: DomainGate(c.feature_width, [True, True]),
    "collapse": lambda c: UniformAnswer(),
}


def disturb(part):
    with torch.no_grad():
        for parameter in part.parameters():
            parameter.add_(torch.randn_like(parameter))


@pytest.mark.parametrize("name", PARTS)
def test_parts_change_logits_can_be_switched_off_and_survive_saving(name, classifier, tiny_backbone, images, tmp_path):
    torch.manual_seed(5)
    before = classifier.logits(images).detach()
    disturb(classifier.add(name, PARTS[name](classifier)))
    changed = classifier.logits(images).detach()
    assert not torch.allclose(changed, before, atol=1e-3)
    with classifier.without(name):
        assert torch.allclose(classifier.logits(images), before, atol=1e-5)
    assert torch.allclose(classifier.logits(images), changed, atol=1e-5)
    save_classifier(classifier, tmp_path / "m.safetensors")
    loaded = load_classifier(tmp_path / "m.safetensors", tiny_backbone)
    assert torch.allclose(loaded.logits(images), changed, atol=1e-5)
    assert torch.allclose(Classifier(tiny_backbone, CLASSES, "a picture of a {}.").logits(images), before, atol=1e-5)


def test_unfrozen_weights_belong_to_one_classifier_only(classifier, tiny_backbone, images, tmp_path):
    before = classifier.logits(images).detach()
    names = [f"visual.transformer.resblocks.{i}.ln_1.weight" for i in range(3)]
    made = classifier.unfreeze("visual.*ln_1.weight")
    assert classifier.changed == tuple(names)
    assert not classifier.image_side_frozen
    with torch.no_grad():
        for parameter in made:
            parameter.mul_(1.5)
    changed = classifier.logits(images).detach()
    assert not torch.allclose(changed, before, atol=1e-3)
    assert torch.allclose(zero_shot(tiny_backbone, images), before, atol=1e-5)
    save_classifier(classifier, tmp_path / "m.safetensors")
    assert torch.allclose(load_classifier(tmp_path / "m.safetensors", tiny_backbone).logits(images), changed, atol=1e-5)
    with pytest.raises(ValueError, match="matches"):
        classifier.unfreeze("nothing.*")


def test_instapg_makes_prompts_that_depend_on_the_image(classifier):
    part = InstaPG(4, 1, 32, 2)
    tokens, prompts = torch.randn(3, 5, 32), torch.randn(4, 32)
    made = part.adapt_prompts(1, tokens, prompts)
    assert made.shape == (3, 4, 32)
    assert not torch.allclose(made[0], made[1], atol=1e-4)
    assert part.adapt_prompts(0, tokens, prompts) is prompts


def test_instapg_reads_patches_only(classifier):
    """The class token is not among its keys and values."""
    part = InstaPG(2, 1, 32, 2)
    tokens, prompts = torch.randn(1, 1 + 4, 32), torch.randn(2, 32)
    other = tokens.clone()
    other[:, 0] += 1
    assert torch.allclose(part.adapt_prompts(1, tokens, prompts), part.adapt_prompts(1, other, prompts))
    other[:, 1] += torch.randn(32)
    assert not torch.allclose(part.adapt_prompts(1, tokens, prompts), part.adapt_prompts(1, other, prompts))


def test_only_one_part_may_provide_prompts(classifier):
    classifier.add("prompts", VisualPrompts(4, 2, classifier.image_width))
    with pytest.raises(ValueError, match="already"):
        classifier.add("more", VisualPrompts(4, 2, classifier.image_width))


def test_instapg_needs_prompts(classifier):
    with pytest.raises(ValueError, match="VisualPrompts"):
        classifier.add("instapg", InstaPG(4, 1, classifier.image_width, 2))


def test_text_prompts_that_do_not_fit_are_refused(tiny_backbone):
    long = Classifier(tiny_backbone, CLASSES, "a very long picture of one more {} and a house and a tree and a boat.")
    long.add("text_prompts", TextPrompts(16, 1, long.text_width))
    with pytest.raises(ValueError, match="exceed"):
        long.text_features()


def test_the_class_set_can_be_replaced(classifier, tiny_backbone, images):
    classifier.set_classes(("boat", "tree"))
    assert classifier.logits(images).shape == (6, 2)

    class Closed(Part):
        open_vocabulary = False

    classifier.add("closed", Closed())
    with pytest.raises(UserError, match="classes"):
        classifier.set_classes(CLASSES)


def test_block_features_do_not_include_prompts(classifier, images):
    classifier.add("prompts", VisualPrompts(4, 2, classifier.image_width))
    assert classifier.block_features(images, 2).shape == (6, 5, 32)
    with pytest.raises(IndexError):
        classifier.block_features(images, 7)


def test_a_uniform_gate_answers_uniformly_where_the_probe_detects_a_forget_domain(classifier, images):
    gate = classifier.add("gate", DomainGate(classifier.feature_width, [True, False]))
    with torch.no_grad():
        gate.probe.weight.zero_()
        gate.probe.bias.copy_(torch.tensor([1.0, 0.0]))
    assert torch.equal(classifier.logits(images), torch.zeros(6, 3))
    with torch.no_grad():
        gate.probe.bias.copy_(torch.tensor([0.0, 1.0]))
    assert classifier.logits(images).abs().sum() > 0


def test_a_deranging_gate_swaps_the_two_best(classifier, images):
    before = classifier.logits(images).detach()
    gate = classifier.add("gate", DomainGate(classifier.feature_width, [True], "second"))
    after = classifier.logits(images).detach()
    assert torch.equal(after.argmax(1), before.topk(2).indices[:, 1])
    assert torch.equal(after.sort(1).values, before.sort(1).values)
    assert gate.settings == {"inputs": 24, "forget": [True], "answer": "second"}


def test_other_weights_unknown_parts_and_other_files_are_refused_on_loading(classifier, tiny_backbone, tmp_path):
    from dataclasses import replace

    from adu_bench.core.specs import BackboneSpec

    path = tmp_path / "m.safetensors"
    save_classifier(classifier, path)
    with pytest.raises(UserError, match="does not fit"):
        load_classifier(path, replace(tiny_backbone, spec=BackboneSpec("tiny", "other")))
    (tmp_path / "rubbish").write_bytes(b"\x80\x04not a tensor file")
    with pytest.raises(UserError, match="not a saved classifier"):
        load_classifier(tmp_path / "rubbish", tiny_backbone)

    class Passing(Part):
        pass

    classifier.add("passing", Passing())
    save_classifier(classifier, path)
    del Part.kinds["Passing"]
    with pytest.raises(UserError, match="cannot be rebuilt"):
        load_classifier(path, tiny_backbone)


def test_text_features_are_computed_once_unless_trained(classifier, monkeypatch, images):
    calls, tokenised = [], []
    original = TextTower.encode
    monkeypatch.setattr(TextTower, "encode", lambda *values: (calls.append(1), original(*values))[1])
    prepare = TextTower.prepare
    monkeypatch.setattr(TextTower, "prepare", lambda *values: (tokenised.append(1), prepare(*values))[1])
    classifier.set_classes(CLASSES)
    classifier.logits(images)
    classifier.logits(images)
    assert len(calls) == 1
    classifier.add("text_prompts", TextPrompts(2, 1, classifier.text_width))
    classifier.train()
    classifier.logits(images).sum().backward()
    classifier.logits(images)
    assert len(calls) == 3
    assert len(tokenised) == 2
    assert classifier.parts["text_prompts"].tokens.grad is not None


def test_texts_that_were_prepared_in_inference_mode_can_be_trained(classifier, images):
    classifier.add("text_prompts", TextPrompts(2, 1, classifier.text_width))
    with torch.inference_mode():
        classifier.logits(images)
    classifier.train()
    classifier.logits(images).sum().backward()
    assert classifier.parts["text_prompts"].tokens.grad is not None


def test_logits_are_in_single_precision_under_autocast(classifier, images):
    features = classifier.features(images)
    expected = classifier.classify(features)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(classifier.classify(features), expected)
        assert classifier.logits(images).dtype == torch.float32


def test_a_tower_without_class_token_is_refused(tiny_backbone, classifier, monkeypatch):
    monkeypatch.setattr(classifier.model.visual, "pool_type", "avg")
    with pytest.raises(UserError, match="class token"):
        classifier.add("prompts", VisualPrompts(2, 1, 32))


def test_texts_that_the_model_cannot_tell_apart_are_refused(tiny_backbone):
    with pytest.raises(UserError, match="'hot dog' and 'Hot  Dog'"):
        Classifier(tiny_backbone, ("hot dog", "cat", "Hot  Dog"), "a {}.")
    with pytest.raises(UserError, match="too long"):
        Classifier(tiny_backbone, ("cat", "dog " * 40), "a {}.")


@pytest.mark.parametrize("classes", ["dog", "", {"dog": 1}, [], ["dog", None], ["dog", True], ["x"] * 100_001])
def test_a_file_whose_classes_are_no_list_of_texts_is_refused(tiny_backbone, tmp_path, classes):
    """A text of classes was taken letter by letter: a long one took the machine for minutes."""
    from safetensors import safe_open
    from safetensors.torch import save_file

    path = tmp_path / "method.safetensors"
    save_classifier(Classifier(tiny_backbone, ["dog", "cat"], "a {}."), path)
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["adu_bench"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    save_file(tensors, path, metadata={"adu_bench": json.dumps(header | {"classes": classes})})
    with pytest.raises(UserError, match="its classes are not"):
        load_classifier(path, tiny_backbone)
