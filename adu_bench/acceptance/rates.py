"""Checks of speed and memory, on random images; they are judged on a GPU."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from torch.nn import functional as F

from adu_bench.acceptance.lines import Line, Setting, judge, needs_gpu, seconds, speed
from adu_bench.clip.classifier import TEXT_BYTES, Classifier
from adu_bench.clip.precision import computing
from adu_bench.clip.prompts import TextPrompts, VisualPrompts
from adu_bench.clip.transfer import upload
from adu_bench.core.specs import PRECISIONS
from adu_bench.runner.batches import EVALUATION_BATCH
from adu_bench.runner.cost import hours
from adu_bench.runner.evaluate import predict
from adu_bench.speed.made_up import made_up_images, made_up_problem, method
from adu_bench.speed.reference import encode_with_blocks, reference_prompts
from adu_bench.speed.timing import interleaved
from adu_bench.training.problem import Problem

TRAINED = (
    ("baseline", 4, 1.1),
    ("adu", 4, 1.1),
    ("adu", 6, 1.1),
    ("adu-released", 4, 0.8),
    ("clipfit", 4, 0.5),
)
"""Method, number of domains, and smallest ratio to the bare backbone with prompts; the last two train more."""
MEMORY = 0.9
"""Largest share of a GPU's memory that a training step with 512 images may take."""
COPY = 2.0
"""Smallest rate of copies to a GPU, GB/s, with the copy into pinned memory."""
TABLES = {"Office-Home": (14, 65, 4, 15_588), "DomainNet": (41, 345, 6, 586_575)}
"""Tasks, classes, domains and images of the paper's tables; not all images are test images."""
SHOTS, SEEDS, EPOCHS = 8, 3, 50
OFF_BY = 2.0
"""Largest factor between the estimated and the measured time of a table."""


def training(setting: Setting) -> Iterator[Line]:
    """Compare the training of methods with the bare backbone in the same precision."""
    gpu, precision = setting.gpu, "bf16" if setting.gpu else "fp32"
    classes, batch, steps = (65, 128, 8) if gpu else (3, 6, 2)
    for preset, domains, least in TRAINED:
        problem = made_up_problem(
            setting.large, domains=domains, classes=classes, images=batch * steps, batch=batch, precision=precision
        )
        ratio, time = interleaved(
            partial(method(preset, {"epochs": 1}), problem),
            partial(_bare, problem, steps),
            5 if gpu else 1,
            setting.device,
            lambda done, total: None,
        )
        rate = batch * steps / time
        setting.rates.setdefault(preset, rate)
        name = f"training {preset}, {domains} domains, {precision}"
        yield speed(setting, name, ratio >= least, f"{ratio:.2f} ({rate:,.0f} images/s)", f"at least {least} of bare")


def _bare(problem: Problem, steps: int) -> None:
    """Run the backbone with prompts forward and backward, and nothing else."""
    backbone, size = problem.backbone, problem.training.batch
    prompts = reference_prompts(backbone.model.visual, 8, 9)
    images = backbone.normalise(problem.train.images[:size])
    labels, text = problem.train.labels[:size], problem.train.frozen[: len(problem.classes)]
    with computing(backbone.device, problem.training.precision):
        for _ in range(steps):
            features = F.normalize(encode_with_blocks(backbone.model.visual, images, prompts).float(), dim=-1)
            F.cross_entropy(backbone.logit_scale * features @ text.T, labels).backward()


def batches(setting: Setting) -> Iterator[Line]:
    """Train with growing batches, and measure rates and peak memory."""
    found, shares = [], [0.0]
    for size in (32, 128, 512) if setting.gpu else (4, 8):
        precision = "bf16" if setting.gpu else "fp32"
        problem = made_up_problem(setting.large, domains=4, classes=4, images=2 * size, batch=size, precision=precision)
        work = partial(method("baseline", {"epochs": 1}), problem)
        if setting.gpu:
            torch.cuda.reset_peak_memory_stats()
        time = seconds(work, setting.device)
        memory = ""
        if setting.gpu:
            peak = torch.cuda.max_memory_allocated()
            shares.append(peak / torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory)
            memory = f", {peak / 2**30:.1f} GiB"
        found.append(f"{size}: {2 * size / time:,.0f} images/s{memory}")
    threshold = f"at most {MEMORY:.0%} of the memory"
    yield speed(setting, "batches", max(shares) <= MEMORY, "; ".join(found), threshold)


def evaluation(setting: Setting) -> Iterator[Line]:
    """Predict in every precision, and copy to the device."""
    problem = made_up_problem(setting.large, domains=4, classes=4, images=4096 if setting.gpu else 32, batch=4)
    classifier = problem.classifier()
    classifier.add("prompts", VisualPrompts(8, min(9, classifier.image_depth), classifier.image_width))
    images, batch = made_up_images(problem), EVALUATION_BATCH[setting.device]
    for precision in PRECISIONS if setting.gpu else ("fp32", "bf16"):
        work = partial(predict, classifier.eval(), images, batch, precision)
        work()  # warm up
        rate = len(images) / seconds(work, setting.device)
        setting.rates[f"evaluation {precision}"] = rate
        least = 0.95 * setting.rates["evaluation fp32"]
        threshold = "not slower than fp32"
        yield speed(setting, f"evaluation in {precision}", rate >= least, f"{rate:,.0f} images/s", threshold)
    name, threshold = "copies to the device", f"at least {COPY} GB/s"
    if not setting.gpu:
        yield needs_gpu(name, threshold)
        return
    block = torch.zeros(2**28, dtype=torch.uint8)
    upload(block, torch.device(setting.device))
    rate = block.numel() / 1e9 / seconds(lambda: upload(block, torch.device(setting.device)), setting.device)
    yield judge(name, rate >= COPY, f"{rate:.1f} GB/s", threshold)


def texts(setting: Setting) -> Iterator[Line]:
    """Encode and train learned prompts of many classes."""
    for count in (65, 345, 1000) if setting.gpu else (65,):
        problem = made_up_problem(setting.large, domains=2, classes=4, images=8, batch=8)
        model = Classifier(setting.large, [f"thing {number}" for number in range(count)], "a picture of a {}.")
        model.add("context", TextPrompts(8, min(9, model.text_depth), model.text_width))
        model.train()

        def step(model: Classifier = model, problem: Problem = problem) -> None:
            with computing(problem.device, "bf16"):
                loss = model.classify(problem.train.frozen).logsumexp(dim=1).sum()
            loss.backward()

        if not setting.gpu:
            yield speed(setting, f"{count} text prompts", True, f"{seconds(step, 'cpu'):.2f} s per step", "")
            continue
        step()  # warm up
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        time = seconds(step, setting.device)
        peak = torch.cuda.max_memory_allocated() - before
        most = 1.5 * TEXT_BYTES
        found = f"{time:.3f} s per step, {peak / 2**30:.2f} GiB"
        yield judge(f"{count} text prompts", peak <= most, found, f"at most {most / 2**30:.0f} GiB")


def tables(setting: Setting) -> Iterator[Line]:
    """Give the hours of adu's rows in the paper's tables by the measured rates, beside the estimate."""
    for name, (tasks, classes, domains, tested) in TABLES.items():
        line, threshold = f"hours of adu on {name}", f"the estimate is off by a factor of at most {OFF_BY:g}"
        if not setting.gpu:
            yield needs_gpu(line, threshold)
            continue
        runs, passes = tasks * SEEDS, SHOTS * classes * domains * EPOCHS
        measured = runs * (passes / setting.rates["adu"] + tested / setting.rates["evaluation tf32"]) / 3600
        estimate = runs * (hours(2 * passes, "bf16") + hours(tested, "tf32"))
        off = max(measured / estimate, estimate / measured)
        yield judge(line, off <= OFF_BY, f"{measured:.1f} h measured, {estimate:.1f} h estimated", threshold)
