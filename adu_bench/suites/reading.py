"""Read a suite from YAML, checked against its data set."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, TypeGuard

import yaml

from adu_bench.core.errors import UserError, unknown
from adu_bench.core.files import read_text, write_text
from adu_bench.core.paths import RESOURCES
from adu_bench.core.specs import PRECISIONS, SUPERVISIONS, TrainingSpec
from adu_bench.data import prepared
from adu_bench.data.names import look_alike, nfc
from adu_bench.data.prepare.description import described
from adu_bench.data.sources import outline
from adu_bench.suites.suite import (
    LARGEST_SEED,
    MOST,
    MOST_SPLITS,
    SHOTS,
    Suite,
    Sweep,
    are_seeds,
    forget_sets,
)
from adu_bench.suites.suite_file import SuiteFile

FOLDER = RESOURCES / "suites"
_SEEDS = "For example seeds: [1, 2, 3]."
PATTERN = "folder"
"""The suite file for the user's own prepared data sets, each of which is a suite under its own name."""


def shipped_names() -> tuple[str, ...]:
    """Return the names of the shipped suites."""
    return tuple(sorted({path.stem for path in FOLDER.glob("*.yaml")} - {PATTERN}))


def suite_names() -> tuple[str, ...]:
    """Return the names of the shipped suites, and of the user's own prepared data sets, which are suites as well."""
    return (*shipped_names(), *(name for name in prepared.prepared_names() if name not in described()))


def suite_name(suite: str) -> str:
    """Return the name of a suite that is given by name or by the path of its YAML file."""
    return Path(suite).stem if suite.endswith((".yaml", ".yml")) else suite


def load_suite(name: str, kept: Path | None = None) -> Suite:
    """Read a suite by name, or from a YAML file by path.

    Parameters
    ----------
    name
        Name or path.
    kept
        A file, see `keep_suite`, that is read where no suite of this name is known here.

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
        if kept is not None and kept.is_file():
            return _read(SuiteFile.read(kept), name)
        raise unknown("suite", name, suite_names())
    pattern = SuiteFile.read(FOLDER / f"{PATTERN}.yaml")
    pattern.values |= {"title": prepared.require(name).title, "dataset": name}
    return _read(pattern, name)


def keep_suite(suite: str, path: Path) -> None:
    """Write the declaration of a suite that is given by its path into another file; a shipped one is known anyway."""
    if suite_name(suite) == suite:
        return
    file, found = SuiteFile.read(Path(suite)), load_suite(suite)
    # A list of classes may be a file beside the suite's.
    classes = {"classes": list(found.classes)} if "classes" in file.values else {}
    write_text(path, yaml.safe_dump({**file.values, **classes}, sort_keys=False, allow_unicode=True))


def _read(file: SuiteFile, name: str) -> Suite:
    """Check each entry in turn; every error names the entry's line."""
    while (base := file.take("extends", str, None)) is not None:
        # Shipped suites form no circle, which files of others could.
        if base not in (*shipped_names(), PATTERN):
            near = unknown("shipped suite", base, shipped_names())
            raise file.problem("extends", f"'{base}' is not a shipped suite", near.remedy)
        file = SuiteFile.read(FOLDER / f"{base}.yaml", below=file)
    data = outline(file.take("dataset", str))
    domains = _domains(file, data.domains)
    classes = _classes(file, data.classes)
    suite = Suite(
        name=name,
        title=file.take("title", str),
        dataset=data.name,
        template=_template(file, "template", "the class name"),
        domains=domains,
        classes=classes,
        forget=_forget(file, "forget", file.take("forget", (dict, list)), domains),
        shots=_at_least(file, "shots", 1),
        seeds=_seeds(file),
        backbone=file.take("backbone", str),
        training=_training(file),
        methods=tuple(file.take_list("methods", str)),
        budget=file.take("budget", dict, {}),
        settings=_settings(file),
        blocks=_blocks(file, domains),
        studies=_studies(file, domains),
        inferred=tuple(file.take("inferred", list, [])),
        domain_template=_template(file, "domain_template", "the domain's name", Suite.domain_template),
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


def _template(file: SuiteFile, key: str, named: str, *default: str) -> str:
    template = file.take(key, str, *default)
    if template.count("{}") != 1:
        example = Suite.domain_template if default else "a picture of a {}."
        raise file.problem(key, f"a template has exactly one {{}} for {named}", f'For example "{example}"')
    return template


def _classes(file: SuiteFile, known: tuple[str, ...]) -> tuple[str, ...]:
    """Read a class set: ``all``, a list of names, ``{first: n}`` or ``{file: PATH}`` with one name per line."""
    given = file.take("classes", (str, list, dict), "all")
    if given == "all":
        _require_distinct(file, "classes", known)
        return known
    if isinstance(given, dict) and set(given) == {"first"} and _is_count(given["first"]):
        names = list(known[: given["first"]])
    elif isinstance(given, dict) and set(given) == {"file"}:
        path = file.path.parent / str(given["file"])
        try:
            names = [line.strip() for line in read_text(path).splitlines() if line.strip()]
        except (OSError, UnicodeDecodeError) as error:
            raise file.problem(
                "classes", f"the file '{path}' cannot be read", "Give a file with one class name per line."
            ) from error
    elif isinstance(given, list):
        names = [str(name) for name in given]
    else:
        raise file.problem(
            "classes", "a class set is all, a list, {first: n} with n above 0, or {file: PATH}", "Write classes: all."
        )
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
    if isinstance(sizes, list) and all(type(size) is int for size in sizes):
        if (count := forget_sets(domains, sizes)) > MOST:
            raise file.problem(key, f"these are {count:.2g} forget sets", "Choose fewer sizes, or list forget sets.")
        # Sizes out of range are refused below, as sets that are empty or leave nothing to retain.
        wanted = [min(max(size, 0), len(domains)) for size in sizes]
        subsets = [subset for size in wanted for subset in combinations(domains, size)]
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
    found = tuple(tuple(domain for domain in domains if domain in subset) for subset in subsets)
    for place, subset in enumerate(found):
        if subset in found[:place] or len(subset) != len(subsets[place]):
            raise file.problem(key, f"'{', '.join(subset)}' is named twice", "Name each size and each forget set once.")
    return found


def _seeds(file: SuiteFile) -> tuple[int, ...]:
    seeds = file.take_list("seeds", int)
    if not are_seeds(seeds):
        raise file.problem("seeds", f"seeds are different whole numbers from 0 to {LARGEST_SEED}", _SEEDS)
    return tuple(seeds)


def _is_count(value: Any) -> TypeGuard[int]:
    """Return whether a value is a whole number from 1 to `MOST`; in Python true is a number as well."""
    return type(value) is int and 0 < value <= MOST


def _settings(file: SuiteFile) -> dict[str, Any]:
    settings = file.take("settings", dict, {})
    for name, fields in settings.items():
        if not isinstance(fields, dict):
            raise file.problem("settings", f"{fields!r} is not a mapping of fields", f"Write {name}: {{field: value}}.")
    return settings


def _blocks(file: SuiteFile, domains: tuple[str, ...]) -> dict[str, tuple[tuple[str, ...], ...]]:
    return {
        str(group): _forget(file, "blocks", forget, domains) for group, forget in file.take("blocks", dict, {}).items()
    }


def _studies(file: SuiteFile, domains: tuple[str, ...]) -> dict[str, tuple[Sweep, ...]]:
    given = file.take("studies", dict, {})
    return {
        str(name): tuple(_sweep(file, sweep, domains) for sweep in (sweeps if isinstance(sweeps, list) else [None]))
        for name, sweeps in given.items()
    }


def _sweep(file: SuiteFile, given: Any, domains: tuple[str, ...]) -> Sweep:
    """Read ``{methods: [...], VARIABLE: [values]}``; the variable may be left out, ``forget`` and ``splits`` added."""
    wrong = file.problem(
        "studies",
        "a study is a list of sweeps, each with methods and at most one variable",
        "For example shots: [{methods: [paper], shots: [1, 4]}].",
    )
    if not isinstance(given, dict) or not isinstance(given.get("methods"), list):
        raise wrong
    variables = [name for name in given if name not in ("methods", "forget", "splits")]
    values = given[variables[0]] if variables else []
    if len(variables) > 1 or not isinstance(values, list) or (variables and not values):
        raise wrong
    if variables == [SHOTS] and not all(map(_is_count, values)):
        raise wrong
    if variables and variables[0] in SUPERVISIONS:
        if not all(map(_is_share, values)):
            why = f"the variable {variables[0]} has a value that is not a share in 0..1"
            raise file.problem("studies", why, f"Write {variables[0]}: [0.0, 0.5, 1.0].")
        values = list(map(float, values))
    if len({repr(value) for value in values}) != len(values):
        raise file.problem("studies", f"the variable {variables[0]} has a value twice", "Name each value once.")
    splits = given.get("splits", 0)
    if "splits" in given and not (_is_count(splits) and splits <= MOST_SPLITS):
        raise file.problem("studies", f"splits is a whole number from 1 to {MOST_SPLITS}", "Write splits: 2.")
    forget = _forget(file, "studies", given["forget"], domains) if "forget" in given else None
    variable = str(variables[0]) if variables else ""
    return Sweep(tuple(map(str, given["methods"])), variable, tuple(values), forget, splits)


def _is_share(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value <= 1


def _at_least(file: SuiteFile, key: str, least: int) -> int:
    value = file.take(key, int)
    if value < least:
        raise file.problem(key, f"{value} is below {least}", f"Write {key}: {least} or more.")
    if value > MOST:
        raise file.problem(key, f"{value} is above {MOST:,}", f"Write {key}: {MOST} or less.")
    return value


def _training(file: SuiteFile) -> TrainingSpec:
    given: dict[str, Any] = file.take("training", dict)
    batch = given.get("batch")
    precisions = [given.get("precision"), given.get("evaluation", "fp32")]
    known = {"batch", "precision"} <= set(given) <= {"batch", "precision", "evaluation"}
    if not known or not _is_count(batch) or not all(one in PRECISIONS for one in precisions):
        raise file.problem(
            "training",
            f"it has a batch size, a precision and optionally an evaluation precision ({', '.join(PRECISIONS)})",
            "Write training: {batch: 64, precision: fp32, evaluation: fp32}.",
        )
    return TrainingSpec(batch, *precisions)
