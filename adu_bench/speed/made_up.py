"""Problems of random images, for measurements that need no data set."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch.nn import functional as F

from adu_bench.clip.backbone import Backbone
from adu_bench.clip.classifier import Classifier
from adu_bench.core.specs import Task, TrainingSpec
from adu_bench.registry import Catalogue, load_class
from adu_bench.registry.choice import Budget
from adu_bench.runner.evaluate import Images
from adu_bench.training.problem import Batch, FullImages, Problem


def made_up_problem(
    backbone: Backbone,
    *,
    domains: int,
    classes: int,
    images: int,
    batch: int,
    precision: str = "fp32",
    canvas: int | None = None,
) -> Problem:
    """Return a problem with random images; the first domain is to be forgotten.

    Parameters
    ----------
    domains, classes, images
        How many; images go round through classes and domains.
    batch, precision
        As in `TrainingSpec`.
    canvas
        Side of the images that crops are cut from; None for the backbone's largest.
    """
    device, side = backbone.device, backbone.preprocessing.size
    rng = np.random.default_rng(0)
    names = tuple(f"domain {number}" for number in range(domains))
    words = tuple(f"class {number}" for number in range(classes))
    task = Task(
        "made-up", "0" * 20, names, names[:1], words, "a picture of a {}.", max(1, images // (domains * classes))
    )
    places = torch.arange(images, device=device)
    labels, codes = places % classes, places // classes % domains
    pixels = torch.from_numpy(rng.integers(0, 256, (images, 3, side, side), np.uint8)).to(device)
    canvas = canvas or backbone.preprocessing.canvas
    canvases = rng.integers(0, 256, (images, canvas, canvas, 3), np.uint8)
    frozen = F.normalize(torch.randn(images, _width(backbone), generator=torch.Generator().manual_seed(0)), dim=-1)
    return Problem(
        task,
        backbone,
        Batch(pixels, labels, codes, codes == 0, frozen.to(device)),
        FullImages(lambda rows: canvases[rows], torch.full((images, 4), canvas, dtype=torch.int32)),
        TrainingSpec(batch, precision),
        torch.Generator().manual_seed(0),
    )


def made_up_images(problem: Problem) -> Images:
    """Return the training images of a problem as if they were test images."""
    train = problem.train
    return Images(
        pixels=train.images.permute(0, 2, 3, 1).cpu().numpy(),
        rows=np.arange(len(train)),
        names=np.array([f"image {number}" for number in range(len(train))], object),
        domains=np.array([problem.domains[code] for code in train.domains.tolist()], object),
        labels=train.labels.cpu().numpy(),
        forget=train.forget.cpu().numpy(),
        frozen=train.frozen.cpu().numpy(),
    )


def method(preset: str, budget: Budget) -> Callable[[Problem], Classifier]:
    """Return the function of a shipped preset from a problem to a classifier, with a budget for fields that it has."""
    choice = Catalogue().select([preset])[0]
    resolved = choice.resolve(budget, {})
    made = load_class(choice.entry.path, choice.entry.class_name, resolved.source_hash)(**dict(resolved.fields))

    def unlearn(problem: Problem) -> Classifier:
        torch.manual_seed(0)
        return made.unlearn(problem)

    return unlearn


def _width(backbone: Backbone) -> int:
    side = backbone.preprocessing.size
    return backbone.image_features(torch.zeros(1, 3, side, side, device=backbone.device)).shape[1]
