"""The audits of one run as a job for an executor."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from adu_bench.audits.catalogue import AuditEntry
from adu_bench.audits.results import missing, write_result
from adu_bench.core.progress import Progress
from adu_bench.core.words import counted
from adu_bench.runner.executors.interface import State
from adu_bench.runner.plan import PlannedRun
from adu_bench.store import Store


@dataclass(frozen=True)
class AuditJob:
    """Run audits of one finished run, and store each result as soon as there is one.

    Parameters
    ----------
    planned
        The run.
    store
        The folder of the runs.
    entries
        The audits.
    extra
        Folder or file with further methods, which the run's classifier may need; empty for none.
    force
        Repeat audits that are done.
    """

    planned: PlannedRun
    store: Store
    entries: tuple[AuditEntry, ...]
    extra: str = ""
    force: bool = False

    @property
    def title(self) -> str:
        """The run in a few words."""
        return self.planned.title

    def run(self, device: str, progress: Progress) -> tuple[State, str]:
        """Run the audits unless another process is at the run."""
        spec = self.planned.spec
        with self.store.lock(spec.key) as ours:
            applying = [entry for entry in self.entries if entry.card.applies(spec.task)]
            todo = applying if self.force else missing(self.store.root, spec, self.entries)
            if not ours or not todo:
                return "elsewhere", "another process has it"
            return "done", self._audited(todo, device, progress)

    def fail(self, kind: str, reason: str, traceback: str = "") -> None:
        """Store nothing: the next call tries again."""

    def _audited(self, todo: list[AuditEntry], device: str, progress: Progress) -> str:
        from adu_bench.audits.examine import examine
        from adu_bench.audits.subject import Subject
        from adu_bench.clip.precision import make_deterministic
        from adu_bench.registry import Catalogue
        from adu_bench.runner.task_data import load_shared_backbone

        start = time.perf_counter()
        backbone = load_shared_backbone(self.planned.backbone, device)
        make_deterministic(backbone.device)
        catalogue = Catalogue([Path(self.extra)] if self.extra else [])
        run = self.store.load(self.planned.spec.key)
        subject = Subject(run, backbone, catalogue, progress)
        subject.check()
        for done, entry in enumerate(todo):
            progress("audits", done, len(todo), entry.name)
            begun = time.perf_counter()
            measures = examine(entry, subject)
            write_result(self.store.root, run.key, entry, measures, time.perf_counter() - begun)
        return f"{counted(len(todo), 'audit')}, {time.perf_counter() - start:.1f} s"
