"""From miniature trees of every layout to prepared data sets, with the known defects planted."""

from __future__ import annotations

import re
import shutil
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from adu_bench.core.errors import UserError
from adu_bench.core.specs import Task
from adu_bench.data import prepared
from adu_bench.data.index import task_rows
from adu_bench.data.names import look_alike
from adu_bench.data.prepare.build import prepare, verify
from adu_bench.data.prepare.description import describe, described, plain
from adu_bench.data.prepare.pools import assign, candidates
from adu_bench.data.prepare.table import MOST_ROWS
from adu_bench.data.sampler import draw_shots
from adu_bench.data.sources import open_source, outline
from adu_bench.suites import load_suite

from .trees import grow, image_bytes, packed, put, write_lists

PACS = Path(__file__).parents[3] / "shared" / "data" / "pacs"


@pytest.fixture(autouse=True)
def data(tmp_path, monkeypatch):
    folder = tmp_path / "data"
    monkeypatch.setenv("ADU_BENCH_DATA", str(folder))
    return folder


@pytest.fixture
def tree(tmp_path):
    return tmp_path / "tree"


def counts(name: str) -> dict[str, int]:
    return prepared.require(name).read_index()["pool"].value_counts().to_dict()


OFFICE = ("Art", "Clipart", "Product", "Real World")
SOME = ("Alarm_Clock", "TV", "ToothBrush")


def office(root: Path, domains=OFFICE, classes=SOME) -> Path:
    for domain, label in product(domains, classes):
        for number in range(6):
            target = root / domain / label / f"{number:05d}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(image_bytes(f"{plain(domain)} {plain(label)} {number}"))
    return root


def test_the_same_images_give_the_same_tasks_whatever_the_layout_and_place(tmp_path):
    hashes = set()
    other_names = ("art", "clipart", "product", "real_world"), ("alarm clock", "tv", "Toothbrush")
    for place in (
        office(tmp_path / "one"),
        office(tmp_path / "two" / "OfficeHomeDataset_10072016" / "inside").parents[1],
        office(tmp_path / "three", *other_names),
        packed(office(tmp_path / "four"), tmp_path / "OfficeHomeDataset_10072016.zip"),
    ):
        made = prepare("officehome", place, partial=True)
        hashes.add((made.data_hash, load_suite("officehome").data_hash, tuple(load_suite("officehome").tasks())))
    assert len(hashes) == 1
    assert made.classes == ("alarm clock", "toothbrush", "tv")
    # A fifth of six images is one; a fifth of the remaining five is one.
    assert counts("officehome") == {"train": 48, "validation": 12, "test": 12}


def test_a_folder_with_the_official_archive_is_unpacked(tmp_path):
    packed(office(tmp_path / "tree"), tmp_path / "OfficeHomeDataset_10072016.zip")
    first = prepare("officehome", tmp_path, partial=True)
    assert first.root.is_relative_to(first.folder)
    assert prepare("officehome", tmp_path, partial=True) == first


def test_a_refused_data_set_leaves_nothing_behind(tmp_path, data):
    packed(office(tmp_path / "tree"), tmp_path / "OfficeHomeDataset_10072016.zip")
    with pytest.raises(UserError, match="differs from the published"):
        prepare("officehome", tmp_path)
    assert not data.exists()
    made = prepare("officehome", tmp_path, partial=True)
    there = sorted(data.rglob("*"))
    assert {path.name for path in data.iterdir()} == {"officehome"}  # and no lock
    with pytest.raises(UserError, match="differs from the published"):
        prepare("officehome", tmp_path)
    assert sorted(data.rglob("*")) == there
    assert prepared.read("officehome") == made


def test_dassls_folders_are_the_published_split(tree):
    for domain in ("art", "clipart", "product", "real_world"):
        grow(tree, (f"office_home_dg/{domain}/train/{label}" for label in SOME), 10)
        grow(tree, (f"office_home_dg/{domain}/val/{label}" for label in SOME), 3, start=10)
    made = prepare("officehome", tree, partial=True)
    assert made.layout.startswith("split folders; as published")
    assert counts("officehome") == {"train": 96, "validation": 24, "test": 36}


def test_names_that_train_and_test_folders_share_are_told_apart(tree):
    for domain in ("art", "clipart", "product", "real_world"):
        grow(tree, (f"{domain}/{split}/{label}" for split in ("train", "val") for label in SOME), 5)
    prepare("officehome", tree, partial=True)
    index = prepared.require("officehome").read_index()
    assert index["image"].is_unique
    assert len(index) == 120


DOMAINNET = ("clipart", "infograph", "painting", "quickdraw", "real", "sketch")


def domainnet(root: Path, domains=DOMAINNET, folder: str = ".", classes=("train", "t-shirt", "ant")) -> Path:
    """Grow DomainNet's layout: a class called train, and no painted t-shirt for training."""
    for domain in domains:
        grow(root, (f"{domain}/{label}" for label in classes), 12)
        paths = {label: [f"{domain}/{label}/{number:03d}.png" for number in range(12)] for label in classes}
        kept = [label for label in classes if (domain, label) != ("painting", "t-shirt")]
        write_lists(
            root / folder,
            domain,
            {
                "train": [path for label in kept for path in paths[label][:8]],
                "test": [path for label in classes for path in paths[label][8:]],
            },
        )
    return root


def test_domainnet_lacks_the_painted_tshirt_and_has_a_class_called_train(tree):
    made = prepare("domainnet", domainnet(tree), partial=True)
    assert made.classes == ("ant", "t-shirt", "train")
    assert any("t-shirt (class 327)" in note for note in made.notes)
    index = made.read_index()
    pairs = index[index["pool"] == "train"].groupby(["domain", "label"]).size()
    assert ("painting", "t-shirt") not in pairs.index
    assert len(pairs) == 17
    (task, *_) = load_suite("domainnet").tasks()
    drawn = draw_shots(task_rows(index, task.domains, task.classes), task, 1)
    assert len(drawn) == 17 * 8


def test_domainnets_archives_may_lie_packed_beside_the_lists(tmp_path, tree):
    loose = prepare("domainnet", domainnet(tree), partial=True)
    for domain in DOMAINNET:
        inside = tmp_path / "inside"
        shutil.move(tree / domain, inside / domain)
        packed(inside, tree / f"{domain}.zip")
    again = prepare("domainnet", tree, partial=True)
    assert again.data_hash == loose.data_hash
    assert again.root.is_relative_to(again.folder)


def test_domainnet_and_its_mini_version_take_their_own_lists_from_one_folder(tree):
    domainnet(tree, folder="splits")
    mini = ("clipart", "painting", "real", "sketch")
    for domain in mini:
        paths = [f"{domain}/{label}/{number:03d}.png" for label in ("train", "ant") for number in range(12)]
        write_lists(
            tree / "splits_mini", domain, {"train": paths[:6] + paths[12:18], "test": paths[6:8] + paths[18:20]}
        )
    whole, small = prepare("domainnet", tree, partial=True), prepare("minidomainnet", tree, partial=True)
    assert (whole.domains, small.domains) == (DOMAINNET, mini)
    assert small.classes == ("ant", "train")
    assert counts("minidomainnet")["test"] == 16


def test_numbers_in_lists_do_not_matter_for_two_orders_of_classes_are_in_use(tmp_path):
    hashes = set()
    for order in (sorted(SOME), sorted(SOME, key=str.casefold)):
        root = office(tmp_path / order[1])
        for domain in OFFICE:
            paths = [f"{domain}/{label}/{number:05d}.png" for label in SOME for number in range(6)]
            held = paths[5::6]
            numbers = {name: number for number, name in enumerate(order)}
            write_lists(root, domain, {"train": sorted({*paths} - {*held}), "val": held}, numbers)
        made = prepare("officehome", root, partial=True)
        assert made.layout == "lists; as published"
        hashes.add(made.data_hash)
    assert sorted(SOME) != sorted(SOME, key=str.casefold)
    assert len(hashes) == 1


def test_what_lists_name_and_is_not_there_is_said(tree):
    domainnet(tree)
    (tree / "real/ant/003.png").unlink()
    with pytest.raises(UserError, match=r"1 listed image missing: real/ant/003\.png"):
        prepare("domainnet", tree)
    assert "1 listed image missing" in " ".join(prepare("domainnet", tree, partial=True).notes)


def test_needed_lists_and_domains_that_are_not_there_are_named(tree):
    domainnet(tree, DOMAINNET[:4])
    with pytest.raises(UserError, match=r"2 of the 6 domains of 'domainnet' are not in .*: real, sketch"):
        prepare("domainnet", tree)
    grow(tree, ("real/ant", "sketch/ant"))
    with pytest.raises(UserError, match=r"no lists for real, sketch"):
        prepare("domainnet", tree)
    for path in tree.glob("*.txt"):
        path.unlink()
    with pytest.raises(UserError, match=r"lists of 'domainnet' are not in .*clipart_train\.txt"):
        prepare("domainnet", tree)


def test_two_copies_or_two_different_lists_are_refused(tree):
    office(tree / "one")
    office(tree / "two")
    with pytest.raises(UserError, match="was found 2 times"):
        prepare("officehome", tree)
    shutil.rmtree(tree)
    domainnet(tree)
    write_lists(tree / "splits", "real", {"test": ["real/ant/000.png"]})
    with pytest.raises(UserError, match=r"two different lists 'real_test\.txt'"):
        prepare("domainnet", tree)


def test_pacs_takes_cross_validation_for_test_since_its_test_lists_hold_training_images(tree):
    for domain in ("art_painting", "cartoon", "photo", "sketch"):
        grow(tree, (f"images/{domain}/{label}" for label in ("dog", "house")), 8)
        paths = [f"{domain}/{label}/{number:03d}.png" for label in ("dog", "house") for number in range(8)]
        train, held = [p for p in paths if p[-5] not in "67"], [p for p in paths if p[-5] in "67"]
        if domain == "sketch":
            train.append("sketch/dog/n02103406_4068-1.png")  # listed, known not to exist
        write_lists(tree / "splits", domain, {"train_kfold": train, "crossval_kfold": held, "test_kfold": paths})
    made = prepare("pacs", tree, partial=True)
    assert counts("pacs") == {"train": 40, "validation": 8, "test": 16}
    assert made.dropped == ()


def test_numbered_and_named_class_folders_are_the_same_classes(tmp_path):
    names = ("bird", "car", "chair", "dog", "person")
    for root, domains, folders in (
        (tmp_path / "dassl", ("CALTECH", "LABELME", "PASCAL", "SUN"), "01234"),
        (tmp_path / "bed", ("Caltech101", "LabelMe", "VOC2007", "SUN09"), names),
    ):
        for (number, domain), (place, folder) in product(enumerate(domains), enumerate(folders)):
            for split, few in (("train", range(5)), ("test", range(5, 7)), ("full", range(7))):
                for one in few:
                    target = root / domain / split / folder / f"{one}.jpg"
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(image_bytes(f"{number} {place} {one}"))
    hashes = {prepare("vlcs", root, partial=True).data_hash for root in (tmp_path / "dassl", tmp_path / "bed")}
    assert len(hashes) == 1
    assert prepared.require("vlcs").classes == names
    assert counts("vlcs") == {"train": 80, "validation": 20, "test": 40}


def test_imagenet_splits_sketches_as_scikit_learn_does_and_caps_candidates(tree):
    from sklearn.model_selection import train_test_split

    wordnet = ("n01440764", "n01443537")
    grow(tree, (f"imagenet/images/train/{label}" for label in wordnet), 66)
    grow(tree, (f"imagenet/images/val/{label}" for label in wordnet), 3, start=100)
    grow(tree, (f"imagenet-sketch/images/{label}" for label in wordnet), 10)
    made = prepare("imagenet", tree, partial=True)
    index = made.read_index()
    assert made.classes == ("goldfish", "tench")
    photographs = index[index["domain"] == "real"].groupby(["label", "pool"]).size()
    assert photographs["tench"].to_dict() == {"train": 60, "test": 3, "validation": 4}
    sketches = index[index["domain"] == "sketch"].sort_values("image")
    _, test = train_test_split(sketches["image"], test_size=0.2, stratify=sketches["label"], random_state=42)
    assert set(sketches.loc[sketches["pool"] == "test", "image"]) == set(test)


def test_imagenet_v2_numbers_classes_among_all_thousand(tree):
    goldfish = "n01443537"
    shark = list(describe("imagenet-variants").folders).index("n01484850")
    for folder in ("imagenet/images/train", "imagenet-sketch", "imagenet-r"):
        grow(tree, (f"{folder}/{label}" for label in (goldfish, "n01484850", "n01440764")), 10)
    grow(tree, (f"imagenet/images/val/{label}" for label in (goldfish, "n01484850")), 2, start=50)
    grow(tree, (f"imagenetv2-matched-frequency-format-val/{number}" for number in (0, 1, shark)), 10)
    made = prepare("imagenet-variants", tree, partial=True)
    # The tench, class 0, is not among ImageNet-R's classes.
    assert made.classes == ("goldfish", "great white shark")
    assert set(made.read_index().query("domain == 'v2'")["label"]) == set(made.classes)


def test_published_counts_are_checked(tree):
    office(tree, classes=list(describe("officehome").folders))
    with pytest.raises(
        UserError, match=r"(?s)differs from the published data set.*art: 390 images instead of 2,427.*--partial"
    ):
        prepare("officehome", tree)
    assert prepared.read("officehome") is None
    assert "390 images instead of 2,427" in " ".join(prepare("officehome", tree, partial=True).notes)


def test_a_class_or_domain_without_images_is_not_passed_over(tree):
    for domain in ("art", "clipart", "product", "real_world"):
        grow(tree, (f"{domain}/{split}/Bed" for split in ("train", "val")), 5)
    with pytest.raises(UserError, match=r"no images of 64 classes: alarm clock, .* and 54 more"):
        prepare("officehome", tree)
    for path in (tree / "art").rglob("*.png"):
        path.unlink()
    with pytest.raises(UserError, match="'art' has no training images"):
        prepare("officehome", tree, partial=True)


def test_a_duplicate_across_train_and_test_is_dropped_from_training(tree):
    domainnet(tree)
    (tree / "real/ant/000.png").write_bytes((tree / "real/ant/011.png").read_bytes())
    # Also where the twin has another class and domain.
    (tree / "clipart/ant/001.png").write_bytes((tree / "sketch/train/010.png").read_bytes())
    made = prepare("domainnet", tree, partial=True)
    assert sorted(made.dropped) == ["clipart/ant/001.png", "real/ant/000.png"]
    assert "2 training images left out, since the same image is held out" in " ".join(made.notes)
    index = made.read_index()
    held = set(index.loc[index["pool"] == "test", "sha256"])
    assert not held & set(index.loc[index["pool"] != "test", "sha256"])


def own(root: Path, count: int = 10) -> Path:
    grow(root, (f"{domain}/{label}" for domain in ("day", "night") for label in ("big_cat", "dog")), count)
    return root


def test_a_folder_of_own_images_is_a_suite(tree):
    made = prepare("mine", own(tree))
    assert (made.domains, made.classes) == (("day", "night"), ("big cat", "dog"))
    assert counts("mine") == {"train": 28, "validation": 4, "test": 8}
    suite = load_suite("mine")
    assert [task.forget for task in suite.tasks()] == [("day",), ("night",)]
    assert (suite.dataset, suite.shots, suite.backbone) == ("mine", 8, "ViT-B-16-quickgelu:openai")
    assert np.asarray(open_source("mine").master(0)).shape == (4, 4, 3)


def test_a_suite_file_may_extend_the_pattern_of_own_images(tree, tmp_path):
    prepare("mine", own(tree))
    path = tmp_path / "my-suite.yaml"
    path.write_text("extends: folder\ntitle: Mine\ndataset: mine\nshots: 2\n")
    suite = load_suite(str(path))
    assert (suite.shots, suite.title) == (2, "Mine")
    assert suite.data_hash == load_suite("mine").data_hash


def test_split_folders_and_wrapping_folders_of_own_images(tree):
    for split, few in (("train", 6), ("val", 2), ("test", 3)):
        domains = product(("day", "night"), ("cat", "dog"))
        grow(tree, (f"wrapped/{domain}/{split}/{label}" for domain, label in domains), few)
    made = prepare("mine", packed(tree, tree.with_suffix(".zip")))
    assert made.domains == ("day", "night")
    assert counts("mine") == {"train": 24, "validation": 8, "test": 12}


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
@pytest.mark.parametrize("split", [False, True])
def test_an_index_file_of_own_images(tree, ending, split):
    own(tree)
    paths = sorted(path.relative_to(tree).as_posix() for path in tree.rglob("*.png"))
    table = pd.DataFrame(
        [(path, path.split("/")[0], path.split("/")[1]) for path in paths], columns=["path", "domain", "class"]
    )
    if split:
        table["split"] = ["test" if path[-5] in "12" else "train" for path in paths]
    file = tree / f"images{ending}"
    table.to_csv(file, index=False) if ending == ".csv" else table.to_parquet(file)
    made = prepare("mine", file)
    index = made.read_index()
    tests = set(index.loc[index["pool"] == "test", "path"])
    assert len(tests) == 8
    assert (tests == {path for path in paths if path[-5] in "12"}) is split
    assert (made.root / index["path"][0]).is_file()


def test_words_for_nothing_are_names_and_backslashes_separate_folders(tree):
    """Spreadsheets of Windows write backslashes; classes may be called NA or none."""
    own(tree)
    paths = sorted(path.relative_to(tree) for path in tree.rglob("*.png"))
    names = {"dog": "NA", "big_cat": "none"}
    lines = [f"{path.parts[0]}\\{path.parts[1]}\\{path.name},{path.parts[0]},{names[path.parts[1]]}" for path in paths]
    (tree / "index.csv").write_text("\n".join(["path,domain,class", *lines]))
    made = prepare("mine", tree / "index.csv")
    assert set(made.read_index()["label"]) == {"NA", "none"}


@pytest.mark.parametrize("text", ["a" * 100_000, "a"])
def test_a_small_parquet_file_of_a_large_table_is_refused(tree, text):
    """Repeated texts take no room in the file, but would in memory."""
    tree.mkdir()
    rows = 20_000 if len(text) > 1 else MOST_ROWS + 1
    column = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int8)), pa.array([text]))
    pq.write_table(pa.table({"path": column, "domain": column, "class": column}), tree / "index.parquet")
    assert (tree / "index.parquet").stat().st_size < 1_000_000
    with pytest.raises(UserError, match=r"at most 10,000,000 are read|more than 4,096 bytes|declares"):
        prepare("mine", tree / "index.parquet")


def test_bad_index_files_are_refused(tree):
    own(tree)
    file = tree / "index.csv"
    for text, complaint in (
        ("path,domain\nday/dog/000.png,day\n", "lacks the column class"),
        ("path,domain,class\n", "lists no image"),
        ("path,domain,class,label\nday/dog/000.png,day,dog,dog\n", "columns class and label"),
        ("path,domain,class,class\nday/dog/000.png,day,dog,cat\n", "columns class and class"),
        ("path,path,path,domain,class\na,b,c,day,dog\n", "All are names of one thing"),
        ("path,domain,class\nday/dog/000.png,day,dog\nday/dog/001.png,day,\n", "no class in row 2"),
        ("path,domain,class\na.png,day,dog\nb.png,day,dog\na.png,day,dog\n", "in row 1 and in row 3"),
        ("path,domain,class\na.png,day,dog\nb.png,day,cat\n", r"None of the 2 images .* The first is '.*a\.png'"),
        ("path,domain,class,split\nday/dog/000.png,day,dog,maybe\n", "has a split 'maybe'"),
        ("path,domain,class\nday/dog/000.png,day,dog\n", "one domain"),
    ):
        file.write_text(text)
        with pytest.raises(UserError, match=complaint):
            prepare("mine", file)
    for content in (b"\xff\xfe\x00", b"", b'path,domain,class\n"a', b"path,domain,class\na,day/dog/000.png,day,dog\n"):
        file.write_bytes(content)
        with pytest.raises(UserError, match="cannot be read as a table"):
            prepare("mine", file)
    file.write_text(
        "path,domain,class\nday/dog/000.png,day,dog\nnight/dog/nine.png,night,cat\nnight/dog/000.png,night,cat\n"
    )
    with pytest.raises(UserError, match=r"1 listed image missing: .*nine\.png"):
        prepare("mine", file)


def test_folders_that_cannot_make_a_task_are_refused_with_the_reason(tree):
    with pytest.raises(UserError, match="does not exist"):
        prepare("mine", tree)
    grow(tree, ("cat", "dog"))
    with pytest.raises(UserError, match="no domain"):
        prepare("mine", tree)
    shutil.rmtree(tree)
    grow(tree, ("day/cat", "night/cat"))
    with pytest.raises(UserError, match=r"one class \(cat\)"):
        prepare("mine", tree)
    grow(tree, ("day/dog",))
    grow(tree, ("night/dog", "dusk/dog"), 3)
    with pytest.raises(UserError, match=r"'dusk' has no validation images\. .*five training images"):
        prepare("mine", tree)
    assert prepared.read("mine") is None


def test_classes_with_fewer_images_than_shots_are_drawn_with_repeats(tree):
    grow(own(tree), ("day/mouse",), 4)
    prepare("mine", tree)
    (task, *_) = load_suite("mine").tasks()
    rows = task_rows(open_source("mine").index, task.domains, task.classes)
    drawn = rows.loc[draw_shots(rows, task, 1)]
    mice = drawn[drawn["label"] == "mouse"]
    assert len(mice) == 8
    assert mice["image"].nunique() == 3
    assert set(mice["domain"]) == {"day"}


def test_bad_images_stop_it_all_at_once_or_are_left_out_and_recorded(tree):
    own(tree)
    whole = prepare("mine", tree)
    (tree / "day/dog/001.png").write_bytes(b"not an image")
    (tree / "night/dog/002.png").write_bytes(image_bytes("x")[:40])
    with pytest.raises(
        UserError, match=r"(?s)2 images cannot be read.*day/dog/001\.png: .*; night/dog/002\.png: .*--skip-bad"
    ):
        prepare("mine", tree)
    assert prepared.require("mine") == whole
    made = prepare("mine", tree, skip_bad=True)
    assert made.skipped == ("day/dog/001.png", "night/dog/002.png")
    assert made.data_hash != whole.data_hash
    assert "2 images left out, since they cannot be read" in " ".join(made.notes)


def test_an_interrupted_preparation_leaves_what_was_there(tree, monkeypatch):
    before = prepare("mine", own(tree))
    put(tree, "day/dog/new.png")

    def stopped(*_arguments, **_options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(pd.DataFrame, "to_parquet", stopped)
        with pytest.raises(KeyboardInterrupt):
            prepare("mine", tree)
    assert prepared.require("mine") == before
    assert {path.name for path in before.folder.iterdir()} == {before.index_file.name, "dataset.json"}
    assert prepare("mine", tree).data_hash != before.data_hash


def test_verify_says_what_changed(tree):
    prepare("mine", own(tree))
    assert verify("mine").missing == verify("mine").changed == ()
    (tree / "day/dog/001.png").write_bytes(image_bytes("another"))
    (tree / "night/dog/002.png").unlink()
    changes = verify("mine")
    assert (changes.changed, changes.missing, changes.count) == (("day/dog/001.png",), ("night/dog/002.png",), 40)


def test_a_damaged_record_is_named(tree):
    made = prepare("mine", own(tree))
    (made.folder / "dataset.json").write_text('{"format": 99}')
    with pytest.raises(UserError, match="cannot be used"):
        prepared.read("mine")


def test_a_data_set_prepared_before_the_pools_were_renamed_is_refused(tree):
    made = prepare("mine", own(tree))
    record = made.folder / "dataset.json"
    record.write_text(record.read_text().replace('"format": 3', '"format": 1'))
    with pytest.raises(
        UserError, match=r"format 1, and this version .* format 3.*Prepare it again: adu-bench data prepare"
    ):
        prepared.read("mine")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("hot_dog", "hot dog"),
        ("hot_dog", "Hot-Dog"),
        ("Dog", "dog"),
        ("caf\u00e9", "cafe"),
        ("caf\u00e9", "cafe\u0301"),
    ],
)
def test_two_folders_of_one_class_in_a_domain_are_not_merged(tree, first, second):
    grow(own(tree), (f"day/{first}", f"day/{second}"))
    with pytest.raises(UserError, match="hold the same class") as caught:
        prepare("mine", tree)
    assert {first, second} == set(re.findall("'([^'/]+)'", caught.value.what)[:2])


@pytest.mark.parametrize(("first", "second"), [("Cat", "cat"), ("hot_dog", "hot dog"), ("\u00c9lan", "elan")])
def test_a_class_that_domains_spell_differently_is_refused(tree, first, second):
    grow(own(tree), (f"day/{first}", f"night/{second}"))
    with pytest.raises(UserError, match="the same class name in two spellings") as caught:
        prepare("mine", tree)
    assert f"'{first}' in day" in caught.value.what
    assert f"'{second}' in night" in caught.value.what
    assert prepared.read("mine") is None


def test_an_index_with_a_class_in_two_spellings_is_refused(tree):
    own(tree)
    paths = sorted(path.relative_to(tree).as_posix() for path in tree.rglob("*.png"))
    rows = [(path, path.split("/")[0], path.split("/")[1]) for path in paths]
    rows = [(path, domain, "Dog" if label == "dog" and domain == "day" else label) for path, domain, label in rows]
    pd.DataFrame(rows, columns=["path", "domain", "class"]).to_csv(tree / "index.csv", index=False)
    with pytest.raises(UserError, match="'Dog' in day and 'dog' in night"):
        prepare("mine", tree / "index.csv")


def test_domains_in_two_spellings_are_refused(tree):
    grow(own(tree), ("Night/dog", "Night/big_cat"))
    with pytest.raises(UserError, match="'Night' and 'night' are the same domain name"):
        prepare("mine", tree)


def test_names_are_composed_so_that_file_systems_agree(tree):
    grow(
        tree,
        (f"{domain}/{label}" for domain in ("day", "nuit e\u0301toile\u0301e") for label in ("cafe\u0301", "dog")),
        10,
    )
    made = prepare("mine", tree)
    assert made.domains == ("day", "nuit \u00e9toil\u00e9e")
    assert made.classes == ("caf\u00e9", "dog")
    assert load_suite("mine").classes == made.classes


def test_gaps_and_doubtful_images_are_named_with_counts(tree):
    grow(own(tree), ("day/mouse",), 10)
    grow(tree, ("night/bat",), 1)
    (tree / "day/dog/000.png").write_bytes((tree / "day/big_cat/000.png").read_bytes())
    exif = Image.Exif()
    exif[0x0112] = 8
    Image.new("RGB", (9, 5), (7, 7, 7)).save(tree / "night/dog/003.jpg", exif=exif)
    notes = prepare("mine", tree).notes
    assert "2 classes without images in a domain: day/bat, night/mouse." in notes
    assert "1 class without test images in a domain: night/bat." in notes
    assert "1 image under more than one class: day/big cat/000.png = day/dog/000.png." in notes
    assert "1 image with an orientation tag, which is ignored: night/dog/003.jpg." in notes
    assert len(notes) == 4


def test_rows_of_a_task_with_two_spellings_of_a_class_are_refused():
    index = open_source("toy").index
    with pytest.raises(UserError, match="classes 'Star' and 'star'"):
        task_rows(index, ["filled", "outline"], ["Star", "circle", "star"])
    with pytest.raises(UserError, match="domains 'filled' and 'Filled'"):
        task_rows(index, ["filled", "Filled"], ["circle", "star"])


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("hot dog", "hot-dog", True),
        ("\uff28\uff4f\uff54 dog", "hot dog", True),
        ("Stra\u00dfe", "strasse", True),
        ("C++", "C#", False),
        ("post it", "postit", False),
        ("\u304b\u304d", "\u304c\u304d", False),
    ],
)
def test_names_are_compared_without_case_accents_and_joiners_only(one, other, alike):
    assert (look_alike([one, other]) == (one, other)) is alike


@pytest.mark.parametrize("name", ["", "../out", "Upper", "a b", ".hidden", "a/b"])
def test_names_that_are_no_folder_are_refused(tree, name):
    with pytest.raises(UserError, match="cannot be the name"):
        prepare(name, own(tree))


def test_data_that_are_not_here_can_still_be_outlined():
    for name in described():
        known = outline(name)
        assert not known.ready
        assert len(known.domains) >= 2
        assert len(load_suite(name).forget) >= 2
        with pytest.raises(UserError, match=f"adu-bench data prepare {name} --from"):
            load_suite(name).tasks()


def test_descriptions_are_complete():
    sizes = {name: (len(describe(name).classes), len(describe(name).domains)) for name in described()}
    assert sizes == {
        "domainnet": (345, 6),
        "imagenet": (1000, 2),
        "imagenet-variants": (200, 4),
        "minidomainnet": (126, 4),
        "officehome": (65, 4),
        "pacs": (7, 4),
        "vlcs": (5, 4),
    }
    assert {len(load_suite(name).forget) for name in ("officehome", "minidomainnet", "pacs", "vlcs")} == {14}
    assert len(load_suite("domainnet").forget) == 41
    assert len(load_suite("domainnet").with_sizes(range(1, 6)).forget) == 62
    files = {download.name for download in describe("domainnet").downloads}
    assert files == {f"{domain}{end}" for domain in DOMAINNET for end in (".zip", "_train.txt", "_test.txt")}
    assert sum(describe("domainnet").figures.counts.values()) == 409_832 + 176_743
    assert list(describe("domainnet").folders)[327] == "t-shirt"


@settings(max_examples=25, deadline=None)
@given(
    images=st.lists(
        st.tuples(st.sampled_from("ab"), st.sampled_from("xy"), st.integers(0, 30), st.sampled_from(["train", "test"])),
        max_size=60,
    ),
    published=st.booleans(),
)
def test_no_content_is_in_two_pools(images, published):
    base = [(d, c, 1000 + 10 * i + j, p) for i, (d, c) in enumerate(product("ab", "xy")) for j in range(7)
            for p in ["train" if j < 5 else "test"]]  # fmt: skip
    rows = pd.DataFrame(
        [
            (f"{i}", domain, label, pool if published else "", f"{content:064x}")
            for i, (domain, label, content, pool) in enumerate([*base, *images])
        ],
        columns=["image", "domain", "label", "pool", "sha256"],
    )
    pooled, dropped = assign(rows, "ab", {})
    assert (pooled.groupby("sha256")["pool"].nunique() == 1).all()
    assert set(dropped) | set(pooled["image"]) == set(rows["image"])
    training = pooled[pooled["pool"] != "test"].groupby(["domain", "label"])["pool"]
    validation = training.apply(lambda pools: (pools == "validation").sum())
    assert (validation <= 4).all()
    if published:
        assert set(pooled.loc[pooled["pool"] == "test", "image"]) == set(rows.loc[rows["pool"] == "test", "image"])


def test_the_cap_on_candidates_does_not_depend_on_order():
    rows = pd.DataFrame({"image": [f"a/x/{i}" for i in range(30)], "domain": "a", "label": "x", "pool": "train"})
    kept = candidates(rows, 10)
    assert len(kept) == 10
    assert set(candidates(rows.sample(frac=1, random_state=1), 10)["image"]) == set(kept["image"])
    assert len(candidates(rows.assign(pool="test"), 10)) == 30


@pytest.mark.skipif(not PACS.is_dir(), reason="needs the PACS images in ../shared/data/pacs")
def test_real_images_are_prepared(data):
    made = prepare("pacs", PACS, partial=True)
    assert counts("pacs") == {"train": 2064, "validation": 112, "test": 544}
    assert made.root == PACS
    suite = load_suite("pacs")
    rows = task_rows(open_source("pacs").index, suite.domains, suite.classes)
    task: Task = suite.tasks()[0]
    assert len(draw_shots(rows, task, 1)) == 7 * 4 * 8
