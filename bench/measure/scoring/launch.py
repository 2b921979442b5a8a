"""Spreads one evaluation over several devices of this machine, by torch's own launcher (the base of ``torchrun``)."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from claimbench.bench.core.errors import UnavailableError, UserError
from claimbench.bench.core.records import Job, read_job
from claimbench.bench.machine.group import Group, joined
from claimbench.bench.measure import prepare

Share = Callable[[Job, str, Group], None]
"""Does the share of one process: takes the job on its own device, the common name of the files, and the group."""


def spread_out(job: Job, base: str, share: Share) -> None:
    """Evaluate in a process for each of the job's ``devices``; the predictions are in the journal ``base`` afterwards.

    Args:
        job: the evaluation.
        base: the common name of the files that keep the findings.
        share: a function at the top of its module, by whose name the processes find it.

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
    try:
        answers = elastic_launch(config, _process)(job.to_json(), devices, base, share)
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        raise RuntimeError(f"process {rank}, on {devices[rank]}, died: {_last_words(failure)}") from error
    for kind, text in filter(None, answers.values()):
        raise (UserError if kind == "user" else UnavailableError)(text)


def _last_words(failure: Any) -> str:
    """Return the last line of a process that died, or its exit status."""
    told = failure.message.get("message", "") if isinstance(failure.message, dict) else failure.message
    lines = str(told or "").strip().splitlines()
    return lines[-1] if lines else f"exit status {failure.exitcode}"


def _process(task: dict[str, Any], devices: list[str], base: str, share: Share) -> tuple[str, str] | None:
    """Do the share of one process; return the error for the user, if there was one."""
    job = _on_device(read_job(task), devices)
    prepare(job)
    with joined("evaluation") as group:
        try:
            share(job, base, group)
        except UserError as error:
            return ("user", str(error))
        except UnavailableError as error:
            return ("unavailable", str(error))
    return None


def _on_device(job: Job, devices: list[str]) -> Job:
    """Return the job for this process: on its own device, with its part of the processors."""
    device = devices[int(os.environ["RANK"])]
    threads = job.settings.threads
    if threads is None and device == "cpu":
        threads = max(1, (os.cpu_count() or 1) // len(devices))
    return replace(job, settings=replace(job.settings, device=device, threads=threads))
