"""Look at this installation: versions, device, folders, data, weights, methods."""

from __future__ import annotations

import json
import os
import platform
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from adu_bench.clip.identity import SHIPPED
from adu_bench.clip.weights import backbone_spec
from adu_bench.core.cores import usable_cores
from adu_bench.core.errors import UserError
from adu_bench.core.paths import cache_dir, data_dir
from adu_bench.data import emoji, prepared
from adu_bench.registry import Catalogue

LIBRARIES = ("torch", "open_clip_torch", "numpy", "pandas", "pyarrow", "scipy", "matplotlib", "jsonargparse")


def examine(catalogue: Catalogue) -> list[dict[str, str]]:
    """Return the findings, each with ``name``, ``state`` (``ok``, ``differs`` or ``wrong``), ``why`` and ``remedy``."""
    return [
        _python(),
        *map(_library, LIBRARIES),
        _device(),
        _cache(),
        _data(),
        _output(),
        *_emoji_packages(),
        _weights(),
        _methods(catalogue),
    ]


def _finding(name: str, why: str, remedy: str = "", state: str = "") -> dict[str, str]:
    return {"name": name, "state": state or ("wrong" if remedy else "ok"), "why": why, "remedy": remedy}


def _python() -> dict[str, str]:
    return _finding(
        "python",
        f"{platform.python_version()} on {platform.system()} {platform.machine()}, {usable_cores()} usable cores",
    )


def _library(name: str) -> dict[str, str]:
    try:
        return _finding(name, version(name))
    except PackageNotFoundError:
        return _finding(name, "not installed", f"pip install {name}")


def _device() -> dict[str, str]:
    try:
        import torch
    except ImportError as error:
        return _finding("device", f"torch cannot be imported ({error})", "pip install torch")
    if torch.cuda.is_available():
        return _finding("device", f"cuda: {torch.cuda.get_device_name()}")
    return _finding("device", "cpu: no CUDA device is visible; everything runs, large backbones slowly")


def _cache() -> dict[str, str]:
    folder = cache_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".probe"
        probe.touch()
        probe.unlink()
    except OSError as error:
        return _finding(
            "cache", f"{folder}: {error.strerror}", "Set ADU_BENCH_CACHE to a folder that you may write to."
        )
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return _finding("cache", f"{folder}, {size / 2**20:.0f} MiB; may be deleted at any time")


def _data() -> dict[str, str]:
    folder, here, damaged = data_dir(), [], []
    for name in prepared.prepared_names():
        try:
            prepared.require(name)
            here.append(name)
        except UserError:
            damaged.append(name)
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.is_dir())
    free = shutil.disk_usage(existing).free / 2**30
    why = f"{folder}, prepared: {', '.join(here) or 'nothing'}; {free:.1f} GiB free"
    if damaged:
        remedy = f"Prepare it again: adu-bench data prepare {damaged[0]} --from FOLDER"
        return _finding("data", f"{why}; damaged: {', '.join(damaged)}", remedy)
    return _finding("data", why)


def _output() -> dict[str, str]:
    if os.access(Path.cwd(), os.W_OK):
        return _finding("output", f"runs/ below {Path.cwd()}")
    return _finding("output", f"{Path.cwd()} is read-only", "Run elsewhere, or give --out DIR.")


def _emoji_packages() -> list[dict[str, str]]:
    made_with = json.loads((emoji.FOLDER / "versions.json").read_text(encoding="utf-8"))
    found = []
    for name in emoji.PACKAGES:
        try:
            here = version(name)
        except PackageNotFoundError:
            found.append(
                _finding(name, "not installed; the emoji suites need it", f"pip install {name}=={made_with[name]}")
            )
            continue
        same = here == made_with[name]
        found.append(
            _finding(
                name,
                here if same else f"{here}; the index was made with {made_with[name]}",
                state="ok" if same else "differs",
            )
        )
    return found


def _weights() -> dict[str, str]:
    try:
        return _finding(SHIPPED, f"weights {backbone_spec(SHIPPED).weights_hash}")
    except UserError as error:
        return _finding(SHIPPED, error.what, "Reinstall adu-bench.")


def _methods(catalogue: Catalogue) -> dict[str, str]:
    if catalogue.broken:
        first = catalogue.broken[0]
        return _finding("methods", f"{len(catalogue.broken)} broken", f"{first.path}: {first.reason}.")
    remedy = "" if catalogue.presets else "Install adu-bench again."
    return _finding("methods", f"{len(catalogue.presets)} names, none broken", remedy)
