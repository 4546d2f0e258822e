"""Where the class token looks in the last block of the image tower, before and after unlearning."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from adu_bench.clip.classifier import Classifier
from adu_bench.core.errors import UserError
from adu_bench.core.seeds import derive
from adu_bench.core.specs import Task
from adu_bench.data.index import task_rows
from adu_bench.data.sources import open_source
from adu_bench.runner.evaluate import to_device
from adu_bench.store.artefacts import Artefact

NAME = "attention"
SHOWN = 96
"""Least side of the pictures that are kept to be shown, in pixels."""


@torch.inference_mode()
def class_attention(classifier: Classifier, images: Tensor) -> Tensor:
    """Return how the class token of the last image block shares its attention, averaged over heads.

    Parameters
    ----------
    classifier
        In eval mode.
    images
        (N, 3, S, S), uint8 or floating in 0..1.

    Returns
    -------
    Tensor
        Attention to each patch, float32, (N, rows, columns).  Its sum is less than one: the rest goes to the class
        token itself and to prompts, which stand behind the patches.

    Raises
    ------
    UserError
        If the tower has no class token or another kind of attention.
    """
    classifier.require_prompts("An attention map")
    visual = classifier.model.visual
    block = visual.transformer.resblocks[-1]
    attention = block.attn
    if not isinstance(attention, nn.MultiheadAttention) or not attention.batch_first:
        raise UserError(
            f"The backbone '{classifier.backbone.spec.name}' shows no attention.",
            f"Its blocks use {type(attention).__name__}, which does not return weights.",
            "Choose a ViT backbone such as ViT-B-16-quickgelu:openai.",
        )
    with _caught(block.ln_1) as caught:
        # The answer itself is not needed, so the text side is left alone.
        classifier.model.encode_image(classifier.backbone.normalise(images))
    (tokens,) = caught
    # The block asks its attention for no weights; asked again on the same tokens, it gives them.
    weights = attention(tokens, tokens, tokens, need_weights=True, average_attn_weights=True)[1]
    rows, columns = visual.grid_size
    return weights[:, 0, 1 : 1 + rows * columns].reshape(-1, rows, columns).float()


def fixed_pictures(rows: pd.DataFrame, task: Task, count: int) -> np.ndarray:
    """Draw test pictures to look at: the same classes in every domain, the same for all methods, seeds and forget sets.

    Parameters
    ----------
    rows
        The task's index rows, row labels being picture positions.
    task
        Names domains and classes.
    count
        Pictures a domain.

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
    """Look at fixed test pictures with zero-shot CLIP and with a classifier made from it.

    Parameters
    ----------
    classifier
        What a run evaluated.
    task
        The run's task.
    count
        Pictures a domain.

    Returns
    -------
    Artefact
        ``pictures`` uint8 (N, side, side, 3); ``before`` and ``after`` attention to patches, float32 (N, rows,
        columns); and for each picture its image name, domain, label and the answers before and after.
    """
    backbone = classifier.backbone
    source = open_source(task.dataset)
    rows = task_rows(source.index, task.domains, task.classes)
    chosen = fixed_pictures(rows, task, count)
    images = to_device(source.images(backbone.preprocessing).take(chosen), np.arange(len(chosen)), backbone.device)
    before = Classifier(backbone, task.classes, task.template).eval()
    shown = replace(backbone.preprocessing, size=max(SHOWN, backbone.preprocessing.size))
    return Artefact(
        {
            "pictures": np.stack([shown.apply(source.master(position)) for position in chosen]),
            "before": class_attention(before, images).cpu().numpy(),
            "after": class_attention(classifier, images).cpu().numpy(),
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
    """Return the answer to each picture: a class, or nothing where several classes are equally likely."""
    p = classifier.logits(images).float().softmax(dim=-1)
    best = p == p.max(dim=-1, keepdim=True).values
    return [classifier.classes[int(own.to(torch.uint8).argmax())] if int(own.sum()) == 1 else "" for own in best]


@contextmanager
def _caught(module: nn.Module) -> Iterator[list[Tensor]]:
    """Collect what a module returns while the ``with`` block runs."""
    found: list[Tensor] = []
    handle = module.register_forward_hook(lambda _module, _inputs, output: found.append(output))
    try:
        yield found
    finally:
        handle.remove()
