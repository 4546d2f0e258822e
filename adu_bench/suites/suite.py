"""A suite, read from YAML and checked against its data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any

from adu_bench.core.errors import UserError, unknown
from adu_bench.core.paths import RESOURCES
from adu_bench.core.specs import PRECISIONS, Task, TrainingSpec, Value
from adu_bench.data import prepared
from adu_bench.data.index import data_hash, task_rows
from adu_bench.data.names import look_alike, nfc
from adu_bench.data.prepare.description import described
from adu_bench.data.sources import open_source, outline
from adu_bench.suites.suite_file import SuiteFile

FOLDER = RESOURCES / "suites"
PATTERN = "folder"
"""The suite file for the user's own prepared data sets, each of which is a suite under its own name."""


@dataclass(frozen=True)
class Sweep:
    """A curve or a comparison: methods, and one field of theirs (or the number of shots) with several values.

    Parameters
    ----------
    methods
        Methods or groups.
    variable
        A field of the methods, ``shots``, or empty if the methods themselves are compared.
    values
        Values of the variable; empty without a variable.
    """

    methods: tuple[str, ...]
    variable: str
    values: tuple[Value, ...]


@dataclass(frozen=True)
class Suite:
    """A named set of tasks and how they are run.

    Parameters
    ----------
    name, title
        Name on the command line, and a title of one line.
    dataset
        Name of the data set.
    template
        Text with one ``{}`` for the class name.
    domains
        The domains that take part.
    classes
        Class names in label order.
    forget
        The forget set of each task.
    shots
        Number of training images per (class, domain).
    seeds
        Seeds; each task is run once per seed.
    backbone
        Default backbone.
    training
        Batch size and precision of training.
    methods
        Default methods or groups.
    budget
        Values of fields, for all methods that have a field of this name; under a method's name, a mapping for it alone.
    settings
        Values of fields by preset, chosen on the validation images.
    blocks
        Forget sets by group of methods, for groups that run on fewer tasks than the suite has.
    studies
        Named sweeps, see `Sweep`.
    inferred
        Choices that the paper behind the suite does not state.
    """

    name: str
    title: str
    dataset: str
    template: str
    domains: tuple[str, ...]
    classes: tuple[str, ...]
    forget: tuple[tuple[str, ...], ...]
    shots: int
    seeds: tuple[int, ...]
    backbone: str
    training: TrainingSpec
    methods: tuple[str, ...]
    budget: Mapping[str, Value | Mapping[str, Value]]
    settings: Mapping[str, Mapping[str, Value]]
    blocks: Mapping[str, tuple[tuple[str, ...], ...]]
    studies: Mapping[str, tuple[Sweep, ...]]
    inferred: tuple[str, ...] = ()

    @cached_property
    def data_hash(self) -> str:
        """Digest of the images that the suite's tasks use."""
        return data_hash(task_rows(open_source(self.dataset).index, self.domains, self.classes))

    def tasks(self, data_hash: str = "") -> list[Task]:
        """Return the suite's tasks, fewest forget domains first.

        Parameters
        ----------
        data_hash
            Replaces the digest of the images, for machines without the images.
        """
        images = data_hash or self.data_hash
        return [
            Task(self.dataset, images, self.domains, forget, self.classes, self.template, self.shots)
            for forget in self.forget
        ]

    def retain(self, forget: Sequence[str]) -> tuple[str, ...]:
        """Return the domains that a task retains."""
        return tuple(domain for domain in self.domains if domain not in forget)

    def with_sizes(self, sizes: Sequence[int]) -> Suite:
        """Return the suite with all forget sets of the given sizes instead of its forget sets.

        Raises
        ------
        UserError
            If a size is below 1 or leaves no domain to retain.
        """
        wrong = [size for size in sizes if not 0 < size < len(self.domains)]
        if wrong or not sizes:
            raise UserError(
                f"A task of '{self.name}' cannot forget {wrong[0] if wrong else 'no'} of {len(self.domains)} domains.",
                "A task forgets at least one domain and retains at least one.",
                f"Give sizes from 1 to {len(self.domains) - 1}.",
            )
        forget = tuple(subset for size in sorted(set(sizes)) for subset in combinations(self.domains, size))
        return replace(self, forget=forget)


def shipped_names() -> tuple[str, ...]:
    """Return the names of the shipped suites."""
    return tuple(sorted({path.stem for path in FOLDER.glob("*.yaml")} - {PATTERN}))


def suite_names() -> tuple[str, ...]:
    """Return the names of the shipped suites, and of the user's own prepared data sets, which are suites as well."""
    return (*shipped_names(), *(name for name in prepared.prepared_names() if name not in described()))


def load_suite(name: str) -> Suite:
    """Read a suite by name, or from a YAML file by path.

    Raises
    ------
    UserError
        If there is no such suite, or its file is malformed; the message names the line.
    """
    if name == PATTERN:
        raise UserError(
            f"'{PATTERN}' is the pattern for suites on your own images.",
            "It does not have images itself.",
            "adu-bench data prepare my-photos --from FOLDER, and then --suite my-photos.",
        )
    path = Path(name) if name.endswith((".yaml", ".yml")) else FOLDER / f"{name}.yaml"
    if path.is_file():
        return _read(SuiteFile.read(path), path.stem)
    if name not in suite_names():
        raise unknown("suite", name, suite_names())
    pattern = SuiteFile.read(FOLDER / f"{PATTERN}.yaml")
    pattern.values |= {"title": prepared.require(name).title, "dataset": name}
    return _read(pattern, name)


def _read(file: SuiteFile, name: str) -> Suite:
    """Check each entry in turn; every error names the entry's line."""
    while (base := file.take("extends", str, None)) is not None:
        file = SuiteFile.read(FOLDER / f"{base}.yaml", below=file)
    data = outline(file.take("dataset", str))
    domains = _domains(file, data.domains)
    suite = Suite(
        name=name,
        title=file.take("title", str),
        dataset=data.name,
        template=_template(file),
        domains=domains,
        classes=_classes(file, data.classes),
        forget=_forget(file, "forget", file.take("forget", (dict, list)), domains),
        shots=_at_least(file, "shots", 1),
        seeds=tuple(file.take_list("seeds", int)),
        backbone=file.take("backbone", str),
        training=_training(file),
        methods=tuple(file.take_list("methods", str)),
        budget=file.take("budget", dict, {}),
        settings=file.take("settings", dict, {}),
        blocks=_blocks(file, domains),
        studies=_studies(file),
        inferred=tuple(file.take("inferred", list, [])),
    )
    file.finish()
    return suite


def _domains(file: SuiteFile, known: tuple[str, ...]) -> tuple[str, ...]:
    named = [nfc(name) for name in file.take_list("domains", str, list(known))]
    for domain in named:
        if domain not in known:
            raise file.problem(
                "domains", f"'{domain}' is not a domain of the data set", f"Choose from: {', '.join(known)}."
            )
    _require_distinct(file, "domains", named)
    return tuple(domain for domain in known if domain in named)


def _template(file: SuiteFile) -> str:
    template = file.take("template", str)
    if template.count("{}") != 1:
        raise file.problem(
            "template", "a template has exactly one {} for the class name", 'For example "a picture of a {}."'
        )
    return template


def _classes(file: SuiteFile, known: tuple[str, ...]) -> tuple[str, ...]:
    """Read a class set: ``all``, a list of names, ``{first: n}`` or ``{file: PATH}`` with one name per line."""
    given = file.take("classes", (str, list, dict), "all")
    if given == "all":
        _require_distinct(file, "classes", known)
        return known
    if isinstance(given, dict) and set(given) == {"first"} and isinstance(given["first"], int):
        names = list(known[: given["first"]])
    elif isinstance(given, dict) and set(given) == {"file"}:
        path = file.path.parent / str(given["file"])
        try:
            names = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        except (OSError, UnicodeDecodeError) as error:
            raise file.problem(
                "classes", f"the file '{path}' cannot be read", "Give a file with one class name per line."
            ) from error
    elif isinstance(given, list):
        names = [str(name) for name in given]
    else:
        raise file.problem("classes", "a class set is all, a list, {first: n} or {file: PATH}", "Write classes: all.")
    names = [nfc(name) for name in names]
    for name in names:
        if name not in known:
            near = unknown("class", name, known)
            raise file.problem("classes", f"'{name}' is not a class of the data set", near.remedy)
    if len(set(names)) < 2 or len(set(names)) != len(names):
        raise file.problem("classes", "a class set has at least two different names", "Name each class once.")
    _require_distinct(file, "classes", names)
    return tuple(names)


def _require_distinct(file: SuiteFile, key: str, names: Sequence[str]) -> None:
    if pair := look_alike(names):
        raise file.problem(
            key,
            f"'{pair[0]}' and '{pair[1]}' are the same name in two spellings",
            "Rename one of them in the data set, and prepare it again.",
        )


def _forget(file: SuiteFile, key: str, given: Any, domains: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """Read the forget sets: ``{sizes: [1, 2]}`` for all subsets of these sizes, or a list of lists of domains."""
    sizes = given.get("sizes") if isinstance(given, dict) and set(given) == {"sizes"} else None
    if isinstance(sizes, list) and all(isinstance(size, int) for size in sizes):
        subsets = [subset for size in sizes for subset in combinations(domains, max(size, 0))]
    elif isinstance(given, list):
        subsets = [tuple(subset) if isinstance(subset, list) else (subset,) for subset in given]
    else:
        raise file.problem(
            key, "it must be {sizes: [1, ...]} or a list of lists of domains", "For example {sizes: [1]}."
        )
    for subset in subsets:
        for domain in subset:
            if domain not in domains:
                raise file.problem(
                    key, f"'{domain}' is not a domain of the suite", f"Choose from: {', '.join(domains)}."
                )
        if not 0 < len(set(subset)) < len(domains):
            raise file.problem(
                key,
                "a task must forget at least one domain and retain at least one",
                f"Use between 1 and {len(domains) - 1} of: {', '.join(domains)}.",
            )
    if not subsets:
        raise file.problem(key, "it has no forget set", "For example {sizes: [1]}.")
    return tuple(tuple(domain for domain in domains if domain in subset) for subset in subsets)


def _blocks(file: SuiteFile, domains: tuple[str, ...]) -> dict[str, tuple[tuple[str, ...], ...]]:
    return {
        str(group): _forget(file, "blocks", forget, domains) for group, forget in file.take("blocks", dict, {}).items()
    }


def _studies(file: SuiteFile) -> dict[str, tuple[Sweep, ...]]:
    given = file.take("studies", dict, {})
    return {
        str(name): tuple(_sweep(file, sweep) for sweep in (sweeps if isinstance(sweeps, list) else [None]))
        for name, sweeps in given.items()
    }


def _sweep(file: SuiteFile, given: Any) -> Sweep:
    """Read ``{methods: [...], VARIABLE: [values]}``; the variable may be left out."""
    wrong = file.problem(
        "studies",
        "a study is a list of sweeps, each with methods and at most one variable",
        "For example shots: [{methods: [paper], shots: [1, 4]}].",
    )
    if not isinstance(given, dict) or not isinstance(given.get("methods"), list) or len(given) > 2:
        raise wrong
    variables = [name for name in given if name != "methods"]
    values = given[variables[0]] if variables else []
    if not isinstance(values, list) or (variables and not values):
        raise wrong
    if variables == ["shots"] and not all(isinstance(value, int) and value > 0 for value in values):
        raise wrong
    return Sweep(tuple(map(str, given["methods"])), str(variables[0]) if variables else "", tuple(values))


def _at_least(file: SuiteFile, key: str, least: int) -> int:
    value = file.take(key, int)
    if value < least:
        raise file.problem(key, f"{value} is below {least}", f"Write {key}: {least} or more.")
    return value


def _training(file: SuiteFile) -> TrainingSpec:
    given: dict[str, Any] = file.take("training", dict)
    batch = given.get("batch")
    precisions = [given.get("precision"), given.get("evaluation", "fp32")]
    known = {"batch", "precision"} <= set(given) <= {"batch", "precision", "evaluation"}
    if not known or not isinstance(batch, int) or batch < 1 or not all(one in PRECISIONS for one in precisions):
        raise file.problem(
            "training",
            f"it has a batch size, a precision and optionally an evaluation precision ({', '.join(PRECISIONS)})",
            "Write training: {batch: 64, precision: fp32, evaluation: fp32}.",
        )
    return TrainingSpec(batch, *precisions)
