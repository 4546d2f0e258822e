"""Import a method's class from the texts that were hashed; only this module executes the code of method files."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from adu_bench.core.errors import UserError
from adu_bench.core.hashing import digest
from adu_bench.registry.fingerprint import method_digest
from adu_bench.registry.local import Follower, Module, runnable

if TYPE_CHECKING:
    from adu_bench.training.method import Method

_OWN = "<method>"
"""The name of the method's file in its private package; its name on disk does not matter."""


def load_class(path: Path, class_name: str, source_hash: str) -> type[Method]:
    """Import a method's class from its file.

    The file and its local modules become a private package, so files of the same name in two folders do not clash.

    Parameters
    ----------
    path, class_name
        The file and the class in it.
    source_hash
        The digest with which the run was planned, see `adu_bench.registry.fingerprint.method_digest`.

    Raises
    ------
    UserError
        If the file does not import, or it or a local module changed since the run was planned.
    """
    follower = Follower(path)
    try:
        modules = follower.modules()
    except (OSError, ValueError) as error:
        raise UserError(
            f"The method file '{path}' cannot be read.",
            f"{error}.",
            "Correct it, and run the same command again.",
        ) from error
    if method_digest(modules) != source_hash:
        files = "The method file" if len(modules) == 1 else "The method file or a module beside it"
        raise UserError(
            f"The method file '{path}' changed after the run was planned.",
            f"{files} has another hash now, which is part of the run's key.",
            "Run the same command again.",
        )
    package = f"adu_bench_method_{digest([str(path.absolute()), source_hash])}"
    if package not in sys.modules:
        _import(package, modules, follower)
    return getattr(sys.modules[f"{package}.{_OWN}"], class_name)


def _import(package: str, modules: Sequence[Module], follower: Follower) -> None:
    finder = _Finder(package, modules, follower)
    sys.meta_path.append(finder)
    try:
        importlib.import_module(f"{package}.{_OWN}")
    except Exception as error:
        for name in [name for name in sys.modules if name == package or name.startswith(f"{package}.")]:
            del sys.modules[name]
        sys.meta_path.remove(finder)
        raise UserError(
            f"The method file '{follower.path}' does not import.",
            f"{type(error).__name__}: {error}.",
            "Correct the file; `adu-bench check` runs it on a small problem.",
        ) from error


class _Finder(MetaPathFinder, Loader):
    """Imports the modules of one private package from texts in memory; remains active for imports inside functions."""

    def __init__(self, package: str, modules: Sequence[Module], follower: Follower) -> None:
        self.follower = follower
        self.modules: dict[str, Module | None] = {package: None}
        for module in modules:
            parts = module.name.split(".") if module.name else [_OWN]
            for end in range(1, len(parts)):
                self.modules.setdefault(".".join([package, *parts[:end]]), None)
            self.modules[".".join([package, *parts])] = module

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in self.modules:
            return None
        module = self.modules[name]
        spec = spec_from_loader(name, self, is_package=module is None or module.package)
        if spec is not None and module is not None:
            spec.origin, spec.has_location = str(module.path), True
        return spec

    def exec_module(self, module: ModuleType) -> None:
        local = self.modules[module.__name__]
        if local is not None:
            code = compile(runnable(local, self.follower), str(local.path), "exec", dont_inherit=True)
            exec(code, module.__dict__)
