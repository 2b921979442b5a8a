"""Adds to an accuracy job, just before it runs, the files of its predictions and the process group that it joins.

Under ``torchrun`` every process runs ``bench``. The first plans, measures, prints and stores as it does alone, and puts
each accuracy job on the launcher's key-value store; the others take jobs from there, do their share, and say nothing.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from claimbench.bench import tasks
from claimbench.bench.core.listener import Listener
from claimbench.bench.core.records import Job
from claimbench.bench.machine.process import Interrupted, Stop
from claimbench.bench.measure.scoring.evidence import has_data, is_trained
from claimbench.bench.measure.scoring.tail import Tail
from claimbench.bench.run.jobs import run_jobs
from claimbench.bench.run.launch import can_share

FOLDER = "predictions"
TIMEOUT_S = 7 * 24 * 3600.0
_LOOK_S = 1.0
_GRACE_S = 60.0


def torchrun_rank() -> int | None:
    """Return the rank of this process; None if torchrun did not start it, or started it alone."""
    if "TORCHELASTIC_RUN_ID" not in os.environ or int(os.environ.get("WORLD_SIZE", "1")) < 2:
        return None
    return int(os.environ["RANK"])


class Dispatch:
    """Prepares the jobs of one run."""

    def __init__(self, folder: Path, store: Any = None) -> None:
        """Take the folder for predictions, and the launcher's store if there are other processes."""
        self._folder, self._store, self._posted = folder, store, 0
        self._tail: Tail | None = None

    def base(self, job: Job) -> Path:
        """Return the common name of the files that hold a job's predictions."""
        return self._folder / job.key()

    def prepare(self, job: Job) -> Job:
        """Return a job with the options that only this run knows."""
        if not has_data(job) or not (is_trained(job) or tasks.of(job.options).learns):
            return job
        told = replace(job, options=replace(job.options, predictions=str(self.base(job).absolute())))
        if self._store is None or not can_share(job):
            return told
        told = replace(told, options=replace(told.options, group=f"evaluation{self._posted}"))
        self._post(told.to_json())
        return _on_this_device(told)

    def watch(self, job: Job, name: str, listener: Listener) -> None:
        """Take the job that runs from now on, and its name and listener, whom :meth:`tell` tells its progress."""
        self._tail = Tail(self.base(job), name, listener) if has_data(job) else None

    def tell(self) -> None:
        """Tell how far the evaluation of the watched job is; nothing for other jobs."""
        if self._tail is not None:
            self._tail.tell()

    def end(self) -> None:
        """Tell the other processes that no job follows."""
        if self._store is not None:
            self._post(None)

    def _post(self, task: dict[str, Any] | None) -> None:
        self._store.set(f"bench/job{self._posted}", json.dumps(task, default=str))
        self._posted += 1


@contextmanager
def dispatching(results: Path | None, run: str) -> Iterator[Dispatch]:
    """Prepare the jobs of a run inside the block; without a folder of results predictions last as long as it."""
    store = None
    if torchrun_rank() is not None:
        from claimbench.bench.machine.group import launcher_store

        store = launcher_store()
    with TemporaryDirectory(prefix="bench-") as scratch:
        dispatch = Dispatch(Path(scratch) if results is None else results / FOLDER / run, store)
        try:
            yield dispatch
        finally:
            dispatch.end()


def follow(stop: Stop) -> int:
    """Do the share of one of torchrun's further processes until the first one ends; return the exit status."""
    import torch.distributed as dist

    from claimbench.bench.core.records import read_job
    from claimbench.bench.machine.group import launcher_store

    store = launcher_store()
    number = 0
    while not stop.requested:
        key = f"bench/job{number}"
        try:
            store.wait([key], timedelta(seconds=_LOOK_S))
        except dist.DistStoreError:
            continue
        task = json.loads(store.get(key))
        if task is None:
            return 0
        number += 1
        try:
            for _, rows in run_jobs([_on_this_device(read_job(task))], TIMEOUT_S, stop):
                if rows[0].status == "failed" and not _moved_on(store, f"bench/job{number}"):
                    print(f"bench: process {torchrun_rank()}: {rows[0].reason}", file=sys.stderr)
                    return 1
        except Interrupted:
            break
    return 130


def _moved_on(store: Any, key: str) -> bool:
    """Whether the first process goes on, and thus knows of the failure in this one."""
    import torch.distributed as dist

    try:
        store.wait([key], timedelta(seconds=_GRACE_S))
    except dist.DistStoreError:
        return False
    return True


def _on_this_device(job: Job) -> Job:
    """Return a job for this one of torchrun's processes: on the GPU of its number on this machine."""
    if not job.settings.device.startswith("cuda"):
        return job
    return replace(job, settings=replace(job.settings, device=f"cuda:{os.environ['LOCAL_RANK']}"))
