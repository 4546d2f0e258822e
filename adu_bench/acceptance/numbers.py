"""Checks that a device computes the right numbers."""

from __future__ import annotations

import copy
import os
import platform
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from unittest.mock import patch

import numpy as np
import torch

from adu_bench.acceptance.lines import Line, Setting, judge, needs_gpu
from adu_bench.clip import classifier as classifiers
from adu_bench.clip.classifier import Classifier
from adu_bench.clip.precision import make_deterministic, products
from adu_bench.clip.prompts import TextPrompts
from adu_bench.clip.tower import ImageTower
from adu_bench.clip.transfer import upload_images
from adu_bench.conformance import Subject, answers
from adu_bench.core.specs import PRECISIONS, RunSpec, TrainingSpec
from adu_bench.registry import Catalogue
from adu_bench.runner.batches import EVALUATION_BATCH
from adu_bench.runner.evaluate import Images, predict
from adu_bench.runner.unlearn import unlearn
from adu_bench.speed.made_up import made_up_problem, method

COSINE = 0.999
"""Smallest cosine between features and those of open_clip in double precision."""
AGREEMENT = 0.99
"""Smallest share of equal predictions of two computations in single precision."""
LOWERED = {"tf32": 0.98, "bf16": 0.95, "fp16": 0.98}
"""Smallest share of predictions in a lower precision that equal those in single precision."""
SKIPPED = 0.25
"""Largest share of steps that fp16 may skip because gradients overflow."""
SPREAD = 0.02
"""Largest difference in logits between two equal runs on a GPU, if they are not equal bit by bit."""


def environment(setting: Setting) -> Iterator[Line]:
    """Name the device, and check the flags that training relies on."""
    name = torch.cuda.get_device_name() if setting.gpu else f"cpu, {torch.get_num_threads()} threads"
    found = f"{name}; torch {torch.__version__}, python {platform.python_version()}"
    make_deterministic(torch.device(setting.device))
    yield judge("environment", True, found, "the device can be used")
    before = torch.backends.cuda.matmul.allow_tf32
    with products("tf32"):
        inside = torch.backends.cuda.matmul.allow_tf32
    after = torch.backends.cuda.matmul.allow_tf32
    yield judge(
        "TF32 only where asked for",
        inside and before == after,
        f"{before}, {inside}, {after}",
        "off or as before, on, as before",
    )
    threshold = "deterministic algorithms, cuBLAS workspace set, no cuDNN search, TF32 off"
    if not setting.gpu:
        yield needs_gpu("deterministic flags", threshold)
        return
    flags = {
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "workspace": os.environ.get("CUBLAS_WORKSPACE_CONFIG") == ":4096:8",
        "search": not torch.backends.cudnn.benchmark,
        "tf32": not (torch.backends.cuda.matmul.allow_tf32 or torch.backends.cudnn.allow_tf32),
    }
    wrong = [flag for flag, right in flags.items() if not right]
    yield judge("deterministic flags", not wrong, f"wrong: {', '.join(wrong) or 'none'}", threshold)


def every_method(setting: Setting) -> Iterator[Line]:
    """Run every preset on small toy problems with one and with two steps per epoch; count the waits for a GPU."""
    broken, waiting = [], []
    for choice in Catalogue().select(["paper,reference,ablation"]):
        subject = Subject(choice, setting.device)
        spec, data = subject.small(("outline",))
        counts = []
        for batch in (24, 12) if setting.gpu else (12,):
            training = replace(spec.training, batch=batch)
            with _waits(setting.gpu) as caught:
                made = unlearn(choice.entry.path, choice.entry.class_name, replace(spec, training=training), data)
            counts.append(len(caught))
        if not bool(torch.isfinite(answers(made.problem, made.classifier)).all()):
            broken.append(choice.label)
        if counts[0] != counts[-1]:
            waiting.append(f"{choice.label} ({counts[-1] - counts[0]})")
    yield judge("every preset runs", not broken, f"not finite: {', '.join(broken) or 'none'}", "finite logits")
    threshold = "a training step adds no wait for the device"
    if setting.gpu:
        yield judge("waits per step", not waiting, f"more waits: {', '.join(waiting) or 'none'}", threshold)
    else:
        yield needs_gpu("waits per step", threshold)


@contextmanager
def _waits(gpu: bool) -> Iterator[list[warnings.WarningMessage]]:
    """Record a warning for each operation that waits for the GPU."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if gpu:
            torch.cuda.set_sync_debug_mode("warn")
        try:
            yield caught
        finally:
            if gpu:
                torch.cuda.set_sync_debug_mode("default")
            caught[:] = [one for one in caught if "synchroniz" in str(one.message)]


@torch.no_grad()
def reference(setting: Setting) -> Iterator[Line]:
    """Compare features and predictions with open_clip's own forward pass in double precision on the CPU."""
    data, backbone = setting.toy, setting.toy.backbone
    images = data.images("test")
    pixels = upload_images(images.pixels[images.rows], torch.device("cpu")).double() / 255
    model = copy.deepcopy(backbone.model).cpu().double()
    expected = model.encode_image((pixels - backbone.mean.cpu()) / backbone.std.cpu(), normalize=True)
    words = backbone.tokenizer([data.task.template.format(name) for name in data.task.classes])
    best = (expected @ model.encode_text(words, normalize=True).T).argmax(dim=1).numpy()
    classifier = Classifier(backbone, data.task.classes, data.task.template).eval()
    cosine = float((torch.from_numpy(images.frozen).double() * expected).sum(dim=1).min())
    yield judge("features", cosine >= COSINE, f"smallest cosine {cosine:.6f}", f"at least {COSINE}")
    rows, _ = predict(classifier, images, EVALUATION_BATCH[setting.device])
    same = float((rows["predicted"].to_numpy() == best).mean())
    yield judge("predictions", same >= AGREEMENT, f"{same:.2%} as open_clip", f"at least {AGREEMENT:.0%}")


def precisions(setting: Setting) -> Iterator[Line]:
    """Evaluate one classifier in every precision, and train in fp16."""
    data, choice = setting.toy, Catalogue().select(["baseline"])[0]
    resolved = choice.resolve({"epochs": 3}, {})
    spec = RunSpec(data.task, data.backbone.spec, resolved, TrainingSpec(12, "fp32"), seed=1)
    classifier = unlearn(choice.entry.path, choice.entry.class_name, spec, data).classifier
    # CPUs are slow in fp16, so that only some of the images are read there.
    images, batch = _thinned(data.images("test"), 1 if setting.gpu else 4), EVALUATION_BATCH[setting.device]
    full = predict(classifier, images, batch)[0]["predicted"].to_numpy()
    for precision in PRECISIONS:
        if precision == "fp32":
            continue
        name, threshold = f"predictions in {precision}", f"at least {LOWERED[precision]:.0%} as in fp32"
        if precision == "tf32" and not setting.gpu:
            yield needs_gpu(name, threshold)
            continue
        same = float((predict(classifier, images, batch, precision)[0]["predicted"].to_numpy() == full).mean())
        yield judge(name, same >= LOWERED[precision], f"{same:.2%} as in fp32", threshold)
    rows: list[dict[str, float]] = []
    small = made_up_problem(data.backbone, domains=3, classes=3, images=18, batch=6, precision="fp16")
    method("baseline", {"epochs": 3})(replace(small, record=rows.append))
    share = sum(row["skipped_steps"] for row in rows) / (3 * len(rows))
    yield judge("steps skipped in fp16", share <= SKIPPED, f"{share:.0%} of {3 * len(rows)}", f"at most {SKIPPED:.0%}")


def _thinned(images: Images, every: int) -> Images:
    """Return the first of every ``every`` images."""
    columns = ("rows", "names", "domains", "labels", "forget", "frozen")
    return replace(images, **{name: getattr(images, name)[::every] for name in columns})


def repeats(setting: Setting) -> Iterator[Line]:
    """Run adu twice with the same seed."""
    subject = Subject(Catalogue().select(["adu"])[0], setting.device)
    first, second = (answers(made.problem, made.classifier) for made in (subject.run(), subject.run()))
    spread = float((first - second).abs().max())
    found = "equal bit by bit" if torch.equal(first, second) else f"logits differ by {spread:.2g}"
    allowed = SPREAD if setting.gpu else 0.0
    threshold = f"equal, or logits differ by at most {SPREAD}" if setting.gpu else "equal bit by bit"
    yield judge("two equal runs", spread <= allowed, found, threshold)


def chunks(setting: Setting) -> Iterator[Line]:
    """Compare training and text features in chunks with those in one piece."""
    encode = ImageTower.encode

    def limited(tower: ImageTower, images: torch.Tensor, parts: tuple = ()) -> torch.Tensor:
        if torch.is_grad_enabled() and len(images) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return encode(tower, images, parts)

    def tokens() -> torch.Tensor:
        problem = made_up_problem(setting.toy.backbone, domains=3, classes=3, images=18, batch=9)
        classifier = method("adu", {"epochs": 2, "lr": 0.1})(problem)
        return torch.cat([parameter.detach().flatten() for parameter in classifier.trainable()])

    whole = tokens()
    with patch.object(ImageTower, "encode", limited):
        gap = float((tokens() - whole).abs().max())
    yield judge("images in chunks", gap <= 1e-3, f"weights differ by {gap:.2g}", "at most 0.001 after out of memory")
    gradients = []
    for kept in (classifiers.TEXT_BYTES, 1):
        torch.manual_seed(0)
        model = made_up_problem(setting.toy.backbone, domains=3, classes=5, images=15, batch=5).classifier()
        model.add("context", TextPrompts(2, 2, model.text_width))
        with patch.object(classifiers, "TEXT_BYTES", kept):
            model.train().text_features()[:, ::2].square().sum().backward()
        gradients.append(model.trainable()[0].grad.cpu().numpy())  # type: ignore[union-attr]
    gap = float(np.abs(gradients[0] - gradients[1]).max() / np.abs(gradients[0]).max())
    yield judge("texts in chunks", gap <= 1e-3, f"gradients differ by {gap:.2g} of the largest", "at most 0.001")
