"""End to end through the real command, on the toy suite."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from adu_bench.core.errors import UserError
from tests.command import COMMAND, call, call_process
from tests.conftest import hear_ctrl_c

QUICK = ["--suite", "toy", "--limit", "1", "--methods", "zero-shot,collapse,domain-gate,baseline[epochs=1]"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    done = call_process("run", *QUICK, cwd=folder)
    return folder, done


def test_run_prints_a_board_and_stores_complete_runs(finished):
    folder, done = finished
    assert "toy: 4 runs (4 methods x 1 task x 1 seed), 0 finished, 4 to do" in done.stdout
    assert "[4/4]" in done.stdout
    board = done.stdout.partition("per cent")[2]
    for method in ("zero-shot", "collapse", "domain-gate", "baseline[epochs=1]"):
        assert method in board
    for run in (folder / "runs").iterdir():
        if not run.name.startswith(".") and run.name != "failures":
            names = {path.name for path in run.iterdir()}
            assert names == {
                "run.json", "predictions.parquet", "features.safetensors", "train.jsonl", "method.safetensors"
            }  # fmt: skip


def test_a_second_run_does_nothing_and_needs_no_torch(finished, tmp_path):
    folder, _ = finished
    (tmp_path / "torch.py").write_text("raise ImportError('not installed')\n")
    done = call_process("run", *QUICK, cwd=folder, PYTHONPATH=str(tmp_path))
    assert "4 finished, 0 to do" in done.stdout
    assert "zero-shot" in done.stdout


PARENT = '''"""Runs the command in a process that must not import torch; it may look whether torch is there."""
import sys
from importlib.machinery import ModuleSpec

class Refuse:
    def find_spec(self, name, path=None, target=None):
        return ModuleSpec(name, self) if name.partition(".")[0] in ("torch", "open_clip") else None

    def create_module(self, spec):
        raise ImportError(f"the parent process imports {spec.name}")

    def exec_module(self, module):
        pass

if __name__ == "__main__":
    sys.meta_path.insert(0, Refuse())
    from adu_bench.cli import main

    sys.exit(main(sys.argv[1:]))
'''


def without_torch(folder: Path, *arguments: str, status: int = 0, **environment) -> subprocess.CompletedProcess:
    (folder / "parent.py").write_text(PARENT)
    command = [sys.executable, "parent.py", *arguments]
    environment = os.environ | {"ADU_BENCH_DATA": str(folder / "data")} | environment
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment, timeout=240)
    assert done.returncode == status, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def test_the_parent_plans_decodes_runs_and_tunes_without_torch(tmp_path):
    """On a prepared folder of files; the configuration of the backbone determines their size."""
    rng = np.random.default_rng(0)
    for domain in ("photo", "sketch"):
        for label in ("cat", "dog"):
            for number in range(20):
                path = tmp_path / "files" / domain / label / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)).save(path)
    without_torch(tmp_path, "data", "prepare", "animals", "--from", "files", "--partial")
    (tmp_path / "small.yaml").write_text("extends: toy\ntitle: Animals\ndataset: animals\n")
    done = without_torch(tmp_path, "run", "--suite", "small.yaml", "--methods", "lp-plus-plus", "--limit", "1")
    assert "1 to do" in done.stdout
    assert "[1/1] lp-plus-plus" in done.stdout
    tuned = without_torch(tmp_path, "tune", "lp-plus-plus", "--suite", "small.yaml", "--trials", "2")
    assert "over the defaults" in tuned.stdout or "no trial was better" in tuned.stdout


def test_the_parent_asks_open_clip_and_the_device_in_a_child(tmp_path):
    cache = {"ADU_BENCH_CACHE": str(tmp_path / "cache"), "CUDA_VISIBLE_DEVICES": ""}
    done = without_torch(tmp_path, "run", "--suite", "toy", "--backbone", "RN50:openai", "--dry", status=2, **cache)
    assert "Use --backbone RN50-quickgelu:openai" in done.stderr
    done = without_torch(tmp_path, "run", "--suite", "toy", "--device", "cuda", status=2, **cache)
    assert "no CUDA device" in done.stderr


def test_a_damaged_data_set_keeps_no_suite_from_the_page(finished, tmp_path):
    folder, _ = finished
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "dataset.json").write_text("{")
    page = ["leaderboard", "--suite", "all", "--runs", "runs", "--format", "html"]
    done = call(*page, cwd=folder, ADU_BENCH_DATA=str(tmp_path))
    assert "domain-gate" in done.stdout
    assert "left out mine: The prepared data set 'mine' cannot be used." in done.stderr


def test_score_leaderboard_and_status_read_the_runs(finished):
    folder, _ = finished
    frame = call("score", *QUICK, cwd=folder).stdout.splitlines()
    assert frame[0] == "key,suite,task,forget,method,seed,protocol,metric,value,n"
    assert any(",normalised_forgetting," in line for line in frame)
    rows = json.loads(call("leaderboard", *QUICK, "--runs", "runs", "--format", "json", cwd=folder).stdout)
    by_name = {row["method"]: row for row in rows}
    assert by_name["collapse"]["mem"] == pytest.approx(1 / 6, abs=1e-6)
    assert by_name["collapse"]["for"] == pytest.approx(5 / 6, abs=1e-6)
    assert by_name["zero-shot"]["reference"] is True
    assert by_name["zero-shot"]["mem"] > 0.5
    assert "zero-shot: 1 finished" in call("status", *QUICK, cwd=folder).stdout


def test_damaged_runs_are_named_deleted_on_demand_and_made_again(finished, tmp_path):
    shutil.copytree(finished[0] / "runs", tmp_path / "runs")
    assert "Damaged" not in call("status", *QUICK, "--check", cwd=tmp_path).stdout
    path = next(tmp_path.glob("runs/*/method.safetensors"))
    path.unlink()
    found = call("status", *QUICK, "--check", cwd=tmp_path, status=1).stdout
    assert "Its file method.safetensors is missing or was changed" in found
    assert ": 1 damaged" in found
    assert "Deleted: " in call("status", *QUICK, "--mend", cwd=tmp_path).stdout
    assert not path.parent.exists()
    assert "1 to do" in call("run", *QUICK, "--dry", cwd=tmp_path).stdout


@pytest.mark.parametrize("kind", ["md", "csv", "tex", "html"])
def test_other_formats(finished, kind):
    assert "zero-shot" in call("leaderboard", *QUICK, "--runs", "runs", "--format", kind, cwd=finished[0]).stdout


def test_a_study_prints_its_curves(tmp_path):
    quick = ["--suite", "toy", "--limit", "1", "--study", "shots"]
    done = call("run", *quick, cwd=tmp_path)
    assert "toy: 4 runs" in done.stdout
    curves = done.stdout.partition("Per cent")[2]
    assert curves.count("lp-plus-plus") == curves.count("domain-gate") == curves.count("shots") / 2 == 2
    assert "0 to do" in call("run", *quick, cwd=tmp_path).stdout
    scored = pd.read_csv(StringIO(call("score", *quick, cwd=tmp_path).stdout))
    assert set(scored["method"]) == {f"{name}, shots={n}" for name in ("lp-plus-plus", "domain-gate") for n in (1, 2)}
    assert "domain-gate, shots=2: 1 finished" in call("status", *quick, cwd=tmp_path).stdout


def test_tuning_resumes_and_run_takes_what_it_wrote(tmp_path):
    command = ["tune", "lp-plus-plus", "--suite", "toy", "--trials", "2", "--score-test"]
    done = call(*command, cwd=tmp_path)
    assert "lp-plus-plus defaults, forget filled, seed 101: H" in done.stdout
    folder = tmp_path / "tuning" / "toy"
    logs = {path.name: path.read_text() for path in folder.iterdir()}
    assert set(logs) == {"README.md", "lp-plus-plus.jsonl", "lp-plus-plus.test.jsonl", "settings.yaml"}
    call(*command, cwd=tmp_path)
    assert logs == {path.name: path.read_text() for path in folder.iterdir()}
    trials = [json.loads(line) for line in logs["lp-plus-plus.jsonl"].splitlines()]
    keys = {trial["key"] for trial in trials}
    assert keys == {json.loads(line)["key"] for line in logs["lp-plus-plus.test.jsonl"].splitlines()}
    dry = ["run", "--suite", "toy", "--methods", "lp-plus-plus", "--limit", "1", "--dry"]
    shown = call(*dry, "--seeds", "101,", "--settings", "tuning/toy/settings.yaml", cwd=tmp_path).stdout
    chosen = yaml.safe_load(logs["settings.yaml"])["lp-plus-plus"]
    assert set(chosen) == {"step", "text_weight"}
    assert any(key in shown for key in keys)


def test_dry_runs_write_nothing(tmp_path):
    done = call("run", *QUICK, "--dry", "--jobs", "2", cwd=tmp_path)
    # The summary is at the end, where it is seen.
    assert "forget filled, seed 1" in done.stdout.splitlines()[0]
    assert "Disk: known when the first run has finished." in done.stdout
    # SLURM does not take --jobs.
    assert 'without --dry and --jobs and with --cluster slurm --slurm "time=1:00:00' in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_force_runs_again(finished):
    folder, _ = finished
    arguments = ["--suite", "toy", "--limit", "1", "--methods", "collapse"]
    before = {path: path.stat().st_mtime_ns for path in (folder / "runs").glob("*/run.json")}
    call("run", *arguments, "--force", cwd=folder)
    after = {path: path.stat().st_mtime_ns for path in (folder / "runs").glob("*/run.json")}
    assert before.keys() == after.keys()
    assert sum(before[path] != after[path] for path in before) == 1


SLOW = '''"""Methods that misbehave on purpose."""
import time
from dataclasses import dataclass
import torch
from adu_bench.api import Batch, Card, Losses, Method, Preset, Problem, VisualPrompts, fit

@dataclass(frozen=True, kw_only=True)
class Slow(Method):
    """Wait, then answer as zero-shot CLIP."""
    card = Card(name="slow", group="other", title="t", authors="a", year=2026, paper="none", licence="MIT")
    wait: float = 60.0
    def unlearn(self, problem: Problem):
        problem.report("waiting", 1, 2)
        time.sleep(self.wait)
        return problem.classifier()

@dataclass(frozen=True, kw_only=True)
class Wrong(Method):
    """Fail in one of several ways."""
    card = Card(name="wrong", group="other", title="t", authors="a", year=2026, paper="none", licence="MIT")
    way: str = "diverge"
    def unlearn(self, problem: Problem):
        if self.way == "raise":
            raise RuntimeError("on purpose")
        if self.way == "die":
            import os
            os._exit(7)
        if self.way == "overwrite":
            problem.backbone.model.logit_scale.data.add_(0.1)
            return problem.classifier()
        model = problem.classifier()
        model.add("prompts", VisualPrompts(2, 1, model.image_width))
        return fit(problem, model, lambda b: {"loss": model.logits(b.images).sum() * float("nan")}, epochs=1, lr=1.0)
'''


@pytest.fixture
def misbehaving(tmp_path):
    (tmp_path / "methods").mkdir()
    (tmp_path / "methods" / "slow.py").write_text(SLOW)
    return tmp_path


def test_failures_have_reasons_exit_one_and_never_count(misbehaving):
    methods = "zero-shot,wrong,wrong[way=raise],wrong[way=die]"
    arguments = ["--suite", "toy", "--limit", "1", "--from", "methods", "--methods", methods]
    done = call_process("run", *arguments, cwd=misbehaving, status=1)
    assert "The loss term 'loss' became nan in epoch 1." in done.stderr
    assert "RuntimeError: on purpose" in done.stderr
    assert "ended with code 7" in done.stderr
    status = call("status", *arguments, cwd=misbehaving).stdout
    assert "zero-shot: 1 finished" in status
    assert "wrong[way=die]: 1 failed" in status
    assert "1 finished, 3 to do" in call("run", *arguments, "--dry", cwd=misbehaving).stdout


def test_a_method_that_changes_the_shared_backbone_fails_alone(misbehaving):
    """The next runs of the process answer as if they were the first."""
    arguments = ["--suite", "toy", "--limit", "1", "--from", "methods", "--jobs", "1", "--methods"]
    # In a process of its own: caches of this one may hold the backbone that is changed.
    alone = call_process("run", *arguments, "zero-shot", "--out", "alone", cwd=misbehaving)
    done = call_process("run", *arguments, "wrong[way=overwrite],zero-shot", cwd=misbehaving, status=1)
    assert "changed the weight 'logit_scale' of the backbone" in done.stderr
    tables = [folder / "predictions.parquet" for root in ("alone", "runs") for folder in (misbehaving / root).iterdir()
              if (folder / "predictions.parquet").is_file()]  # fmt: skip
    first, second = map(pd.read_parquet, tables)
    pd.testing.assert_frame_equal(first, second)
    assert "zero-shot" in alone.stdout


def test_a_run_that_takes_too_long_is_ended(misbehaving):
    arguments = ["--suite", "toy", "--limit", "1", "--from", "methods", "--methods", "slow[wait=600]"]
    done = call_process("run", *arguments, "--timeout", "2", cwd=misbehaving, status=1)
    assert "longer than 2 s" in done.stderr


def start(folder: Path, *arguments: str) -> subprocess.Popen:
    return subprocess.Popen(
        [*COMMAND, "run", "--suite", "toy", "--limit", "1", "--from", "methods", *arguments],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=hear_ctrl_c,
    )  # fmt: skip


def wait_for_a_run(folder: Path, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 120
    while not list((folder / "runs").glob(".tmp-*")):
        assert process.poll() is None, f"the command ended with {process.returncode}"
        assert time.monotonic() < deadline, "no run began"
        time.sleep(0.2)


def test_kill_minus_nine_loses_the_run_in_flight_only(misbehaving):
    process = start(misbehaving, "--methods", "zero-shot,slow[wait=90]")
    deadline = time.monotonic() + 120
    while not list((misbehaving / "runs").glob("*/run.json")):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    wait_for_a_run(misbehaving, process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    # The worker notices that its parent is gone and gives the lock back.
    time.sleep(3)
    done = call(
        "run", "--suite", "toy", "--limit", "1", "--from", "methods",
        "--methods", "zero-shot,slow[wait=90],slow[wait=0]", "--dry", cwd=misbehaving,
    )  # fmt: skip
    assert "3 runs (3 methods x 1 task x 1 seed), 1 finished, 2 to do" in done.stdout
    done = call(
        "run", "--suite", "toy", "--limit", "1", "--from", "methods", "--methods", "slow[wait=0]", cwd=misbehaving
    )
    assert "slow[wait=0.0]" in done.stdout


def ended_by(number, folder):
    """Return the exit status and the errors of a command that gets a signal during a run."""
    process = start(folder, "--methods", "slow[wait=90]")
    wait_for_a_run(folder, process)
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert "Traceback" not in errors
    return process.returncode, errors


def test_ctrl_c_ends_cleanly_and_says_how_to_go_on(misbehaving):
    status, errors = ended_by(signal.SIGINT, misbehaving)
    assert status == 130
    assert "The same command continues" in errors
    assert not list((misbehaving / "runs").glob("*/run.json"))


def test_a_terminated_run_says_so_and_takes_its_workers_along(misbehaving):
    status, errors = ended_by(signal.SIGTERM, misbehaving)
    assert status == 143
    assert errors.strip().splitlines()[-1] == "Ended by SIGTERM; what was finished is kept."
    assert not list((misbehaving / "runs").glob("*/*.json"))


def test_two_processes_on_one_plan_share_it(misbehaving):
    methods = "slow[wait=1],slow[wait=2],slow[wait=3]"
    both = [start(misbehaving, "--methods", methods) for _ in range(2)]
    outputs = [process.communicate(timeout=200) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    text = "".join(out for out, _ in outputs)
    assert len(list((misbehaving / "runs").glob("*/run.json"))) == 3
    done_here = sum(line.startswith("[") and line.endswith(" s") for line in text.splitlines())
    assert done_here == 3, outputs


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["run", "--methods", "aduu"], "Did you mean adu"),
        (["run", "--suite", "emojy"], "Did you mean emoji"),
        (["run", "--methods", "adu[gama=1]"], "Did you mean gamma"),
        (["run", "--methods", "adu[gamma=much]"], "is not a valid value for the field 'gamma'"),
        (["run", "--seeds", "0"], "not a valid choice of seeds"),
        (["run", "--seeds", "1,1"], "not a valid choice of seeds"),
        (["run", "--seeds", "two"], "not a valid choice of seeds"),
        (["run", "--device", "tpu"], "no device 'tpu'"),
        (["run", "--jobs", "0"], "At least one worker"),
        (["tune", "adu", "--suite", "toy", "--jobs", "0"], "At least one worker"),
        (["compare", "adu", "baseline", "--suite", ","], "names no suite"),
        (["run", "--jobs", "many"], "command line was not understood"),
        (["run", "--timeout", "-1"], "is not a time"),
        (["run", "--sweet", "toy"], "--sweet"),
        (["run", "--limit", "-1"], "below zero"),
        (["run", "--backbone", "ViT-B-16"], "is not a backbone"),
        (["run", "--backbone", "ViT-B-16:openai"], "ViT-B-16-quickgelu:openai"),
        (["run", "--backbone", "ViT-B-16:missing.safetensors"], "no weights file"),
        (["run", "--from", "nowhere"], "no file or folder 'nowhere'"),
        (["list", "method"], "Did you mean methods"),
        (["show", "adoo"], "Did you mean adu"),
        (["leaderboard", "--format", "pdf"], "no format called 'pdf'"),
        (["leaderboard", "--suite", "toy"], "no folder 'runs'"),
        (["score", "--suite", "toy"], "no finished runs"),
        (["check"], "No method or audit was named"),
        (["check", "doubt"], "no method or audit called 'doubt'"),
        (["check", "disguse"], "Did you mean disguise"),
        (["leaderboard", "--write"], "The option --write needs DIR, as in 'adu-bench leaderboard --write DIR'."),
        (["run", "--seeds"], "needs N|LIST"),
        (["bogus"], "bogus"),
        ([], "adu-bench --help"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_gets_three_sentences_and_exit_two(arguments, complaint, tmp_path):
    done = call(*arguments, cwd=tmp_path, status=2)
    assert complaint in done.stderr
    assert len(done.stderr.strip().splitlines()) == 3
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "complaint"),
    [("- adu\n", "malformed"), ("adu: 3\n", "malformed"), ("{", "cannot be read"), ("addu: {lr: 1.0}\n", "adu")],
)
def test_bad_settings_are_refused(text, complaint, tmp_path):
    (tmp_path / "s.yaml").write_text(text)
    done = call("run", "--dry", "--settings", "s.yaml", cwd=tmp_path, status=2)
    assert complaint in done.stderr


def test_a_missing_gpu_is_noticed_before_anything_runs(tmp_path):
    # With no device visible, whatever the machine has.
    done = call("run", "--device", "cuda", cwd=tmp_path, status=2, CUDA_VISIBLE_DEVICES="")
    assert "no CUDA device" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_debug_shows_the_traceback(tmp_path):
    with pytest.raises(UserError, match="adoo"):
        call("show", "adoo", "--debug", cwd=tmp_path)


def test_an_unwritable_output_is_refused(tmp_path):
    (tmp_path / "runs").touch()
    done = call("run", *QUICK, cwd=tmp_path, status=2)
    assert "--out" in done.stderr


def test_damaged_weights_are_refused(tmp_path):
    (tmp_path / "bad.safetensors").write_bytes(b"rubbish")
    done = call("run", *QUICK, "--backbone", "ViT-B-32:bad.safetensors", cwd=tmp_path, status=1)
    assert "The weights 'bad.safetensors' could not be read" in done.stderr


@pytest.mark.parametrize("kind", ["methods", "suites", "tasks", "backbones", "metrics"])
def test_lists_have_names_and_states(kind, tmp_path):
    found = json.loads(call("list", kind, "--json", cwd=tmp_path).stdout)
    assert found
    assert all({"name", "state"} <= set(item) for item in found)


def test_a_broken_method_file_is_listed_and_others_run(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "half_done.py").write_text("def f(:\n")
    found = json.loads(call("list", "methods", "--json", "--from", "mine", cwd=tmp_path).stdout)
    assert {"half-done": "broken", "adu": "ok"}.items() <= {item["name"]: item["state"] for item in found}.items()
    call("run", "--suite", "toy", "--limit", "1", "--methods", "collapse", "--from", "mine", cwd=tmp_path)
    assert "is broken" in call("check", "half-done", "--from", "mine", cwd=tmp_path, status=2).stderr


def test_check_and_doctor(tmp_path):
    assert "1 method, all checks passed" in call("check", "domain-gate", cwd=tmp_path).stdout
    found = json.loads(call("doctor", "--json", cwd=tmp_path).stdout)
    assert {item["state"] for item in found} <= {"ok", "differs"}


@pytest.mark.parametrize("name", ["adu", "emoji", "derange-gate"])
def test_show(name, tmp_path):
    assert name in call("show", name, cwd=tmp_path).stdout
