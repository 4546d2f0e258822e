"""The audits of one run as a job for an executor."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from adu_bench.audits.catalogue import AuditEntry, located
from adu_bench.audits.results import missing, write_result
from adu_bench.core.progress import Progress
from adu_bench.core.words import counted
from adu_bench.registry import MethodSource
from adu_bench.runner.executors.interface import State
from adu_bench.runner.plan import PlannedRun
from adu_bench.store import Store
from adu_bench.store.artefacts import FOLDER, receive_artefacts
from adu_bench.store.locks import PATIENCE


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
    force
        Repeat audits that are done.
    sources
        The code of each audit, on a machine other than the one that planned the job; empty on that one.
    patience
        Seconds to wait for another process that has the run, which may be on a machine that is gone.
    """

    planned: PlannedRun
    store: Store
    entries: tuple[AuditEntry, ...]
    force: bool = False
    sources: tuple[MethodSource, ...] = ()
    patience: float = 0.0

    @property
    def title(self) -> str:
        """The run in a few words."""
        return self.planned.title

    @property
    def finished(self) -> bool:
        """Whether all results are stored; with ``force`` they may be older ones, which do not count."""
        return not self.force and not missing(self.store.root, self.planned.spec, self.entries)

    @property
    def inputs(self) -> tuple[str, ...]:
        """The folders of the run and of its results; see `adu_bench.runner.executors.remote.Movable`."""
        key = self.planned.spec.key
        return key, f"{FOLDER}/{key}"

    def run(self, device: str, progress: Progress) -> tuple[State, str]:
        """Run the audits unless another process is at the run."""
        here = [located(entry, source) for entry, source in zip(self.entries, self.sources, strict=False)]
        entries = here or self.entries
        with self.store.turn(self.planned.spec.key, lambda: self._todo(entries), self.patience) as todo:
            if not todo:
                return "elsewhere", "another process has it"
            return "done", self._audited(todo, device, progress)

    def _todo(self, entries: Sequence[AuditEntry]) -> list[AuditEntry]:
        """Return the audits that apply to the run, with ``force`` also those that are done."""
        spec = self.planned.spec
        if self.force:
            return [entry for entry in entries if entry.card.applies(spec.task)]
        return missing(self.store.root, spec, entries)

    def moved(self, store: Store) -> AuditJob:
        """Return the job for another machine; see `adu_bench.runner.executors.remote.Movable`."""
        sources = self.sources or tuple(entry.source for entry in self.entries)
        return replace(self, store=store, sources=sources, patience=PATIENCE)

    def receive(self, store: Store) -> None:
        """Take over the results that another store has."""
        receive_artefacts(self.store.root, self.planned.spec.key, store.root)

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
        source = self.planned.source
        catalogue = Catalogue([source.locate()] if source.file else [], shipped=False)
        run = self.store.load(self.planned.spec.key)
        subject = Subject(run, backbone, catalogue, progress)
        subject.check()
        for done, entry in enumerate(todo):
            progress("audits", done, len(todo), entry.name)
            begun = time.perf_counter()
            measures = examine(entry, subject)
            write_result(self.store.root, run.key, entry, measures, time.perf_counter() - begun)
        return f"{counted(len(todo), 'audit')}, {time.perf_counter() - start:.1f} s"
