"""The code of a method as it travels with a job: by the name of an installed package, or as the files themselves."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from adu_bench.core.errors import UserError
from adu_bench.core.files import replacing
from adu_bench.core.paths import cache_dir
from adu_bench.data.cache import usable
from adu_bench.registry.local import SHIPPED, Follower, shipped_folder


@dataclass(frozen=True)
class MethodSource:
    """Where a method's code is, without a path of this machine, so that another machine can run it.

    Parameters
    ----------
    file
        The name of the method's file in its folder.
    package
        The installed package that is this folder, such as that of the shipped methods; empty if the files travel.
    files
        Names below the folder and contents, of the method's file and of the modules beside it that it imports.
    """

    file: str
    package: str = ""
    files: tuple[tuple[str, bytes], ...] = ()

    def locate(self) -> Path:
        """Return the path of the method's file on this machine; files that travelled are written to the cache.

        Raises
        ------
        UserError
            If the package is not installed here, or the cache folder cannot be written.
        """
        if self.package:
            return self._installed() / self.file
        names = hashlib.sha256(repr(self.files).encode()).hexdigest()[:20]
        folder = cache_dir() / "methods" / names
        with usable():
            for name, content in self.files:
                path = folder / name
                if not path.is_file() or path.read_bytes() != content:
                    with replacing(path) as temporary:
                        temporary.write_bytes(content)
        return folder / self.file

    def _installed(self) -> Path:
        top, *inner = self.package.split(".")
        found = find_spec(top)
        for folder in (found.submodule_search_locations or []) if found is not None else []:
            place = shipped_folder() if self.package == SHIPPED else Path(folder).absolute().joinpath(*inner)
            if place is not None and (place / self.file).is_file():
                return place
        raise UserError(
            f"The method file {self.file} of the package '{self.package}' is not on this machine.",
            "It imports modules of its package by their full names, so the package does not travel with a run.",
            f"Install the package that contains '{self.package}' where the runs are executed.",
        )


@lru_cache(256)
def method_source(path: Path, source_hash: str) -> MethodSource:
    """Return the code of a method, ready to travel.

    Parameters
    ----------
    path
        The method's file; an empty path if nothing of a method but its predictions is known.
    source_hash
        The digest of its code; a file that changes is read again.

    Raises
    ------
    ValueError, OSError
        As in `adu_bench.registry.local.Follower.modules`.
    """
    if not path.name:
        return MethodSource("")
    follower = Follower(path)
    if follower.home == shipped_folder():
        return MethodSource(path.name, SHIPPED)
    modules = follower.modules()
    if package := follower.package(modules):
        return MethodSource(path.name, package)
    places = [module.path.absolute() for module in modules]
    # A folder without __init__.py counts as a module only where it has some file of Python.
    contents = {place / "_.py": b"" for place in places if place.is_dir()}
    contents |= {place: place.read_bytes() for place in places if place.is_file()}
    own = [place for place in contents if place.is_relative_to(follower.home)]
    files = ((place.relative_to(follower.home).as_posix(), contents[place]) for place in own)
    return MethodSource(path.name, files=tuple(sorted(files)))
