"""Apply classifiers: an unlearned one to the user's images, and the user's model to the test images of a suite."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor, nn

from adu_bench.clip.device import resolve_device
from adu_bench.clip.transfer import upload_images
from adu_bench.core.child import main_hidden
from adu_bench.core.errors import UserError, unknown
from adu_bench.core.specs import Task
from adu_bench.data.decode import BadImage, decode, to_rgb
from adu_bench.data.index import task_rows
from adu_bench.data.sources import open_source
from adu_bench.metrics.measures import measure
from adu_bench.report.notebook import table_html
from adu_bench.report.tables.table import Cell, Table, markdown
from adu_bench.runner.batches import EVALUATION_BATCH, in_batches
from adu_bench.runner.decoding import of_pool
from adu_bench.runner.evaluate import Images, predict
from adu_bench.runner.task_data import load_shared_backbone
from adu_bench.suites import Suite, load_suite
from adu_bench.workflows.selection import DEFAULT_SUITE

if TYPE_CHECKING:
    from adu_bench.clip.classifier import Classifier

_SHOWN = ("mem", "for", "h")


@dataclass(frozen=True)
class Applied:
    """An unlearned classifier that answers for images: ``applied("cat.png")``.

    Parameters
    ----------
    classifier
        The classifier, in eval mode.
    classes
        The names of its classes.
    """

    classifier: Classifier
    classes: tuple[str, ...]

    @torch.inference_mode()
    def __call__(self, images: Any) -> pd.DataFrame:
        """Return the probability of each class.

        Parameters
        ----------
        images
            One image or several: paths, PIL images, or uint8 arrays (H, W, 3) or (H, W); an array (N, H, W, 3) is N
            images.

        Returns
        -------
        DataFrame
            One row per image: image (its path or its number), predicted (name of the likeliest class), and one column
            per class with its probability, 0..1.

        Raises
        ------
        UserError
            If something is not an image; all such images are named.
        """
        given = _listed(images)
        names, opened = _opened(given)
        backbone = self.classifier.backbone
        pixels = [backbone.preprocessing.apply(image) for image in opened]

        def one(part: slice) -> Tensor:
            batch = upload_images(np.stack(pixels[part]), backbone.device)
            return self.classifier.logits(batch, backbone.image_features(batch)).float().softmax(-1)

        batches = in_batches(len(pixels), EVALUATION_BATCH[backbone.device.type], backbone.device, one)
        found = [batch.cpu().numpy() for batch in batches]
        answers = np.concatenate(found) if found else np.empty((0, len(self.classes)), np.float32)
        frame = pd.DataFrame(answers, columns=list(self.classes))
        frame.insert(0, "image", names)
        frame.insert(1, "predicted", [self.classes[place] for place in answers.argmax(1)])
        return frame


@dataclass(frozen=True, repr=False)
class Evaluation:
    """What a model answers on the test images of some tasks.

    Parameters
    ----------
    suite, name
        The suite's name, and that of the model.
    tasks
        The tasks.
    answers
        The predictions of each task, see `adu_bench.runner.evaluate.predict`.
    """

    suite: str
    name: str
    tasks: tuple[Task, ...]
    answers: tuple[pd.DataFrame, ...]

    @cached_property
    def scores(self) -> pd.DataFrame:
        """One row per task and metric: suite, task, forget (number of domains), method, metric, value, n (images)."""
        rows = [
            (self.suite, task.name, len(task.forget), self.name, metric, value, n)
            for task, frame in zip(self.tasks, self.answers, strict=True)
            for metric, (value, n) in measure(frame, len(task.classes)).items()
        ]
        return pd.DataFrame(rows, columns=["suite", "task", "forget", "method", "metric", "value", "n"])

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """One row per task and test image; the columns are those of `adu_bench.workflows.finished.Runs.predictions`."""
        parts = [
            frame.assign(method=self.name, task=task.name) for task, frame in zip(self.tasks, self.answers, strict=True)
        ]
        found = pd.concat(parts, ignore_index=True)
        return found[["method", "task", *(name for name in found if name not in ("method", "task"))]]

    def __repr__(self) -> str:
        return f"{self._title}\n\n{markdown(self._table)}".rstrip()

    def _repr_html_(self) -> str:
        return table_html(self._table, self._title)

    @property
    def _title(self) -> str:
        return f"{self.name} on {self.suite}, per cent"

    @property
    def _table(self) -> Table:
        wide = self.scores.pivot(index="task", columns="metric", values="value")
        rows = tuple(
            (Cell(task.name), *(Cell(f"{100 * wide.loc[task.name, metric]:.1f}") for metric in _SHOWN))
            for task in self.tasks
        )
        return Table(("forget", "Mem", "For", "H"), (rows,), "lrrr")


def evaluate(
    model: nn.Module | Callable[[Tensor], Any],
    suite: str = DEFAULT_SUITE,
    *,
    task: str | Sequence[str] = (),
    transform: Callable[[Image.Image], Tensor] | None = None,
    name: str = "model",
    backbone: str = "",
    device: str = "auto",
) -> Evaluation:
    """Evaluate any model on the test images of a suite; nothing is trained.

    Parameters
    ----------
    model
        A torch module or a function from images (N, 3, S, S), float32, to logits (N, C), with the classes in the order
        of ``adu-bench show SUITE`` (sorted names, mostly).
    suite
        Name of a suite, or path of a YAML file.
    task
        Names of forget sets, for example ``noto+twemoji``; empty for all tasks of the suite.
    transform
        From an RGB image to what the model takes, a tensor (3, S, S).  None for what the suite's backbone takes:
        resized and normalised as for CLIP.
    name
        The name of the model in the results.
    backbone
        Whose preprocessing is used without a transform, in place of the suite's.
    device
        ``auto``, ``cpu`` or ``cuda``; a module is moved there.

    Raises
    ------
    UserError
        If there is no such suite or task, the images are missing, or the answers are not logits (N, C).
    """
    with main_hidden():
        found = load_suite(suite)
        tasks = _tasks(found, [task] if isinstance(task, str) else task)
        place = torch.device(resolve_device(device))
        if isinstance(model, nn.Module):
            model = model.to(place)
        inputs = _inputs(tasks[0], transform, backbone or found.backbone, place)
        return Evaluation(found.name, name, tuple(tasks), tuple(_answers(model, tasks, inputs, place)))


def _tasks(suite: Suite, names: Iterable[str]) -> list[Task]:
    tasks = {task.name: task for task in suite.tasks()}
    for name in filter(None, names):
        if name not in tasks:
            raise unknown(f"task of {suite.name}", name, tasks)
    return [tasks[name] for name in names if name] or [*tasks.values()]


def _inputs(
    task: Task, transform: Callable[[Image.Image], Tensor] | None, backbone: str, device: torch.device
) -> Callable[[np.ndarray], Tensor]:
    """Return a function from positions in the index to a batch of what the model takes."""
    source = open_source(task.dataset)
    if transform is not None:
        return lambda positions: torch.stack([transform(source.master(int(place))) for place in positions]).to(device)
    clip = load_shared_backbone(backbone, device.type)
    prepared = source.images(clip.preprocessing)

    def normalised(positions: np.ndarray) -> Tensor:
        prepared.ensure(positions)
        return clip.normalise(upload_images(prepared.rows[prepared.places(positions)], device))

    return normalised


@torch.inference_mode()
def _answers(
    model: Callable[[Tensor], Any], tasks: Sequence[Task], inputs: Callable[[np.ndarray], Tensor], device: torch.device
) -> list[pd.DataFrame]:
    """Return the predictions for each task; all tasks of a suite have the same images and classes."""
    task = tasks[0]
    rows = task_rows(open_source(task.dataset).index, task.domains, task.classes)
    positions = of_pool(rows, "test")
    rows = rows.loc[positions]

    def one(part: slice) -> Tensor:
        batch = inputs(positions[part])
        logits = torch.as_tensor(model(batch))
        if logits.shape != (len(batch), len(task.classes)) or not logits.dtype.is_floating_point:
            raise UserError(
                f"The model answered with {logits.dtype} of shape {tuple(logits.shape)}.",
                f"For {len(batch)} images and {len(task.classes)} classes it has to return floating-point logits "
                f"({len(batch)}, {len(task.classes)}).",
                "Return the logits of these classes alone, in this order: " + ", ".join(task.classes[:4]) + ", ...",
            )
        return logits.float().cpu()

    training = isinstance(model, nn.Module) and model.training
    if isinstance(model, nn.Module):
        model.eval()
    try:
        logits = torch.cat([*in_batches(len(positions), EVALUATION_BATCH[device.type], device, one)])
    finally:
        if isinstance(model, nn.Module):
            model.train(training)
    domains = rows["domain"].to_numpy(object)
    frames = []
    for own in tasks:
        images = Images(
            pixels=np.empty((0, 0, 0, 3), np.uint8),
            rows=np.arange(len(rows)),
            names=rows["image"].to_numpy(object),
            domains=domains,
            labels=pd.Categorical(rows["label"], categories=own.classes).codes.astype(np.int64),
            forget=np.isin(domains.astype(str), own.forget),
            frozen=logits.numpy(),
        )
        frames.append(predict(_Known(), images, len(rows))[0])  # type: ignore[arg-type]
    return frames


class _Known:
    """Stands for a classifier whose logits are known: they take the place of frozen features."""

    image_side_frozen = True

    class backbone:  # noqa: N801 - an attribute of classifiers
        device = torch.device("cpu")

    def features(self, images: Tensor | None, frozen: Tensor) -> Tensor:
        return frozen

    def classify(self, features: Tensor, frozen: Tensor | None = None) -> Tensor:
        return features


def _listed(images: Any) -> list[Any]:
    if isinstance(images, np.ndarray):
        return list(images) if images.ndim == 4 else [images]
    if isinstance(images, str | Path | Image.Image):
        return [images]
    return list(images)


def _opened(images: Sequence[Any]) -> tuple[list[Any], list[Image.Image]]:
    """Return the names and the RGB pixels of images."""
    names, opened, bad = [], [], []
    for number, image in enumerate(images):
        names.append(str(image) if isinstance(image, str | Path) else number)
        try:
            opened.append(_image(image))
        except (OSError, BadImage, TypeError, ValueError) as error:
            bad.append(f"{names[-1]}: {getattr(error, 'strerror', None) or error}")
    if bad:
        raise UserError(
            f"{len(bad)} of {len(images)} images cannot be used.",
            "; ".join(bad[:5]) + ("; ..." if len(bad) > 5 else "."),
            "Give paths of image files, PIL images, or uint8 arrays (H, W, 3).",
        )
    return names, opened


def _image(image: Any) -> Image.Image:
    if isinstance(image, str | Path):
        return decode(Path(image).read_bytes())
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8:
            raise TypeError(f"an array of {image.dtype}, not of uint8")
        return Image.fromarray(image).convert("RGB")
    if isinstance(image, Image.Image):
        return to_rgb(image)
    raise TypeError(f"an object of type {type(image).__name__}")
