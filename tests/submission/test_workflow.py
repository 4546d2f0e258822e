"""The shell steps of the workflow for pull requests, run in a temporary repository as GitHub would run them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / ".github" / "workflows" / "leaderboard.yml").read_text(encoding="utf-8")
WORKFLOW = yaml.safe_load(TEXT)
(JOB,) = WORKFLOW["jobs"].values()
STEPS = {step["name"]: step for step in JOB["steps"] if "run" in step}
ROW = Path("leaderboards/emoji-mini/zero-shot.json")


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false", *arguments],
        cwd=folder, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.strip()


def take(folder: Path, name: str, **environment: str) -> subprocess.CompletedProcess:
    """Run a step's shell as GitHub's runner does if the shell is named; methods are those of this repository."""
    assert JOB["defaults"]["run"]["shell"] == "bash"
    program = folder / ".bin" / "adu-bench"
    if not program.exists():
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m adu_bench "$@"\n')
        program.chmod(0o755)
    path = os.pathsep.join([str(program.parent), os.environ["PATH"]])
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", STEPS[name]["run"]],
        cwd=folder, capture_output=True, text=True, timeout=200, env=os.environ | {"PATH": path} | environment,
    )  # fmt: skip


@pytest.fixture
def repository(tmp_path) -> Path:
    """A repository with one committed row, and the branch of a pull request checked out."""
    (tmp_path / ROW).parent.mkdir(parents=True)
    for ending in (".json", ".parquet"):
        shutil.copy((ROOT / ROW).with_suffix(ending), (tmp_path / ROW).with_suffix(ending))
    (tmp_path / ".gitignore").write_text(".bin\n")
    git(tmp_path, "init", "-q", "-b", "main")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "rows")
    git(tmp_path, "checkout", "-qb", "row")
    return tmp_path


def verified(repository: Path, base: str = "") -> subprocess.CompletedProcess:
    git(repository, "add", ".")
    git(repository, "commit", "-q", "--allow-empty", "-m", "change")
    base = base or git(repository, "rev-parse", "main")
    return take(repository, "Changed rows are verified", BASE=base)


def test_the_workflow_runs_untrusted_code_without_secrets_or_write_access():
    # YAML 1.1 reads the word on as true.
    assert set(WORKFLOW[True]) == {"pull_request"}
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert not any("permissions" in job for job in WORKFLOW["jobs"].values())
    checkout = next(step for step in JOB["steps"] if step.get("uses", "").startswith("actions/checkout"))
    assert checkout["with"]["persist-credentials"] is False
    assert "secrets" not in re.sub(r"#.*", "", TEXT)
    for step in STEPS.values():
        assert "${{" not in step["run"], "what a stranger names goes through the environment"
        assert "--rerun" not in step["run"]


def test_a_pull_request_without_rows_has_nothing_to_verify(repository):
    (repository / "else.txt").write_text("-")
    done = verified(repository)
    assert (done.returncode, done.stdout) == (0, "")


def test_an_unknown_base_fails_the_step(repository):
    assert verified(repository, "f" * 40).returncode != 0


def test_file_names_are_not_interpreted(repository):
    for name in ("x;touch hacked;.json", "$(touch hacked).json", "--rerun=1.json", "a\nb.json"):
        (repository / ROW.parent / name).write_text("{}")
    done = verified(repository)
    assert done.returncode == 123
    assert "refused" in done.stderr
    assert not list(repository.glob("**/hacked"))


@pytest.mark.slow
def test_changed_rows_are_verified_and_bad_ones_fail_the_step(repository, tmp_path_factory):
    path = repository / ROW
    runs, method = tmp_path_factory.mktemp("runs"), ["--suite", "emoji-mini", "--methods", "zero-shot"]
    program = [sys.executable, "-m", "adu_bench"]
    subprocess.run([*program, "run", *method, "--out", runs], check=True, cwd=runs, capture_output=True)
    rows = ["--runs", runs, "--write", repository / "leaderboards"]
    subprocess.run([*program, "leaderboard", *method, *rows], check=True, cwd=runs, capture_output=True)
    record = json.loads(path.read_text())
    shutil.copy(path.with_suffix(".parquet"), repository / "leaderboards" / "elsewhere.parquet")
    done = verified(repository)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Verified") == 1
    path.write_text(json.dumps(record | {"claimed": record["claimed"] | {"mem": 0.99}}))
    done = verified(repository)
    assert done.returncode == 123
    assert "mem is claimed to be 0.99" in done.stderr
    path.write_text(json.dumps(record))
    path.with_suffix(".parquet").write_bytes(b"PAR1")
    done = verified(repository)
    assert done.returncode == 123
    assert "refused" in done.stderr


def test_the_other_steps_are_commands_that_are_tested_elsewhere():
    assert set(STEPS) == {"Install", "Generated pages are current", "Changed rows are verified"}
    assert STEPS["Install"]["run"] == "pip install -e ."
    assert STEPS["Generated pages are current"]["run"] == "adu-bench leaderboard --check"
