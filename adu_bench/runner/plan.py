"""What to run: suite x task x seed x method, minus what is finished."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from adu_bench.clip.identity import backbone_spec
from adu_bench.core.specs import RunSpec
from adu_bench.registry import Choice
from adu_bench.store import Store
from adu_bench.suites import Suite


@dataclass(frozen=True)
class PlannedRun:
    """One run to be executed.

    Parameters
    ----------
    spec
        What it is.
    label, group
        The method's name for people, and its group.
    path, class_name
        Where the method's class is.
    backbone
        The backbone as the user named it (the spec's name does not say where a file is).
    """

    spec: RunSpec
    label: str
    group: str
    path: Path
    class_name: str
    backbone: str

    @property
    def title(self) -> str:
        """The run in a few words."""
        return f"{self.label}, forget {self.spec.task.name}, seed {self.spec.seed}"


@dataclass(frozen=True)
class Plan:
    """All runs of a suite and some methods, in the order in which they are executed.

    Parameters
    ----------
    suite
        The suite.
    runs
        Every run, finished or not.
    todo
        Those to execute.
    """

    suite: Suite
    runs: tuple[PlannedRun, ...]
    todo: tuple[PlannedRun, ...]


def plan(
    suite: Suite,
    choices: Sequence[Choice],
    store: Store,
    *,
    seeds: Sequence[int] | None = None,
    backbone: str | None = None,
    limit: int | None = None,
    force: bool = False,
) -> Plan:
    """List the runs of a suite.

    Parameters
    ----------
    suite, choices
        Tasks and methods.
    store
        Where finished runs are.
    seeds, backbone
        Instead of the suite's.
    limit
        Only the first tasks of the suite.
    force
        Execute finished runs again.
    """
    name = backbone or suite.backbone
    weights = backbone_spec(name)
    methods = [(choice, choice.resolve(suite.budget, suite.settings)) for choice in choices]
    runs: dict[str, PlannedRun] = {}
    for task in suite.tasks()[:limit]:
        for seed in seeds or suite.seeds:
            for choice, method in methods:
                spec = RunSpec(task=task, backbone=weights, method=method, training=suite.training, seed=seed)
                run = PlannedRun(
                    spec, choice.label, choice.preset.group, choice.entry.path, choice.entry.class_name, name
                )
                runs.setdefault(spec.key, run)
    todo = [run for key, run in runs.items() if force or not store.has(key)]
    return Plan(suite, tuple(runs.values()), tuple(todo))
