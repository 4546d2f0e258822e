"""All methods by name: the shipped ones, installed plug-ins, and folders named on the command line."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from adu_bench.core.errors import UserError, unknown
from adu_bench.core.groups import GROUPS
from adu_bench.registry.choice import Choice
from adu_bench.registry.local import shipped_folder
from adu_bench.registry.manifest import MethodEntry, PresetEntry, declared_names, read_methods, unnamed_methods
from adu_bench.registry.overrides import split_choices, split_overrides

ENTRY_POINTS = "adu_bench.methods"
CARD = 'card = Card(name="my-method", group="other", title="T", authors="A", year=2026, paper="none", licence="MIT")'
"""An example of a card."""
DEFAULT_GROUPS = tuple(group for group in GROUPS if group != "ablation")
"""The groups in ``all``; ablations run only when they are named."""


@dataclass(frozen=True)
class Broken:
    """A method file that cannot be read: its name, path and the reason, and the methods that it declares."""

    name: str
    path: Path
    reason: str
    declares: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """All names by which users may call it."""
        return (self.name, *self.declares)


class Catalogue:
    """The known methods, and the files that could not be read.

    Parameters
    ----------
    extra
        Folders whose ``*.py`` files hold further methods.
    shipped
        Whether to include the shipped and the installed methods.

    Raises
    ------
    UserError
        If a folder does not exist, or two methods have the same name.
    """

    def __init__(self, extra: Sequence[Path] = (), *, shipped: bool = True) -> None:
        self.presets: dict[str, tuple[PresetEntry, MethodEntry]] = {}
        self.broken: list[Broken] = []
        folder = shipped_folder() if shipped else None
        for path in files_in([folder]) if folder is not None else ():
            self._add(path)
        for point in entry_points(group=ENTRY_POINTS) if shipped else ():
            self._add_plugin(point)
        self._extra = files_in(extra)
        for path in self._extra:
            self._add(path)

    def select(self, texts: Sequence[str], others: Iterable[str] = (), kind: str = "method") -> list[Choice]:
        """Return the choices for some texts: ``all``, groups, or presets with overrides; each label once.

        Parameters
        ----------
        texts
            As users write them.
        others, kind
            What else the caller takes beside methods, and what to call all of them in the error for a wrong name.

        Raises
        ------
        UserError
            If a name, field or value is unknown.
        """
        chosen: dict[str, Choice] = {}
        for part in (part for text in texts for part in split_choices(text)):
            for choice in self._named(part, others, kind):
                chosen.setdefault(choice.label, choice)
        return list(chosen.values())

    def _named(self, part: str, others: Iterable[str], kind: str) -> list[Choice]:
        if part == "all" or part in GROUPS:
            groups = DEFAULT_GROUPS if part == "all" else (part,)
            return [Choice(preset, entry) for preset, entry in self.presets.values() if preset.group in groups]
        name, overrides = split_overrides(part)
        if name not in self.presets:
            for broken in self.broken:
                if name in broken.names:
                    raise UserError(
                        f"The method file '{broken.path}' is broken.",
                        f"{broken.reason}.",
                        "Correct it, or choose another method.",
                    )
            self._refuse_unnamed(name)
            raise unknown(kind, name, [*self.presets, *GROUPS, "all", *others])
        return [Choice.parse(*self.presets[name], overrides)]

    def _refuse_unnamed(self, name: str) -> None:
        """Say which class of a named file has no card, and so no name."""
        for path in self._extra:
            for unnamed in unnamed_methods(path):
                raise UserError(
                    f"There is no method called '{name}'.",
                    f"The class {unnamed} in '{path}' has no card, which names a method.",
                    f"Import Card from adu_bench.api, and write in the class: {CARD}",
                )

    def _add_plugin(self, point: EntryPoint) -> None:
        """Add an installed method; an error in it must not stop the others."""
        path = _module_path(point.module)
        if path is None:
            self.broken.append(Broken(point.name, Path(point.module), f"there is no module {point.module}"))
            return
        try:
            self._add(path)
        except UserError as error:
            self.broken.append(Broken(point.name, path, f"{error.what} {error.why}".rstrip(".")))

    def _add(self, path: Path) -> None:
        try:
            entries = read_methods(path)
        except (OSError, ValueError, RecursionError, MemoryError) as error:
            self.broken.append(Broken(path.stem.replace("_", "-"), path, str(error), declared_names(path)))
            return
        for entry in entries:
            for preset in entry.presets:
                if preset.name in self.presets:
                    other = self.presets[preset.name][1].path
                    raise UserError(
                        f"Two methods are called '{preset.name}'.",
                        f"'{path}' and '{other}' declare it.",
                        "Rename one of them.",
                    )
                self.presets[preset.name] = (preset, entry)


def _module_path(module: str) -> Path | None:
    """Find a module's file without importing its packages, which `find_spec` would do for a dotted name."""
    top, *inner = module.split(".")
    spec = importlib.util.find_spec(top)
    if spec is None:
        return None
    if not inner:
        return Path(spec.origin) if spec.origin else None
    for folder in spec.submodule_search_locations or []:
        base = Path(folder, *inner)
        for path in (base.with_name(f"{base.name}.py"), base / "__init__.py"):
            if path.is_file():
                return path
    return None


def files_in(places: Sequence[Path]) -> list[Path]:
    """Return the Python files of folders, but those whose names begin with ``_``, and files as they are named.

    Raises
    ------
    UserError
        If a place is neither a folder nor a Python file.
    """
    paths: list[Path] = []
    for place in places:
        if place.is_file() and place.suffix == ".py":
            paths.append(place)
        elif place.is_dir():
            paths += sorted(path for path in place.glob("*.py") if not path.name.startswith("_"))
        else:
            raise UserError(
                f"'{place}' is no Python file." if place.exists() else f"There is no file or folder '{place}'.",
                "It was given with --from.",
                "Give a folder with methods or audits, or one file ending in .py.",
            )
    return paths
