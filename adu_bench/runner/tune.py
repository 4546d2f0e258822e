"""Choosing hyper-parameters: seeded random search on the validation pool, with the same budget for every method."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from adu_bench.core.errors import RunFailed, UserError
from adu_bench.core.seeds import derive
from adu_bench.core.specs import RunSpec, Value
from adu_bench.data.parallel import Progress
from adu_bench.metrics.measures import measure
from adu_bench.registry import Choice
from adu_bench.runner.batches import EVALUATION_BATCH
from adu_bench.runner.decoding import HELD_OUT, decode_needed
from adu_bench.runner.evaluate import predict
from adu_bench.runner.plan import plan
from adu_bench.runner.task_data import TaskData, load_shared_backbone
from adu_bench.runner.unlearn import unlearn
from adu_bench.store import Store
from adu_bench.suites import Suite

TASKS = 2
"""Tuning uses the suite's first tasks, spread over them."""
_SCORES = ("h", "mem", "for")


def trials(choice: Choice, number: int) -> list[dict[str, Value]]:
    """Draw the fields of ``number`` trials from a method's ranges; the first trial changes nothing.

    Raises
    ------
    UserError
        If the method declares no ranges.
    """
    ranges = choice.entry.ranges
    if not ranges:
        raise UserError(
            f"'{choice.label}' cannot be tuned.",
            "Its class declares no ranges.",
            "Add ranges, or choose another method.",
        )
    rng = np.random.default_rng(derive(0, "tune", choice.entry.name))
    # A preset that fixes a field means it: its ranges are those that it leaves open.
    free = {name: range_ for name, range_ in sorted(ranges.items()) if name not in choice.preset.fields}
    drawn = [{name: _draw(range_, rng) for name, range_ in free.items()} for _ in range(number - 1)]
    return [{}, *drawn]


def _draw(range_: Any, rng: np.random.Generator) -> Value:
    if isinstance(range_, tuple):
        low, high = (math.log(end) for end in range_)
        return float(f"{math.exp(rng.uniform(low, high)):.2g}")
    return range_[int(rng.integers(len(range_)))]


def tune(
    suite: Suite,
    choice: Choice,
    number: int,
    out: Path,
    device: str,
    report: Callable[[str], None],
    *,
    audit: bool = False,
) -> list[dict[str, Any]]:
    """Run the trials that are not finished, and return all of them, best first.

    Parameters
    ----------
    suite
        Its first tasks spread over the suite, its first seed, budget and backbone.
    choice
        The method.
    number
        Trials, the first of which uses the method's defaults.
    out
        Folder of ``<suite>/<method>.jsonl`` with one line a finished trial; finished trials are not run again.
    device
        ``cpu`` or ``cuda``.
    report
        Called with a line a finished trial.
    audit
        Also score each trial on the test images and write that to ``<suite>/<method>.test.jsonl``.  The order of the
        trials never depends on it: it shows afterwards how far the validation images can be trusted.

    Returns
    -------
    list of dict
        ``fields``, ``h`` (mean over tasks of H on the validation pool; 0 if a run failed), ``mem``, ``for``, ``key``.
    """
    logs = {"validation": out / suite.name / f"{choice.label}.jsonl"}
    if audit:
        logs["test"] = out / suite.name / f"{choice.label}.test.jsonl"
    finished = {pool: _read_log(path) for pool, path in logs.items()}
    backbone = load_shared_backbone(suite.backbone, device)
    found = []
    for trial, fields in enumerate(trials(choice, number), start=1):
        specs = _specs(suite, choice, fields, backbone.spec)
        key = specs[0].key
        missing = [pool for pool in logs if key not in finished[pool]]
        for pool, scores in _evaluate(choice, specs, suite.backbone, device, missing).items() if missing else ():
            finished[pool][key] = {"key": key, "fields": fields, **scores}
            with logs[pool].open("a", encoding="utf-8") as log:
                print(json.dumps(finished[pool][key]), file=log)
        record = finished["validation"][key]
        report(f"[{trial}/{number}] {choice.label} {_written(record['fields'])}: H {100 * record['h']:.1f}")
        found.append(record)
    return sorted(found, key=lambda record: -record["h"])


def decode_tuned(suite: Suite, choice: Choice, step: Callable[[str], Progress], *, audit: bool = False) -> None:
    """Decode the pictures that trials need and the cache lacks: the same for all tasks and methods.

    Parameters
    ----------
    suite, choice, audit
        As in `tune`; any method will do.
    step
        As in `adu_bench.runner.decoding.decode_needed`, errors too.
    """
    runs = plan(suite, [choice], Store(Path("none")), seeds=suite.seeds[:1], limit=1).runs
    decode_needed(runs, step, HELD_OUT if audit else HELD_OUT[:1])


def agreement(folder: Path) -> pd.DataFrame:
    """Return H on validation and test images of every audited trial below a folder.

    Returns
    -------
    DataFrame
        One row a trial: ``method``, ``key``, ``validation``, ``test`` (H, fractions).
    """
    rows = []
    for path in sorted(folder.glob("*.test.jsonl")):
        label = path.name.removesuffix(".test.jsonl")
        chosen, audited = _read_log(folder / f"{label}.jsonl"), _read_log(path)
        rows += [
            {"method": label, "key": key, "validation": chosen[key]["h"], "test": audited[key]["h"]}
            for key in chosen
            if key in audited
        ]
    return pd.DataFrame(rows, columns=["method", "key", "validation", "test"])


def write_settings(path: Path, best: Mapping[str, Mapping[str, Value]]) -> None:
    """Write the chosen fields by preset as YAML, which ``--settings`` reads; other presets in the file stay."""
    before = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else {}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump({**before, **{name: dict(fields) for name, fields in best.items()}}), "utf-8")


def _read_log(path: Path) -> dict[str, dict[str, Any]]:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return {record["key"]: record for record in map(json.loads, lines)}


def _specs(suite: Suite, choice: Choice, fields: Mapping[str, Value], backbone: Any) -> list[RunSpec]:
    method = choice.resolve(suite.budget, {choice.preset.name: fields})
    tasks = suite.tasks()
    chosen = tasks[:: max(1, len(tasks) // TASKS)][:TASKS]
    return [RunSpec(task, backbone, method, suite.training, suite.seeds[0]) for task in chosen]


def _evaluate(
    choice: Choice, specs: list[RunSpec], backbone: str, device: str, pools: Sequence[str]
) -> dict[str, dict[str, Any]]:
    found: dict[str, list[dict[str, float]]] = {pool: [] for pool in pools}
    for spec in specs:
        precision = spec.training.evaluation
        data = TaskData(spec.task, load_shared_backbone(backbone, device), precision)
        try:
            classifier = unlearn(choice.entry.path, choice.entry.class_name, spec, data).classifier
            for pool in pools:
                frame, _ = predict(classifier, data.images(pool), EVALUATION_BATCH[device], precision)
                measures = measure(frame, len(spec.task.classes))
                found[pool].append({name: measures[name][0] for name in _SCORES})
        except RunFailed as error:
            return {pool: {**dict.fromkeys(_SCORES, 0.0), "failed": str(error)} for pool in pools}
    return {
        pool: {name: round(float(np.mean([one[name] for one in scores])), 6) for name in _SCORES}
        for pool, scores in found.items()
    }


def _written(fields: Mapping[str, Value]) -> str:
    return ", ".join(f"{name}={value:g}" for name, value in fields.items()) or "defaults"
