"""Spreads one evaluation over several devices of this machine, by torch's own launcher (the base of ``torchrun``)."""

from __future__ import annotations

import os
import uuid
from dataclasses import replace
from typing import Any

from claimbench.bench import tasks
from claimbench.bench.core.errors import UnavailableError, UserError
from claimbench.bench.core.records import Job, Measurement, read_job
from claimbench.bench.measure import accuracy, prepare
from claimbench.bench.measure.scoring.evidence import has_data, is_trained


def can_share(job: Job) -> bool:
    """Whether several processes can share a job: there is something to score, and its task shares it."""
    return has_data(job) and is_trained(job) and tasks.of(job.options).shares


def spread_out(job: Job) -> list[Measurement]:
    """Evaluate in a process for each of the job's ``devices``, and return the rows.

    Raises:
        UserError, UnavailableError: from any of the processes.
        RuntimeError: one of them died; the message gives its last words.
    """
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    devices = list(job.options.devices)
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=len(devices),
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        local_addr="localhost",
        max_restarts=0,
        monitor_interval=0.2,
    )
    shared = replace(job, options=replace(job.options, devices=(), group="evaluation"))
    try:
        rows: list[Measurement] = elastic_launch(config, _process)(shared.to_json(), devices)[0]
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        message = failure.message.get("message") if isinstance(failure.message, dict) else failure.message
        told = str(message or f"exit status {failure.exitcode}").strip()
        name, _, sentence = told.partition(": ")
        for kind in (UserError, UnavailableError):
            if name == kind.__name__:
                raise kind(sentence) from error
        raise RuntimeError(f"process {rank}, on {devices[rank]}, died: {told.splitlines()[-1]}") from error
    return rows


def _process(task: dict[str, Any], devices: list[str]) -> list[Measurement]:
    """Do the share of one process; return the rows if it is the first."""
    from claimbench.bench.measure.scoring.look import ElsewhereError
    from claimbench.bench.tasks.subject import load_subject

    job = _on_device(read_job(task), devices)
    prepare(job)
    try:
        return accuracy.measure(load_subject(job), job)
    except ElsewhereError:
        return []


def _on_device(job: Job, devices: list[str]) -> Job:
    """Return the job for this process: on its own device, with its part of the processors."""
    device = devices[int(os.environ["RANK"])]
    threads = job.settings.threads
    if threads is None and device == "cpu":
        threads = max(1, (os.cpu_count() or 1) // len(devices))
    return replace(job, settings=replace(job.settings, device=device, threads=threads))
