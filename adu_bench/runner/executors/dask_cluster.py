"""Run jobs on a Dask cluster: its scheduler gives each worker one job at a time and repeats those of lost workers."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adu_bench.core.environment import restoring
from adu_bench.core.errors import UserError
from adu_bench.core.progress import Progress, silent
from adu_bench.runner.executors.interface import Job, Result, failed
from adu_bench.runner.executors.local import threads_for
from adu_bench.runner.executors.remote import Delivery, Parcel, arrived, lost, packed, wanted_threads

_CONNECT = "10s"
_AGAIN = 2
"""How often a job with a time limit is repeated whose process ended before it; Dask counts lost workers itself."""


@dataclass(frozen=True)
class DaskCluster:
    """An executor on a running Dask cluster, or on a new one on this machine.

    Parameters
    ----------
    address, scheduler_file
        Where the scheduler of a running cluster is; both empty for a cluster of this machine's processes.
    device
        See `adu_bench.core.devices`; checked by the workers.
    workers
        Number of processes of a new cluster.
    timeout
        Seconds after which a job is ended and counts as failed; None for no limit.
    """

    address: str = ""
    scheduler_file: str = ""
    device: str = "auto"
    workers: int = 1
    timeout: float | None = None

    def run(self, jobs: Sequence[Job], progress: Progress = silent) -> Iterator[Result]:
        """Run jobs; see `adu_bench.runner.executors.interface.Executor`.

        Closing the iterator cancels the jobs that wait.  A job that a running cluster has begun goes on, and its
        result is kept if the folder of the runs is shared.

        Raises
        ------
        UserError
            If Dask is not installed, or there is no scheduler.
        """
        distributed = _distributed()
        with ExitStack() as stack:
            parcels = stack.enter_context(packed(jobs, self.device, self.timeout))
            client = stack.enter_context(self._client(distributed, stack))
            if any(job.inputs for job in jobs) and not _all_share(client, parcels):  # type: ignore[attr-defined]
                parcels = [parcel.with_files() for parcel in parcels]
            sent = {
                client.submit(_do, parcel, pure=False, priority=-place, retries=_AGAIN): job
                for place, (job, parcel) in enumerate(zip(jobs, parcels, strict=True))
            }
            stack.callback(client.cancel, list(sent))
            for future in distributed.as_completed(list(sent)):
                job = sent[future]
                result = _result(distributed, job, future)
                progress(job.title, 1, 1)
                yield result

    def _client(self, distributed: Any, stack: ExitStack) -> Any:
        if self.address or self.scheduler_file:
            place = {"scheduler_file": self.scheduler_file} if self.scheduler_file else {"address": self.address}
            if self.scheduler_file and not Path(self.scheduler_file).is_file():
                raise _unreachable(self.scheduler_file, "The file does not exist")
            try:
                return distributed.Client(**place, timeout=_CONNECT)
            except (OSError, ValueError) as error:
                raise _unreachable(self.address or self.scheduler_file, str(error) or type(error).__name__) from error
        return distributed.Client(stack.enter_context(_own_cluster(distributed, self.workers)))


def _distributed() -> Any:
    try:
        import distributed
    except ImportError as error:
        raise UserError(
            "Dask is not installed.", "--cluster dask needs it.", 'pip install "adu-bench[dask]"'
        ) from error
    return distributed


@contextmanager
def _own_cluster(distributed: Any, workers: int) -> Iterator[Any]:
    """Have a cluster of processes on this machine.

    Dask starts workers with ``MALLOC_TRIM_THRESHOLD_``, which makes the allocator return each tensor's memory to the
    system at once: runs of a small model then take twice the processor time.  Its settings are replaced by ours.  Its
    profiler interrupts workers a hundred times a second, which costs a tenth of the time where all cores are busy.
    At the end it warns of processes that it has to kill: on busy cores, one that imported torch takes seconds to end.
    Nothing is lost by that, so the warning is kept back.
    """
    import dask

    own = {"OMP_NUM_THREADS": str(threads_for(workers)), "OMP_WAIT_POLICY": "passive"}
    with (
        # Dask sets its workers' variables, and a seed of hashes, in this process too.
        restoring(*own, "PYTHONHASHSEED"),
        dask.config.set({"distributed.nanny.pre-spawn-environ": own, "distributed.worker.profile.enabled": False}),
        ExitStack() as ended,
        distributed.LocalCluster(
            n_workers=workers, threads_per_worker=1, host="127.0.0.1", dashboard_address=None
        ) as made,
    ):
        try:
            yield made
        finally:
            logger = logging.getLogger("distributed.nanny")
            ended.callback(logger.setLevel, logger.level)
            logger.setLevel(logging.ERROR)


def _unreachable(place: str, why: str) -> UserError:
    return UserError(
        f"There is no Dask scheduler at '{place}'.",
        f"{why.splitlines()[0].rstrip('.')}.",
        "Start one with `dask scheduler`, and give its address with --address or its file with --scheduler-file.",
    )


def _all_share(client: Any, parcels: Sequence[Parcel]) -> bool:
    """Return whether all workers have the folder of the runs, as far as there are workers yet."""
    seen = client.run(parcels[0].shared)
    return bool(seen) and all(seen.values())


def _do(parcel: Parcel) -> Delivery:
    """Do a job in a Dask worker."""
    from distributed import get_worker

    worker = get_worker()
    delivery = parcel.do(wanted_threads(worker.state.nthreads), worker.name if isinstance(worker.name, int) else 0)
    if delivery.outcome.device_lost:
        # The worker's process cannot use its GPU any more; its nanny starts another one.
        threading.Timer(2, os._exit, [1]).start()
    return delivery


def _result(distributed: Any, job: Job, future: Any) -> Result:
    try:
        return arrived(job, future.result())
    except distributed.KilledWorker:
        return lost(job, "The workers that tried it ended, often for lack of memory.")
    except Exception as error:
        outcome = failed(job, error)
        return Result(job, outcome.state, outcome.text, 0.0)
