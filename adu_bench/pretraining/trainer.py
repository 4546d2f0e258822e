"""Contrastive pre-training of a small CLIP model that can be interrupted and resumed.

All copies of an image's caption in a batch count as positives, so two images of the same object are not pushed apart
(the multi-positive form of CLIP's loss).  Training is seeded, writes a checkpoint every `EVERY` steps and resumes from
it; the validation images only measure progress.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from open_clip.transformer import PatchDropout
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from adu_bench.clip import folder_model
from adu_bench.clip.backbone import encode_text
from adu_bench.clip.identity import CONFIG, SHIPPED_FOLDER, WEIGHTS, folder_config
from adu_bench.clip.transfer import upload
from adu_bench.core.errors import UserError
from adu_bench.core.files import replacing, write_text
from adu_bench.core.progress import Progress, silent
from adu_bench.pretraining.augment import augment
from adu_bench.pretraining.corpus import Corpus, fingerprint

RECORD = "training.json"
CHECKPOINT = "checkpoint.pt"
EVERY = 250
"""Steps between two checkpoints and validations."""


@dataclass(frozen=True)
class Settings:
    """Hyper-parameters of pre-training that are the same in all stages."""

    batch: int = 128
    weight_decay: float = 0.1
    warmup: int = 300
    average: float = 0.999


@dataclass(frozen=True)
class Stage:
    """One stage of a schedule.

    Parameters
    ----------
    until
        The step before which it ends.
    peak, start, horizon
        The learning rate falls as a cosine from ``peak`` at step ``start`` towards a hundredth of it at ``horizon``.
    classed
        Share of each batch that is drawn from the images that have a class; the rest is drawn from all images.
    captions
        Share of the images with a class whose caption names the class instead of the image.
    strength
        Strength of the style augmentation, see `augment`.
    dropped
        Share of image patches that are dropped.
    """

    until: int
    peak: float
    start: int
    horizon: int
    classed: float
    captions: float
    strength: float
    dropped: float = 0.0


@dataclass(frozen=True)
class Course:
    """Training schedule, captions and augmentation of one model.

    Parameters
    ----------
    stages
        Stages in order; training ends with the last one.
    templates
        Captions with one ``{}``; the first is used most often, and to measure zero-shot accuracy.
    geometry
        Augments the geometry of a batch: uint8 (N, 3, S, S) to float32 in 0..1; see `augment`.
    start
        Folder of the model to start from; None for random weights in the shape of the shipped model.
    """

    stages: tuple[Stage, ...]
    templates: tuple[str, ...]
    geometry: Callable[[Tensor, torch.Generator], Tensor]
    start: Path | None = None


class Trainer:
    """A training that can be resumed.

    It writes a model folder: ``config.json``, weights (averaged, half precision), vocabulary, and ``training.json``,
    the record of the training.

    Parameters
    ----------
    course
        Schedule, captions and augmentation.
    corpus, validation
        Images to learn from, and images to measure progress on; both in the model's input size.
    out
        Folder of the model and of the checkpoint.
    seed
        Seed of the weights and of all random draws.
    device
        Where the model is; images are augmented on the CPU, so that their draws are the same everywhere.

    Raises
    ------
    UserError
        If the folder holds a training with other images or other settings.
    """

    def __init__(
        self, course: Course, corpus: Corpus, validation: Corpus, out: Path, seed: int, device: str = "cpu"
    ) -> None:
        self.device = torch.device(device)
        self.course, self.out, self.seed, self.settings = course, out, seed, Settings()
        self.corpus, self.validation = corpus, validation
        self.pixels = torch.from_numpy(corpus.pixels).permute(0, 3, 1, 2).contiguous()
        self.classed = np.flatnonzero([bool(label) for label in corpus.labels])
        torch.manual_seed(seed)
        start = course.start
        self.model: Any = folder_model.build(start)[0].train() if start else folder_model.untrained()
        self.model.to(self.device).requires_grad_(True)
        self.tokenizer = folder_model.tokenizer(start or SHIPPED_FOLDER)
        self.mean, self.std = (values.to(self.device) for values in statistics(start or SHIPPED_FOLDER))
        self.average = {name: value.detach().clone() for name, value in self.model.state_dict().items()}
        decay = [p for p in self.model.parameters() if p.ndim > 1]
        rest = [p for p in self.model.parameters() if p.ndim <= 1]
        groups = [{"params": decay, "weight_decay": self.settings.weight_decay}, {"params": rest, "weight_decay": 0.0}]
        self.optimiser = torch.optim.AdamW(groups, lr=course.stages[0].peak, betas=(0.9, 0.98))
        self.step, self.seconds = 0, 0.0
        self.log: list[dict[str, float]] = []
        out.mkdir(parents=True, exist_ok=True)
        self._resume()

    def run(
        self,
        steps: int,
        record: Callable[[dict[str, float]], None] = lambda row: None,
        progress: Progress = silent,
    ) -> None:
        """Train up to a step, and record a row of measures at every checkpoint."""
        self.model.train()
        start = time.perf_counter() - self.seconds
        while self.step < steps:
            loss = self._train_step()
            self.step += 1
            if self.step % EVERY == 0 or self.step == steps:
                self.seconds = time.perf_counter() - start
                self._measure(loss)
                self._save()
                record(self.log[-1])
            progress("pre-training", self.step, steps, f"loss {loss:.3f}")

    def _train_step(self) -> float:
        rng = np.random.default_rng([self.seed, self.step])
        torch_rng = torch.Generator().manual_seed(self.seed * 1_000_003 + self.step)
        torch.manual_seed(self.seed * 1_000_003 + self.step)
        stage = next((stage for stage in self.course.stages if self.step < stage.until), self.course.stages[-1])
        self.model.visual.patch_dropout = PatchDropout(stage.dropped) if stage.dropped else torch.nn.Identity()
        half = int(stage.classed * self.settings.batch)
        rows = np.concatenate(
            [rng.choice(self.classed, half), rng.integers(len(self.pixels), size=self.settings.batch - half)]
        )
        texts, targets = self._captions(rows, stage.captions, rng)
        images = augment(self.pixels[torch.from_numpy(rows)], stage.strength, torch_rng, self.course.geometry)
        for group in self.optimiser.param_groups:
            group["lr"] = self._rate(stage)
        image = self.model.encode_image((upload(images, self.device) - self.mean) / self.std)
        text = encode_text(self.model, self.tokenizer(texts), self.device)
        scale = self.model.logit_scale.exp().clamp_max(60)
        logits = scale * F.normalize(image, dim=-1) @ F.normalize(text, dim=-1).T
        loss = _contrastive(logits, upload(targets, self.device))
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        self._update_average()
        return float(loss.detach())

    def _captions(self, rows: np.ndarray, share: float, rng: np.random.Generator) -> tuple[list[str], np.ndarray]:
        places: dict[str, int] = {}
        targets = np.empty(len(rows), np.int64)
        templates = self.course.templates
        template = templates[int(rng.integers(len(templates)))] if rng.random() < 0.5 else templates[0]
        for place, row in enumerate(rows):
            label, name = self.corpus.labels[row], self.corpus.names[row]
            text = template.format(label if label and rng.random() < share else name)
            targets[place] = places.setdefault(text, len(places))
        return list(places), targets

    def _rate(self, stage: Stage) -> float:
        if self.step < self.settings.warmup:
            return stage.peak * (self.step + 1) / self.settings.warmup
        share = (self.step - stage.start) / (stage.horizon - stage.start)
        return stage.peak * (0.01 + 0.99 * (1 + math.cos(math.pi * min(1.0, share))) / 2)

    @torch.no_grad()
    def _update_average(self) -> None:
        decay = min(self.settings.average, (1 + self.step) / (10 + self.step))
        for name, value in self.model.state_dict().items():
            if value.is_floating_point():
                self.average[name].lerp_(value, 1 - decay)

    def _measure(self, loss: float) -> None:
        current = {name: value.clone() for name, value in self.model.state_dict().items()}
        self.model.load_state_dict(self.average)
        held = self._accuracies(self.validation)
        rows = self.classed[:: max(1, len(self.classed) // 800)]
        seen = Corpus(
            self.corpus.pixels[rows],
            *([getattr(self.corpus, field)[r] for r in rows] for field in ("names", "labels", "styles")),
        )
        row = {"step": self.step, "seconds": round(self.seconds), "loss": round(loss, 4), **held}
        row["seen"] = round(float(np.mean(list(self._accuracies(seen).values()))), 4)
        self.log.append(row)
        self.model.load_state_dict(current)
        self.model.train()

    def _accuracies(self, corpus: Corpus) -> dict[str, float]:
        normalise = (self.mean, self.std)
        return accuracies(self.model, self.tokenizer, corpus, self.course.templates[0], normalise)

    def _save(self) -> None:
        half = {
            name: value.to(torch.float16).contiguous() for name, value in self.average.items() if name != "attn_mask"
        }
        for name in (CONFIG, folder_model.VOCABULARY):
            shutil.copyfile((self.course.start or SHIPPED_FOLDER) / name, self.out / name)
        state = {
            "model": self.model.state_dict(),
            "average": self.average,
            "optimiser": self.optimiser.state_dict(),
            "progress": [self.step, self.seconds],
        }
        summary = {**self._identity, "steps": self.step, "images": len(self.corpus.names), "log": self.log}
        # A kill between two of these leaves the last checkpoint with a record that is as new or newer.
        with replacing(self.out / WEIGHTS) as path:
            save_file(half, path)
        write_text(self.out / RECORD, json.dumps(summary, indent=1))
        with replacing(self.out / CHECKPOINT) as path:
            torch.save(state, path)

    @cached_property
    def _identity(self) -> dict[str, Any]:
        return {
            "settings": asdict(self.settings),
            "stages": [asdict(stage) for stage in self.course.stages],
            "seed": self.seed,
            "corpus": fingerprint(self.corpus),
        }

    def _resume(self) -> None:
        path = self.out / CHECKPOINT
        if not path.is_file():
            return
        record = json.loads((self.out / RECORD).read_text())
        differing = [name for name, value in self._identity.items() if record.get(name) != value]
        if differing:
            raise UserError(
                f"The folder '{self.out}' holds a different training.",
                f"It differs in: {', '.join(differing)}.",
                "Choose another folder with --out, or delete this one.",
            )
        state = torch.load(path, weights_only=True, map_location=self.device)
        self.model.load_state_dict(state["model"])
        self.average = state["average"]
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.seconds = state["progress"]
        self.log = [row for row in record["log"] if row["step"] <= self.step]


def statistics(folder: Path = SHIPPED_FOLDER) -> tuple[Tensor, Tensor]:
    """Return the channel means and standard deviations of a model in a folder, (3, 1, 1) each."""
    preprocess = folder_config(folder)["preprocess_cfg"]
    return torch.tensor(preprocess["mean"]).view(3, 1, 1), torch.tensor(preprocess["std"]).view(3, 1, 1)


def _contrastive(logits: Tensor, targets: Tensor) -> Tensor:
    """CLIP's symmetric loss over N images and the batch's M different captions; logits (N, M), targets (N,)."""
    to_text = F.cross_entropy(logits, targets, label_smoothing=0.05)
    positives = F.one_hot(targets, logits.shape[1]).T.float()
    to_image = -(positives * logits.T.log_softmax(dim=-1)).sum(dim=-1) / positives.sum(dim=-1)
    return (to_text + to_image.mean()) / 2


@torch.no_grad()
def accuracies(
    model: Any,
    tokenizer: Callable[[list[str]], Tensor],
    corpus: Corpus,
    template: str,
    normalise: Sequence[Tensor],
) -> dict[str, float]:
    """Return the zero-shot accuracy per style, each over the classes that occur in that style's data set.

    Parameters
    ----------
    model, tokenizer
        An open_clip model, which is left in eval mode, and its tokenizer.
    corpus
        Images with labels.
    template
        Text with one ``{}`` for the class name.
    normalise
        Channel means and standard deviations, (3, 1, 1), on the model's device.
    """
    model.eval()
    mean, std = normalise
    device = mean.device
    styles, labels = np.array(corpus.styles), np.array(corpus.labels)
    images = torch.from_numpy(corpus.pixels).permute(0, 3, 1, 2).float() / 255
    parts = (model.encode_image((part.to(device) - mean) / std) for part in images.split(256))
    features = torch.cat([F.normalize(part, dim=-1) for part in parts]).cpu()
    toy_styles = {"filled", "outline", "hatched", "inverted"}
    found = {}
    for style in dict.fromkeys(corpus.styles):
        same_set = np.array([(other in toy_styles) == (style in toy_styles) for other in styles])
        classes = sorted(set(labels[same_set]))
        tokens = tokenizer([template.format(name) for name in classes]).to(device)
        text = F.normalize(model.encode_text(tokens), dim=-1).cpu()
        rows = np.flatnonzero(styles == style)
        predicted = (features[rows] @ text.T).argmax(dim=1).numpy()
        found[style] = round(float(np.mean(np.array(classes)[predicted] == labels[rows])), 4)
    return found
