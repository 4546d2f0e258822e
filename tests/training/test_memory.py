"""Training goes on where memory runs out, and gives the same classifier; otherwise it names the batch that fits."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from adu_bench.api import DomainHead, Part, TextPrompts, VisualPrompts, domain_mmd2, fit, uniform_ce
from adu_bench.clip import classifier as classifiers
from adu_bench.clip.memory import in_chunks
from adu_bench.clip.tower import KEPT_VALUES, ImageTower, TextTower
from adu_bench.core.errors import RunFailed


def trained(problem, epochs=2, part=None, head=False):
    """Train prompts with a loss of single images and the MMD, which compares all images of a batch."""
    torch.manual_seed(0)
    fresh = replace(problem, rng=torch.Generator().manual_seed(0), record=rows.append)
    model = fresh.classifier()
    model.add("prompts", VisualPrompts(2, 2, model.image_width))
    if part is not None:
        model.add("part", part)

    def loss(batch):
        features = model.features(batch.images)
        terms = {
            "forget": uniform_ce(model.classify(features), batch.forget),
            "mmd": -domain_mmd2(features, batch.domains, 3),
        }
        if head and len(batch) > 5:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return terms

    return fit(fresh, model, loss, epochs=epochs, lr=0.1)


rows: list[dict] = []


@pytest.fixture
def limit(monkeypatch):
    """Set how many images the image tower can encode at a time with gradients; returns the sizes that were tried."""
    rows.clear()
    sizes: list[int] = []
    encode = ImageTower.encode

    def set_limit(most: int) -> list[int]:
        def limited(tower, images, parts=()):
            if torch.is_grad_enabled():
                sizes.append(len(images))
                if len(images) > most:
                    raise torch.OutOfMemoryError("CUDA out of memory.")
            return encode(tower, images, parts)

        monkeypatch.setattr(ImageTower, "encode", limited)
        return sizes

    return set_limit


def test_chunks_train_the_same_classifier_also_with_a_loss_that_compares_images(tiny_problem, limit):
    whole = trained(tiny_problem)
    assert "images_at_once" not in rows[-1]
    means = [dict(row) for row in rows]
    rows.clear()
    sizes = limit(3)
    chunked = trained(tiny_problem)
    assert sizes[:3] == [12, 6, 3]
    assert set(sizes[3:]) == {3}, "the size that fits is kept"
    assert [row.pop("images_at_once") for row in rows] == [3, 3]
    for before, after in zip(means, rows, strict=True):
        assert after == pytest.approx(before, abs=1e-5)
    assert torch.allclose(whole.parts["prompts"].tokens, chunked.parts["prompts"].tokens, atol=1e-5)
    assert not torch.equal(whole.parts["prompts"].tokens, torch.zeros_like(whole.parts["prompts"].tokens))


class Statistics(Part):
    """Normalises tokens with statistics of the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(5)

    def before_block(self, index, tokens):
        return self.norm(tokens) if index == 1 else tokens


@pytest.mark.parametrize(
    ("most", "part", "said"),
    [(7, Statistics, "A batch of 6 fits"), (0, Statistics, "Not even one"), (0, type(None), "Not even one")],
)
def test_what_cannot_be_split_fails_with_the_batch_that_fits(tiny_problem, limit, most, part, said):
    limit(most)
    with pytest.raises(RunFailed, match=f"batch of 12 images does not fit into the memory of 'cpu'.*{said}"):
        trained(tiny_problem, part=part())


def test_a_loss_that_needs_the_memory_itself_is_named_by_the_batch_that_fits(tiny_problem, limit):
    with pytest.raises(RunFailed, match="A batch of 3 fits"):
        trained(tiny_problem, head=True)


def test_other_errors_in_training_are_left_alone(tiny_problem):
    model = tiny_problem.classifier()
    model.add("head", DomainHead(model.feature_width, 3))
    with pytest.raises(RuntimeError, match="size"):
        fit(tiny_problem, model, lambda batch: torch.ones(2) @ torch.ones(3), epochs=1, lr=0.1)


def test_one_chunk_is_a_plain_call_and_more_give_the_same_gradients():
    weight = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    rows = torch.randn(7, 4, dtype=torch.float64)
    calls = []

    def encode(some):
        calls.append(len(some))
        return (some @ weight).tanh()

    gradients = []
    for size in (7, 3):
        gradients += torch.autograd.grad(in_chunks(encode, size, rows).square().sum(), weight)
    assert calls == [7, 3, 3, 1, *calls[4:]]
    assert sorted(calls[4:]) == [1, 3, 3]
    assert torch.allclose(*gradients, rtol=1e-12)
    calls.clear()
    with torch.no_grad():
        in_chunks(encode, 3, rows)
    assert calls == [7], "nothing is kept without gradients"


def text_gradients(problem, monkeypatch, kept):
    """Return text features and the gradients of learned tokens, and the bytes that the forward pass kept."""
    monkeypatch.setattr(classifiers, "TEXT_BYTES", kept)
    torch.manual_seed(0)
    model = problem.classifier()
    model.add("context", TextPrompts(2, 2, model.text_width))
    model.train()
    storages = {}
    weights = {weight.untyped_storage().data_ptr() for weight in model.parameters()}

    def keep(tensor):
        if tensor.untyped_storage().data_ptr() not in weights:
            storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        text = model.text_features()
    text[:, ::2].square().sum().backward()
    return text.detach(), model.parts["context"].tokens.grad, sum(storages.values())


def test_learned_text_prompts_are_encoded_in_chunks_of_stated_memory(tiny_problem, monkeypatch):
    whole, gradient, kept = text_gradients(tiny_problem, monkeypatch, 2**31)
    tower = TextTower(tiny_problem.backbone.model)
    texts = tower.prepare(tiny_problem.classifier()._class_tokens, torch.device("cpu"))
    assert kept < len(whole) * tower.bytes_kept(texts) < 3 * kept, f"{KEPT_VALUES} values are an upper bound"
    chunked, other, less = text_gradients(tiny_problem, monkeypatch, 1)
    assert less < kept / 2
    assert torch.allclose(whole, chunked, atol=1e-6)
    assert torch.allclose(gradient, other, atol=1e-6)


def test_texts_are_not_split_where_a_part_treats_them_differently(tiny_problem, monkeypatch):
    class ByClass(Part):
        def text_embeddings(self, embeddings):
            assert len(embeddings) == 3
            return embeddings

    monkeypatch.setattr(classifiers, "TEXT_BYTES", 1)
    model = tiny_problem.classifier()
    model.add("own", ByClass())
    assert model.train().text_features().shape[0] == 3
