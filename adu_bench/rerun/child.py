"""The process that runs a method's code: it trains, or answers images for a classifier with parts of its own."""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path

import numpy as np
import torch

from adu_bench.clip.backbone import Backbone
from adu_bench.clip.device import resolve_device
from adu_bench.clip.files import load_classifier, save_classifier
from adu_bench.clip.precision import computing, make_deterministic
from adu_bench.clip.transfer import upload_images
from adu_bench.core.specs import RunSpec
from adu_bench.registry import load_class
from adu_bench.rerun.capsule import Capsule
from adu_bench.rerun.shots import SavedShots
from adu_bench.runner.batches import EVALUATION_BATCH, in_batches
from adu_bench.runner.executors.worker import limit_threads
from adu_bench.runner.guard import unchanged
from adu_bench.runner.task_data import load_shared_backbone
from adu_bench.runner.unlearn import unlearn


def main() -> None:
    """Do a step, ``train`` or ``answer``, in the capsule that the command line names."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    step, capsule = sys.argv[1], Capsule(Path(sys.argv[2]))
    try:
        job = json.loads(capsule.job.read_text(encoding="utf-8"))
        limit_threads(job["threads"])
        backbone = load_shared_backbone(job["backbone"], resolve_device(job["device"]))
        spec = RunSpec.from_dict(job["spec"])
        (_train if step == "train" else _answer)(capsule, spec, job["class_name"], backbone)
    except Exception as error:
        capsule.reason.write_text(f"{type(error).__name__}: {error}", encoding="utf-8")
        raise SystemExit(1) from error


def _train(capsule: Capsule, spec: RunSpec, class_name: str, backbone: Backbone) -> None:
    with unchanged(backbone):
        made = unlearn(capsule.method, class_name, spec, SavedShots(capsule.folder, backbone))
    save_classifier(made.classifier, capsule.classifier)


@torch.inference_mode()
def _answer(capsule: Capsule, spec: RunSpec, class_name: str, backbone: Backbone) -> None:
    """Compute the logits of the images."""
    make_deterministic(backbone.device)
    load_class(capsule.method, class_name, spec.method.source_hash)
    classifier, images = load_classifier(capsule.classifier, backbone), np.load(capsule.images, mmap_mode="r")
    device = backbone.device

    def one(part: slice) -> np.ndarray:
        pixels = upload_images(images[part], device)
        with computing(device, spec.training.evaluation):
            return classifier.logits(pixels, backbone.image_features(pixels)).float().cpu().numpy()

    logits = list(in_batches(len(images), EVALUATION_BATCH[device.type], device, one))
    np.concatenate(logits).tofile(capsule.logits)


def _end_with_parent() -> None:
    """Wait for the end of a pipe that the parent never writes to, where the system does not end this process."""
    os.read(0, 1)
    os._exit(1)


if __name__ == "__main__":
    main()
