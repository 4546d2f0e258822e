"""Weights in the forms in which people have them, and files that are none."""

from __future__ import annotations

import gzip
import pickle
import zipfile

import pytest
import torch
from safetensors.torch import load_file, save_file

from adu_bench.clip.identity import parse_backbone
from adu_bench.clip.weights_file import loadable, misfit
from adu_bench.core.errors import UserError


class Inner(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.arange(6.0).view(2, 3).half())
        self.register_buffer("steps", torch.tensor(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.weight.float().T


class Outer(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = Inner()
        self.input_resolution = torch.nn.Parameter(torch.tensor(224.0))
        self.scale = torch.nn.Parameter(torch.arange(8.0).view(4, 2).T)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x) * self.scale.sum()


class Ran:
    """Its pickle would create a file."""

    def __reduce__(self):
        return (open, ("ran", "w"))


WANTED = {"inner.weight", "inner.steps", "scale"}


def state_of(path) -> dict[str, torch.Tensor]:
    with loadable(path) as file:
        if file.suffix == ".safetensors":
            return load_file(file)
        found = torch.load(file, weights_only=True)
        return found.get("state_dict", found)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script")
@pytest.mark.parametrize("name", ["a.pt", "a.pth.tar", "a.safetensors", "a"])
@pytest.mark.parametrize("form", ["script", "safetensors", "plain", "old", "state_dict", "model"])
def test_every_form_is_read_whatever_its_ending(form, name, tmp_path):
    model, path = Outer(), tmp_path / name
    state = {key: value for key, value in model.state_dict().items() if key in WANTED}
    if form == "script":
        torch.jit.script(model).save(str(path))
    elif form == "safetensors":
        save_file({key: value.contiguous() for key, value in state.items()}, path)
    else:
        saved = {form: state, "epoch": 3} if form in ("state_dict", "model") else state
        torch.save(saved, path, _use_new_zipfile_serialization=form != "old")
    found = state_of(path)
    assert set(found) == WANTED
    for key, value in found.items():
        assert value.dtype == state[key].dtype
        assert torch.equal(value, state[key])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "an empty file"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "pointer of Git LFS"),
        (gzip.compress(b"weights", mtime=0), "a gzip file"),
        (b"\x89HDF\r\n", "an HDF5 file"),
        (b"\x00" * 100, "format is not known"),
        (b"PK\x03\x04" + b"\x00" * 100, "It is cut off"),
        (pickle.dumps({"a": Ran()}, protocol=2), "could run code"),
        (pickle.dumps([1, 2], protocol=2), "could not be read"),
    ],
)
@pytest.mark.parametrize("name", ["a.pt", "a.safetensors"])
def test_what_holds_no_weights_is_named_and_nothing_runs(content, reason, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=reason) as caught, loadable(tmp_path / name):
        pass
    assert "weights_only" not in str(caught.value)
    assert not (tmp_path / "ran").exists()


def test_a_script_archive_with_code_in_its_pickle_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with zipfile.ZipFile("a.pt", "w") as archive:
        archive.writestr("a/constants.pkl", b"")
        archive.writestr("a/data.pkl", pickle.dumps({"a": Ran()}))
    with pytest.raises(UserError, match="is not part of weights"), loadable(tmp_path / "a.pt"):
        pass
    assert not (tmp_path / "ran").exists()


def test_checkpoints_with_code_are_refused_in_both_forms_of_torch(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for new in (True, False):
        torch.save(
            {"state_dict": {"a": torch.ones(2)}, "extra": Ran()}, "a.pth.tar", _use_new_zipfile_serialization=new
        )
        with pytest.raises(UserError, match="could run code") as caught, loadable(tmp_path / "a.pth.tar"):
            pass
        assert "weights_only" not in str(caught.value)
    assert not (tmp_path / "ran").exists()


def test_the_first_missing_tensors_are_named():
    with pytest.raises(RuntimeError) as caught:
        torch.nn.Linear(2, 2).load_state_dict({"other": torch.ones(1)})
    told = misfit(caught.value)
    assert '"weight", "bias"' in told
    assert '"other"' in told
    with pytest.raises(RuntimeError) as caught:
        torch.nn.Sequential(*[torch.nn.Linear(2, 2) for _ in range(4)]).load_state_dict({})
    assert '"1.weight" and 5 more' in misfit(caught.value)


def test_an_existing_file_is_a_file_whatever_its_ending(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.weights").write_bytes(b"x")
    for name in ("mine.weights", "./mine", "/dev/zero", "a.ckpt", "a.pth.tar"):
        assert str(parse_backbone(f"ViT-B-32:{name}").file).endswith(name.removeprefix("./"))
    assert parse_backbone("ViT-B-32:laion2b_s34b_b79k").tag == "laion2b_s34b_b79k"
