"""Score a classifier on images that no method saw, one row an image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from adu_bench.clip.classifier import Classifier
from adu_bench.core.errors import Diverged
from adu_bench.runner.batches import in_batches


@dataclass(frozen=True)
class Images:
    """Some labelled images of a prepared data set.

    Parameters
    ----------
    pixels
        All prepared images of the data set, uint8, (M, S, S, 3); may be memory-mapped.
    rows
        Positions of these images in ``pixels``, int64, (N,).
    names, domains
        Image identifiers and domain names, object arrays (N,).
    labels
        Class indices in the task's order, int64, (N,).
    forget
        Whether the domain is to be forgotten, bool, (N,).
    frozen
        Unit features of the untouched backbone, float32, (N, D).
    """

    pixels: np.ndarray
    rows: np.ndarray
    names: np.ndarray
    domains: np.ndarray
    labels: np.ndarray
    forget: np.ndarray
    frozen: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)


def to_device(pixels: np.ndarray, rows: np.ndarray, device: torch.device) -> Tensor:
    """Copy images out of (M, S, S, 3) to a uint8 tensor (N, 3, S, S) on a device."""
    return torch.from_numpy(np.ascontiguousarray(pixels[rows])).to(device).permute(0, 3, 1, 2).contiguous()


@torch.inference_mode()
def predict(
    classifier: Classifier, images: Images, batch: int, report: Callable[[float], None] = lambda share: None
) -> tuple[pd.DataFrame, np.ndarray]:
    """Predict the class of each image.

    Parameters
    ----------
    classifier
        In eval mode.
    images
        Test images.
    batch
        Images a forward pass, fewer where they do not fit; has no influence on the result beyond rounding.
    report
        Called with the share done, 0..1.

    Returns
    -------
    DataFrame
        Columns image, domain, forget, label, predicted (smallest index among tied classes), tied (classes that
        share the top probability), p_label, p_max, entropy (nats), margin (top-1 minus top-2 probability).
    ndarray
        Unit features, float32, (N, D).

    Raises
    ------
    Diverged
        If a logit is NaN or infinite.
    RunFailed
        If a single image does not fit into the device's memory.
    """
    device = classifier.backbone.device
    needs_pixels = not classifier.image_side_frozen

    def one(part: slice) -> tuple[dict[str, np.ndarray], np.ndarray]:
        pictures = to_device(images.pixels, images.rows[part], device) if needs_pixels else None
        frozen = torch.from_numpy(images.frozen[part]).to(device)
        encoded = classifier.features(pictures, frozen)
        logits = classifier.classify(encoded, frozen).float()
        if not bool(torch.isfinite(logits).all()):
            raise Diverged("The classifier gave NaN or infinite logits on a test image.")
        return _answers(logits, torch.from_numpy(images.labels[part]).to(device)), encoded.float().cpu().numpy()

    columns: list[dict[str, np.ndarray]] = []
    features: list[np.ndarray] = []
    done = 0
    for column, encoded in in_batches(len(images), batch, device, one):
        columns.append(column)
        features.append(encoded)
        done += len(encoded)
        report(done / len(images))
    answers = {name: np.concatenate([column[name] for column in columns]) for name in columns[0]}
    frame = pd.DataFrame(
        {
            "image": images.names,
            "domain": images.domains,
            "forget": images.forget,
            "label": images.labels.astype(np.int16),
            **answers,
        }
    )
    return frame, np.concatenate(features)


def _answers(logits: Tensor, labels: Tensor) -> dict[str, np.ndarray]:
    log_p = logits.log_softmax(dim=-1)
    p = log_p.exp()
    top = p.topk(2, dim=-1).values
    best = p == top[:, :1]
    values = {
        "predicted": best.to(torch.uint8).argmax(dim=-1).to(torch.int16),
        "tied": best.sum(dim=-1).to(torch.int16),
        "p_label": p.gather(1, labels[:, None])[:, 0],
        "p_max": top[:, 0],
        "entropy": -(p * log_p).sum(dim=-1),
        "margin": top[:, 0] - top[:, 1],
    }
    return {name: value.cpu().numpy() for name, value in values.items()}
