"""Write the shipped model's card from its training record and its weights.

A maintainer's tool (``python -m adu_bench.pretraining.model_card FILE``).  It reads the test pool, so run it
only after the weights are final.
"""

from __future__ import annotations

import json
import sys
import textwrap
from pathlib import Path

import numpy as np

from adu_bench.clip import folder_model
from adu_bench.clip.identity import SHIPPED_FOLDER, SHIPPED_WEIGHTS, folder_config
from adu_bench.core.hashing import file_sha256
from adu_bench.data import toy
from adu_bench.data.emoji import HANDS
from adu_bench.pretraining.corpus import STYLE_PACKAGES, Corpus, pool_corpus
from adu_bench.pretraining.emoji_clip import EMOJI
from adu_bench.pretraining.trainer import accuracies, statistics

TEMPLATE = """# Model card: emoji-clip

A small CLIP model for drawings: a ViT with class token ({size} pixels, patches of {patch}, width {width}, {layers}
blocks) and a text transformer ({text_layers} blocks, width {text_width}, {context} tokens), {parameters:,}
parameters, stored in half precision. SHA-256 of the weights: `{sha}`.

With it, unlearning methods run on any machine with a trained model. It recognises drawings of the classes below and
nothing else.

## Zero-shot accuracy

Template "a picture of a {{}}."; no test image (by emoji and artist) was seen in training, but the
pre-training images were.

| domain | seen (pre-training pool) | validation | unseen (test) | gap |
|---|---:|---:|---:|---:|
{rows}
| **mean** | {seen_mean:.1%} | {validation_mean:.1%} | **{test_mean:.1%}** | {gap_mean:.1f} points |

The 15 classes of the emoji suites; chance is 6.7 %. Toy suite (6 shapes), test: {toy_rows}.

## Training

`python -m adu_bench.pretraining.emoji_clip --styles DIR --out DIR --seed {seed}`: {steps:,} steps of {batch} images,
{minutes:.0f} minutes on two shared CPU cores; {images:,} images (corpus digest `{corpus}`). Multi-positive
contrastive loss over captions that name the class or the image; AdamW; four stages (see `EMOJI` in
`adu_bench/pretraining/emoji_clip.py`); style augmentation (geometry, colour, greyscale, inversion, imitations of line
drawings and glyphs, holes); exponential average of the weights. Settings were chosen on the validation
pool; the test pool was read after the weights were final. The stages were chosen during the training and are
recorded as they were run; a run on other hardware reproduces the procedure, not the exact weights.

Training images: the pre-training pools of the emoji and toy sets, all other emoji in the four styles, and
these styles (npm packages `@iconify-json/NAME`), used for training only:
{styles}.
Licences: OpenMoji CC BY-SA 4.0, Twemoji CC BY 4.0, Noto Emoji Apache-2.0 and SIL OFL 1.1, EmojiOne CC BY 4.0
(v1: CC BY-SA 4.0), Fluent Emoji MIT, Firefox OS Emoji Apache-2.0, Streamline CC BY 4.0. The colour Noto sets
belong to the artist of the `glyph` domain: images that are held out there are held out in these sets too.

## Limits

Clothing, food, drink and fruit are the hardest classes, above all as line drawings, where colour does not help.
The vocabulary is CLIP's, cut to the merges that emoji names and the class names of common domain-generalisation
data sets use; any other word is tokenised byte by byte, but the model has hardly learnt it.
"""


def card(training: dict) -> str:
    """Return the card's text for the shipped weights and a record that `pretrain` wrote."""
    model, tokenizer = folder_model.build()
    classes = _suite_classes()
    pools = {"seen": "pretrain", "validation": "validation", "test": "test"}
    settings = folder_config()
    found = {
        name: accuracies(model, tokenizer, pool_corpus(pool, classes), EMOJI.templates[0], statistics())
        for name, pool in pools.items()
    }
    means = {name: float(np.mean([values[domain] for domain in HANDS])) for name, values in found.items()}
    vision, text = settings["vision_cfg"], settings["text_cfg"]
    return TEMPLATE.format(
        size=vision["image_size"],
        patch=vision["patch_size"],
        width=vision["width"],
        layers=vision["layers"],
        text_layers=text["layers"],
        text_width=text["width"],
        context=text["context_length"],
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        sha=file_sha256(SHIPPED_WEIGHTS),
        rows="\n".join(_row(domain, found) for domain in HANDS),
        seen_mean=means["seen"],
        validation_mean=means["validation"],
        test_mean=means["test"],
        gap_mean=100 * (means["seen"] - means["test"]),
        toy_rows=", ".join(f"{style} {found['test'][style]:.1%}" for style in toy.STYLES),
        seed=training["seed"],
        steps=training["steps"],
        batch=training["settings"]["batch"],
        minutes=training["log"][-1]["seconds"] / 60,
        images=training["images"],
        corpus=training["corpus"],
        styles="\n".join(textwrap.wrap(", ".join(f"`{name}`" for name in STYLE_PACKAGES), 112, break_on_hyphens=False)),
    )


def _row(domain: str, found: dict[str, dict[str, float]]) -> str:
    seen, validation, test = (found[name][domain] for name in ("seen", "validation", "test"))
    return f"| {domain} | {seen:.1%} | {validation:.1%} | {test:.1%} | {100 * (seen - test):.1f} points |"


def _suite_classes() -> list[str]:
    """Return the class set of the emoji suites: all classes except the one that OpenMoji draws without colour."""
    return sorted({label for label in _labels(pool_corpus("validation")) if label != "clock"})


def _labels(corpus: Corpus) -> list[str]:
    return [label for label, style in zip(corpus.labels, corpus.styles, strict=True) if style in HANDS]


if __name__ == "__main__":
    record = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    (SHIPPED_FOLDER / "card.md").write_text(card(record), encoding="utf-8")
