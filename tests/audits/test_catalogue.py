"""Finding audits by reading their files, and the digest that makes results stale."""

from __future__ import annotations

import subprocess
import sys

import pytest

from adu_bench.audits.audit import AuditCard, AuditMetric
from adu_bench.audits.catalogue import choose_audits, find_audits
from adu_bench.core.errors import UserError
from adu_bench.registry import Catalogue

PLUGIN = '''
from adu_bench.audits import Audit, AuditCard, AuditMetric, Measure
from .counting import count


class Count(Audit):
    """Count."""

    card = AuditCard(
        name="count",
        level="full",
        question="How many?",
        attacker="None.",
        metrics=(AuditMetric("images", "number of images", "none", "any", column="images", unit="number"),),
        controls="None.",
        source="Own.",
    )

    def run(self, subject):
        return [Measure("images", float(count(subject)), 1)]
'''
HELPER = "def count(subject):\n    return len(subject.images('test'))\n"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "mine.py").write_text(PLUGIN)
    (tmp_path / "counting.py").write_text(HELPER)
    return tmp_path


def test_the_shipped_audits_are_complete():
    known = find_audits()
    assert {"part-off", "class-probe", "prototypes", "behaviour", "collateral"} <= set(known)
    for entry in known.values():
        card = entry.card
        assert entry.name == card.name == entry.path.stem.replace("_", "-")
        assert all((card.question.endswith("?"), card.attacker, card.controls, card.source))
        assert any(metric.column for metric in card.metrics), "summary tables would leave it out"
        names = [metric.name for metric in card.metrics]
        assert len(set(names)) == len(names)
        assert entry.load().card == card, "the card read from the text is that of the class"


def test_audits_are_found_without_torch(tmp_path):
    (tmp_path / "torch.py").write_text("raise ImportError('not installed')\n")
    code = "from adu_bench.audits.catalogue import find_audits; print(*find_audits())"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "part-off" in done.stdout.split()


def test_an_audit_beside_its_helper_is_found_and_loaded(folder):
    entry = find_audits(str(folder))["count"]
    assert entry.card.metric("images:detail") == AuditMetric(
        "images", "number of images", "none", "any", column="images", unit="number"
    )
    assert type(entry.load()).__name__ == "Count"
    assert find_audits(str(folder / "mine.py"))["count"].code == entry.code


@pytest.mark.parametrize(
    ("file", "old", "new", "stale"),
    [
        ("mine.py", "How many?", "How many are there?", False),
        ("mine.py", '"""Count."""', '"""Count images."""', False),
        ("mine.py", "float(count(subject))", "2.0 * count(subject)", True),
        ("counting.py", "'test'", "'attack'", True),
    ],
)
def test_code_makes_results_stale_and_the_card_does_not(folder, file, old, new, stale):
    before = find_audits(str(folder))["count"].code
    text = (folder / file).read_text()
    assert old in text
    (folder / file).write_text(text.replace(old, new))
    assert (find_audits(str(folder))["count"].code != before) == stale


def test_shared_code_of_the_package_is_part_of_the_digest(folder, monkeypatch, tmp_path_factory):
    """The class probe uses scores.py, which uses subject.py."""
    import shutil

    from adu_bench.audits import catalogue

    copy = tmp_path_factory.mktemp("copy") / "audits"
    shutil.copytree(catalogue.FOLDER, copy)
    monkeypatch.setattr(catalogue, "FOLDER", copy)
    before = find_audits()["class-probe"].code
    for name, old, new in (("scores.py", "LEAST = 0.01", "LEAST = 0.02"), ("subject.py", "MOST = 16", "MOST = 8")):
        text = (copy / name).read_text()
        assert old in text
        (copy / name).write_text(text.replace(old, new))
        after = find_audits()["class-probe"].code
        assert after != before
        before = after


def test_a_card_that_is_not_literal_is_refused_with_the_file(folder):
    (folder / "mine.py").write_text(PLUGIN.replace('"How many?"', "QUESTION"))
    with pytest.raises(UserError, match=r"mine\.py' cannot be read"):
        find_audits(str(folder))


def test_a_wrong_level_or_direction_is_refused(folder):
    (folder / "mine.py").write_text(PLUGIN.replace('level="full"', 'level="fuller"'))
    with pytest.raises(UserError, match="'fuller', not one of core, full"):
        find_audits(str(folder))
    with pytest.raises(ValueError, match="'sideways', not one of up, down, none"):
        AuditMetric("a", "b", "sideways", "c")


def test_two_audits_of_one_name_are_refused(folder):
    (folder / "other.py").write_text(PLUGIN)
    with pytest.raises(UserError, match="Two audits are called 'count'"):
        find_audits(str(folder))


def test_files_with_methods_only_or_with_errors_are_ignored(folder):
    (folder / "broken.py").write_text("def (")
    (folder / "method.py").write_text("card = AuditCard")
    assert "count" in find_audits(str(folder))


def test_an_audit_is_no_broken_method(folder):
    """``check count --from mine.py`` failed: the card of an audit is not that of a method."""
    assert Catalogue([folder / "mine.py"]).broken == []


def test_core_full_and_names(folder):
    known = find_audits(str(folder))
    assert "count" not in [entry.name for entry in choose_audits("core", known)]
    assert {entry.name for entry in choose_audits("full", known)} == set(known) - {"membership"}
    assert [entry.name for entry in choose_audits("membership", known)] == ["membership"]
    assert [entry.name for entry in choose_audits("count, part-off,count", known)] == ["count", "part-off"]
    with pytest.raises(UserError, match="There is no audit called 'part-of'"):
        choose_audits("part-of", known)
    with pytest.raises(UserError, match="names no audit"):
        choose_audits(" , ", known)


def test_a_card_knows_its_metrics_only():
    card = AuditCard("a", "core", "b?", "c", (AuditMetric("x", "y", "up", "1"),), "d", "e")
    assert card.metric("x:1").name == "x"
    with pytest.raises(KeyError):
        card.metric("y")


@pytest.mark.parametrize(
    ("unit", "value", "text"),
    [
        ("per cent", 0.125, "12.5"),
        ("number", 3.456, "3.46"),
        ("yes or no", 1.0, "yes"),
        ("yes or no", 0.0, "no"),
        ("yes or no", 0.5, "partly"),
        ("per cent", float("nan"), ""),
    ],
)
def test_values_are_written_by_unit(unit, value, text):
    assert AuditMetric("x", "y", "up", "1", unit=unit).text(value) == text
