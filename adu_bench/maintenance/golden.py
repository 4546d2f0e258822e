"""Answers of shipped methods on a small run: whether code that changed still gives the same numbers.

``python -m adu_bench.maintenance.golden`` compares the methods' answers with the committed ones and fails if they
differ.  After a change of code that must not change numbers, ``--same-as OLD`` (a checkout of the project before the
change) also records that the new code gives the numbers of the old one, so that results of the old code remain valid
(`adu_bench.registry.fingerprint.revision`).  After a change that is meant to change numbers, ``--write`` stores the new
answers.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from adu_bench.conformance import Subject
from adu_bench.core.paths import RESOURCES
from adu_bench.registry import Catalogue, Choice
from adu_bench.registry.choice import Budget
from adu_bench.registry.fingerprint import SAME_NUMBERS, Core, core_digest, revision
from adu_bench.runner.batches import EVALUATION_BATCH
from adu_bench.runner.evaluate import predict
from adu_bench.runner.unlearn import unlearn

GOLDEN = RESOURCES / "golden.json"
"""Probabilities of the true class by preset."""
METHODS = "paper,reference,ablation,aod-ip"
"""The methods that are compared; ``aod-ip`` because part of its code is in the file of another method."""
BUDGET: Budget = {"epochs": 3, "lr": 0.02, "iterations": 20, "bbf": {"iterations": 1}}
"""Few steps, large enough to move the answers.

A second generation of CMA-ES depends on the eigenvectors of a matrix with equal eigenvalues, which rounding decides."""
TOLERANCE = 0.005
"""Largest mean difference in probability; between machines rounding makes a difference of 1e-4."""


def answers(choice: Choice) -> np.ndarray:
    """Return the probability of the true class of the toy suite's test images after a small run, (N,), 0..1."""
    subject = Subject(choice, "cpu")
    spec, data = subject.small(("outline",), BUDGET)
    classifier = unlearn(choice.entry.path, choice.entry.class_name, spec, data).classifier
    return predict(classifier, data.images("test"), EVALUATION_BATCH["cpu"], "fp32")[0]["p_label"].to_numpy()


def compare(found: Mapping[str, np.ndarray], golden: Mapping[str, Sequence[float]]) -> dict[str, str]:
    """Return by preset how its answers differ from the committed ones; empty if none does."""
    wrong = {}
    for name in sorted({*found, *golden}):
        if name not in golden or name not in found or len(golden[name]) != len(found[name]):
            wrong[name] = "there are no committed answers of it, or they are of other images"
        elif (gap := float(np.abs(found[name] - np.array(golden[name])).mean())) > TOLERANCE:
            wrong[name] = f"the probabilities of the true class differ by {gap:.4f} on average"
    return wrong


def same_as(old: Path, choices: Sequence[Choice]) -> dict[str, str]:
    """Return the digests of today's code by those of the code of an earlier checkout, where they differ.

    Raises
    ------
    SystemExit
        If the checkout has a method that cannot be read.
    """
    earlier = Catalogue([old / "methods"], shipped=False)
    if earlier.broken:
        raise SystemExit(f"{earlier.broken[0].path}: {earlier.broken[0].reason}")
    core = Core(old / "adu_bench")
    found: dict[str, str] = {}
    for choice in choices:
        if choice.preset.name not in earlier.presets:
            continue
        before = earlier.presets[choice.preset.name][1]
        pairs = [
            (choice.entry.source_hash, before.source_hash),
            (core_digest(choice.entry.imports), revision(core.digest(tuple(sorted(before.imports))))),
        ]
        found |= {new: first for new, first in pairs if new != first}
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare, record or write; return 1 if answers differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--same-as", type=Path, metavar="OLD", help="a checkout with the same numbers")
    parser.add_argument("--write", action="store_true", help="store today's answers")
    options = parser.parse_args(arguments)
    choices = Catalogue().select([METHODS])
    found = {}
    for choice in choices:
        found[choice.preset.name] = answers(choice)
        print(f"{len(found)}/{len(choices)} {choice.label}", flush=True)
    if options.write:
        rounded = {name: [round(float(p), 4) for p in own] for name, own in found.items()}
        GOLDEN.write_text(json.dumps(rounded, separators=(",", ":")) + "\n", encoding="utf-8")
        return 0
    wrong = compare(found, json.loads(GOLDEN.read_text(encoding="utf-8")))
    for name, why in wrong.items():
        print(f"{name}: {why}")
    if not wrong and options.same_as is not None:
        known = json.loads(SAME_NUMBERS.read_text(encoding="utf-8"))
        SAME_NUMBERS.write_text(json.dumps(known | same_as(options.same_as, choices), indent=1) + "\n", "utf-8")
    return int(bool(wrong))


if __name__ == "__main__":
    raise SystemExit(main())
