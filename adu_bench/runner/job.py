"""One planned run as a job for an executor."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace

from adu_bench.core.errors import UserError
from adu_bench.core.progress import Progress
from adu_bench.runner.executors.interface import State
from adu_bench.runner.plan import PlannedRun
from adu_bench.store import Store
from adu_bench.store.locks import PATIENCE


@dataclass(frozen=True)
class RunJob:
    """Execute a run and store its result.

    Parameters
    ----------
    planned
        The run.
    store
        Where the result or the failure goes.
    force
        Execute it although it is finished.
    log
        The tracker that follows the training; see `adu_bench.runner.tracking`.
    patience
        Seconds to wait for another process that has the run, which may be on a machine that is gone.
    """

    planned: PlannedRun
    store: Store
    force: bool = False
    log: str = ""
    patience: float = 0.0

    @property
    def title(self) -> str:
        """The run in a few words."""
        return self.planned.title

    @property
    def family(self) -> tuple:
        """What runs that are trained together have in common: the method's code, the backbone and the precision."""
        planned, spec = self.planned, self.planned.spec
        return planned.source, planned.class_name, planned.backbone, spec.training

    @property
    def finished(self) -> bool:
        """Whether the result is stored; with ``force`` that may be an older one, which does not count."""
        return self.store.has(self.planned.spec.key) and not self.force

    @property
    def inputs(self) -> tuple[str, ...]:
        """Nothing that is stored; see `adu_bench.runner.executors.remote.Movable`."""
        return ()

    def run(self, device: str, progress: Progress) -> tuple[State, str]:
        """Execute the run unless another process has it."""
        from adu_bench.runner.execute import execute  # imports torch

        with self.store.turn(self.planned.spec.key, lambda: not self.finished, self.patience) as todo:
            if not todo:
                return "elsewhere", "another process has it"
            execute(self.planned, self.store, device, progress, self.log)
            return "done", ""

    def moved(self, store: Store) -> RunJob:
        """Return the job for another machine; see `adu_bench.runner.executors.remote.Movable`."""
        return replace(self, store=store, patience=PATIENCE)

    def receive(self, store: Store) -> None:
        """Take over the result or the failure that another store has."""
        self.store.receive(self.planned.spec.key, store, self.force)

    def fail(self, kind: str, reason: str, traceback: str = "") -> None:
        """Store why the run failed; on a full disk, that it failed is only printed."""
        with suppress(OSError, UserError):
            self.store.fail(self.planned.spec, self.planned.label, kind, reason, traceback)
