"""What to run: one run per task, seed and method of a suite."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from adu_bench.clip.weights import backbone_spec
from adu_bench.core.commands import command
from adu_bench.core.errors import UserError, unknown
from adu_bench.core.specs import BackboneSpec, RunSpec, Value
from adu_bench.registry import Catalogue, ChangedField, Choice, MethodSource, method_source
from adu_bench.store import Store
from adu_bench.suites import Suite
from adu_bench.suites.suite import OF_SUITE, Sweep


@dataclass(frozen=True)
class PlannedRun:
    """One run to be executed, on this machine or another: it contains no path of a method.

    Parameters
    ----------
    spec
        What is run; its key names the result.
    label, group
        The method's label, and its group.
    source, class_name
        The method's code, and the name of its class.
    backbone
        The backbone as the user named it (the spec's name does not say where a file is).
    changed
        The fields that differ from the defaults in the method's file, see `adu_bench.registry.Choice.changed`.
    condition
        What a study changes in the suite for this run, for example ``wrong=0.3``; empty if nothing.
    """

    spec: RunSpec
    label: str
    group: str
    source: MethodSource
    class_name: str
    backbone: str
    changed: tuple[ChangedField, ...] = ()
    condition: str = ""

    @property
    def name(self) -> str:
        """The method's label, and under which condition it runs."""
        return f"{self.label}, {self.condition}" if self.condition else self.label

    @property
    def title(self) -> str:
        """The run in a few words."""
        return f"{self.name}, forget {self.spec.task.name}, seed {self.spec.seed}"


@dataclass(frozen=True)
class Point:
    """One point of a study's curve: a method at one value of the variable.

    Parameters
    ----------
    method
        The method's label without the variable.
    variable, value
        As in `adu_bench.suites.suite.Sweep`; the value is None without a variable.
    keys
        The runs that it averages.
    """

    method: str
    variable: str
    value: Value
    keys: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """All runs of a suite and some methods, in the order in which they are executed.

    Parameters
    ----------
    suite
        The suite.
    runs
        Every run, finished or not.
    points
        The points of a study's curves that the runs belong to; empty without a study.
    study
        The study's name; empty without one.
    """

    suite: Suite
    runs: tuple[PlannedRun, ...]
    points: tuple[Point, ...] = ()
    study: str = ""

    def unfinished(self, store: Store) -> tuple[PlannedRun, ...]:
        """Return the runs that a store has no result of."""
        return tuple(run for run in self.runs if not store.has(run.spec.key))


def plan(
    suite: Suite,
    choices: Sequence[Choice],
    *,
    seeds: Sequence[int] | None = None,
    backbone: str | None = None,
    weights: BackboneSpec | None = None,
    limit: int | None = None,
    like: RunSpec | None = None,
) -> Plan:
    """List the runs of a suite.

    Parameters
    ----------
    suite, choices
        Tasks and methods.
    seeds, backbone
        Replace the suite's.
    weights
        What `adu_bench.clip.weights.backbone_spec` says of the backbone; None to ask it, without a network.
    limit
        Plan only the first tasks of the suite.
    like
        Use the data hash and the weights of this run, so that neither images nor weights need to be on this machine.
    """
    suite = suite.with_seeds(seeds) if seeds else suite
    name = backbone or suite.backbone
    weights = like.backbone if like is not None else weights or backbone_spec(name)
    given = suite.budget, suite.settings
    methods = []
    for choice in choices:
        source = method_source(choice.entry.path, choice.entry.source_hash)
        methods.append((choice, choice.resolve(*given), choice.changed(*given), source))
    runs: dict[str, PlannedRun] = {}
    for task in suite.tasks(like.task.data_hash if like is not None else "")[:limit]:
        for seed in suite.seeds:
            for choice, method, changed, source in methods:
                if task.forget not in suite.blocks.get(choice.preset.group, suite.forget):
                    continue
                spec = RunSpec(task, weights, method, suite.training, seed, supervision=suite.supervision)
                group, class_name = choice.preset.group, choice.entry.class_name
                run = PlannedRun(spec, choice.label, group, source, class_name, name, changed)
                runs.setdefault(spec.key, run)
    return Plan(suite, tuple(runs.values()))


def plan_study(
    suite: Suite,
    study: str,
    catalogue: Catalogue,
    *,
    methods: Sequence[str] = (),
    seeds: Sequence[int] | None = None,
    backbone: str | None = None,
    weights: BackboneSpec | None = None,
    limit: int | None = None,
) -> Plan:
    """List the runs of a study of a suite; they are ordinary runs, shared with boards and other studies.

    Parameters
    ----------
    suite, seeds, backbone, weights, limit
        As in `plan`.
    study
        A name in the suite's ``studies``.
    catalogue
        The known methods.
    methods
        Replace those of the study; empty for its own.

    Raises
    ------
    UserError
        If the suite has no such study, or none of its tasks, or a method has no such field.
    """
    if study not in suite.studies:
        raise unknown(f"study of {suite.name}", study, suite.studies)
    runs: dict[str, PlannedRun] = {}
    points = []
    for sweep in suite.studies[study]:
        own = _with_tasks(suite, study, sweep)
        for choice in catalogue.select(methods or sweep.methods):
            for value in sweep.values or (None,):
                found = [
                    replace(run, condition=_condition(suite, varied, sweep.variable, value))
                    for varied, chosen in _varied(own, choice, sweep, value)
                    for run in plan(varied, [chosen], seeds=seeds, backbone=backbone, weights=weights, limit=limit).runs
                ]
                # None is a value of a variable as well; without a variable it stands for no value.
                shown = "none" if value is None and sweep.variable else value
                points.append(Point(choice.label, sweep.variable, shown, tuple(run.spec.key for run in found)))
                for run in found:
                    runs.setdefault(run.spec.key, run)
    return Plan(suite, tuple(runs.values()), tuple(points), study)


def _with_tasks(suite: Suite, study: str, sweep: Sweep) -> Suite:
    """Return the suite with those of its tasks that a sweep is about."""
    forget = sweep.tasks(suite.forget)
    if not forget:
        sizes = ",".join(map(str, sorted({len(subset) for subset in sweep.forget or ()})))
        raise UserError(
            f"The study '{study}' has none of the chosen tasks of '{suite.name}'.",
            "The suite limits the study to some forget sets, which are not among them.",
            command("run", suite=suite.name, study=study, sizes=sizes),
        )
    return replace(suite, forget=forget)


def _varied(suite: Suite, choice: Choice, sweep: Sweep, value: Value) -> Iterator[tuple[Suite, Choice]]:
    """Yield suite and method with the variable at a value, once for each split of the classes."""
    if sweep.variable in OF_SUITE:
        suite = suite.varied(sweep.variable, value)
    elif sweep.variable:
        choice = choice.with_field(sweep.variable, value)
    for varied in [suite.split(number) for number in range(sweep.splits)] or [suite]:
        yield varied, choice


def _condition(suite: Suite, varied: Suite, variable: str, value: Value) -> str:
    """Say what is changed in the suite; the fields of a method are part of its label."""
    same = (varied.shots, varied.supervision) == (suite.shots, suite.supervision)
    return "" if same else f"{variable}={value}"
