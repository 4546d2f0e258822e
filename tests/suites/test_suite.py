from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from adu_bench.core.errors import UserError
from adu_bench.core.hashing import digest
from adu_bench.suites import load_suite, suite_names

ROOT = Path(__file__).parents[2]

GOOD = """title: "A suite"
dataset: toy
template: "a {}."
classes: [circle, star]
forget: {sizes: [1]}
shots: 2
seeds: [1]
backbone: emoji-clip
training: {batch: 8, precision: fp32}
methods: [paper]
"""


@pytest.fixture
def write(tmp_path):
    def made(text: str):
        path = tmp_path / "mine.yaml"
        path.write_text(text)
        return str(path)

    return made


def test_the_emoji_suite_has_all_proper_subsets():
    suite = load_suite("emoji")
    tasks = suite.tasks()
    assert [len(task.forget) for task in tasks] == [1] * 4 + [2] * 6 + [3] * 4
    assert len({task.forget for task in tasks}) == 14
    assert all(set(task.forget) | set(task.retain) == set(task.domains) for task in tasks)
    assert suite.seeds == (1, 2, 3)


@pytest.mark.parametrize(
    ("name", "images", "tasks"),
    [
        ("emoji", "e8f95909884a7831ce5f", "3ae3a35c246985c9393d"),
        ("emoji-mini", "e8f95909884a7831ce5f", "d2a7c092e81c0c10a132"),
        ("toy", "80f7d5cb1eb0874ec682", "bba3f5d016ac67137d91"),
    ],
)
def test_the_shipped_suites_keep_their_tasks(name, images, tasks):
    """Committed rows and finished runs are named by these digests; an intended change is made here as well."""
    suite = load_suite(name)
    assert {task.data_hash for task in suite.tasks()} == {images}
    assert digest([task.to_dict() for task in suite.tasks()]) == tasks


def test_the_mini_suite_is_part_of_the_whole():
    whole, mini = load_suite("emoji"), load_suite("emoji-mini")
    assert set(mini.tasks()) <= set(whole.tasks())
    assert (mini.training, mini.budget, mini.settings) == (whole.training, whole.budget, whole.settings)


def test_few_classes_cannot_be_split():
    suite = load_suite("emoji")
    assert len(replace(suite, classes=suite.classes[:4]).split(0).held_out) == 2
    with pytest.raises(UserError, match="The 3 classes of 'emoji' cannot be split"):
        replace(suite, classes=suite.classes[:3]).split(0)


@pytest.mark.parametrize("name", ["emoji", "pacs-small"])
def test_settings_are_those_that_tuning_chose(name):
    """The control, which forgets nothing, has the settings of the method that adds a gate to it."""
    chosen = yaml.safe_load((ROOT / "reports/tuning/emoji-mini/settings.yaml").read_text())
    assert load_suite(name).settings == chosen | {"prompt-tuning": chosen["gate-prompt-tuning"]}


@pytest.mark.parametrize("name", suite_names())
def test_shipped_suites_load(name):
    assert load_suite(name).forget


def test_a_good_suite_loads_and_the_class_set_is_part_of_the_hash(write):
    suite = load_suite(write(GOOD))
    assert suite.classes == ("circle", "star")
    other = load_suite(write(GOOD.replace("[circle, star]", "[circle, square]")))
    assert other.data_hash != suite.data_hash


def test_class_sets(write, tmp_path):
    (tmp_path / "names.txt").write_text("star\n\ncircle\n")
    assert load_suite(write(GOOD.replace("[circle, star]", "{file: names.txt}"))).classes == ("star", "circle")
    assert len(load_suite(write(GOOD.replace("[circle, star]", "{first: 3}"))).classes) == 3
    assert len(load_suite(write(GOOD.replace("[circle, star]", "all"))).classes) == 6


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (("shots: 2", "shots: two"), r"line 6: 'shots' is wrong. 'two' is not an integer"),
        (("shots: 2", "shots: 0"), r"0 is below 1"),
        (("shots: 2", "shots: yes"), r"True is not an integer"),
        (("sizes: [1]", "sizes: [4]"), r"line 5.*must forget at least one domain and retain at least one"),
        (("sizes: [1]", "sizes: [0]"), r"must forget at least one domain"),
        (("{sizes: [1]}", "[[filled, bronze]]"), r"'bronze' is not a domain"),
        (("{sizes: [1]}", "[]"), r"has no forget set"),
        (("[circle, star]", "[circle, starr]"), r"'starr' is not a class of the data set. Did you mean star"),
        (("[circle, star]", "[circle, circle]"), r"two different names"),
        (("seeds: [1]", "seed: [1]"), r"no 'seeds'"),
        (("seeds: [1]", "seeds: [yes]"), r"line 7: 'seeds' is wrong"),
        (("seeds: [1]", "seeds: [1, 2, 1]"), r"line 7: 'seeds' is wrong. Seeds are different whole numbers"),
        (("seeds: [1]", "seeds: [-1]"), r"line 7: 'seeds' is wrong. Seeds are different whole numbers"),
        (("seeds: [1]", "seeds: [.nan]"), r"line 7: 'seeds' is wrong"),
        (("shots: 2", "shots: .nan"), r"line 6: 'shots' is wrong"),
        (("shots: 2", "shots: -2"), r"-2 is below 1"),
        (("batch: 8", "batch: 0"), r"line 9: 'training' is wrong"),
        (("batch: 8", "batch: yes"), r"line 9: 'training' is wrong"),
        (("batch: 8", "batch: .inf"), r"line 9: 'training' is wrong"),
        (("sizes: [1]", "sizes: [1, 1]"), r"line 5: 'forget' is wrong. 'filled' is named twice"),
        (("sizes: [1]", "sizes: [yes]"), r"line 5: 'forget' is wrong"),
        (("{sizes: [1]}", "[[filled, outline], [outline, filled]]"), r"'filled, outline' is named twice"),
        (("{sizes: [1]}", "[[filled, filled]]"), r"'filled' is named twice"),
        (("[circle, star]", "{first: -1}"), r"line 4: 'classes' is wrong"),
        (("[circle, star]", "{first: yes}"), r"line 4: 'classes' is wrong"),
        (("methods: [paper]", "methods: [paper]\nsettings: {adu: 3}"), r"Write adu: {field: value}"),
        (
            ("methods: [paper]", "methods: [paper]\nstudies: {s: [{methods: [adu], shots: [yes]}]}"),
            r"'studies' is wrong",
        ),
        (
            ("methods: [paper]", "methods: [paper]\nstudies: {s: [{methods: [adu], shots: [2, 2]}]}"),
            r"has a value twice",
        ),
        (
            ('a {}."', 'a {}."\ndomain_template: "in ink"'),
            r"line 4: 'domain_template' .* exactly one {} for the domain",
        ),
        *(
            (("methods: [paper]", f"methods: [paper]\nstudies: {{s: [{{methods: [adu], {text}}}]}}"), complaint)
            for text, complaint in (
                ("wrong: [0.1, 1.5]", r"line 11: .* wrong has a value that is not a share in 0..1"),
                ("missing-words: [-0.1]", r"missing-words has a value that is not a share"),
                ("missing-kmeans: [.nan]", r"missing-kmeans has a value that is not a share"),
                ("dropped-forget: [yes]", r"dropped-forget has a value that is not a share"),
                ("dropped-retain: [half]", r"dropped-retain has a value that is not a share"),
                ("wrong: [0, 0.0]", r"wrong has a value twice"),
                ("wrong: [0.1], shots: [1]", r"at most one variable"),
                ("splits: 0", r"Splits is a whole number from 1 to 100"),
                ("splits: yes", r"Splits is a whole number from 1 to 100"),
                ("splits: 101", r"Splits is a whole number from 1 to 100"),
                ("forget: {sizes: [4]}", r"'studies' is wrong"),
            )
        ),
        (
            ("methods: [paper]", "methods: [paper]\nshoots: 3"),
            r"line 11: 'shoots' is wrong. There is no such entry. Did you mean shots",
        ),
        (("dataset: toy", "dataset: tory"), r"no data set called 'tory'"),
        (('"a {}."', '"a picture"'), r"exactly one {} for the class name"),
        (("precision: fp32", "precision: fp8"), r"line 9: 'training' is wrong"),
        (("{batch: 8", "{batch: [8"), r"malformed, line"),
        (("shots: 2", "shots: 2\nshots: 3"), r"malformed, line 7\. The key 'shots' is there twice"),
        (("batch: 8", "batch: 8, batch: 9"), r"malformed, line 9\. The key 'batch' is there twice"),
        (("methods: [paper]", "methods: [paper]\nbudget: {1: 2, 0x1: 2}"), r"line 11\. The key '0x1' is there twice"),
        (("dataset: toy", "dataset: 2001-99-99"), r"is malformed"),
        (("dataset: toy", f"dataset: {'[' * 3000}"), r"is malformed"),
        (("sizes: [1]", "sizes: [-1]"), r"must forget at least one domain"),
        (("methods: [paper]", "methods: [paper]\nblocks: {ablation: 3}"), r"line 11: 'blocks' is wrong"),
        (("methods: [paper]", "methods: [paper]\nstudies: {shots: 3}"), r"line 11: 'studies' is wrong"),
        (("[circle, star]", "{file: mine.yaml.gz}"), r"line 4: 'classes' is wrong"),
    ],
)
def test_malformed_suites_are_refused_with_the_line(write, tmp_path, change, complaint):
    (tmp_path / "mine.yaml.gz").write_bytes(b"\x1f\x8b\xff")
    with pytest.raises(UserError, match=complaint):
        load_suite(write(GOOD.replace(*change)))


@pytest.mark.parametrize("seeds", [(1, 1), (-1,), (), (1.0,), (float("nan"),), (True,)])
def test_impossible_seeds_are_refused_however_they_are_given(seeds):
    with pytest.raises(UserError, match="not valid seeds"):
        load_suite("toy").with_seeds(seeds)
    assert load_suite("toy").with_seeds((0, 3)).seeds == (0, 3)


def test_sizes_are_given_once():
    with pytest.raises(UserError, match="Give --sizes 1,2"):
        load_suite("toy").with_sizes([2, 1, 2])
    assert [len(forget) for forget in load_suite("toy").with_sizes([2, 1]).forget] == [1] * 4 + [2] * 6


def test_a_file_that_is_not_text_is_refused(tmp_path):
    (tmp_path / "mine.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="not text"):
        load_suite(str(tmp_path / "mine.yaml"))


def test_unknown_suites_are_refused():
    with pytest.raises(UserError, match="Did you mean emoji"):
        load_suite("emoij")
    with pytest.raises(UserError, match=r"no suite called 'missing\.yaml'"):
        load_suite("missing.yaml")


@pytest.mark.parametrize("name", ["emoji", "toy"])
def test_splits_are_complementary_halves_that_later_splits_leave_alone(name):
    suite = load_suite(name)
    half = len(suite.classes) // 2
    splits = [suite.split(number) for number in range(4)]
    for split in splits:
        assert len(split.classes) == len(split.held_out) == half
        assert not set(split.classes) & set(split.held_out)
        in_order = [kind for kind in suite.classes if kind in split.classes]
        assert list(split.classes) == in_order
    assert (splits[0].classes, splits[0].held_out) == (splits[1].held_out, splits[1].classes)
    assert splits[2].classes not in (splits[0].classes, splits[0].held_out)


def test_held_out_classes_are_part_of_a_tasks_hash_and_of_its_images():
    whole, split = load_suite("toy"), load_suite("toy").split(0)
    seen = replace(split, held_out=())
    assert split.data_hash == whole.data_hash != seen.data_hash
    assert digest(split.tasks()[0].to_dict()) != digest(seen.tasks()[0].to_dict())
    assert {task.held_out for task in split.tasks()} == {split.held_out}


def test_the_page_on_the_protocol_says_how_suites_compute():
    page = " ".join((ROOT / "docs" / "protocol.md").read_text(encoding="utf-8").split())
    assert "`toy`, `pacs-small` and the emoji suites compute in fp32, `pacs` and `folder` in tf32" in page
    assert "The others train in bf16 and evaluate in tf32." in page
    named = {
        "toy": "fp32",
        "pacs-small": "fp32",
        "emoji": "fp32",
        "emoji-mini": "fp32",
        "pacs": "tf32",
        "folder": "tf32",
    }
    for path in sorted((ROOT / "adu_bench" / "resources" / "suites").glob("*.yaml")):
        training = yaml.safe_load(path.read_text(encoding="utf-8")).get("training")
        if training:  # a suite that extends another one has its training
            expected = named.get(path.stem, "bf16")
            assert (training["precision"], training.get("evaluation", "fp32")) == (
                expected,
                "fp32" if expected == "fp32" else "tf32",
            )
