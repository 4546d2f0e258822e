"""The data command, and the documented way from nothing to the paper's table, on miniature trees."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import product
from pathlib import Path

import pytest
import yaml

from adu_bench.cli.main import main
from adu_bench.data import prepared
from adu_bench.data.prepare import description
from tests.data.trees import grow, packed, write_lists

PAGE = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.setenv("ADU_BENCH_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(capsys, *arguments: str) -> tuple[int, str, str]:
    status = main(arguments)
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def photos(root: Path) -> Path:
    grow(root, (f"{domain}/{label}" for domain, label in product(("day", "night"), ("cat", "dog"))), 10)
    return root


def test_from_a_folder_to_a_listed_suite(capsys, here):
    status, out, _ = call(capsys, "data", "prepare", "my-photos", "--from", str(photos(here / "photos")))
    assert status == 0
    assert "your images" in out
    assert "day: 14 train, 2 validation, 4 test" in out
    assert out.endswith("Run it: adu-bench run --suite my-photos\n")
    rows = json.loads(call(capsys, "data", "list", "--json")[1])
    states = {row["name"]: row["state"] for row in rows}
    assert (states["my-photos"], states["toy"], states["officehome"]) == ("ok", "ok", "missing")
    assert "my-photos" in call(capsys, "list", "suites")[1]
    shown = call(capsys, "show", "my-photos")[1]
    assert prepared.require("my-photos").data_hash in shown
    assert "forget day; keep night" in shown
    assert str(here / "photos") in call(capsys, "data", "where", "my-photos")[1]


def test_gaps_and_ignored_files_are_shown(capsys, here):
    grow(here / "photos", ("day/cat", "day/dog", "night/cat", "dusk/cat", "dusk/dog"), 10)
    (here / "photos/night/dog/more").mkdir(parents=True)
    (here / "photos/night/dog/more/000.png").write_bytes(b"")
    (here / "photos/notes.txt").touch()
    status, out, _ = call(capsys, "data", "prepare", "my-photos", "--from", str(here / "photos"))
    assert status == 0
    lines = [line.split() for line in out.splitlines()]
    for row in ("class day dusk night", "cat 10 10 10", "dog 10 10 -"):
        assert row.split() in lines, out
    assert "1 class without images in a domain: night/dog." in out
    assert "1 class folder without an image: night/dog." in out
    assert "2 files ignored, since not an image in FOLDER/<domain>/<class>/: night/dog/more/000.png, notes.txt." in out
    assert "There are more domains (day, dusk, night) than classes (cat, dog)." in out
    assert "which open_clip downloads at the first run; --backbone emoji-clip needs no network." in out


def test_a_damaged_data_set_is_listed_with_its_reason_and_hides_no_other(capsys, here):
    for name in ("my-photos", "others"):
        call(capsys, "data", "prepare", name, "--from", str(photos(here / "photos")))
    sound = (here / "data/my-photos/dataset.json").read_text()
    for content in ("{", "[1]", '{"format": 1}', sound.replace('"my-photos"', '"others"'), sound.replace('"day"', "1")):
        (here / "data/my-photos/dataset.json").write_text(content)
        for command in (["list", "suites"], ["data", "list"]):
            status, out, _ = call(capsys, *command, "--json")
            rows = {row["name"]: row for row in json.loads(out)}
            said = rows["my-photos"].get("summary") or rows["my-photos"]["title"]
            assert (status, rows["my-photos"]["state"], rows["others"]["state"]) == (0, "damaged", "ok")
            assert "adu-bench data prepare my-photos --from" in said
            status, out, _ = call(capsys, *command)
            assert (status, out.count("damaged"), "officehome" in out) == (0, 1, True)


def test_doctor_says_what_data_are_here_and_which_are_damaged(capsys, here):
    def found() -> dict[str, str]:
        return next(row for row in json.loads(call(capsys, "doctor", "--json")[1]) if row["name"] == "data")

    assert found()["state"] == "ok"
    assert found()["why"].startswith(f"{here / 'data'}, prepared: nothing; ")
    call(capsys, "data", "prepare", "my-photos", "--from", str(photos(here / "photos")))
    assert re.search(r"prepared: my-photos; [0-9.]+ GiB free$", found()["why"])
    (here / "data/my-photos/dataset.json").write_text("{")
    assert (found()["state"], found()["why"].endswith("damaged: my-photos")) == ("wrong", True)
    assert "adu-bench data prepare my-photos" in found()["remedy"]


def test_a_bound_on_candidates_for_shots_is_shown(capsys):
    for name in description.described():
        bound = description.describe(name).most
        assert (f"at most {bound} training" in call(capsys, "show", name)[1]) == bool(bound), name


def test_verify_names_what_changed(capsys, here):
    call(capsys, "data", "prepare", "my-photos", "--from", str(photos(here / "photos")))
    assert call(capsys, "data", "verify", "my-photos")[0] == 0
    (here / "photos/day/cat/003.png").write_bytes(b"else")
    status, out, err = call(capsys, "data", "verify", "my-photos")
    assert (status, out) == (1, "changed: day/cat/003.png\n")
    assert "1 changed of 40 images" in err


def test_a_suite_without_its_data_is_shown_but_not_run(capsys):
    shown = call(capsys, "show", "officehome")[1]
    assert "data: officehome, missing" in shown
    assert "adu-bench data prepare officehome --from FOLDER" in shown
    assert "art: 2,427 in total (published)" in shown
    assert "not stated by the paper" in shown
    assert shown.count("  forget ") == 14
    assert call(capsys, "list", "tasks", "--suite", "domainnet")[1].count("\n") == 41
    assert "[data missing]" in call(capsys, "list", "suites")[1]
    status, _, err = call(capsys, "run", "--suite", "officehome", "--backbone", "emoji-clip")
    assert status == 2
    assert err.splitlines()[0] == "The data set 'officehome' is not prepared."
    assert len(err.splitlines()) == 3


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["data", "prepare"], "needs a name"),
        (["data", "fetch", "officehome"], "no action called 'fetch'"),
        (["data", "prepare", "officehome"], "It is not known where the images"),
        (["data", "prepare", "mine", "--from", "nowhere"], "'nowhere' does not exist"),
        (["data", "prepare", "emoji-mini", "--from", "."], "adu-bench uses it itself"),
        (["data", "prepare", "folder", "--from", "."], "adu-bench uses it itself"),
        (["data", "prepare", "officehome", "--download"], "cannot be downloaded by adu-bench"),
        (["data", "prepare", "domainet", "--download"], "Did you mean domainnet"),
        (["data", "verify", "officehome"], "is not prepared"),
        (["data", "where", "offichome"], "Did you mean officehome"),
        (["show", "folder"], "pattern for suites on your own images"),
        (["list", "tasks", "--suite", "folder"], "pattern for suites on your own images"),
        (["run", "--suite", "toy", "--sizes", "0-4", "--dry"], "Give sizes from 1 to 3"),
        (["run", "--suite", "toy", "--sizes", "one", "--dry"], "not a valid choice of sizes"),
    ],
)
def test_mistakes_are_three_sentences(capsys, arguments, complaint):
    status, _, err = call(capsys, *arguments)
    assert status == 2
    assert complaint in err
    assert len(err.splitlines()) == 3


def test_sizes_replace_the_forget_sets(capsys):
    out = call(capsys, "run", "--suite", "toy", "--methods", "collapse", "--sizes", "2,3", "--dry")[1]
    assert "10 runs (1 method x 10 tasks x 1 seed)" in out


def test_a_costly_plan_is_confirmed(capsys, here, monkeypatch):
    call(capsys, "data", "prepare", "my-photos", "--from", str(photos(here / "photos")))
    costly = ["run", "--suite", "my-photos", "--backbone", "emoji-clip", "--methods", "adu[epochs=100000]"]
    out = call(capsys, *costly, "--dry")[1]
    # 2 tasks x 3 seeds x 100,000 epochs x 8 shots of 2 classes in 2 domains; 8 test images.
    assert "6 runs with up to 32 training images each: 19,200,000 forward and backward passes, and 48 forward" in out
    status, _, err = call(capsys, *costly)
    assert status == 2
    assert "Add --yes" in err
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda prompt: "n")
    assert call(capsys, *costly)[1].endswith("Nothing was started.\n")
    assert not (here / "runs").exists()


SOME = {
    "officehome": ["Bed", "TV", "Mug"],
    "domainnet": ["ant", "train", "t-shirt"],
    "minidomainnet": ["ant", "train", "dog"],
    "imagenet": ["n01440764", "n01443537"],
}


@pytest.fixture
def miniature(here, monkeypatch):
    """Descriptions that want a few classes only, and miniature trees of them where the page's commands look."""
    folder = here / "descriptions"
    folder.mkdir()
    for path in description.FOLDER.iterdir():
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".yaml" and path.stem in SOME:
            values = yaml.safe_load(text) | {"only": SOME[path.stem], "figures": {}}
            text = yaml.safe_dump(values, sort_keys=False)
        (folder / path.name).write_text(text, encoding="utf-8")
    for domain, label in product(("art", "clipart", "product", "real_world"), SOME["officehome"]):
        grow(here / "office", [f"office_home_dg/{domain}/train/{label}"], 5)
        grow(here / "office", [f"office_home_dg/{domain}/val/{label}"], 2, start=5)
    packed(here / "office", here / "office_home_dg.zip")
    _domainnet(here / "served", ("clipart", "infograph", "painting", "quickdraw", "real", "sketch"), "domainnet", ".")
    _domainnet(here / "dassl/domainnet", ("clipart", "painting", "real", "sketch"), "minidomainnet", "splits_mini")
    grow(here / "images", (f"imagenet/images/train/{label}" for label in SOME["imagenet"]), 6)
    grow(here / "images", (f"imagenet/images/val/{label}" for label in SOME["imagenet"]), 2, start=50)
    grow(here / "images", (f"imagenet-sketch/images/{label}" for label in SOME["imagenet"]), 10)
    photos(here / "photos")
    monkeypatch.setattr(description, "FOLDER", folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(here / "served")))
    _serve(here / "served", folder / "domainnet.yaml", f"http://127.0.0.1:{server.server_address[1]}")
    description.describe.cache_clear()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield
    server.shutdown()
    thread.join()
    server.server_close()
    description.describe.cache_clear()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


def _domainnet(root: Path, domains, name: str, lists: str) -> None:
    for domain in domains:
        grow(root, (f"{domain}/{label}" for label in SOME[name]), 8)
        paths = [f"{domain}/{label}/{number:03d}.png" for label in SOME[name] for number in range(8)]
        test = [path for path in paths if path[-5] in "67"]
        write_lists(root / lists, domain, {"train": sorted({*paths} - {*test}), "test": test})


def _serve(root: Path, path: Path, address: str) -> None:
    """Pack the domains, and write addresses and checksums of the miniature files into the description."""
    for domain in [folder for folder in root.iterdir() if folder.is_dir()]:
        inside = root / "inside" / domain.name
        inside.parent.mkdir()
        domain.rename(inside)
        packed(inside.parent, root / f"{domain.name}.zip")
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    for file in values["downloads"]:
        name = file["url"].rpartition("/")[2]
        content = (root / name).read_bytes()
        file |= {"url": f"{address}/{name}", "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    path.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")


def _commands(name: str) -> list[list[str]]:
    block = re.search(rf"<!-- {name} -->\n```bash\n(.*?)```", PAGE, re.DOTALL)
    assert block is not None
    return [shlex.split(line, comments=True)[1:] for line in block[1].splitlines()]


QUICK = ["--backbone", "emoji-clip", "--seeds", "1", "--limit", "1", "--methods", "zero-shot,collapse"]


@pytest.mark.timeout(900)
def test_the_way_to_the_papers_table(miniature, capsys, here):
    boards = 0
    for name in ("paper", "table", "own"):
        for command in _commands(name):
            # The paper's backbone cannot be had without a network, and one suite is enough to be run in earnest.
            extra = QUICK if command[0] in ("run", "leaderboard") else []
            dry = ["--dry"] if command[0] == "run" and "officehome" not in command else []
            status, out, err = call(capsys, *command, *extra, *dry)
            assert status == 0, f"{command}\n{out}\n{err}"
            boards += "zero-shot" in out
    names = {"officehome", "domainnet", "minidomainnet", "imagenet", "my-photos"}
    assert set(prepared.prepared_names()) == names
    # Of the run and of the leaderboard.
    assert boards >= 2
    assert "3 classes" in call(capsys, "data", "prepare", "officehome", "--from", "office_home_dg.zip")[1]
