from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from adu_bench.clip.backbone import encode_text
from adu_bench.core.errors import UserError
from adu_bench.data import emoji, emoji_names
from adu_bench.pretraining import corpus as corpus_module
from adu_bench.pretraining.augment import augment, moved
from adu_bench.pretraining.corpus import Corpus
from adu_bench.pretraining.emoji_clip import EMOJI
from adu_bench.pretraining.trainer import Trainer, _contrastive
from tests.pretend_gpu import OnGpu, pretend_gpu

pytestmark = pytest.mark.thorough


def test_augmented_images_keep_shape_and_range():
    images = torch.randint(0, 256, (64, 3, 48, 48), dtype=torch.uint8)
    made = augment(images, 1.0, torch.Generator().manual_seed(1), moved)
    assert made.shape == images.shape
    assert made.min() >= 0
    assert made.max() <= 1
    again = augment(images, 1.0, torch.Generator().manual_seed(1), moved)
    assert torch.equal(made, again)


def test_the_loss_equals_that_of_clip_if_all_captions_differ():
    logits = torch.randn(6, 6)
    expected = torch.nn.functional.cross_entropy(logits, torch.arange(6), label_smoothing=0.05)
    expected = (expected + torch.nn.functional.cross_entropy(logits.T, torch.arange(6))) / 2
    assert _contrastive(logits, torch.arange(6)).item() == pytest.approx(expected.item(), rel=1e-5)


def test_copies_of_a_caption_are_all_positives():
    logits = torch.tensor([[9.0, 0.0], [9.0, 0.0], [0.0, 9.0]])
    together = _contrastive(logits, torch.tensor([0, 0, 1]))
    apart = _contrastive(logits, torch.tensor([0, 1, 1]))
    assert together < apart


def test_leaving_padding_out_changes_nothing(tiny_backbone):
    tokens = tiny_backbone.tokenizer(["a dog", "a picture of a house with a tree"])
    found = encode_text(tiny_backbone.model, tokens, torch.device("cpu"))
    assert torch.allclose(found, tiny_backbone.model.encode_text(tokens), atol=1e-5)


def small_corpus(count: int = 64) -> Corpus:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (count, 48, 48, 3), dtype=np.uint8)
    names = [f"thing {i % 7}" for i in range(count)]
    return Corpus(pixels, names, ["circle" if i % 2 else "" for i in range(count)], ["filled"] * count)


def test_training_resumes_where_it_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr("adu_bench.pretraining.trainer.EVERY", 2)

    def weights(folder: str, stops: list[int]) -> dict[str, torch.Tensor]:
        for stop in stops:
            trainer = Trainer(EMOJI, small_corpus(), small_corpus(8), tmp_path / folder, 1)
            if stop < 4:
                monkeypatch.setattr(trainer, "_save", _stop_after(trainer._save))
                with pytest.raises(KeyboardInterrupt):
                    trainer.run(4, print)
            else:
                trainer.run(4, print)
        return load_file(tmp_path / folder / "weights.safetensors")

    whole, parts = weights("whole", [4]), weights("parts", [2, 4])
    for name, value in whole.items():
        assert torch.allclose(value.float(), parts[name].float(), atol=2e-3), name


def _stop_after(save):
    def saved() -> None:
        save()
        raise KeyboardInterrupt

    return saved


@pytest.mark.parametrize("name", ["weights.safetensors", "training.json", "checkpoint.pt"])
def test_a_kill_while_a_checkpoint_is_written_loses_the_steps_after_the_last_one_only(name, tmp_path, monkeypatch):
    monkeypatch.setattr("adu_bench.pretraining.trainer.EVERY", 2)

    def trainer(folder: str) -> Trainer:
        return Trainer(EMOJI, small_corpus(), small_corpus(8), tmp_path / folder, 1)

    trainer("whole").run(4)
    trainer("killed").run(2)
    killed = trainer("killed")
    moved_file = Path.replace

    def stop(path: Path, target: Path) -> Path:
        if target.name == name:
            raise KeyboardInterrupt
        return moved_file(path, target)

    with monkeypatch.context() as context:
        context.setattr(Path, "replace", stop)
        with pytest.raises(KeyboardInterrupt):
            killed.run(4)
    again = trainer("killed")
    assert again.step == 2
    again.run(4)
    assert [row["step"] for row in again.log] == [2, 4]
    whole, resumed = (load_file(tmp_path / folder / "weights.safetensors") for folder in ("whole", "killed"))
    for key, value in whole.items():
        assert torch.allclose(value.float(), resumed[key].float(), atol=2e-3), key


def test_a_corpus_without_a_style_keeps_the_others_in_order():
    corpus = replace(small_corpus(4), styles=["line", "twemoji", "line", "glyph"])
    rest = corpus.without({"line"})
    assert rest.styles == ["twemoji", "glyph"]
    assert rest.names == [corpus.names[1], corpus.names[3]]
    assert np.array_equal(rest.pixels, corpus.pixels[[1, 3]])


def test_no_held_out_image_is_in_the_training_corpus(tmp_path, monkeypatch):
    """The images of the four domains, without the style packages, are compared with the held-out pools."""
    monkeypatch.setattr(corpus_module, "STYLE_PACKAGES", {})
    monkeypatch.setattr(corpus_module, "_slugs", lambda folder: {})
    table = emoji_names.named_emoji()
    index = emoji.load_index()
    some = index["codepoint"].drop_duplicates().iloc[::6]
    monkeypatch.setattr(emoji_names, "named_emoji", lambda: table[table["codepoint"].isin(some)])
    learnt = {image.tobytes() for image in corpus_module.training_corpus(tmp_path).pixels}
    for pool in ("train", "validation", "test"):
        rows = index[(index["pool"] == pool) & index["codepoint"].isin(some)]
        drawn = [corpus_module.small(image).tobytes() for image in emoji.render(rows)]
        assert drawn
        assert not learnt & set(drawn)


def test_a_missing_style_package_is_named(tmp_path):
    with pytest.raises(UserError, match="npm pack @iconify-json/noto"):
        corpus_module._package_folder(tmp_path, "noto")


def test_training_on_a_device_gives_the_same_model(tmp_path, monkeypatch):
    """With tensors that pretend to be on a GPU, which refuse to be mixed with others."""
    monkeypatch.setattr("adu_bench.pretraining.trainer.EVERY", 2)
    monkeypatch.setattr(Trainer, "_save", lambda trainer: None)

    def trained(device: str) -> tuple[dict, torch.Tensor]:
        trainer = Trainer(EMOJI, small_corpus(), small_corpus(8), tmp_path / device, 1, device)
        trainer.run(2)
        return trainer.log[-1], trainer.average["visual.conv1.weight"]

    row, expected = trained("cpu")
    with pretend_gpu():
        other, found = trained("cuda:0")
        assert isinstance(found, OnGpu)
        assert torch.allclose(found.cpu(), expected, atol=1e-5)
    assert other["loss"] == pytest.approx(row["loss"], abs=1e-3)
