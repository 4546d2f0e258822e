"""Backbones as people name them: what is hashed, and how pictures are prepared for them."""

from __future__ import annotations

import pytest

from adu_bench.clip.backbone import _preprocess, load_backbone, locate_pretrained
from adu_bench.clip.identity import backbone_spec, parse_backbone
from adu_bench.core.errors import UserError


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
    assert load_backbone(f"ViT-S-32-alt:{weights}").preprocessing.size == 224


def test_openai_weights_want_quickgelu_whatever_the_file():
    for name in ("ViT-B-16:openai", "ViT-B-16:openai=some.pt"):
        with pytest.raises(UserError, match="ViT-B-16-quickgelu:openai"):
            parse_backbone(name)


def test_siglip_files_are_prepared_as_siglip_wants_them():
    settings = _preprocess(parse_backbone("ViT-B-16-SigLIP:some.safetensors"))
    assert settings["mean"] == settings["std"] == (0.5, 0.5, 0.5)
    assert settings["resize_mode"] == "squash"


def test_a_file_whose_preprocessing_is_open_must_name_its_tag():
    with pytest.raises(UserError, match=r"ViT-L-14:openai=some\.pt"):
        _preprocess(parse_backbone("ViT-L-14:some.pt"))
    assert _preprocess(parse_backbone("ViT-L-14:laion2b_s32b_b82k=some.pt"))["mean"] == (0.5, 0.5, 0.5)


def test_weights_that_are_not_here_come_with_the_command_that_fetches_them(monkeypatch):
    import open_clip

    def offline(settings):
        raise OSError("no network")

    monkeypatch.setattr(open_clip, "download_pretrained", offline)
    with pytest.raises(UserError) as caught:
        locate_pretrained(parse_backbone("ViT-B-16-quickgelu:openai"))
    assert "hf download timm/vit_base_patch16_clip_224.openai open_clip_model.safetensors" in caught.value.remedy
    assert "ViT-B-16-quickgelu:openai=weights/open_clip_model.safetensors" in caught.value.remedy


def test_an_unknown_tag_names_the_known_ones():
    with pytest.raises(UserError, match="openai"):
        locate_pretrained(parse_backbone("ViT-B-16-quickgelu:opena"))
