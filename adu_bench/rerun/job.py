"""Run a method again: train apart from the test images, then predict, where possible without the method's code."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from adu_bench.core.errors import RunFailed
from adu_bench.core.progress import Progress
from adu_bench.rerun.capsule import Capsule
from adu_bench.rerun.sandbox import isolation, run_module
from adu_bench.runner.executors.interface import State
from adu_bench.runner.plan import PlannedRun

if TYPE_CHECKING:
    import pandas as pd

    from adu_bench.clip.backbone import Backbone
    from adu_bench.runner.evaluate import Images

PREDICTIONS, ABOUT = "predictions.parquet", "about.json"
"""What a job leaves in its folder: the answers, and ``isolation`` and ``own_parts`` (see `Rerun`)."""


@dataclass(frozen=True)
class RerunJob:
    """Run one run again, and write its answers and how they were made into a folder.

    Parameters
    ----------
    planned
        The run.
    code
        The method's file as ``method.py``, and the modules that it imports by their names in that file's folder.
    folder
        An empty folder, absolute and without links; the method's processes see only a folder in it.
    """

    planned: PlannedRun
    code: Mapping[str, Path]
    folder: Path

    @property
    def title(self) -> str:
        """The run in a few words."""
        return self.planned.title

    def run(self, device: str, progress: Progress) -> tuple[State, str]:
        """Train in a process apart; predict here, or apart as well if the classifier has parts of its own.

        Raises
        ------
        RunFailed
            If the method's process fails, or the answers show that it knows the test images.
        """
        from adu_bench.rerun.exposure import require_no_memory, unknown_parts
        from adu_bench.rerun.shots import save_shots
        from adu_bench.runner.task_data import TaskData, load_shared_backbone

        spec = self.planned.spec
        backbone = load_shared_backbone(self.planned.backbone, device)
        data = TaskData(spec.task, backbone, spec.training.evaluation, progress)
        data.prepare(spec.seed)
        capsule, kind = Capsule(self.folder / "capsule"), isolation()
        capsule.fill(self.code, self._job(device))
        save_shots(data.problem(spec), capsule.folder)
        progress("training apart", 0, 1)
        self._apart("train", capsule, kind)
        own = unknown_parts(capsule.require_classifier(), spec.task.classes)
        # Small data sets have no validation images.
        pools = [pool for pool in map(data.images, ("test", "validation")) if len(pool)]
        frame, *unscored = (
            self._answered(capsule, kind, backbone, pools) if own else self._predicted(capsule, backbone, pools)
        )
        for other in unscored:
            require_no_memory(frame, other)
        frame.to_parquet(self.folder / PREDICTIONS, index=False)
        (self.folder / ABOUT).write_text(json.dumps({"isolation": kind, "own_parts": own}), encoding="utf-8")
        return "done", ""

    def fail(self, kind: str, reason: str, traceback: str = "") -> None:
        """Store nothing: the result says why."""

    def _job(self, device: str) -> dict[str, object]:
        import torch

        chosen = f"cuda:{torch.cuda.current_device()}" if device == "cuda" else device
        planned, backbone = self.planned, _in_files(self.planned.backbone)[0]
        named = {"spec": planned.spec.to_dict(), "class_name": planned.class_name, "backbone": backbone}
        return {**named, "device": chosen, "threads": torch.get_num_threads()}

    def _apart(self, step: str, capsule: Capsule, kind: str) -> None:
        from adu_bench.data.sources import open_source

        shown, root = _in_files(self.planned.backbone)[1], open_source(self.planned.spec.task.dataset).root
        hidden = [] if root is None else [root.absolute()]
        status = run_module("adu_bench.rerun.child", [step, str(capsule.folder)], capsule.folder, shown, hidden, kind)
        if status:
            raise RunFailed(capsule.failure(status))

    def _predicted(self, capsule: Capsule, backbone: Backbone, pools: Sequence[Images]) -> list[pd.DataFrame]:
        """Predict the pools in this process, which never imports the method's code."""
        from adu_bench.clip.files import load_classifier
        from adu_bench.clip.precision import make_deterministic
        from adu_bench.runner.batches import EVALUATION_BATCH
        from adu_bench.runner.evaluate import predict

        make_deterministic(backbone.device)
        try:
            classifier = load_classifier(capsule.classifier, backbone)
        except Exception as error:
            # The file may hold anything.
            raise RunFailed(f"The saved classifier cannot be rebuilt ({type(error).__name__}).") from error
        batch, precision = EVALUATION_BATCH[backbone.device.type], self.planned.spec.training.evaluation
        return [predict(classifier, pool, batch, precision)[0] for pool in pools]

    def _answered(self, capsule: Capsule, kind: str, backbone: Backbone, pools: Sequence[Images]) -> list[pd.DataFrame]:
        """Let the method's process answer the pools among changed copies, in an order that it does not know."""
        from adu_bench.rerun.exposure import Line, require_steady

        line = Line(pools)
        line.save(capsule.images)
        self._apart("answer", capsule, kind)
        logits = capsule.read_logits(len(line), len(self.planned.spec.task.classes))
        copies, *frames = line.sorted(logits, backbone)
        require_steady(frames[0], copies)
        return frames


def _in_files(backbone: str) -> tuple[str, list[Path]]:
    """Return a backbone's name with absolute paths of its files, which replace what only this user's cache knows."""
    from adu_bench.clip.identity import SHIPPED, parse_backbone
    from adu_bench.clip.pretrained import locate

    parsed = parse_backbone(backbone)
    if backbone == SHIPPED:
        return backbone, []
    if parsed.folder is not None:
        return str(parsed.folder.absolute()), [parsed.folder]
    file = (parsed.file or locate(parsed)).absolute()
    return f"{parsed.model}:{parsed.tag}={file}" if parsed.tag else f"{parsed.model}:{file}", [file]
