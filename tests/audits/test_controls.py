"""Every audit tells its controls apart: the real commands on the toy suite, with a real small CLIP."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from adu_bench.audits.subject import ATTACK, TEST, Subject
from adu_bench.core.errors import UserError
from adu_bench.registry import Catalogue
from adu_bench.runner.task_data import load_shared_backbone
from adu_bench.store import Store
from tests.cli.test_commands import without_torch
from tests.command import call
from tests.conftest import forge_run

METHOD = Path(__file__).with_name("flattened.py")
pytestmark = [pytest.mark.thorough, pytest.mark.timeout(600)]
"""The first test waits for seven runs and their audits."""
DOCS = Path(__file__).parents[2] / "docs" / "audits.md"
KNOWING = ("zero-shot", "domain-gate", "derange-gate", "coin", "collapse", "prompt-tuning[epochs=1]")
GATES = ("domain-gate", "derange-gate")
UNTRAINED = ["--audits", "part-off,class-probe,prototypes,behaviour,collateral,membership"]
"""Those that train nothing; test_attack_controls.py has the others."""
SELECTION = ["--suite", "toy", "--limit", "1", "--methods", ",".join((*KNOWING, "flattened")), "--from", str(METHOD)]


@pytest.fixture(scope="module")
def audited(tmp_path_factory):
    folder = tmp_path_factory.mktemp("audited")
    call("run", *SELECTION, cwd=folder)
    return folder, call("run", *SELECTION, *UNTRAINED, cwd=folder)


@pytest.fixture(scope="module")
def found(audited):
    """The value of a method, audit and metric, from the rows that the command prints."""
    folder, _ = audited
    rows = pd.DataFrame(json.loads(call("audit", *SELECTION, *UNTRAINED, "--json", cwd=folder).stdout))
    assert rows["value"].between(-5, 15).all()
    return rows.set_index(["method", "audit", "metric"])["value"].sort_index()


@pytest.mark.parametrize("method", KNOWING)
def test_what_a_frozen_backbone_knows_is_back_without_its_parts(found, method):
    assert found[method, "part-off", "by_construction"] == 1
    assert found[method, "part-off", "recovery"] == pytest.approx(1)


@pytest.mark.parametrize("method", GATES)
def test_a_gate_is_exposed_where_its_answers_show_nothing(found, method):
    assert found[method, "part-off", "forget_accuracy"] < 0.6 * found["zero-shot", "part-off", "forget_accuracy"]
    assert found[method, "part-off", "best_part"] == pytest.approx(1)
    assert found[method, "class-probe", "recovery"] == pytest.approx(1)
    assert found[method, "class-probe", "few_shot_recovery"] == pytest.approx(1)
    assert found[method, "prototypes", "recovery"] == pytest.approx(1)
    assert found[method, "class-probe", "cka_forget"] == pytest.approx(1)


def test_prompt_tuning_reads_as_remembered(found):
    method = "prompt-tuning[epochs=1]"
    for audit, metric in (
        ("class-probe", "recovery"), ("class-probe", "last_block_recovery"), ("prototypes", "recovery")
    ):  # fmt: skip
        assert found[method, audit, metric] > 0.8
    assert found[method, "class-probe", "cka_forget"] > 0.5
    assert found[method, "collateral", "clean_drop"] < 0.1


def test_changed_weights_that_lose_the_classes_read_as_forgotten(found):
    flattened = found["flattened"]
    assert flattened["part-off", "by_construction"] == 0
    assert ("part-off", "best_part") not in flattened.index, "it has no parts"
    assert flattened["part-off", "recovery"] < 0.5
    assert flattened["class-probe", "recovery"] < 0.5
    assert flattened["prototypes", "recovery"] < 0.5
    assert flattened["class-probe", "cka_forget"] < 0.8
    # Blocks are untouched: what was lost was lost behind the last of them.
    assert flattened["class-probe", "last_block_recovery"] == pytest.approx(1)


@pytest.mark.parametrize("method", ["coin", "collapse"])
def test_lost_ability_shows_as_collateral_damage(found, method):
    assert found["zero-shot", "collateral", "clean_drop"] == found["zero-shot", "collateral", "corrupted_drop"] == 0
    assert found[method, "collateral", "clean_drop"] > 0.1
    assert found[method, "collateral", "corrupted_drop"] > 0.1
    assert found[method, "collateral", "worst_class"] <= found["zero-shot", "collateral", "worst_class"]


def test_one_artist_for_all_domains_says_nothing(found):
    assert ("collateral", "same_artist") not in found["zero-shot"].index


def test_membership_is_that_of_zero_shot_where_nothing_was_learned_by_image(found):
    for method in KNOWING:
        own = found[method, "membership"]
        assert own["auroc_forget_before"] == found["zero-shot", "membership"]["auroc_forget"]
    assert found["collapse", "membership"]["auroc_forget"] == 0.5
    assert found["collapse", "membership"]["auroc_retain"] == 0.5


def test_behaviour_describes_each_control(found):
    behaviour = {method: found[method, "behaviour"] for method in KNOWING}
    assert behaviour["collapse"]["effective_classes:FORGET"] == pytest.approx(6)
    assert behaviour["collapse"]["forget_sink"] == pytest.approx(1 / 6)
    assert behaviour["collapse"]["auroc_confidence"] == 0.5
    assert behaviour["collapse"]["retain_ece"] == pytest.approx(0, abs=1e-6)
    assert behaviour["domain-gate"]["auroc_confidence"] > behaviour["zero-shot"]["auroc_confidence"] + 0.1
    assert behaviour["domain-gate"]["auroc_entropy"] > 0.6
    assert behaviour["derange-gate"]["confidence:FORGET"] == pytest.approx(behaviour["zero-shot"]["confidence:FORGET"])
    assert behaviour["derange-gate"]["worst_class_for"] > behaviour["zero-shot"]["worst_class_for"]
    for own in behaviour.values():
        assert own["auroc_confidence_before"] == behaviour["zero-shot"]["auroc_confidence"]
        assert own["worst_class_for"] <= own["best_class_for"]


def test_the_command_prints_a_table_per_audit_and_repeats_nothing(audited):
    folder, done = audited
    assert "7 finished, 0 to do" in done.stdout
    assert "7 finished runs, 7 to audit" in done.stdout
    assert "class-probe: Do features still separate" in done.stdout
    again = without_torch(folder, "audit", *SELECTION, *UNTRAINED)
    assert "7 finished runs, 0 to audit" in again.stdout
    assert "class-probe: Do features still separate" in again.stdout


def test_status_counts_audits(audited):
    folder, _ = audited
    assert "flattened: 1 finished; audited: 1 behaviour" in call("status", *SELECTION, cwd=folder).stdout
    states = {row["name"]: row for row in json.loads(call("status", *SELECTION, "--json", cwd=folder).stdout)}
    assert states["coin"]["audits"]["part-off"] == 1


def test_a_lost_result_alone_is_made_again_and_equals_the_first(audited):
    folder, _ = audited
    one = ["--suite", "toy", "--limit", "1", "--methods", "prompt-tuning[epochs=1]", *UNTRAINED]
    key = next(run.key for run in Store(folder / "runs").runs() if run.label == "prompt-tuning[epochs=1]")
    path = folder / "runs" / "artefacts" / key / "audit-collateral.safetensors"
    before = json.loads(call("audit", *one, "--json", cwd=folder).stdout)
    path.unlink()
    assert "1 to audit" in call("audit", *one, cwd=folder).stdout
    after = json.loads(call("audit", *one, "--json", cwd=folder).stdout)
    assert [row["metric"] for row in after] == [row["metric"] for row in before]
    assert [row["value"] for row in after] == pytest.approx([row["value"] for row in before], abs=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--audits", "nothing"], "There is no audit called 'nothing'"),
        (["--runs", "nowhere"], "'nowhere' has no finished run of this selection"),
        (["--jobs", "0"], "--jobs 0 is too few"),
        (["--device", "tpu"], "There is no device 'tpu'"),
    ],
)
def test_what_cannot_be_audited_is_refused_with_the_remedy(audited, arguments, message):
    folder, _ = audited
    done = call("audit", *SELECTION, *arguments, cwd=folder, status=2)
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 3


def test_the_audit_of_the_documentation_works(audited, tmp_path):
    folder, _ = audited
    (code,) = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "doubt.py").write_text(code)
    select = ["--suite", "toy", "--limit", "1", "--methods", "zero-shot,collapse", "--from", str(tmp_path)]
    rows = json.loads(call("audit", *select, "--audits", "doubt", "--json", cwd=folder).stdout)
    values = {row["method"]: row["value"] for row in rows}
    assert values["zero-shot"] == pytest.approx(0, abs=1e-5)
    assert values["collapse"] > 0.1
    listed = {
        item["name"]: item for item in json.loads(call("list", "audits", *select[-2:], "--json", cwd=folder).stdout)
    }
    assert listed["doubt"]["metrics"] == {"margin_drop": "loss of the mean top probability"}


def test_an_audit_that_fails_keeps_the_results_before_it(audited, tmp_path):
    folder, _ = audited
    (code,) = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "a.py").write_text(code.replace('name="doubt"', 'name="first"'))
    (tmp_path / "b.py").write_text(code.replace('name="doubt"', 'name="second"').replace("float(drop)", "float('nan')"))
    select = ["--suite", "toy", "--limit", "1", "--methods", "coin", "--from", str(tmp_path)]
    done = call("audit", *select, "--audits", "first,second", cwd=folder, status=1)
    assert "Failed: coin, forget filled, seed 1: ValueError: the metric 'margin_drop' of second is nan" in done.stderr
    assert "coin: 1 finished; audited:" in (status := call("status", *select, cwd=folder).stdout)
    assert "1 first" in status
    assert "second" not in status


def subject_of(folder: Path, label: str) -> Subject:
    run = next(run for run in Store(folder / "runs").runs() if run.label == label)
    return Subject(run, load_shared_backbone("emoji-clip", "cpu"), Catalogue([METHOD]))


def test_one_pass_reads_the_class_tokens_of_all_blocks(audited):
    subject = subject_of(audited[0], "prompt-tuning[epochs=1]")
    images, classifier = subject.images(ATTACK), subject.after.classifier
    pixels = torch.from_numpy(images.pixels[images.rows]).permute(0, 3, 1, 2)
    some = [subject.task.domains[place] for place in (2, 0)]
    chosen = np.isin(images.domains.astype(str), some)
    pixels = pixels[torch.from_numpy(chosen)]
    blocks = subject.after.blocks(ATTACK, some)
    assert blocks.shape == (classifier.image_depth, chosen.sum(), classifier.image_width)
    with torch.inference_mode():
        for layer, tokens in enumerate(blocks):
            assert np.allclose(tokens, classifier.block_features(pixels, layer)[:, 0].numpy(), atol=1e-4)
    assert not np.allclose(blocks[-1], subject.before.blocks(ATTACK, some)[-1], atol=1e-2)


def test_pools_are_disjoint_and_hold_nothing_that_was_shown(audited):
    subject = subject_of(audited[0], "zero-shot")
    shown = set(subject.data.rows.loc[subject.shown, "image"])
    test, attack = set(subject.images(TEST).names), set(subject.images(ATTACK).names)
    assert len(shown) == 96
    assert not shown & attack
    assert not test & (shown | attack)
    # 12 of the training split less 4 shots, and 8 of the validation split.
    assert len(attack) == 24 * 16


def test_corrupted_pixels_reach_features_on_both_sides(audited):
    subject = subject_of(audited[0], "prompt-tuning[epochs=1]")
    images = subject.images(ATTACK)
    dark = subject.with_pixels(images, np.zeros_like(images.pixels[images.rows]))
    for reader in (subject.before, subject.after):
        features = reader.read(dark).features
        assert np.allclose(features, features[0], atol=1e-5)
    assert not np.allclose(subject.after.read(images).features[0], subject.after.read(dark).features[0], atol=1e-2)


def test_a_copy_of_the_classifier_can_be_changed_alone(audited):
    subject = subject_of(audited[0], "flattened")
    copy = subject.rebuilt()
    with torch.no_grad():
        dict(copy.model.named_parameters())["visual.proj"].zero_()
    assert bool(dict(subject.after.classifier.model.named_parameters())["visual.proj"].any())


def test_the_seed_depends_on_task_and_audit_alone(audited):
    one, other = (subject_of(audited[0], label) for label in ("zero-shot", "coin"))
    assert one.seed("a") == other.seed("a") != one.seed("b")


def test_a_classifier_that_answers_otherwise_is_not_audited(audited, tmp_path):
    """The stored classifier of the domain gate stands in for one that was rebuilt wrongly."""
    folder, _ = audited
    shutil.copytree(folder / "runs", tmp_path / "runs")
    runs = {run.label: run for run in Store(tmp_path / "runs").runs()}
    wrong, right = runs["collapse"], runs["domain-gate"]
    shutil.copy(right.path / "method.safetensors", wrong.path / "method.safetensors")
    forge_run(wrong.path)
    with pytest.raises(UserError, match="could not be rebuilt exactly"):
        subject_of(tmp_path, "collapse").check()
    one = ["--suite", "toy", "--limit", "1", "--methods", "collapse", *UNTRAINED, "--force"]
    done = call("audit", *one, cwd=tmp_path, status=1)
    assert "could not be rebuilt exactly" in done.stderr
