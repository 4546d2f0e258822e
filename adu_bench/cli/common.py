"""Options that several commands share, and their values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adu_bench.core.errors import UserError, unknown

if TYPE_CHECKING:
    from adu_bench.registry import Catalogue
    from adu_bench.runner.plan import Plan
    from adu_bench.suites import Suite

DEFAULT_SUITE = "emoji-mini"


def suite_option(parser: Any) -> None:
    """Add ``--suite``."""
    parser.add_argument(
        "--suite", type=str, default=DEFAULT_SUITE, metavar="NAME", help="suite, or path of a YAML file"
    )


def from_option(parser: Any) -> None:
    """Add ``--from``."""
    parser.add_argument("--from", type=str, default="", metavar="DIR", help="folder or file with further methods")


def plan_options(parser: Any) -> None:
    """Add the options that decide which runs make up a plan."""
    suite_option(parser)
    parser.add_argument(
        "--methods",
        type=str,
        default="",
        metavar="NAMES",
        help='all, groups (paper, reference, ablation, other) or names such as "adu[gamma=10],baseline" '
        "(default: what the suite says)",
    )
    parser.add_argument(
        "--seeds", type=str, default="", metavar="N|LIST", help="number of seeds, or a list such as 1,5"
    )
    parser.add_argument(
        "--backbone",
        type=str,
        default="",
        metavar="NAME",
        help="emoji-clip, MODEL:TAG, MODEL:TAG=FILE, MODEL:FILE or a folder",
    )
    parser.add_argument(
        "--sizes", type=str, default="", metavar="N|N-M|LIST", help="all forget sets of so many domains, e.g. 1-5"
    )
    parser.add_argument("--limit", type=int, default=0, metavar="N", help="only the first N tasks")
    parser.add_argument(
        "--settings", type=str, default="", metavar="FILE", help="fields by preset that tune wrote, over the suite's"
    )
    parser.add_argument(
        "--study", type=str, default="", metavar="NAME", help="a sweep that the suite declares, instead of --methods"
    )
    from_option(parser)


def flag(parser: Any, name: str, help: str) -> None:
    """Add a switch without a value."""
    parser.add_argument(f"--{name}", action="store_true", help=help)


def catalogue_of(options: Any) -> Catalogue:
    """Return the known methods, with those of ``--from``."""
    from adu_bench.registry import Catalogue

    extra = options["from"]
    return Catalogue([Path(extra)] if extra else [])


def plan_of(options: Any, runs: Path, *, force: bool = False) -> Plan:
    """Return the plan that the options describe."""
    from adu_bench.runner.plan import plan, plan_study
    from adu_bench.store import Store

    catalogue = catalogue_of(options)
    suite = suite_of(options, catalogue)
    chosen = [options.methods] if options.methods else list(suite.methods)
    if options.limit < 0:
        raise UserError(f"--limit {options.limit} is below zero.", "It counts tasks.", "Give 1 or more.")
    if options.study and options.methods:
        raise UserError(
            "--study and --methods exclude each other.", "A study names its methods.", "Leave one of them out."
        )
    if options.study:
        planned = partial(plan_study, suite, options.study, catalogue)
    else:
        planned = partial(plan, suite, catalogue.select(chosen))
    return planned(
        Store(runs),
        seeds=seeds_of(options.seeds, suite),
        backbone=options.backbone or None,
        limit=options.limit or None,
        force=force,
    )


def suite_of(options: Any, catalogue: Catalogue) -> Suite:
    """Return the suite with the settings and sizes that the options give."""
    from adu_bench.suites import load_suite

    suite = with_settings(load_suite(options.suite), options.settings, catalogue)
    return suite.with_sizes(sizes_of(options.sizes)) if options.sizes else suite


def with_settings(suite: Suite, path: str, catalogue: Catalogue) -> Suite:
    """Return the suite with the settings of a YAML file over its own.

    Raises
    ------
    UserError
        If the file cannot be read, or it or the suite names a preset that no method has.
    """
    import yaml

    given: Any = {}
    if path:
        try:
            given = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError) as error:
            raise UserError(
                f"The settings '{path}' cannot be read.",
                f"{type(error).__name__}.",
                "Name the settings.yaml that adu-bench tune wrote.",
            ) from error
        if not isinstance(given, dict) or not all(isinstance(fields, dict) for fields in given.values()):
            raise UserError(
                f"The settings '{path}' are malformed.",
                "They map presets to fields.",
                "For example: adu: {lr: 0.05}",
            )
    settings = {**suite.settings, **given}
    broken = {broken.name for broken in catalogue.broken}
    for name in settings:
        if name not in catalogue.presets and name not in broken:
            raise unknown("preset in the settings", str(name), catalogue.presets)
    return replace(suite, settings=settings)


def sizes_of(text: str) -> list[int]:
    """Read ``--sizes``: a number, a range such as 1-3, or a list with commas.

    Raises
    ------
    UserError
        If it is none of these.
    """
    sizes: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        try:
            sizes += range(int(first), int(last or first) + 1)
        except ValueError:
            sizes = []
            break
    if not sizes:
        raise UserError(
            f"'{text}' is no choice of sizes.",
            "A size is the number of domains that a task forgets.",
            "For example --sizes 1, --sizes 1-5 or --sizes 1,3.",
        )
    return sizes


def seeds_of(text: str, suite: Suite) -> Sequence[int] | None:
    """Read ``--seeds``: a count of seeds (1 to N), a list with commas, or nothing for the suite's own.

    Raises
    ------
    UserError
        If it is neither.
    """
    if not text:
        return None
    parts = [part for part in text.split(",") if part.strip()]
    try:
        numbers = [int(part) for part in parts]
    except ValueError:
        numbers = []
    listed = "," in text
    least = 0 if listed else 1
    if not numbers or min(numbers) < least or len(set(numbers)) != len(numbers):
        raise UserError(
            f"'{text}' is no choice of seeds.",
            "Seeds are a count, or different whole numbers with commas.",
            f"For example --seeds 3 or --seeds 1,5 ('{suite.name}' uses {','.join(map(str, suite.seeds))}).",
        )
    return numbers if listed else list(range(1, numbers[0] + 1))
