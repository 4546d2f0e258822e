"""The contract of every method as checks that anyone can run: ``adu-bench check NAME``.

Each check is a plain function that raises `CheckFailed` with a remedy; pytest and the command line both call them.
"""

from __future__ import annotations

import ast
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path

import torch
from torch import Tensor

from adu_bench.clip.classifier import Classifier
from adu_bench.clip.files import load_classifier, save_classifier
from adu_bench.core.checks import CheckFailed, run_all
from adu_bench.core.errors import RunFailed, UserError
from adu_bench.core.specs import COMPLETE, FORGET, RunSpec, Supervision, Task
from adu_bench.data.index import data_hash, task_rows
from adu_bench.data.sources import open_source
from adu_bench.registry import Choice
from adu_bench.registry.choice import Budget
from adu_bench.runner.guard import unchanged
from adu_bench.runner.task_data import TaskData, load_shared_backbone
from adu_bench.runner.unlearn import Unlearned, unlearn
from adu_bench.suites import load_suite
from adu_bench.training.problem import Problem

BACKBONE = "emoji-clip"
CLASSES, SHOTS = 3, 2
ALLOWED = ("adu_bench", "adu_bench.api", "adu_bench._methods")
"""What a method's file may import of the package."""
RETURNED = "End unlearn with a return of the classifier, for example: return fit(problem, model, loss, ...)"
QUICK: Budget = {"epochs": 1, "iterations": 2}
"""Fields that are set for speed where a method has them."""


@dataclass(frozen=True)
class Subject:
    """A method under check, on a small toy problem.

    Parameters
    ----------
    choice
        The method.
    device
        Where to run.
    """

    choice: Choice
    device: str

    def run(self, forget: tuple[str, ...] = ("outline",), supervision: Supervision = COMPLETE) -> Unlearned:
        """Let the method unlearn a new small problem that forgets some of the toy styles."""
        spec, data = self.small(forget)
        spec = replace(spec, supervision=supervision)
        try:
            with unchanged(data.backbone):
                return unlearn(self.choice.entry.path, self.choice.entry.class_name, spec, data)
        except BaseException:
            _task_data.cache_clear()  # it may hold a backbone that the method changed
            raise

    def small(self, forget: tuple[str, ...], budget: Budget = QUICK) -> tuple[RunSpec, TaskData]:
        """Return a small run that forgets some of the toy styles, with fields set for speed, and its images."""
        suite = load_suite("toy")
        classes = suite.classes[:CLASSES]
        rows = task_rows(open_source("toy").index, suite.domains, classes)
        task = Task("toy", data_hash(rows), suite.domains, forget, classes, suite.template, SHOTS)
        # Tasks that differ only in the domains to forget have the same images.
        data = _task_data(replace(task, forget=("outline",)), self.device)
        training = replace(suite.training, batch=12)
        return RunSpec(task, data.backbone.spec, self.choice.resolve(budget, {}), training, seed=1), data

    @cached_property
    def result(self) -> tuple[Problem, Classifier]:
        """One problem and the classifier that the method returned for it."""
        made = self.run()
        return made.problem, made.classifier


def uses_its_problem_alone(subject: Subject) -> None:
    """The method's file imports nothing of adu_bench but the API and other methods, so it reads no data itself."""
    path = subject.choice.entry.path
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        for name in names:
            _require(
                name.partition(".")[0] != "adu_bench" or name in ALLOWED or name.startswith(f"{ALLOWED[-1]}."),
                f"line {getattr(node, 'lineno', 0)} imports {name}",
                "A method imports adu_bench.api alone and takes images, classes and domains from its problem.",
            )


def returns_finite_logits(subject: Subject) -> None:
    """The classifier gives finite logits for every image and class."""
    problem, classifier = subject.result
    _require(isinstance(classifier, Classifier), f"unlearn returned a {type(classifier).__name__}", RETURNED)
    logits = answers(problem, classifier)
    shape = (len(problem.train), len(problem.classes))
    _require(
        tuple(logits.shape) == shape,
        f"logits have the shape {tuple(logits.shape)}, not {shape}",
        "One column per class.",
    )
    _require(bool(torch.isfinite(logits).all()), "logits are not finite", "Lower the learning rate or bound the loss.")


def leaves_the_backbone_alone(subject: Subject) -> None:
    """The shared backbone's weights are the same after the method as before."""
    subject.run()  # raises RunFailed otherwise


def repeats_with_the_same_seed(subject: Subject) -> None:
    """The same problem and seed give the same answers."""
    problem, classifier = subject.result
    again = subject.run()
    other = answers(again.problem, again.classifier)
    same = torch.allclose(answers(problem, classifier), other, atol=1e-4)
    _require(same, "two runs with one seed differ", "Draw only from problem.rng and torch's global generator.")


def survives_saving(subject: Subject) -> None:
    """A saved and loaded classifier gives the same answers."""
    problem, classifier = subject.result
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "method.safetensors"
        save_classifier(classifier, path)
        loaded = load_classifier(path, problem.backbone)
    same = torch.allclose(answers(problem, classifier), answers(problem, loaded), atol=1e-5)
    _require(same, "the loaded classifier answers differently", "Keep all state in parts or in unfrozen weights.")


def judges_images_one_by_one(subject: Subject) -> None:
    """The answer for an image does not depend on the other images of its batch."""
    problem, classifier = subject.result
    together = answers(problem, classifier)
    alone = torch.cat([_logits(classifier, problem.train.images[i : i + 1]) for i in range(4)])
    same = torch.allclose(together[:4], alone, atol=1e-3)
    _require(same, "answers change with the batch", "Use no statistics of the batch when answering.")


def takes_any_forget_set(subject: Subject) -> None:
    """Forgetting all domains but one works as well."""
    made = subject.run(forget=("filled", "outline", "hatched"))
    logits = answers(made.problem, made.classifier)
    _require(
        bool(torch.isfinite(logits).all()), "logits are not finite", "Batches may lack a domain or a group of images."
    )


def works_without_forget_images_or_refuses(subject: Subject) -> None:
    """Without an image of the forget domain the method works, or gives up in one sentence."""
    try:
        made = subject.run(supervision=Supervision(dropped=1.0, dropped_from=FORGET))
    except (RunFailed, UserError):
        return
    logits = answers(made.problem, made.classifier)
    _require(
        bool(torch.isfinite(logits).all()),
        "logits are not finite where no image is to be forgotten",
        "Raise RunFailed if the method needs such images.",
    )


def takes_other_classes_or_refuses(subject: Subject) -> None:
    """The classifier answers over other classes, or refuses in one sentence."""
    made = subject.run()
    problem, classifier = made.problem, made.classifier
    try:
        classifier.set_classes(("house", "tree", "boat", "car"))
    except UserError:
        return
    logits = answers(problem, classifier)
    _require(
        logits.shape[1] == 4,
        "logits do not follow set_classes",
        "Set open_vocabulary = False on the part that prevents it.",
    )
    _require(bool(torch.isfinite(logits).all()), "logits over other classes are not finite", "Check the part's score.")


def parts_come_off(subject: Subject) -> None:
    """With all parts switched off and no weight changed, the zero-shot answers are back."""
    problem, classifier = subject.result
    if classifier.changed:
        return
    with classifier.without(*classifier.parts):
        bare = answers(problem, classifier)
    same = torch.allclose(bare, answers(problem, problem.classifier()), atol=1e-4)
    _require(same, "something remains when all parts are off", "Change answers through parts only.")


CHECKS: tuple[Callable[[Subject], None], ...] = (
    uses_its_problem_alone,
    returns_finite_logits,
    leaves_the_backbone_alone,
    repeats_with_the_same_seed,
    survives_saving,
    judges_images_one_by_one,
    takes_any_forget_set,
    works_without_forget_images_or_refuses,
    takes_other_classes_or_refuses,
    parts_come_off,
)
"""All checks, in the order in which they are run."""


def run_checks(choice: Choice, device: str = "cpu") -> Iterator[tuple[str, str]]:
    """Run all checks on a method; see `adu_bench.core.checks.run_all`."""
    return run_all(CHECKS, Subject(choice, device), choice.entry.path, explained)


def explained(error: BaseException) -> str:
    """Return the remedy for a frequent mistake in a method; empty for other errors."""
    if isinstance(error, SystemExit):
        return "A method must not end the process: return a Classifier, or raise RunFailed with the reason."
    if isinstance(error, ModuleNotFoundError):
        return f"If it is a file beside the method's file, import it with a dot: from .{error.name} import ..."
    if not isinstance(error, AttributeError):
        return ""
    text = str(error)
    if text.endswith("has no attribute 'eval'"):
        return f"What unlearn returned is not a Classifier. {RETURNED}"
    if text.endswith("has no attribute 'attach'"):
        return "A part is a subclass of adu_bench.api.Part, not of torch.nn.Module."
    if text.startswith("'Problem' object"):
        return "A problem has classes, domains and few-shot images, but neither validation nor test images."
    return ""


@torch.inference_mode()
def answers(problem: Problem, classifier: Classifier) -> Tensor:
    """Return the logits (N, C) of the few-shot images, which are not augmented here."""
    return _logits(classifier, problem.train.images)


@torch.inference_mode()
def _logits(classifier: Classifier, images: Tensor) -> Tensor:
    return classifier.logits(images)


@lru_cache(maxsize=2)
def _task_data(task: Task, device: str) -> TaskData:
    return TaskData(task, load_shared_backbone(BACKBONE, device))


def _require(holds: bool, what: str, remedy: str) -> None:
    if not holds:
        raise CheckFailed(f"{what[0].upper()}{what[1:]}. {remedy}")
