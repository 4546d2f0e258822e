"""Send the numbers that a run logs to an experiment tracker while it trains: TensorBoard, wandb or Trackio.

The run's own log (train.jsonl) is written in any case, and results do not depend on a tracker.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from adu_bench.core.errors import UserError, unknown
from adu_bench.runner.plan import PlannedRun

TRACKERS = ("tensorboard", "wandb", "trackio")
"""The trackers; each is a package, and an extra of adu-bench."""
PROJECT = "adu-bench"
"""The project of all runs in wandb and Trackio."""


def require_tracker(name: str) -> None:
    """Check that a tracker is known and installed; empty for none.

    Raises
    ------
    UserError
        If it is not.
    """
    if name and name not in TRACKERS:
        raise unknown("tracker", name, TRACKERS)
    if name and find_spec(name) is None:
        raise UserError(
            f"The package '{name}' is not installed.",
            f"--log {name} sends the curves of runs to it.",
            f'Install it with: pip install "adu-bench[{name}]"',
        )


@contextmanager
def tracked(tracker: str, planned: PlannedRun, root: Path) -> Iterator[Callable[[Mapping[str, float]], None]]:
    """Yield a function that sends named numbers of a run; a tracker that fails is left out, and the run goes on.

    Parameters
    ----------
    tracker
        One of `TRACKERS`; empty for none.
    planned
        The run.
    root
        Folder of the runs; TensorBoard's files are written to ``tensorboard`` below it, wandb's to ``wandb``.
    """
    sender = _Sender(tracker)
    if tracker:
        sender.target = sender.attempt(partial(_OPENED[tracker], planned, root))
    try:
        yield sender.send
    finally:
        if sender.target is not None:
            sender.attempt(sender.target.finish)


class _Target(Protocol):
    """An opened run of a tracker; those of wandb and Trackio have these functions."""

    def log(self, values: Mapping[str, float], step: int) -> object: ...

    def finish(self) -> object: ...


class _Sender:
    def __init__(self, tracker: str) -> None:
        self.tracker = tracker
        self.target: _Target | None = None
        self.steps = 0

    def send(self, values: Mapping[str, float]) -> None:
        self.steps += 1
        if self.target is not None:
            self.attempt(partial(self.target.log, dict(values), step=self.steps))

    def attempt(self, call: Callable[[], Any]) -> Any:
        """Call the tracker; after an error it is not called again."""
        try:
            return call()
        except Exception as error:
            self.target = None
            reason = f"{type(error).__name__}: {error}"
            warnings.warn(f"--log {self.tracker} stopped, and the run goes on without it: {reason}", stacklevel=2)
            return None


class _TensorBoard:
    def __init__(self, planned: PlannedRun, root: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        # The key makes the folder's name unique where a label has characters that not every file system takes.
        name = re.sub(r"[^\w.,=+-]+", "_", planned.title)
        self.writer = SummaryWriter(str(root / "tensorboard" / f"{name}-{planned.spec.key[:6]}"))

    def log(self, values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)
        self.writer.flush()

    def finish(self) -> None:
        self.writer.close()


def _wandb(planned: PlannedRun, root: Path) -> _Target:
    # Runs that are trained together are open at the same time.
    own = {"dir": str(root), "reinit": "create_new", "settings": {"silent": True}}
    return import_module("wandb").init(project=PROJECT, name=planned.title, config=_config(planned), **own)


def _trackio(planned: PlannedRun, root: Path) -> _Target:
    return import_module("trackio").init(project=PROJECT, name=planned.title, config=_config(planned), embed=False)


def _config(planned: PlannedRun) -> dict[str, Any]:
    spec = planned.spec
    return {
        "key": spec.key,
        "method": planned.label,
        "dataset": spec.task.dataset,
        "task": spec.task.name,
        "seed": spec.seed,
        "backbone": spec.backbone.name,
        **{f"field.{name}": value for name, value in spec.method.fields},
    }


_OPENED: Mapping[str, Callable[[PlannedRun, Path], _Target]] = {
    "tensorboard": _TensorBoard,
    "wandb": _wandb,
    "trackio": _trackio,
}
