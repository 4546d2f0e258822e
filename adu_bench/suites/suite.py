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
from adu_bench.suites.document import Document

FOLDER = RESOURCES / "suites"
PATTERN = "folder"
"""The suite file for the user's own prepared data sets, each of which is a suite under its own name."""


@dataclass(frozen=True)
class Sweep:
    """One curve, or a comparison: some methods with one field, or the number of shots, taking several values.

    Parameters
    ----------
    methods
        Methods or groups.
    variable
        A field of the methods, ``shots``, or empty where the methods themselves are compared.
    values
        What the variable takes; empty without a variable.
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
        Name on the command line, and one line for people.
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
        Training images for each (class, domain).
    seeds
        Seeds of the repetitions.
    backbone
        Default backbone.
    training
        Batch size and precision of training.
    methods
        Default methods or groups.
    budget
        Values for all methods that have a field of that name; under a method's name, a mapping for that method alone.
    settings
        Values for one preset each, chosen on the validation pool.
    blocks
        Forget sets of a complete block for groups of methods that run on fewer tasks than the suite has.
    studies
        Named sweeps, see `Sweep`.
    inferred
        What the paper that the suite follows does not state.
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
            Taken instead of the digest of the images on this machine, where there are none.
        """
        images = data_hash or self.data_hash
        return [
            Task(self.dataset, images, self.domains, forget, self.classes, self.template, self.shots)
            for forget in self.forget
        ]

    def retain(self, forget: Sequence[str]) -> tuple[str, ...]:
        """Return the domains that a task keeps."""
        return tuple(domain for domain in self.domains if domain not in forget)

    def with_sizes(self, sizes: Sequence[int]) -> Suite:
        """Return the suite with all forget sets of these sizes instead of its own.

        Raises
        ------
        UserError
            If no domain would be forgotten, or none kept.
        """
        wrong = [size for size in sizes if not 0 < size < len(self.domains)]
        if wrong or not sizes:
            raise UserError(
                f"No task of '{self.name}' forgets {wrong[0] if wrong else 'no'} of {len(self.domains)} domains.",
                "A task forgets at least one domain and keeps at least one.",
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
        If there is no such suite, or its file is malformed; the line is named.
    """
    if name == PATTERN:
        raise UserError(
            f"'{PATTERN}' is only the pattern of suites on your own images.",
            "It has no images itself.",
            "adu-bench data prepare my-photos --from FOLDER, and then --suite my-photos.",
        )
    path = Path(name) if name.endswith((".yaml", ".yml")) else FOLDER / f"{name}.yaml"
    if path.is_file():
        return _read(Document.read(path), path.stem)
    if name not in suite_names():
        raise unknown("suite", name, suite_names())
    pattern = Document.read(FOLDER / f"{PATTERN}.yaml")
    pattern.values |= {"title": prepared.require(name).title, "dataset": name}
    return _read(pattern, name)


def _read(document: Document, name: str) -> Suite:
    """Check each entry in turn; every error names the line that it is on."""
    while (base := document.take("extends", str, None)) is not None:
        document = Document.read(FOLDER / f"{base}.yaml", below=document)
    data = outline(document.take("dataset", str))
    domains = _domains(document, data.domains)
    suite = Suite(
        name=name,
        title=document.take("title", str),
        dataset=data.name,
        template=_template(document),
        domains=domains,
        classes=_classes(document, data.classes),
        forget=_forget(document, "forget", document.take("forget", (dict, list)), domains),
        shots=_at_least(document, "shots", 1),
        seeds=tuple(document.take_list("seeds", int)),
        backbone=document.take("backbone", str),
        training=_training(document),
        methods=tuple(document.take_list("methods", str)),
        budget=document.take("budget", dict, {}),
        settings=document.take("settings", dict, {}),
        blocks=_blocks(document, domains),
        studies=_studies(document),
        inferred=tuple(document.take("inferred", list, [])),
    )
    document.finish()
    return suite


def _domains(document: Document, known: tuple[str, ...]) -> tuple[str, ...]:
    named = [nfc(name) for name in document.take_list("domains", str, list(known))]
    for domain in named:
        if domain not in known:
            raise document.problem(
                "domains", f"'{domain}' is not a domain of the data set", f"Choose from: {', '.join(known)}."
            )
    _require_distinct(document, "domains", named)
    return tuple(domain for domain in known if domain in named)


def _template(document: Document) -> str:
    template = document.take("template", str)
    if template.count("{}") != 1:
        raise document.problem(
            "template", "a template has one {} for the class name", 'For example "a picture of a {}."'
        )
    return template


def _classes(document: Document, known: tuple[str, ...]) -> tuple[str, ...]:
    """Read a class set: ``all``, a list of names, ``{first: n}`` or ``{file: PATH}`` with one name per line."""
    given = document.take("classes", (str, list, dict), "all")
    if given == "all":
        _require_distinct(document, "classes", known)
        return known
    if isinstance(given, dict) and set(given) == {"first"} and isinstance(given["first"], int):
        names = list(known[: given["first"]])
    elif isinstance(given, dict) and set(given) == {"file"}:
        path = document.path.parent / str(given["file"])
        try:
            names = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        except OSError as error:
            raise document.problem(
                "classes", f"the file '{path}' cannot be read", "Give a file with one class name per line."
            ) from error
    elif isinstance(given, list):
        names = [str(name) for name in given]
    else:
        raise document.problem(
            "classes", "a class set is all, a list, {first: n} or {file: PATH}", "Write classes: all."
        )
    names = [nfc(name) for name in names]
    for name in names:
        if name not in known:
            near = unknown("class", name, known)
            raise document.problem("classes", f"'{name}' is not a class of the data set", near.remedy)
    if len(set(names)) < 2 or len(set(names)) != len(names):
        raise document.problem("classes", "a class set has at least two different names", "Name each class once.")
    _require_distinct(document, "classes", names)
    return tuple(names)


def _require_distinct(document: Document, key: str, names: Sequence[str]) -> None:
    if pair := look_alike(names):
        raise document.problem(
            key,
            f"'{pair[0]}' and '{pair[1]}' are the same name in two spellings",
            "Rename one of them in the data set, and prepare it again.",
        )


def _forget(document: Document, key: str, given: Any, domains: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    """Read the forget sets: ``{sizes: [1, 2]}`` for all subsets of these sizes, or a list of lists of domains."""
    if isinstance(given, dict):
        sizes = given.get("sizes")
        if set(given) != {"sizes"} or not isinstance(sizes, list) or not all(isinstance(size, int) for size in sizes):
            raise document.problem(
                key, "it must be {sizes: [1, ...]} or a list of lists of domains", "For example {sizes: [1]}."
            )
        subsets = [subset for size in sizes for subset in combinations(domains, size)]
    else:
        subsets = [tuple(subset) if isinstance(subset, list) else (subset,) for subset in given]
    for subset in subsets:
        for domain in subset:
            if domain not in domains:
                raise document.problem(
                    key, f"'{domain}' is not a domain of the suite", f"Choose from: {', '.join(domains)}."
                )
        if not 0 < len(set(subset)) < len(domains):
            raise document.problem(
                key,
                "a task must forget at least one domain and keep at least one",
                f"Use between 1 and {len(domains) - 1} of: {', '.join(domains)}.",
            )
    if not subsets:
        raise document.problem(key, "it names no task", "For example {sizes: [1]}.")
    return tuple(tuple(domain for domain in domains if domain in subset) for subset in subsets)


def _blocks(document: Document, domains: tuple[str, ...]) -> dict[str, tuple[tuple[str, ...], ...]]:
    return {
        str(group): _forget(document, "blocks", forget, domains)
        for group, forget in document.take("blocks", dict, {}).items()
    }


def _studies(document: Document) -> dict[str, tuple[Sweep, ...]]:
    given = document.take("studies", dict, {})
    return {str(name): tuple(_sweep(document, sweep) for sweep in sweeps) for name, sweeps in given.items()}


def _sweep(document: Document, given: Any) -> Sweep:
    """Read ``{methods: [...], VARIABLE: [values]}``; the variable may be left out."""
    wrong = document.problem(
        "studies",
        "a study is a list of sweeps with methods and at most one variable",
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


def _at_least(document: Document, key: str, least: int) -> int:
    value = document.take(key, int)
    if value < least:
        raise document.problem(key, f"{value} is below {least}", f"Write {key}: {least} or more.")
    return value


def _training(document: Document) -> TrainingSpec:
    given: dict[str, Any] = document.take("training", dict)
    batch = given.get("batch")
    precisions = [given.get("precision"), given.get("evaluation", "fp32")]
    known = {"batch", "precision"} <= set(given) <= {"batch", "precision", "evaluation"}
    if not known or not isinstance(batch, int) or batch < 1 or not all(one in PRECISIONS for one in precisions):
        raise document.problem(
            "training",
            f"it has a batch size, a precision and an evaluation precision, each of {', '.join(PRECISIONS)}",
            "Write training: {batch: 64, precision: fp32, evaluation: fp32}.",
        )
    return TrainingSpec(batch, *precisions)
