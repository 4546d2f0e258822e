"""Train the shipped small CLIP: ``python -m adu_bench.clip.pretrain --styles DIR --out DIR``.

Contrastive learning over captions that may occur several times in a batch: an image's positives are all copies of
its caption, so two clocks are not pushed apart (the multi-positive form of CLIP's loss).  Captions of classed pictures
name the class or the picture.  The run is seeded, writes a checkpoint every few
minutes and resumes from it; the validation pool guides, the test pool is read once at the end.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from open_clip.transformer import PatchDropout
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from adu_bench.clip import folder_model
from adu_bench.clip.corpus import Corpus, fingerprint, pool_corpus, training_corpus
from adu_bench.clip.pretrain_augment import augment

TEMPLATES = ("a picture of a {}.", "{}", "a drawing of a {}.", "a picture of {}.")
TEMPLATE = TEMPLATES[0]
EVERY = 250
"""Steps between two checkpoints and validations."""


@dataclass(frozen=True)
class Settings:
    """Hyper-parameters of pre-training that hold throughout."""

    batch: int = 128
    weight_decay: float = 0.1
    warmup: int = 300
    average: float = 0.999


@dataclass(frozen=True)
class Stage:
    """What a part of the training looks like.

    Parameters
    ----------
    until
        The step before which it ends.
    peak, start, horizon
        The learning rate falls as a cosine from ``peak`` at step ``start`` towards a hundredth of it at ``horizon``.
    classed
        Share of each batch that is drawn from the pictures of the classes, the rest from all.
    captions
        Share of the pictures of a class whose caption names the class instead of the picture.
    strength
        Strength of the changes of hand, see `augment`.
    dropped
        Share of image patches that are left out.
    """

    until: int
    peak: float
    start: int
    horizon: int
    classed: float
    captions: float
    strength: float
    dropped: float = 0.0


STAGES = (
    Stage(3250, 1.5e-3, 300, 8000, 0.35, 0.60, 1.00),
    Stage(4250, 1.5e-3, 300, 8000, 0.65, 0.75, 0.60),
    Stage(10500, 1.5e-3, 300, 10500, 0.80, 0.85, 0.45),
    Stage(13500, 7e-4, 10500, 13500, 0.75, 0.80, 1.00, 0.25),
)
"""Learn broadly, then the classes, then, with patches left out and strong changes of hand, what generalises.

The stages were added one after the other while the validation pool showed what was missing: first skill on seen
pictures, then a gap between seen and unseen ones.
"""


def main(arguments: list[str] | None = None) -> None:
    """Train, write ``weights.safetensors`` (averaged, half precision) and ``training.json`` into the output folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--styles", type=Path, required=True, help="folder with the unpacked style packages")
    parser.add_argument("--out", type=Path, required=True, help="where checkpoints and weights go")
    parser.add_argument("--steps", type=int, default=STAGES[-1].until, help="stop after so many steps")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(options.seed)
    Trainer(_cached_corpus(options), pool_corpus("validation"), options).run()


class Trainer:
    """One resumable pre-training run."""

    def __init__(self, corpus: Corpus, validation: Corpus, options: argparse.Namespace) -> None:
        self.options, self.settings = options, Settings()
        self.corpus, self.validation = corpus, validation
        self.pixels = torch.from_numpy(corpus.pixels).permute(0, 3, 1, 2).contiguous()
        self.classed = np.flatnonzero([bool(label) for label in corpus.labels])
        self.model: Any = folder_model.untrained()
        self.tokenizer = folder_model.tokenizer()
        self.average = {name: value.detach().clone() for name, value in self.model.state_dict().items()}
        decay = [p for p in self.model.parameters() if p.ndim > 1]
        rest = [p for p in self.model.parameters() if p.ndim <= 1]
        groups = [{"params": decay, "weight_decay": self.settings.weight_decay}, {"params": rest, "weight_decay": 0.0}]
        self.optimiser = torch.optim.AdamW(groups, lr=STAGES[0].peak, betas=(0.9, 0.98))
        self.step, self.steps, self.seconds = 0, options.steps, 0.0
        self.log: list[dict[str, float]] = []
        self._resume()

    def run(self) -> None:
        """Train to the last step."""
        self.model.train()
        start = time.perf_counter() - self.seconds
        while self.step < self.steps:
            loss = self._train_step()
            self.step += 1
            if self.step % EVERY == 0 or self.step == self.steps:
                self.seconds = time.perf_counter() - start
                self._report(loss)
                self._save()

    def _train_step(self) -> float:
        rng = np.random.default_rng([self.options.seed, self.step])
        torch_rng = torch.Generator().manual_seed(self.options.seed * 1_000_003 + self.step)
        torch.manual_seed(self.options.seed * 1_000_003 + self.step)
        stage = next((stage for stage in STAGES if self.step < stage.until), STAGES[-1])
        self.model.visual.patch_dropout = PatchDropout(stage.dropped) if stage.dropped else torch.nn.Identity()
        half = int(stage.classed * self.settings.batch)
        rows = np.concatenate(
            [rng.choice(self.classed, half), rng.integers(len(self.pixels), size=self.settings.batch - half)]
        )
        texts, targets = self._captions(rows, stage.captions, rng)
        images = augment(self.pixels[torch.from_numpy(rows)], stage.strength, torch_rng)
        for group in self.optimiser.param_groups:
            group["lr"] = self._rate(stage)
        image = self.model.encode_image((images - 0.8) / 0.3)
        text = _encode_text(self.model, self.tokenizer(texts))
        scale = self.model.logit_scale.exp().clamp_max(60)
        logits = scale * F.normalize(image, dim=-1) @ F.normalize(text, dim=-1).T
        loss = _contrastive(logits, torch.from_numpy(targets))
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        self._update_average()
        return float(loss.detach())

    def _captions(self, rows: np.ndarray, share: float, rng: np.random.Generator) -> tuple[list[str], np.ndarray]:
        places: dict[str, int] = {}
        targets = np.empty(len(rows), np.int64)
        template = TEMPLATES[int(rng.integers(len(TEMPLATES)))] if rng.random() < 0.5 else TEMPLATE
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

    def _report(self, loss: float) -> None:
        current = {name: value.clone() for name, value in self.model.state_dict().items()}
        self.model.load_state_dict(self.average)
        held = accuracies(self.model, self.tokenizer, self.validation)
        rows = self.classed[:: max(1, len(self.classed) // 800)]
        seen = Corpus(
            self.corpus.pixels[rows],
            *([getattr(self.corpus, field)[r] for r in rows] for field in ("names", "labels", "styles")),
        )
        row = {"step": self.step, "seconds": round(self.seconds), "loss": round(loss, 4), **held}
        row["seen"] = round(float(np.mean(list(accuracies(self.model, self.tokenizer, seen).values()))), 4)
        self.log.append(row)
        print(json.dumps(row), flush=True)
        self.model.load_state_dict(current)
        self.model.train()

    def _save(self) -> None:
        half = {
            name: value.to(torch.float16).contiguous() for name, value in self.average.items() if name != "attn_mask"
        }
        save_file(half, self.options.out / "weights.safetensors")
        state = {
            "model": self.model.state_dict(),
            "average": self.average,
            "optimiser": self.optimiser.state_dict(),
            "progress": [self.step, self.steps, self.seconds],
        }
        temporary = self.options.out / "checkpoint.tmp"
        torch.save(state, temporary)
        temporary.replace(self.options.out / "checkpoint.pt")
        summary = {
            "settings": vars(self.settings),
            "stages": [vars(stage) for stage in STAGES],
            "seed": self.options.seed,
            "steps": self.steps,
            "pictures": len(self.corpus.names),
            "corpus": fingerprint(self.corpus),
            "log": self.log,
        }
        (self.options.out / "training.json").write_text(json.dumps(summary, indent=1))

    def _resume(self) -> None:
        path = self.options.out / "checkpoint.pt"
        if not path.is_file():
            return
        state = torch.load(path, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.average = state["average"]
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, _, self.seconds = state["progress"]
        self.log = json.loads((self.options.out / "training.json").read_text())["log"]
        print(f"resumed at step {self.step} of {self.steps}", flush=True)


def _encode_text(model: Any, tokens: Tensor) -> Tensor:
    """Encode token ids (N, L) as the model does, without the padding that no caption of the batch uses.

    The text tower is causal and reads its answer at the end token, so padding behind it has no influence.
    """
    longest = int((tokens != 0).sum(dim=1).max())
    tokens = tokens[:, :longest]
    x = model.token_embedding(tokens) + model.positional_embedding[:longest]
    x = model.ln_final(model.transformer(x, attn_mask=model.attn_mask[:longest, :longest]))
    return x[torch.arange(len(x)), tokens.argmax(dim=-1)] @ model.text_projection


def _contrastive(logits: Tensor, targets: Tensor) -> Tensor:
    """CLIP's symmetric loss over N images and the M different captions of the batch; logits (N, M), targets (N,)."""
    to_text = F.cross_entropy(logits, targets, label_smoothing=0.05)
    positives = F.one_hot(targets, logits.shape[1]).T.float()
    to_image = -(positives * logits.T.log_softmax(dim=-1)).sum(dim=-1) / positives.sum(dim=-1)
    return (to_text + to_image.mean()) / 2


@torch.no_grad()
def accuracies(model: Any, tokenizer, corpus: Corpus) -> dict[str, float]:
    """Return zero-shot accuracy by style, each over the classes that occur in that style's data set."""
    model.eval()
    styles, labels = np.array(corpus.styles), np.array(corpus.labels)
    images = torch.from_numpy(corpus.pixels).permute(0, 3, 1, 2).float() / 255
    features = torch.cat([F.normalize(model.encode_image((part - 0.8) / 0.3), dim=-1) for part in images.split(256)])
    toy_styles = {"filled", "outline", "hatched", "inverted"}
    found = {}
    for style in dict.fromkeys(corpus.styles):
        same_set = np.array([(other in toy_styles) == (style in toy_styles) for other in styles])
        classes = sorted(set(labels[same_set]))
        text = F.normalize(model.encode_text(tokenizer([TEMPLATE.format(name) for name in classes])), dim=-1)
        rows = np.flatnonzero(styles == style)
        predicted = (features[rows] @ text.T).argmax(dim=1).numpy()
        found[style] = round(float(np.mean(np.array(classes)[predicted] == labels[rows])), 4)
    return found


def _cached_corpus(options: argparse.Namespace) -> Corpus:
    path = options.out / "corpus.npz"
    if path.is_file():
        saved = np.load(path)
        return Corpus(saved["pixels"], *(saved[field].tolist() for field in ("names", "labels", "styles")))
    corpus = training_corpus(options.styles)
    np.savez(path, pixels=corpus.pixels, names=corpus.names, labels=corpus.labels, styles=corpus.styles)
    return corpus


if __name__ == "__main__":
    main()
