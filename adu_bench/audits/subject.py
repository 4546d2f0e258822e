"""What an audit examines: the classifier of a finished run, the untouched one, and images that neither was shown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from adu_bench.artefacts.rebuild import rebuild, require_same_answers
from adu_bench.clip.backbone import Backbone
from adu_bench.clip.classifier import Classifier
from adu_bench.clip.part import Part
from adu_bench.clip.precision import computing
from adu_bench.clip.tower import ImageTower
from adu_bench.clip.transfer import upload, upload_images
from adu_bench.core.progress import Progress, silent
from adu_bench.core.seeds import derive
from adu_bench.data.sampler import draw_shots
from adu_bench.registry import Catalogue
from adu_bench.runner.batches import EVALUATION_BATCH, in_batches
from adu_bench.runner.evaluate import Images, predict
from adu_bench.runner.task_data import TaskData
from adu_bench.store import Run

TEST, ATTACK = "test", "attack"
"""The pools of a subject: ``test`` is judged on; the attacker fits on ``attack``."""
MOST = 16
"""The most images of one class and domain in the attacker's pool."""


@dataclass(frozen=True)
class Outputs:
    """What a classifier computes for N images.

    Parameters
    ----------
    images
        The images, with labels, domains, and whether each domain is to be forgotten.
    features
        Unit features, float32, (N, D).
    logits
        float32, (N, C).
    """

    images: Images
    features: np.ndarray
    logits: np.ndarray

    def __len__(self) -> int:
        return len(self.images)

    @property
    def labels(self) -> np.ndarray:
        """Class indices, int64, (N,)."""
        return self.images.labels

    @property
    def forget(self) -> np.ndarray:
        """Whether each image's domain is to be forgotten, bool, (N,)."""
        return self.images.forget

    @cached_property
    def p(self) -> np.ndarray:
        """Probabilities, float64, (N, C)."""
        shifted = np.exp(self.logits.astype(np.float64) - self.logits.max(axis=1, keepdims=True))
        return shifted / shifted.sum(axis=1, keepdims=True)

    @cached_property
    def credit(self) -> np.ndarray:
        """How right each answer is, 0..1, float64, (N,); `credit` says how it is counted."""
        return credit(self.logits, self.labels)

    def where(self, mask: np.ndarray) -> Outputs:
        """Return the outputs of the images at which a boolean mask (N,) is true."""
        return Outputs(choose(self.images, mask), self.features[mask], self.logits[mask])


def credit(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return how right each answer is: one over the number of classes that share the top score, if the label does.

    Parameters
    ----------
    scores
        (N, C), floating; the largest wins.
    labels
        Class indices, (N,).

    Returns
    -------
    ndarray
        float64, (N,), 0..1.
    """
    top = scores == scores.max(axis=1, keepdims=True)
    return top[np.arange(len(labels)), labels] / top.sum(axis=1)


def choose(images: Images, mask: np.ndarray) -> Images:
    """Return the images at which a boolean mask or an array of positions points."""
    names = ("rows", "names", "domains", "labels", "forget", "frozen")
    return replace(images, **{name: getattr(images, name)[mask] for name in names})


class Reader:
    """Reads images with one classifier, and remembers the results by pool.

    Parameters
    ----------
    classifier
        In eval mode; shared, so it must not be changed.
    images
        Returns the images of a pool.
    precision
        One of `adu_bench.core.specs.PRECISIONS`.
    known
        Results by kind and pool; may be shared by readers of the same classifier.
    same_tower
        A reader whose classifier has the same image tower, which then need not be run again; None without one.
    """

    def __init__(
        self,
        classifier: Classifier,
        images: Callable[[str], Images],
        precision: str,
        known: dict[tuple, Any],
        same_tower: Reader | None = None,
    ) -> None:
        self.classifier, self.precision = classifier, precision
        self._images, self._known, self._same_tower = images, known, same_tower

    def outputs(self, pool: str) -> Outputs:
        """Return what the classifier computes for the images of a pool, computed once."""
        images = self._images(pool)
        if ("outputs", pool) not in self._known:
            self._known["outputs", pool] = self.read(images)
        # The domains to forget differ between tasks that share everything else.
        return replace(self._known["outputs", pool], images=images)

    def blocks(self, pool: str, domains: Sequence[str]) -> np.ndarray:
        """Return the class token after each block of the image tower, computed once for each domain.

        Parameters
        ----------
        pool
            As in `outputs`.
        domains
            The domains whose M images are read.

        Returns
        -------
        ndarray
            float32, (blocks, M, width); the images are in the order of the pool.

        Raises
        ------
        UserError
            If the image tower is not a standard ViT of open_clip that pools the class token.
        """
        if self._same_tower is not None:
            return self._same_tower.blocks(pool, domains)
        images = self._images(pool)
        found, places = [], []
        for domain in domains:
            own = np.flatnonzero(images.domains == domain)
            if ("blocks", pool, domain) not in self._known:
                self._known["blocks", pool, domain] = self._read_blocks(choose(images, own))
            found.append(self._known["blocks", pool, domain])
            places.append(own)
        return np.concatenate(found, axis=1)[:, np.argsort(np.concatenate(places))]

    def once(self, key: tuple, make: Callable[[], Any]) -> Any:
        """Return ``make()``, computed once for each key: for what depends on this classifier and on the key only.

        The results of the untouched classifier are kept for all runs of the same data, classes and seed, so that an
        audit need not attack it again for each of them.
        """
        if key not in self._known:
            self._known[key] = make()
        return self._known[key]

    def read(self, images: Images) -> Outputs:
        """Return what the classifier computes for any images, as it is now (for example within `without`)."""
        device = self.classifier.backbone.device
        batch = EVALUATION_BATCH[device.type]
        _, features = predict(self.classifier, images, batch, self.precision)

        def one(part: slice) -> Tensor:
            with torch.inference_mode(), computing(device, self.precision):
                frozen = upload(images.frozen[part], device)
                return self.classifier.classify(upload(features[part], device), frozen).float().cpu()

        logits = torch.cat(list(in_batches(len(images), batch, device, one)))
        return Outputs(images, features, logits.numpy())

    def _read_blocks(self, images: Images) -> np.ndarray:
        classifier, device = self.classifier, self.classifier.backbone.device
        classifier.require_image_hooks("An audit of the image blocks")
        active = [part for part in cast(Iterable[Part], classifier.parts.values()) if part.enabled]
        tower, last = ImageTower(classifier.model.visual), classifier.image_depth - 1

        def one(part: slice) -> np.ndarray:
            pixels = upload_images(images.pixels[images.rows[part]], device)
            recorder = _Recorder()
            with torch.inference_mode(), computing(device, self.precision):
                tokens = tower.tokens_after(classifier.backbone.normalise(pixels), last, [recorder, *active])
            return torch.stack([*recorder.seen[1:], tokens[:, 0]]).float().cpu().numpy()

        return np.concatenate(list(in_batches(len(images), EVALUATION_BATCH[device.type], device, one)), axis=1)


class _Recorder(Part):
    """Keeps the class token before each block, as it left the previous one, in a single pass of the tower."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []

    def before_block(self, index: int, tokens: Tensor) -> Tensor:
        self.seen.append(tokens[:, 0])
        return tokens


class Subject:
    """A finished run under examination.

    Parameters
    ----------
    run
        The run.
    backbone
        The backbone that the run used.
    catalogue
        The known methods; the run's classifier may need parts that its method defines.
    report
        Called while images are decoded or encoded.

    Attributes
    ----------
    task, classes
        The run's task, and its number of classes C.
    data
        The images of the task.
    before, after
        Readers of the untouched zero-shot classifier and of the run's classifier.

    Raises
    ------
    UserError
        If the classifier cannot be rebuilt.
    """

    _before: dict[tuple, dict[tuple, Any]] = {}
    """Results of the last untouched classifier: most runs of a suite share it."""

    def __init__(self, run: Run, backbone: Backbone, catalogue: Catalogue, report: Progress = silent) -> None:
        self.run, self.backbone, self.catalogue = run, backbone, catalogue
        self.task, self.classes = run.spec.task, len(run.spec.task.classes)
        self.precision = run.spec.training.evaluation
        self.data = TaskData(self.task, backbone, self.precision, report)
        self._pools: dict[str, Images] = {}
        self.before = Reader(self.untouched(), self.images, self.precision, self._shared())
        classifier = self.rebuilt()
        same_tower = self.before if classifier.image_side_frozen else None
        self.after = Reader(classifier, self.images, self.precision, {}, same_tower)

    def rebuilt(self) -> Classifier:
        """Return a new copy of the run's classifier, in eval mode, that may be changed and trained."""
        return rebuild(self.run, self.backbone, self.catalogue)

    def untouched(self) -> Classifier:
        """Return a new zero-shot classifier, in eval mode, that may be changed and trained."""
        return Classifier(self.backbone, self.task.classes, self.task.template).eval()

    def images(self, pool: str) -> Images:
        """Return images by pool.

        Parameters
        ----------
        pool
            ``test``: what is judged on.  ``attack``: what an attacker may fit on, at most `MOST` images for each class
            and domain, from the validation split and from training images that the run was not shown.  A pool of the
            data set (``validation``, ``train``) works as well.
        """
        if pool not in self._pools:
            data = self.data
            if pool == ATTACK:
                data = TaskData(self.task, self.backbone, self.precision, self.data.report)
                data.rows = attack_rows(self.data.rows, self.shown).assign(pool=ATTACK)
            self._pools[pool] = data.images(pool)
        return self._pools[pool]

    def with_pixels(self, images: Images, pixels: np.ndarray) -> Images:
        """Return images with other pixels, for example after a corruption.

        Parameters
        ----------
        images
            N images.
        pixels
            uint8, (N, S, S, 3).

        Returns
        -------
        Images
            The same labels and domains; the frozen features are those of the new pixels.
        """
        device = self.backbone.device

        def one(part: slice) -> np.ndarray:
            with computing(device, self.precision):
                return self.backbone.image_features(upload_images(pixels[part], device)).cpu().numpy()

        frozen = np.concatenate(list(in_batches(len(images), EVALUATION_BATCH[device.type], device, one)))
        return replace(images, pixels=pixels, rows=np.arange(len(images)), frozen=frozen)

    @cached_property
    def shown(self) -> np.ndarray:
        """Positions of the few-shot images that the run was shown, int64."""
        return draw_shots(self.data.rows, self.task, self.run.spec.seed)

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """The predictions that the run stored, one row per test image.

        Raises
        ------
        UserError
            If they are damaged.
        """
        return self.run.predictions()

    def check(self) -> None:
        """Compare the rebuilt classifier's answers with those that the run stored.

        Raises
        ------
        UserError
            If they differ by more than rounding.
        """
        require_same_answers(self.run, self.after.outputs(TEST).logits.argmax(axis=1), self.predictions)

    def seed(self, audit: str) -> int:
        """Return an audit's seed: it depends on the task and the audit, not on the method or the run's seed."""
        return derive(0, "audit", audit, self.task.data_hash, self.task.name)

    def rng(self, audit: str) -> np.random.Generator:
        """Return a generator with the audit's seed."""
        return np.random.default_rng(self.seed(audit))

    def _shared(self) -> dict[tuple, Any]:
        """Return the known results of the untouched classifier, and forget those of another one."""
        task, spec = self.task, self.run.spec
        classes = (task.classes, task.held_out)
        same = (task.dataset, task.data_hash, task.domains, classes, task.template, task.shots, spec.seed)
        key = (*same, spec.backbone.weights_hash, self.precision, str(self.backbone.device))
        if key not in Subject._before:
            Subject._before = {key: {}}
        return Subject._before[key]


def attack_rows(rows: pd.DataFrame, shown: np.ndarray) -> pd.DataFrame:
    """Choose the attacker's images: never test images, and none that the run was shown.

    Parameters
    ----------
    rows
        The task's index rows, whose row labels are image positions.
    shown
        Positions of the run's few-shot images.

    Returns
    -------
    DataFrame
        The chosen rows in index order: all, or a fixed draw of `MOST`, for each class and domain.
    """
    free = rows[rows["pool"].isin(("validation", "train")) & ~rows.index.isin(shown)]
    order = np.random.default_rng(derive(0, "audits", "attack")).permutation(len(free))
    mixed = free.iloc[order]
    return mixed.groupby(["domain", "label"], sort=False).head(MOST).sort_index()
