"""A SLURM of one node on this machine, for as long as a test or a command takes.

``python -m tests.slurm COMMAND ...`` runs a command beside it.  It needs the daemons of the distribution (Debian's
packages ``slurm-wlm`` and ``munge``), has its own configuration, key, ports and folder, listens on loopback only, and
touches no file of an installed SLURM.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from getpass import getuser
from pathlib import Path

import psutil

DAEMONS = ("munged", "slurmctld", "slurmd")
COMMANDS = ("sbatch", "srun", "squeue", "scancel", "scontrol")
START = 20
"""Seconds that each daemon may take to start."""
CONFIGURATION = """ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/pgid
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/builtin
SchedulerParameters=batch_sched_delay=0
MpiDefault=none
MailProg=/bin/true
PlugStackConfig=/dev/null
ReturnToService=2
KillWait=2
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


class NoSlurm(Exception):
    """SLURM cannot run here, for a reason that the message gives."""


@contextmanager
def slurm() -> Iterator[Path]:
    """Run the daemons, with SLURM_CONF set for this process and its children; yield their folder.

    Raises
    ------
    NoSlurm
        If a daemon is not installed or does not start.
    """
    absent = [name for name in (*DAEMONS, *COMMANDS) if _found(name) is None]
    if absent:
        raise NoSlurm(f"{', '.join(absent)} of SLURM not found")
    # Not below pytest's folder: the path of a socket has at most 107 characters.
    with tempfile.TemporaryDirectory(prefix="slurm-", ignore_cleanup_errors=True) as name:
        folder, started, before = Path(name), [], os.environ.get("SLURM_CONF")
        _configure(folder)
        os.environ["SLURM_CONF"] = str(folder / "slurm.conf")
        try:
            for command, ready in _daemons(folder):
                started.append(_start(folder, command, ready))
            yield folder
        finally:
            _end(folder, started)
            os.environ.pop("SLURM_CONF")
            if before is not None:
                os.environ["SLURM_CONF"] = before


def _found(name: str) -> str | None:
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin:/sbin")


def _configure(folder: Path) -> None:
    for name in ("state", "spool"):
        (folder / name).mkdir()
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    with socket.socket() as one, socket.socket() as two:
        for each in (one, two):
            each.bind(("127.0.0.1", 0))
        ports = [each.getsockname()[1] for each in (one, two)]
    text = CONFIGURATION.format(host=_host(), user=getuser(), folder=folder, ports=ports)
    (folder / "slurm.conf").write_text(text)


def _host() -> str:
    return socket.gethostname().partition(".")[0]


def _daemons(folder: Path) -> Iterator[tuple[list[str], Callable[[], bool]]]:
    """Yield the command of each daemon, and what tells that it has started."""
    files = {"key-file": "munge.key", "socket": "munge.socket", "pid-file": "munged.pid", "seed-file": "munge.seed"}
    options = [f"--{option}={folder / name}" for option, name in files.items()]
    yield ["munged", "--foreground", "--force", "--num-threads=1", *options], (folder / "munge.socket").exists
    yield ["slurmctld", "-D", "-i"], lambda: _said("scontrol", "ping").count("UP") > 0
    yield ["slurmd", "-D", "-N", _host()], lambda: "idle" in _said("sinfo", "--noheader", "--format=%T")


def _said(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, timeout=START).stdout


def _start(folder: Path, command: list[str], ready: Callable[[], bool]) -> subprocess.Popen:
    log, path = folder / f"{command[0]}.log", _found(command[0])
    assert path is not None
    with log.open("w") as output:
        process = subprocess.Popen([path, *command[1:]], stdout=output, stderr=output, stdin=subprocess.DEVNULL)
    deadline = time.monotonic() + START
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            process.wait()
            said = log.read_text().strip().splitlines()
            raise NoSlurm(f"{command[0]} does not start: {said[-1] if said else 'it says nothing'}")
        time.sleep(0.1)
    return process


def _end(folder: Path, started: list[subprocess.Popen]) -> None:
    """End what runs: the jobs, the daemons in reverse order, and the processes of jobs that outlived them."""
    if len(started) == len(DAEMONS):
        with suppress(subprocess.SubprocessError):
            _said("scancel", "--state=PENDING", f"--user={os.getuid()}")
            _said("scancel", "--signal=KILL", "--full", f"--user={os.getuid()}")
            deadline = time.monotonic() + 5
            while _said("squeue", "--noheader") and time.monotonic() < deadline:
                time.sleep(0.2)
    for process in reversed(started):
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            given = process.environ()
            if given.get("SLURM_CONF") == str(folder / "slurm.conf") and process.pid not in (os.getpid(), os.getppid()):
                process.kill()


if __name__ == "__main__":
    try:
        with slurm():
            sys.exit(subprocess.run(sys.argv[1:]).returncode)
    except NoSlurm as error:
        sys.exit(str(error))
