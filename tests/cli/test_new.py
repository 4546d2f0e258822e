"""`adu-bench new method` writes a file that is found and passes checks, and refuses what it cannot do."""

from __future__ import annotations

import ast

import pytest

from adu_bench.cli.main import main
from adu_bench.conformance import Subject, leaves_the_backbone_alone, returns_finite_logits
from adu_bench.core.errors import UserError
from adu_bench.registry import Catalogue
from adu_bench.registry.manifest import read_methods
from adu_bench.registry.scaffold import method_text
from adu_bench.workflows.scaffold import new_method


def test_the_new_methods_file_passes_and_its_test_names_it(tmp_path, capsys):
    assert main(["new", "method", "my-method", "--out", str(tmp_path)]) == 0
    assert "adu-bench check my-method --from" in capsys.readouterr().out
    subject = Subject(Catalogue([tmp_path]).select(["my-method"])[0], "cpu")
    returns_finite_logits(subject)
    leaves_the_backbone_alone(subject)
    text = (tmp_path / "test_my_method.py").read_text()
    ast.parse(text)
    assert 'select(["my-method"])' in text


CATALOGUE = Catalogue()
SHIPPED = {entry.name: entry for _, entry in CATALOGUE.presets.values()}


@pytest.mark.parametrize("like", sorted(SHIPPED))
def test_every_shipped_method_can_be_a_start(like, tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(method_text(SHIPPED[like], "mine", 2026))
    (entry,) = read_methods(file)
    assert (entry.name, entry.class_name) == ("mine", "Mine")
    assert list(entry.fields) == list(SHIPPED[like].fields)
    assert [(own.name, own.group) for own in entry.presets] == [("mine", "other")]


def test_what_cannot_be_made_is_refused_with_a_remedy(tmp_path):
    for name, what in (("My Method", "cannot be the name"), ("adu", "already a method")):
        with pytest.raises(UserError, match=what):
            new_method(name, out=tmp_path)
    with pytest.raises(UserError, match="nope"):
        new_method("mine", like="nope", out=tmp_path)
    new_method("mine", out=tmp_path)
    with pytest.raises(UserError, match="exists"):
        new_method("mine", out=tmp_path)
