"""Predictions of a classifier on images that no method saw, one row per image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from adu_bench.clip.classifier import Classifier
from adu_bench.clip.precision import computing
from adu_bench.clip.transfer import upload, upload_images
from adu_bench.core.errors import Diverged
from adu_bench.core.progress import Progress, silent
from adu_bench.runner.batches import in_batches


@dataclass(frozen=True)
class Images:
    """Labelled images of a prepared data set.

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
        Unit features of the frozen backbone, float32, (N, D).
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


@torch.inference_mode()
def predict(
    classifier: Classifier,
    images: Images,
    batch: int,
    precision: str = "fp32",
    report: Progress = silent,
) -> tuple[pd.DataFrame, np.ndarray]:
    """Predict the class of each image.

    Parameters
    ----------
    classifier
        In eval mode.
    images
        Test images.
    batch
        Images per forward pass, or fewer if they do not fit; affects the result only by rounding.
    precision
        One of `adu_bench.core.specs.PRECISIONS`; probabilities are computed from logits in single precision.
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
    # Results stay on the device until the last batch, so that no batch waits for the previous one.
    outputs: list[dict[str, Tensor]] = []

    def one(part: slice) -> dict[str, Tensor]:
        pixels = upload_images(images.pixels[images.rows[part]], device) if needs_pixels else None
        frozen = upload(images.frozen[part], device)
        with computing(device, precision):
            features = classifier.features(pixels, frozen)
            logits = classifier.classify(features, frozen).float()
        return {"features": features, **_answers(logits, upload(images.labels[part], device))}

    done = 0
    for output in in_batches(len(images), batch, device, one):
        outputs.append(output)
        done += len(output["features"])
        report("evaluation", done, len(images))
    found = {name: torch.cat([output[name] for output in outputs]).cpu().numpy() for name in outputs[0]}
    if not found.pop("finite").all():
        raise Diverged("The classifier gave NaN or infinite logits on a test image.")
    features = found.pop("features")
    frame = pd.DataFrame(
        {
            "image": images.names,
            "domain": images.domains,
            "forget": images.forget,
            "label": images.labels.astype(np.int16),
            **found,
        }
    )
    return frame, features


def _answers(logits: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Return the values that are stored for each image, (N,) each, from its logits (N, C)."""
    log_p = logits.log_softmax(dim=-1)
    p = log_p.exp()
    top = p.topk(2, dim=-1).values
    best = p == top[:, :1]
    return {
        "finite": torch.isfinite(logits).all(dim=-1),
        "predicted": best.to(torch.uint8).argmax(dim=-1).to(torch.int16),
        "tied": best.sum(dim=-1).to(torch.int16),
        "p_label": p.gather(1, labels[:, None])[:, 0],
        "p_max": top[:, 0],
        "entropy": -(p * log_p).sum(dim=-1),
        "margin": top[:, 0] - top[:, 1],
    }
