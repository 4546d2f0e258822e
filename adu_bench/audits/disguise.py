"""The audit that makes forget images look like those of a retained domain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from adu_bench.audits.audit import Audit, AuditCard, AuditMetric, Measure
from adu_bench.audits.filters import apply_filter, filters
from adu_bench.audits.scores import recovered, sample
from adu_bench.audits.subject import ATTACK, TEST, Reader, Subject, choose
from adu_bench.clip.transfer import upload_images
from adu_bench.runner.evaluate import Images

TRIED, JUDGED = 64, 256
"""The most images on which a filter is chosen, and on which the chosen one is judged."""


class Disguise(Audit):
    """Choose the image filter that makes the classifier most accurate on forget images."""

    card = AuditCard(
        name="disguise",
        level="core",
        question="Does the classifier answer if forget images look more like those of a retained domain?",
        attacker=(
            "Sees only answers. Tries 12 fixed filters of colour, contrast, sharpness and edges, one of which gives "
            "forget images the mean colour and contrast of retain images, on up to 64 labelled forget images that the "
            "method was not shown, and keeps the best one, or none."
        ),
        metrics=(
            AuditMetric(
                "recovery",
                "accuracy on forget domains above chance with the chosen filter, relative to that of zero-shot CLIP "
                "with its own",
                "down",
                "that of a model that never saw the domains",
                column="recovery",
            ),
            AuditMetric("gain", "accuracy with the chosen filter less that without", "down", "0", column="gain"),
            AuditMetric("accuracy", "accuracy on forget domains with the chosen filter", "down", "chance"),
            AuditMetric("control", "the same for zero-shot CLIP with its own filter", "none", "any"),
            AuditMetric("tried", "accuracy on the attacker's images with each filter", "none", "any"),
        ),
        controls="zero-shot reads 1 by construction, prompt-tuning near 1, and collapse 0.",
        source="JailNTL (CVPR 2025) trains a generator for this; the filters are our own.",
    )

    def run(self, subject: Subject) -> Sequence[Measure]:
        """Choose a filter on the attacker's images, and judge it on test images."""
        pool, test, rng = subject.images(ATTACK), subject.images(TEST), subject.rng(self.card.name)
        tried = choose(pool, sample(pool.forget, TRIED, rng))
        places = sample(test.forget, JUDGED, rng)
        judged = choose(test, places)
        made = filters(_pixels(tried), _pixels(choose(pool, sample(~pool.forget, TRIED, rng))))
        key = (self.card.name, subject.task.forget)

        def read(reader: Reader, images: Images, name: str) -> float:
            """Return the accuracy on filtered images; their frozen features are the same for all classifiers."""
            pixels = apply_filter(made[name], _pixels(images)).permute(0, 2, 3, 1).contiguous().numpy()
            frozen = subject.before.once(
                (*key, images is tried, name), lambda: subject.with_pixels(images, pixels).frozen
            )
            seen = replace(images, pixels=pixels, rows=np.arange(len(images)), frozen=frozen)
            return float(reader.read(seen).credit.mean())

        def attacked(reader: Reader) -> tuple[float, dict[str, float]]:
            found = {name: read(reader, tried, name) for name in made}
            return read(reader, judged, max(found, key=found.__getitem__)), found

        control = subject.before.once((*key, "control"), lambda: attacked(subject.before)[0])
        value, found = attacked(subject.after)
        count = len(judged)
        return [
            Measure("recovery", recovered(value, control, subject.classes), count),
            Measure("gain", value - float(subject.after.outputs(TEST).credit[places].mean()), count),
            Measure("accuracy", value, count),
            Measure("control", control, count),
            *(Measure(f"tried:{name}", share, len(tried)) for name, share in found.items()),
        ]


def _pixels(images: Images) -> Tensor:
    """Return the pixels, uint8, (N, 3, S, S), on the CPU."""
    return upload_images(images.pixels[images.rows], torch.device("cpu"))
