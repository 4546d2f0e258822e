"""The audit that trains a linear probe for classes on the features of forget domains."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from adu_bench.audits.audit import Audit, AuditCard, AuditMetric, Measure
from adu_bench.audits.scores import few_shots, linear_cka, recovered
from adu_bench.audits.subject import ATTACK, TEST, Outputs, Reader, Subject, credit
from adu_bench.metrics.probe import ridge


class ClassProbe(Audit):
    """Fit ridge classifiers from features, and from the class token after each block, to classes."""

    card = AuditCard(
        name="class-probe",
        level="core",
        question="Do features still separate the classes of the forgotten domains?",
        attacker=(
            "Reads features and class tokens; has labelled images of the forget domains that the run was not shown, at "
            "most 16 of each class and domain (full) or 5 of each class (few-shot, mean of 5 draws); fits one linear "
            "layer."
        ),
        metrics=(
            AuditMetric(
                "recovery",
                "accuracy above chance of the full probe on forget-domain test images, as a share of the same for "
                "zero-shot features",
                "down",
                "0",
                column="recovery",
            ),
            AuditMetric("few_shot_recovery", "the same for the few-shot probe", "down", "0", column="few-shot"),
            AuditMetric("block_recovery", "the same for the class token after block N, from 1", "down", "0"),
            AuditMetric(
                "last_block_recovery", "the same for the class token after the last block", "down", "0",
                column="last block",
            ),
            AuditMetric("probe_accuracy", "accuracy of the full probe on forget-domain test images", "down", "chance"),
            AuditMetric("few_shot_accuracy", "accuracy of the few-shot probe on them", "down", "chance"),
            AuditMetric("block_accuracy", "accuracy of the full probe after block N", "down", "chance"),
            AuditMetric(
                "cka_forget", "linear CKA to zero-shot features on forget domains, mean over domains", "down", "low",
                column="CKA forget",
            ),
            AuditMetric(
                "cka_retain", "linear CKA to zero-shot features on retain domains, mean over domains", "up", "1",
                column="CKA retain",
            ),
            AuditMetric("cka", "linear CKA to zero-shot features on one domain", "none", "low or 1"),
        ),
        controls="zero-shot, domain-gate and derange-gate read 1: their features are those of zero-shot CLIP.",
        source="Linear probe recovery: arXiv 2605.20282, 2604.08271; CKA: Kornblith et al. 2019. Own ridge and draws.",
    )  # fmt: skip

    def run(self, subject: Subject) -> list[Measure]:
        """Compare probes and features with those of the untouched classifier."""
        rngs = [subject.rng(self.card.name) for _ in range(2)]
        after, before = (
            dict(_probes(subject, *pair)) for pair in zip((subject.after, subject.before), rngs, strict=True)
        )
        count = int(subject.after.outputs(TEST).forget.sum())

        def both(accuracy: str, recovery: str, value: str) -> list[Measure]:
            share = recovered(after[value], before[value], subject.classes)
            return [Measure(accuracy, after[value], count), Measure(recovery, share, count)]

        found = both("probe_accuracy", "recovery", "features")
        found += both("few_shot_accuracy", "few_shot_recovery", "few-shot")
        blocks = len(after) - 2
        for block in map(str, range(1, blocks + 1)):
            found += both(f"block_accuracy:{block}", f"block_recovery:{block}", block)
        found.append(Measure("last_block_recovery", found[-1].value, count))
        return [*found, *_similarities(subject.after.outputs(TEST), subject.before.outputs(TEST), subject)]


def _probes(subject: Subject, reader: Reader, rng: np.random.Generator) -> Iterator[tuple[str, float]]:
    """Yield the accuracy of the few-shot probe, of the full probe, and of those after each block, from ``"1"``."""
    fit, test = (outputs.where(outputs.forget) for outputs in (reader.outputs(ATTACK), reader.outputs(TEST)))

    def accuracy(features: np.ndarray, judged: np.ndarray, places: np.ndarray) -> float:
        scores = ridge(features[places], fit.labels[places], subject.classes)
        return float(credit(scores(judged), test.labels).mean())

    draws = few_shots(fit.images, fit.forget, rng)
    yield "few-shot", float(np.mean([accuracy(fit.features, test.features, places) for places in draws]))
    everything = np.arange(len(fit))
    yield "features", accuracy(fit.features, test.features, everything)
    blocks = (reader.blocks(pool, subject.task.forget) for pool in (ATTACK, TEST))
    for block, (tokens, judged) in enumerate(zip(*blocks, strict=True), start=1):
        yield str(block), accuracy(tokens, judged, everything)


def _similarities(after: Outputs, before: Outputs, subject: Subject) -> Iterator[Measure]:
    """Yield CKA by domain, and its means over forget and over retain domains."""
    similar, counts = {}, {}
    for domain in subject.task.domains:
        own = after.images.domains == domain
        if own.any():
            similar[domain], counts[domain] = linear_cka(after.features[own], before.features[own]), int(own.sum())
            yield Measure(f"cka:{domain}", similar[domain], counts[domain])
    for name, domains in (("cka_forget", subject.task.forget), ("cka_retain", subject.task.retain)):
        there = [domain for domain in domains if domain in similar]
        yield Measure(name, float(np.mean([similar[domain] for domain in there])), sum(counts[each] for each in there))
