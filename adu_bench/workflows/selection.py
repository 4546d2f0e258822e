"""Which suite, methods and runs a command is about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from adu_bench.clip.identity import parse_backbone
from adu_bench.clip.weights import backbone_spec
from adu_bench.core.commands import remember
from adu_bench.core.errors import UserError, unknown
from adu_bench.core.specs import BackboneSpec
from adu_bench.core.yaml_files import read_yaml
from adu_bench.registry import Catalogue, Choice
from adu_bench.runner.plan import Plan, plan, plan_study
from adu_bench.store import Store
from adu_bench.suites import Suite, load_suite
from adu_bench.suites.suite import LARGEST_SEED, MOST, are_seeds

DEFAULT_SUITE = "emoji-mini"


@dataclass(frozen=True)
class Selection:
    """A choice of runs.

    Parameters
    ----------
    suite
        Name of a suite, or path of a YAML file.
    methods
        ``all``, groups or names such as ``adu[gamma=10],baseline``; empty for the suite's.
    seeds
        Seeds in place of the suite's; empty for the suite's.
    backbone
        Name of a backbone in place of the suite's; empty for the suite's.
    sizes
        Numbers of domains to forget: all forget sets of these sizes in place of the suite's; empty for the suite's.
    limit
        Only the first tasks; 0 for all.
    settings
        YAML file with fields by preset that replace the suite's; empty for none.
    study
        Name of a study of the suite, whose methods ``methods`` replaces; empty for none.
    extra
        Folders and files with further methods.
    """

    suite: str = DEFAULT_SUITE
    methods: str = ""
    seeds: tuple[int, ...] = ()
    backbone: str = ""
    sizes: tuple[int, ...] = ()
    limit: int = 0
    settings: str = ""
    study: str = ""
    extra: tuple[str, ...] = ()

    @cached_property
    def catalogue(self) -> Catalogue:
        """The known methods."""
        return open_catalogue(*self.extra)

    def load_suite(self) -> Suite:
        """Return the suite with the chosen settings and sizes.

        Raises
        ------
        UserError
            If there is no such suite, or its budget or the settings cannot be used.
        """
        suite = load_suite(self.suite)
        suite = replace(suite, settings={**suite.settings, **read_settings(self.settings)})
        check_fields(suite, self.catalogue)
        return suite.with_sizes(list(self.sizes)) if self.sizes else suite

    def plan(self, store: Store | None = None, *, fetch: bool = False) -> Plan:
        """Return the chosen runs.

        Parameters
        ----------
        store
            Finished runs: the weights that they used need not be on this machine.
        fetch
            Whether weights that are not on this machine may be fetched.

        Raises
        ------
        UserError
            If the choice names something that does not exist, or the weights are not known.
        """
        suite = self.load_suite()
        if self.limit < 0:
            raise UserError(f"--limit {self.limit} is below zero.", "It counts tasks.", "Give 1 or more.")
        if fetch:
            # Whoever lacks the images is told so before weights of many megabytes are fetched.
            suite.tasks()
        options: dict[str, Any] = {
            "seeds": self.seeds or None,
            "backbone": self.backbone or None,
            "weights": find_weights(self.backbone, suite, store, fetch),
            "limit": self.limit or None,
        }
        chosen = [self.methods] if self.methods else []
        if self.study:
            return plan_study(suite, self.study, self.catalogue, methods=chosen, **options)
        return plan(suite, self.catalogue.select(chosen or suite.methods), **options)


def seeds_from(given: int | Sequence[int], text: str = "") -> tuple[int, ...]:
    """Return seeds that are given as their number or one by one; empty for the suite's.

    Parameters
    ----------
    given
        The number of seeds, or the seeds.
    text
        What the user typed, for messages.

    Raises
    ------
    UserError
        If they are not seeds.
    """
    if isinstance(given, int):
        seeds: Sequence[int] = range(1, given + 1) if 0 < given <= MOST else ()
        wrong = given != 0 and not seeds
    else:
        seeds = tuple(given)
        wrong = len(seeds) > 0 and not are_seeds(seeds)
    if wrong:
        raise UserError(
            f"'{(text or str(given))[:60]}' is not a valid choice of seeds.",
            f"Seeds are a count up to {MOST:,}, or different whole numbers from 0 to {LARGEST_SEED:,} with commas.",
            "For example --seeds 3 or --seeds 1,5.",
        )
    return tuple(seeds)


def find_weights(backbone: str, suite: Suite, store: Store | None, fetch: bool) -> BackboneSpec:
    """Return which weights runs have: those on this machine, else those of a store's runs on the suite's images.

    Parameters
    ----------
    backbone
        Name of the backbone; empty for the suite's.
    suite, store, fetch
        As in `Selection.plan`.

    Raises
    ------
    UserError
        If the weights are not on this machine, and the runs do not tell which are meant.
    """
    name = backbone or suite.backbone
    try:
        portable = parse_backbone(name).portable
        if parse_backbone(name).local_file is not None or store is None:
            return backbone_spec(name, fetch=fetch)
    except UserError:
        # A folder that is not here was named, perhaps.
        portable = name
        if store is None:
            raise
    used = store.backbones(suite.dataset)
    same = [spec for spec in used if spec.name == portable]
    if len(same) == 1:
        return same[0]
    try:
        return backbone_spec(name, fetch=fetch)
    except UserError as error:
        if len(used) == 1 and not backbone:
            remember(backbone=used[0].name)
            return used[0]
        if not used or backbone:
            raise
        raise UserError(
            error.what,
            f"The runs in '{store.root}' have several backbones: {', '.join(sorted({spec.name for spec in used}))}.",
            f"Name one of them: --backbone {used[0].name}",
        ) from error


def check_fields(suite: Suite, catalogue: Catalogue) -> None:
    """Check that methods have the fields in a suite's budget, and may take the values in its settings.

    Methods may differ in what they allow, so that a value of the budget is checked for each method that runs; here, it
    must be one that some method may take.

    Raises
    ------
    UserError
        If a method, preset or field is unknown, or a value is not valid.
    """
    entries = {entry.name: entry for _, entry in catalogue.presets.values()}
    broken = {name for broken in catalogue.broken for name in broken.names}
    fields = {name for entry in entries.values() for name in entry.fields}
    for name, value in suite.budget.items():
        if isinstance(value, Mapping) and name not in entries.keys() | broken:
            raise unknown("method in the suite's budget", str(name), entries)
        # Nobody knows the fields of a method that cannot be read.
        if not isinstance(value, Mapping) and name not in fields and not broken:
            raise unknown("field in the suite's budget", str(name), fields)
        _check_budget(catalogue, name, value)
    for name, values in suite.settings.items():
        if name in catalogue.presets:
            Choice(*catalogue.presets[name]).changed({}, {name: values})
        elif name not in broken:
            raise unknown("preset in the settings", str(name), catalogue.presets)


def _check_budget(catalogue: Catalogue, name: str, value: Any) -> None:
    """Refuse an entry of the budget that none of the methods it is for may take."""
    refused = None
    for preset, entry in catalogue.presets.values():
        if name in entry.fields or name == entry.name:
            try:
                Choice(preset, entry).changed({name: value}, {})
            except UserError as error:
                refused = refused or error
            else:
                return
    if refused is not None:
        raise refused


def open_catalogue(*extra: str) -> Catalogue:
    """Return the known methods, with those of further folders or files; empty names are left out.

    Raises
    ------
    UserError
        If there is none: a package without its methods, and no method in the places.
    """
    places = [Path(place) for place in extra if place]
    catalogue = Catalogue(places)
    if not catalogue.presets and not catalogue.broken:
        named = " and ".join(f"'{place}'" for place in places)
        raise UserError(
            "No method is installed.",
            "This installation lacks the shipped methods" + (f", and {named} has none." if named else "."),
            "Install adu-bench again, or name a folder with methods: --from DIR",
        )
    return catalogue


def read_settings(path: str) -> dict[str, dict[str, Any]]:
    """Read a YAML file of fields by preset; nothing for an empty path.

    Raises
    ------
    UserError
        If the file cannot be read or is malformed.
    """
    if not path:
        return {}
    try:
        given, _ = read_yaml(Path(path))
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise UserError(
            f"The settings '{path}' cannot be read.",
            f"{why}.",
            "Name the settings.yaml that adu-bench tune wrote.",
        ) from error
    if not isinstance(given, dict) or not all(isinstance(fields, dict) for fields in given.values()):
        raise UserError(
            f"The settings '{path}' are malformed.",
            "They map presets to fields.",
            "For example: adu: {lr: 0.05}",
        )
    return given
