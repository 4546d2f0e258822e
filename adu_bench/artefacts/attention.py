"""The attention of the class token in the last block of the image tower, before and after unlearning."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from adu_bench.clip.classifier import Classifier
from adu_bench.clip.transfer import upload_images
from adu_bench.core.seeds import derive
from adu_bench.core.specs import Task
from adu_bench.data.index import task_rows
from adu_bench.data.sources import open_source
from adu_bench.store.artefacts import Artefact

NAME = "attention"
SHOWN = 96
"""Smallest side, in pixels, of the images that are stored for display."""


def fixed_images(rows: pd.DataFrame, task: Task, count: int) -> np.ndarray:
    """Choose test images: the same classes in every domain, the same for all methods, seeds and forget sets.

    Parameters
    ----------
    rows
        The task's index rows; the row labels are image positions.
    task
        Gives domains and classes.
    count
        Images per domain.

    Returns
    -------
    ndarray
        Positions, int64, domain by domain.
    """
    rng = np.random.default_rng(derive(0, NAME, task.data_hash))
    test = rows[rows["pool"] == "test"]
    groups = {pair: part.index.to_numpy() for pair, part in test.groupby(["domain", "label"], sort=False)}
    order = [str(label) for label in rng.permutation(np.array(task.classes, dtype=object))]
    everywhere = [label for label in order if all((domain, label) in groups for domain in task.domains)]
    return np.array(
        [rng.choice(groups[domain, label]) for domain in task.domains for label in everywhere[:count]], np.int64
    )


def attention_of(classifier: Classifier, task: Task, count: int = 2) -> Artefact:
    """Compute attention maps and predictions of zero-shot CLIP and of a classifier on fixed test images.

    Parameters
    ----------
    classifier
        The classifier of a run.
    task
        The run's task.
    count
        Images per domain.

    Returns
    -------
    Artefact
        ``images``, uint8 (N, side, side, 3); ``before`` and ``after``, the attention to patches, float32 (N, rows,
        columns); and the name, domain, label and predictions (before and after) of each image.
    """
    backbone = classifier.backbone
    source = open_source(task.dataset)
    rows = task_rows(source.index, task.domains, task.classes)
    chosen = fixed_images(rows, task, count)
    images = upload_images(source.images(backbone.preprocessing).take(chosen), backbone.device)
    before = Classifier(backbone, task.classes, task.template).eval()
    shown = replace(backbone.preprocessing, size=max(SHOWN, backbone.preprocessing.size))
    return Artefact(
        {
            "images": np.stack([shown.apply(source.master(position)) for position in chosen]),
            "before": _attention(before, images),
            "after": _attention(classifier, images),
        },
        {
            "pictures_per_domain": count,
            "images": rows.loc[chosen, "image"].tolist(),
            "domains": rows.loc[chosen, "domain"].tolist(),
            "labels": rows.loc[chosen, "label"].tolist(),
            "answers_before": _answers(before, images),
            "answers_after": _answers(classifier, images),
            "attribution": source.attribution,
        },
    )


@torch.inference_mode()
def _answers(classifier: Classifier, images: Tensor) -> list[str]:
    """Return the predicted class of each image; an empty text if several classes are equally likely."""
    p = classifier.logits(images).float().softmax(dim=-1)
    best = p == p.max(dim=-1, keepdim=True).values
    return [classifier.classes[int(own.to(torch.uint8).argmax())] if int(own.sum()) == 1 else "" for own in best]


@torch.inference_mode()
def _attention(classifier: Classifier, images: Tensor) -> np.ndarray:
    return classifier.class_attention(images).cpu().numpy()
