"""Names of backbones: hashes, preprocessing, and the names that are refused."""

from __future__ import annotations

import pytest

from adu_bench.clip.identity import parse_backbone
from adu_bench.clip.loading import load_backbone
from adu_bench.clip.pretrained import builds_quickgelu, check, describe, image_settings, trained_with_quickgelu
from adu_bench.clip.weights import backbone_spec, preprocessing_of
from adu_bench.core.errors import UserError
from adu_bench.core.hashing import file_sha256


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Random weights of open_clip's smallest ViT in a safetensors file."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    model = open_clip.create_model("ViT-S-32-alt", pretrained=None)
    path = tmp_path_factory.mktemp("weights") / "random.safetensors"
    save_file({name: value.contiguous().clone() for name, value in model.state_dict().items()}, path)
    return path


def test_a_file_may_stand_for_a_tag():
    name = parse_backbone("ViT-B-16-quickgelu:openai=weights/some.safetensors")
    assert (name.model, name.tag, name.local_file.name) == ("ViT-B-16-quickgelu", "openai", "some.safetensors")
    assert name.portable == parse_backbone("ViT-B-16-quickgelu:openai").portable


def test_a_local_file_is_loaded_and_named_without_its_folder(weights):
    spec = backbone_spec(f"ViT-S-32-alt:{weights}")
    assert spec.name == "ViT-S-32-alt:random.safetensors"
    backbone = load_backbone(f"ViT-S-32-alt:{weights}")
    settings = backbone.model.visual.preprocess_cfg
    assert backbone.preprocessing == preprocessing_of(f"ViT-S-32-alt:{weights}")
    assert settings["size"] == (backbone.preprocessing.size,) * 2
    assert settings["interpolation"] == backbone.preprocessing.interpolation
    assert settings["resize_mode"] == backbone.preprocessing.resize_mode
    assert backbone.mean.flatten().tolist() == pytest.approx(settings["mean"])
    assert backbone.std.flatten().tolist() == pytest.approx(settings["std"])


def test_a_checkpoint_of_training_is_the_same_model_and_misfits_are_named(weights, tmp_path):
    import open_clip
    import torch

    model = open_clip.create_model("ViT-S-32-alt", pretrained=str(weights))

    class Archive(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.visual, self.transformer = model.visual, model.transformer

    with torch.no_grad():
        saved = Archive().half().state_dict()
    path = tmp_path / "checkpoint.pth.tar"
    torch.save({"model": {**model.state_dict(), **saved}, "epoch": 3}, path)
    loaded = load_backbone(f"ViT-S-32-alt:{path}").model
    for name, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value.half().float() if name in saved else value)
    torch.save({"other": torch.ones(1)}, path)
    with pytest.raises(UserError, match=r"Missing key.*and \d+ more; Unexpected.*other"):
        load_backbone(f"ViT-S-32-alt:{path}")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("form", [".safetensors", ".pt", ".ckpt"])
def test_half_precision_weights_are_resized_or_their_misfits_named(weights, tmp_path, dtype, form):
    """A CPU cannot resize positional embeddings in half precision; its message said nothing of the weights."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    path = tmp_path / f"half{form}"
    for model, size in (("ViT-S-32-alt", 160), ("ViT-S-16-alt", 224)):
        state = open_clip.create_model(model, load_weights=False, force_image_size=size).state_dict()
        state = {name: value.to(getattr(torch, dtype)).contiguous().clone() for name, value in state.items()}
        if form == ".safetensors":
            save_file(state, path)
        else:
            torch.save({"state_dict": state} if form == ".ckpt" else state, path)
        if model == "ViT-S-32-alt":
            loaded = load_backbone(f"ViT-S-32-alt:{path}").model.visual
            assert loaded.positional_embedding.dtype == torch.float32
            assert len(loaded.positional_embedding) == 50
        else:
            with pytest.raises(UserError, match=r"size mismatch for visual\.conv1\.weight"):
                load_backbone(f"ViT-S-32-alt:{path}")


def test_every_accepted_pair_of_model_and_weights_uses_the_activation_of_its_training():
    """All pairs that open_clip lists: those that differ are refused, and the name in the remedy is correct."""
    import open_clip

    refused = set()
    for model, tag in open_clip.list_pretrained():
        try:
            check(parse_backbone(f"{model}:{tag}"))
        except UserError as error:
            refused.add(f"{model}:{tag}")
            assert builds_quickgelu(model) != trained_with_quickgelu(model, tag)
            named = error.remedy.partition("--backbone ")[2]
            if named:
                check(parse_backbone(named))
                assert parse_backbone(named).tag == tag
        else:
            assert builds_quickgelu(model) == trained_with_quickgelu(model, tag)
    assert {"RN50:openai", "ViT-B-32:laion400m_e32", "ViT-B-16:metaclip_400m", "ViT-B-16:dfn2b"} <= refused
    assert not any("-quickgelu:" in name for name in refused)


@pytest.mark.parametrize("model", ["ViT-B-32", "ViT-B-32-quickgelu"])
def test_open_clip_builds_the_activation_that_the_model_name_says(model):
    import open_clip
    import torch

    with torch.device("meta"):
        built = open_clip.CLIP(**open_clip.get_model_config(model))
    activation = type(built.visual.transformer.resblocks[0].mlp.gelu).__name__
    assert (activation == "QuickGELU") == builds_quickgelu(model)


def test_a_file_is_refused_like_the_tag_that_it_stands_for():
    with pytest.raises(UserError, match=r"--backbone ViT-B-16-quickgelu:openai=some\.pt"):
        check(parse_backbone("ViT-B-16:openai=some.pt"))


def test_the_message_suggests_another_model_name_only_if_there_is_one():
    with pytest.raises(UserError, match="open_clip has no model name for these weights"):
        check(parse_backbone("roberta-ViT-B-32:laion2b_s12b_b32k"))


def test_open_clip_is_asked_once_per_name(weights, monkeypatch, tmp_path):
    monkeypatch.setenv("ADU_BENCH_CACHE", str(tmp_path))
    asked = []
    monkeypatch.setattr(
        "adu_bench.clip.pretrained.describe",
        lambda parsed, fetch: asked.append(parsed.model) or describe(parsed, fetch),
    )
    for _ in range(2):
        preprocessing_of(f"ViT-S-32-alt:{weights}")
        backbone_spec(f"ViT-S-32-alt:{weights}")
    assert asked == ["ViT-S-32-alt"]


def test_siglip_files_get_siglip_preprocessing():
    settings = image_settings(parse_backbone("ViT-B-16-SigLIP:some.safetensors"))
    assert settings["mean"] == settings["std"] == [0.5, 0.5, 0.5]
    assert settings["resize_mode"] == "squash"


def test_a_file_with_ambiguous_preprocessing_needs_a_tag():
    with pytest.raises(UserError, match=r"ViT-L-14:openai=some\.pt"):
        image_settings(parse_backbone("ViT-L-14:some.pt"))
    assert image_settings(parse_backbone("ViT-L-14:laion2b_s32b_b82k=some.pt"))["mean"] == [0.5, 0.5, 0.5]


def test_missing_weights_come_with_the_command_that_fetches_them(monkeypatch):
    import open_clip

    def offline(settings):
        raise OSError("no network")

    monkeypatch.setattr(open_clip, "download_pretrained", offline)
    with pytest.raises(UserError) as caught:
        describe(parse_backbone("ViT-B-16-quickgelu:openai"), fetch=True)
    assert "OSError" in caught.value.why
    assert "hf download timm/vit_base_patch16_clip_224.openai open_clip_model.safetensors" in caught.value.remedy
    assert "ViT-B-16-quickgelu:openai=weights/open_clip_model.safetensors" in caught.value.remedy


def test_weights_are_fetched_on_demand_only(monkeypatch, tmp_path):
    import huggingface_hub
    import open_clip

    def never(*arguments):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(open_clip, "download_pretrained", never)
    monkeypatch.setenv("ADU_BENCH_CACHE", str(tmp_path))
    with pytest.raises(UserError, match="does not fetch"):
        backbone_spec("ViT-B-16-quickgelu:openai")
    here = tmp_path / "open_clip_model.safetensors"
    here.write_bytes(b"weights")
    asked = []

    def cached(repository, name):
        asked.append((repository, name))
        return str(here) if name == here.name else None

    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", cached)
    assert backbone_spec("ViT-B-16-quickgelu:openai").weights_hash == file_sha256(here)[:20]
    assert asked[0][0] == "timm/vit_base_patch16_clip_224.openai"
    monkeypatch.setattr(open_clip, "download_pretrained", lambda settings: str(here))
    assert backbone_spec("ViT-B-32-quickgelu:metaclip_400m", fetch=True).weights_hash == file_sha256(here)[:20]


def test_an_unknown_tag_names_the_known_ones():
    with pytest.raises(UserError, match="openai"):
        describe(parse_backbone("ViT-B-16-quickgelu:opena"))
