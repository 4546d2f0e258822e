"""Look at this installation: versions, device, folders, data, weights, methods."""

from __future__ import annotations

import json
import os
import platform
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from adu_bench.cli.common import catalogue_of, flag, from_option
from adu_bench.core.errors import UserError

LIBRARIES = ("torch", "open_clip_torch", "numpy", "pandas", "pyarrow", "scipy", "matplotlib", "jsonargparse")


def options(parser: Any) -> None:
    """Add the command's options."""
    from_option(parser)
    flag(parser, "json", "print JSON objects with name, state, why and remedy")


def run(options: Any) -> int:
    """Print the findings; 1 if something is wrong."""
    findings = [
        _python(),
        *map(_library, LIBRARIES),
        _device(),
        _cache(),
        _data(),
        _output(),
        *_pictures(),
        _weights(),
        _methods(options),
    ]
    if options.json:
        print(json.dumps(findings, indent=1))
    else:
        for finding in findings:
            print(f"{finding['name']:<18} {finding['state']:<8} {finding['why']}")
            if finding["remedy"]:
                print(f"{'':<27} {finding['remedy']}")
    return 1 if any(finding["state"] == "wrong" for finding in findings) else 0


def _finding(name: str, why: str, remedy: str = "", state: str = "") -> dict[str, str]:
    return {"name": name, "state": state or ("wrong" if remedy else "ok"), "why": why, "remedy": remedy}


def _python() -> dict[str, str]:
    return _finding(
        "python", f"{platform.python_version()} on {platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    )


def _library(name: str) -> dict[str, str]:
    try:
        return _finding(name, version(name))
    except PackageNotFoundError:
        return _finding(name, "not installed", f"pip install {name}")


def _device() -> dict[str, str]:
    import torch

    if torch.cuda.is_available():
        return _finding("device", f"cuda: {torch.cuda.get_device_name()}")
    return _finding("device", "cpu: no CUDA device is visible; everything runs, large backbones slowly")


def _cache() -> dict[str, str]:
    from adu_bench.core.paths import cache_dir

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
    from adu_bench.core.paths import data_dir
    from adu_bench.data import prepared

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


def _pictures() -> list[dict[str, str]]:
    from adu_bench.data import emoji

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
    from adu_bench.clip.identity import SHIPPED
    from adu_bench.clip.weights import backbone_spec

    try:
        return _finding(SHIPPED, f"weights {backbone_spec(SHIPPED).weights_hash}")
    except UserError as error:
        return _finding(SHIPPED, error.what, "Reinstall adu-bench.")


def _methods(options: Any) -> dict[str, str]:
    catalogue = catalogue_of(options)
    if catalogue.broken:
        first = catalogue.broken[0]
        return _finding("methods", f"{len(catalogue.broken)} broken", f"{first.path}: {first.reason}.")
    return _finding("methods", f"{len(catalogue.presets)} names, none broken")
