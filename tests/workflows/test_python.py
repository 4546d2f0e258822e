"""The Python API on the toy suite: what a notebook calls, and what it gets back."""

import inspect
import subprocess
import sys

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

import adu_bench as ab
from adu_bench.cli.main import _parser
from adu_bench.core.errors import UserError
from adu_bench.data.sources import open_source
from adu_bench.training.method import Method

SCRIPT = """
import sys
import adu_bench as ab
heavy = {"torch", "pandas", "adu_bench.workflows"} & set(sys.modules)
assert not heavy, heavy
from dataclasses import dataclass
from adu_bench.api import Card, Classifier, Method, Problem
SCALE = 1

@dataclass(frozen=True, kw_only=True)
class Mine(Method):
    "Zero-shot once more, or an error."
    card = Card(name="mine", group="other", title="Mine", authors="Me", year=2026, paper="", licence="MIT")
    fails: bool = False
    def unlearn(self, problem: Problem) -> Classifier:
        if self.fails:
            raise ValueError("as asked")
        problem.log(epoch=1, kept=0.5)
        return Classifier(problem.backbone, problem.task.classes, problem.task.template)

# No guard: worker processes must not run this script.
methods = ["collapse", "zero-shot", Mine, Mine(fails=True)]
found = ab.run("toy", methods, limit=1, out="runs", device="cpu", log="trackio", audits="part-off")
assert len(found) == 3, found
assert list(found.failed) == ["mine[fails=yes], forget filled, seed 1"], found.failed
assert "as asked" in list(found.failed.values())[0]
"""

TRACKIO = """
def init(project, name, config, embed):
    return Run(name)

class Run:
    def __init__(self, name):
        self.name = name
    def log(self, values, step):
        with open("followed.txt", "a") as file:
            print(self.name, values, step, file=file)
    def finish(self):
        pass
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("python")
    (place / "script.py").write_text(SCRIPT)
    (place / "trackio.py").write_text(TRACKIO)
    done = subprocess.run([sys.executable, "script.py"], cwd=place, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 of 4 runs failed" in done.stderr
    assert done.stdout.count("forget filled, seed 1: done") == 3
    assert len(list((place / "runs" / "artefacts").glob("*/audit-part-off*"))) == 3
    followed = (place / "followed.txt").read_text()
    assert followed == "mine, forget filled, seed 1 {'epoch': 1.0, 'kept': 0.5} 1\n"
    return place / "runs"


@pytest.fixture(scope="module")
def runs(folder):
    return ab.load_runs(folder, "toy", limit=1)


def test_runs_of_a_script_are_found_again_with_the_class_that_it_defined(runs):
    assert {(run.method, run.task, run.seed) for run in runs} == {
        (method, "filled", 1) for method in ("collapse", "zero-shot", "mine")
    }
    assert "3 of 3 runs of toy" in repr(runs)


def test_a_run_has_its_training_as_a_frame_and_a_figure(runs):
    mine = next(run for run in runs if run.method == "mine")
    assert mine.training.to_dict("records") == [{"epoch": 1.0, "kept": 0.5}]
    assert isinstance(mine.figure(), Figure)


def test_scores_and_predictions_are_tidy(runs):
    wide = runs.scores.pivot(index="method", columns="metric", values="value")
    assert wide.loc["mine", "mem"] == wide.loc["zero-shot", "mem"]
    assert wide.loc["collapse", "mem"] == pytest.approx(1 / 6)
    frame = runs.predictions
    assert len(frame) == 3 * 480
    assert list(frame.columns[:4]) == ["method", "task", "seed", "image"]
    own = frame[(frame["method"] == "mine") & ~frame["forget"]]
    assert (own["label"] == own["predicted"]).mean() == pytest.approx(wide.loc["mine", "mem"])


def test_boards_comparisons_and_figures_are_shown_by_a_notebook(runs):
    board = runs.board()
    assert set(board.frame["method"]) == {"collapse", "zero-shot", "mine"}
    assert "| ref | `collapse` |" in board.text("md")
    assert "mine" in repr(board)
    assert runs._repr_html_() == board._repr_html_()
    assert board._repr_html_().count("<tr") == 4
    pair = runs.compare("collapse", "zero-shot")
    assert "collapse is" in pair.verdict
    assert "collapse is" in repr(pair)
    assert "Too few seeds" in pair._repr_html_()
    assert len(pair.by_task) == 1


def test_figures_are_matplotlib_figures_that_a_notebook_shows_without_pyplot(runs):
    figure = runs.figure("trade-off")
    assert isinstance(figure, Figure)
    assert figure._repr_png_().startswith(b"\x89PNG")
    with pytest.raises(UserError, match="trade-of"):
        runs.figure("trade-of")


def test_a_rebuilt_classifier_answers_for_arrays_images_and_paths(runs, tmp_path):
    run = next(run for run in runs if run.method == "mine")
    classify = run.classifier("cpu")
    frame = run.predictions.iloc[:3]
    source = open_source("toy")
    places = [source.index.index[source.index["image"] == name][0] for name in frame["image"]]
    images = [source.master(int(place)) for place in places]
    images[0].save(tmp_path / "one.png")
    found = classify([tmp_path / "one.png", images[1], np.asarray(images[2])])
    assert list(found["image"]) == [str(tmp_path / "one.png"), 1, 2]
    truth = source.index.loc[places, "label"]
    np.testing.assert_allclose(
        [row[label] for (_, row), label in zip(found.iterrows(), truth, strict=True)], frame["p_label"], atol=1e-4
    )
    assert len(classify(np.stack([np.asarray(images[2])] * 2))) == 2
    with pytest.raises(UserError, match=r"2 of 3 images cannot be used.*none\.png: No such file.*array of float64"):
        classify([tmp_path / "none.png", np.zeros((4, 4, 3)), images[0]])


def test_any_model_is_evaluated_and_stays_as_it_was():
    index = open_source("toy").index
    test = index[index["pool"] == "test"]
    order = sorted(index["label"].unique())

    class Cheat(torch.nn.Module):
        """Answers by position; images come in the order of the index."""

        def __init__(self):
            super().__init__()
            self.done = 0

        def forward(self, images):
            labels = [order.index(label) for label in test["label"].iloc[self.done : self.done + len(images)]]
            self.done += len(images)
            assert images.shape[1:] == (3, 8, 8)
            assert not self.training
            return 9.0 * torch.nn.functional.one_hot(torch.tensor(labels), len(order))

    def small(image: Image.Image) -> torch.Tensor:
        return torch.from_numpy(np.asarray(image.resize((8, 8))).copy()).permute(2, 0, 1)

    model = Cheat()
    found = ab.evaluate(model, "toy", task=["filled", "outline"], transform=small, name="cheat", device="cpu")
    assert model.training
    wide = found.scores.pivot(index="task", columns="metric", values="value")
    assert list(wide.index) == ["filled", "outline"]
    assert (wide["mem"] == 1).all()
    assert (wide["for"] == 0).all()
    assert len(found.predictions) == 2 * len(test)
    assert "cheat on toy" in found._repr_html_()


def test_answers_that_are_not_logits_and_unknown_tasks_are_refused():
    with pytest.raises(UserError, match=r"shape \(128, 5\).*\(128, 6\)"):
        ab.evaluate(
            lambda images: torch.zeros(len(images), 5), "toy", transform=lambda _: torch.zeros(3, 2, 2), device="cpu"
        )
    with pytest.raises(UserError, match="task of toy"):
        ab.evaluate(lambda images: images, "toy", task="filed")


def test_folders_without_runs_of_the_suite_are_refused(folder, tmp_path):
    with pytest.raises(UserError, match="runs of the data of toy"):
        ab.load_runs(folder, "emoji-mini", ["zero-shot"])
    with pytest.raises(UserError, match="It is empty"):
        ab.load_runs(tmp_path, "toy")


def test_objects_that_are_not_methods_are_refused(tmp_path):
    with pytest.raises(UserError, match="Identity is not a method"):
        ab.run("toy", [torch.nn.Identity()], out=tmp_path)
    with pytest.raises(UserError, match="It has no card"):
        ab.run("toy", [type("Bare", (Method,), {"__module__": __name__})], out=tmp_path)


def test_names_are_listed_and_others_are_no_attributes():
    assert {"run", "evaluate", "load_runs"} <= set(dir(ab))
    with pytest.raises(AttributeError, match="nothing"):
        ab.nothing  # noqa: B018


def test_the_function_takes_every_option_of_the_command():
    """But those that print or ask: a notebook has neither a dry run nor a terminal."""
    actions = _parser()._subcommands_action._name_parser_map["run"]._actions
    options = {
        option[2:].replace("-", "_") for action in actions for option in action.option_strings if option[:2] == "--"
    }
    known = set(inspect.signature(ab.run).parameters) | {"from"}
    assert options - known == {"help", "config", "print_config", "dry", "yes"}


@pytest.mark.parametrize("seeds", [10**9, -1, [1, 1], [2**63]])
def test_impossible_seeds_are_refused(seeds):
    with pytest.raises(UserError, match="is not a valid choice of seeds"):
        ab.run("toy", "coin", seeds=seeds)


def test_a_cluster_is_refused_as_on_the_command_line():
    with pytest.raises(UserError, match="no cluster called 'sge'"):
        ab.run("toy", "coin", cluster="sge")
    with pytest.raises(UserError, match="not an option of sbatch"):
        ab.run("toy", "coin", cluster="slurm", slurm="gpu")


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"jobs": 0, "cluster": "dask"}, "--jobs 0 is too few"),
        ({"jobs": 0, "cluster": "slurm"}, "--jobs 0 is too few"),
        ({"jobs": 4, "cluster": "slurm"}, "--jobs 4 does not go with --cluster slurm"),
        ({"jobs": 4, "cluster": "dask", "address": "tcp://127.0.0.1:1"}, "--jobs 4 does not go with a running"),
        ({"address": "tcp://127.0.0.1:1"}, "--address does not go with this machine"),
        ({"scheduler_file": "s.json", "cluster": "slurm"}, "--scheduler-file does not go with --cluster slurm"),
        ({"slurm": "time=4"}, "--slurm does not go with this machine"),
        ({"slurm": "time=4", "cluster": "dask"}, "--slurm does not go with --cluster dask"),
        ({"address": "tcp://127.0.0.1:1", "scheduler_file": "s.json", "cluster": "dask"}, "were both given"),
    ],
)
def test_options_that_the_place_of_runs_does_not_read_are_refused(tmp_path, options, what):
    """What was meant for a cluster started on this machine, and a cluster without workers never ended."""
    with pytest.raises(UserError, match=what):
        ab.run("toy", "coin", out=tmp_path, **options)
    assert not list(tmp_path.iterdir())
