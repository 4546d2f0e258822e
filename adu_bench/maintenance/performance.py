"""Measure the speed and the memory of the project, and write the page ``reports/performance.md``.

``python -m adu_bench.maintenance.performance`` in the repository measures everything, which takes half an hour of one
core.  ``--only NAME ...`` measures some parts and keeps the others; what was measured is in
``reports/performance.json``.  Ratios to the backbone are kept for each kind of machine on which they were measured.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import chdir
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from adu_bench.core.cores import usable_cores
from adu_bench.core.files import write_text
from adu_bench.core.paths import cache_in
from adu_bench.maintenance import growth, workers
from adu_bench.maintenance.performance_page import TARGETS, page
from adu_bench.registry import Catalogue, Choice
from adu_bench.runner.job import RunJob
from adu_bench.runner.plan import plan
from adu_bench.store import Store
from adu_bench.suites import Suite, load_suite

Found = dict[str, Any]

SHORT = """extends: toy
title: A short search
budget: {epochs: 2, crop: 0.5}
studies: {gamma-lambda: [{methods: [adu], gamma: [0.1, 10.0]}, {methods: [adu], lam: [0.1, 10.0]}]}
"""
FUSED = 4
"""Runs in a group."""
SMALL = {"classes": 345, "domains": 6, "files": 12, "side": 32}
"""A data set with the classes and domains of DomainNet, and the number of files of each pair and their side."""
SHAPED = """extends: toy
title: Small files in the shape of DomainNet
dataset: shaped
"""
TEXTS = 1000


def bench(*arguments: str) -> Found:
    """Return what ``adu-bench bench`` finds."""
    return json.loads(growth.measure(["-m", "adu_bench", "bench", *arguments, "--json", "-"])[1])


def arithmetic() -> Found:
    """Return the arithmetic of open_clip's own blocks over that of the harness, by backbone and ratio."""
    from adu_bench.speed.work import suite_work, tower_work

    return {
        "emoji-clip": suite_work(load_suite("emoji")),
        **{name: tower_work(name) for name in ("ViT-B-32", "ViT-B-16")},
    }


def operators() -> Found:
    """Return where the time of a training on ``emoji`` goes, by method."""
    from adu_bench.speed.profile import time_by_operator

    return {name: time_by_operator(load_suite("emoji"), name) for name in ("baseline", "adu")}


def features_only() -> Found:
    """Time all tasks and seeds of ``emoji`` for the methods that read frozen features, with an empty cache.

    Returns
    -------
    dict
        By method the runs, and the processor's seconds of all of them; the first run also draws and encodes the images.
        Methods with ``iterations`` are timed for one run, and multiplied.  ``searches`` names those that draw a
        population of candidates.
    """
    suite = load_suite("emoji")
    choices = [one for one in Catalogue().select(["paper,reference,ablation"]) if reads_features(one, suite)]
    seconds: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder, cache_in(Path(folder) / "cache"):
        runs, store = plan(suite, choices).runs, Store(Path(folder) / "runs")
        counts = Counter(run.label for run in runs)
        fields = {run.label: dict(run.spec.method.fields) for run in runs}
        for run in sorted(runs, key=lambda run: "iterations" in fields[run.label]):
            once = "iterations" in fields[run.label]
            if once and run.label in seconds:
                continue
            start = time.process_time()
            RunJob(run, store).run("cpu", lambda *told: None)
            spent = time.process_time() - start
            seconds[run.label] = seconds.get(run.label, 0.0) + spent * (counts[run.label] if once else 1)
    cpu = {label: round(own, 2) for label, own in seconds.items()}
    return {"runs": counts, "cpu": cpu, "searches": [label for label in counts if "population" in fields[label]]}


def reads_features(choice: Choice, suite: Suite) -> bool:
    """Return whether a method reads frozen features only: it has no training epochs."""
    return "epochs" not in dict(choice.resolve(suite.budget, suite.settings).fields)


def fused() -> Found:
    """Compare a search and a study of ``adu`` with and without fused runs, in processes of their own."""
    found: Found = {"together": FUSED}
    commands = {
        "tune adu": ["tune", "adu", "--suite", "short.yaml", "--trials", "2", "--out"],
        "--study gamma-lambda": ["run", "--suite", "short.yaml", "--study", "gamma-lambda", "--limit", "1", "--out"],
    }
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        Path("short.yaml").write_text(SHORT)
        for name, command in commands.items():
            single, group = (
                growth.measure(["-m", "adu_bench", *command, f"{size}", "--fuse", f"{size}"])[0]["cpu"]
                for size in (1, FUSED)
            )
            found[name] = {"single_cpu": single, "fused_cpu": group}
    return found


def many_runs(*sizes: int) -> Found:
    """Measure planning, status, reading and a board among many runs; see `adu_bench.maintenance.growth`."""
    found: Found = {}
    for runs in sizes:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder) / "runs"
            growth.make_runs(root, growth.planned(runs))
            for step, arguments in growth.steps(root, runs).items():
                first, again = (growth.measure(arguments)[0] for _ in range(2))
                found.setdefault(step, {})[str(runs)] = {"first": first, "again": again}
    return found


def small_files() -> Found:
    """Prepare, plan and start a suite on a data set of small files with the classes and domains of DomainNet."""
    select = ["run", "--suite", "shaped.yaml"]
    commands = {
        "prepare": ["data", "prepare", "shaped", "--from", "files", "--partial"],
        "plan": [*select, "--methods", "all", "--sizes", "1-5", "--dry"],
        "start": [*select, "--methods", "zero-shot", "--limit", "1", "--yes"],
    }
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        count = write_shaped(Path("files"))
        Path("shaped.yaml").write_text(SHAPED)
        own = {"ADU_BENCH_DATA": f"{folder}/data", "ADU_BENCH_CACHE": f"{folder}/cache"}
        steps = {name: growth.measure(["-m", "adu_bench", *command], own) for name, command in commands.items()}
    planned = re.search(r"([\d,]+) runs", steps["plan"][1])
    assert planned is not None
    return {"files": count, "runs": planned[1], "steps": {name: figures for name, (figures, _) in steps.items()}}


def write_shaped(root: Path) -> int:
    """Write small JPEG files, one folder per domain and class, and return their number."""
    rng = np.random.default_rng(0)
    for domain in range(SMALL["domains"]):
        for label in range(SMALL["classes"]):
            folder = root / f"domain {domain}" / f"class {label}"
            folder.mkdir(parents=True)
            images = rng.integers(0, 256, (SMALL["files"], SMALL["side"], SMALL["side"], 3), np.uint8)
            for number, image in enumerate(images):
                Image.fromarray(image).save(folder / f"{number}.jpg")
    return SMALL["domains"] * SMALL["classes"] * SMALL["files"]


def texts() -> Found:
    """Train learned prompts of 1,000 classes for a step, in a process of its own; return the memory in MB."""
    code = f"from adu_bench.maintenance.performance import _train_texts; print(_train_texts({TEXTS}))"
    return json.loads(growth.measure(["-c", code])[1].splitlines()[-1])


def _train_texts(count: int) -> str:
    import torch

    from adu_bench.clip.classifier import TEXT_BYTES, Classifier
    from adu_bench.clip.loading import random_backbone
    from adu_bench.clip.prompts import TextPrompts
    from adu_bench.clip.tower import TextTower
    from adu_bench.core.memory import peak_memory_mb

    backbone, names = random_backbone("ViT-B-32", "cpu"), [f"thing {number}" for number in range(count)]
    model = Classifier(backbone, names, "a picture of a {}.")
    prompts = TextPrompts(8, min(9, model.text_depth), model.text_width)
    model.add("context", prompts)
    features = torch.nn.functional.normalize(torch.randn(8, model.feature_width), dim=-1)
    model.train()
    before = peak_memory_mb()
    model.classify(features).logsumexp(dim=1).sum().backward()
    peak, tower = peak_memory_mb() - before, TextTower(model.model)
    tokens = prompts.text_tokens(backbone.tokenizer([model.template.format(name) for name in names]))
    at_once = count * tower.bytes_kept(tower.prepare(tokens, backbone.device)) / 2**20
    return json.dumps({"texts": count, "limit": TEXT_BYTES / 2**20, "peak": round(peak), "at_once": round(at_once)})


def machine() -> str:
    """Describe this machine in words."""
    import psutil
    import torch

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return (
        f"{platform.machine()}, {usable_cores()} cores ({torch.get_num_threads()} of them used by torch), "
        f"{torch.backends.cpu.get_cpu_capability()}, {psutil.virtual_memory().total / 2**30:.0f} GiB of memory, {gpu}; "
        f"Python {platform.python_version()}, torch {torch.__version__}"
    )


PARTS: Mapping[str, Callable[[], Found]] = {
    "emoji-clip": partial(bench, "--suite", "emoji", "--rounds", "7"),
    "ViT-B-32": partial(bench, "--tower", "ViT-B-32", "--batch", "8", "--rounds", "7"),
    "ViT-B-16": partial(bench, "--tower", "ViT-B-16", "--batch", "1", "--rounds", "7"),
    "arithmetic": arithmetic,
    "operators": operators,
    "features": features_only,
    "fused": fused,
    "workers": workers.efficiencies,
    "growth": partial(many_runs, 1000, 10_000, 100_000),
    "files": small_files,
    "texts": texts,
}
"""What is measured, by name."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and write the page and what it is made from."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=list(PARTS), default=list(PARTS), metavar="NAME", help="parts")
    parser.add_argument("--out", type=Path, default=Path("reports"), help="folder of performance.json and .md")
    options = parser.parse_args(arguments)
    path = options.out / "performance.json"
    found: Found = json.loads(path.read_text()) if path.is_file() else {}
    for name in options.only:
        print(f"measuring {name}", flush=True)
        made = PARTS[name]()
        found[name] = found.get(name, {}) | {machine(): made} if name in TARGETS else {"machine": machine(), **made}
        write_text(path, json.dumps(found, indent=1) + "\n")
    write_text(options.out / "performance.md", page(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
