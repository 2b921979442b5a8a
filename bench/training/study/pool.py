"""Trainings side by side: one at a time on each slot, a process each."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from claimbench.bench.machine.process import Interrupted, Stop, stream
from claimbench.bench.training.study.task import Task

WORKER = "claimbench.bench.training.study.worker"
"""The module that trains."""

Listener = Callable[[Task, dict[str, Any]], None]
"""Told of every event of a training, one at a time: ``{}`` when it starts, then what
:mod:`claimbench.bench.training.study.worker` says."""


def train(tasks: Iterable[Task], slots: Sequence[str], stop: Stop, listener: Listener) -> None:
    """Run every task on the next slot that is free; a training that dies is an event that says so.

    Args:
        tasks: in the order in which they begin; their devices are those of the slots.
        slots: a device each; one that is named twice takes two trainings at once.
        stop: watched all the time.
        listener: called from several threads, never two at once.

    Raises:
        Interrupted: a signal asked to stop; the trainings in flight have ended, and go on from their checkpoints later.
        UserError: the listener raised it; everything has stopped.
    """
    waiting = deque(tasks)
    lock = threading.Lock()
    errors: list[BaseException] = []

    def tell(task: Task, event: dict[str, Any]) -> None:
        with lock:
            if not errors:
                listener(task, event)

    def work(slot: str) -> None:
        try:
            while not errors:
                with lock:
                    if not waiting:
                        return
                    task = replace(waiting.popleft(), device=slot)
                _train(task, stop, tell, lambda: bool(errors))
        except BaseException as error:  # handed to the thread that waits
            errors.append(error)

    threads = [threading.Thread(target=work, args=(slot,), daemon=True) for slot in slots[: len(waiting)]]
    for thread in threads:
        thread.start()
    for thread in threads:
        while thread.is_alive():  # with a timeout, so that signals are handled meanwhile
            thread.join(0.2)
    if errors:
        raise next((e for e in errors if not isinstance(e, Interrupted)), errors[0])


def _train(task: Task, stop: Stop, tell: Listener, over: Callable[[], bool]) -> None:
    """Run one training to its last event."""
    tell(task, {})
    try:
        for event in stream(WORKER, task.to_json(), stop):
            tell(task, event)
            if "rows" in event or "failed" in event or over():
                return
    except RuntimeError as error:
        tell(task, {"failed": str(error)})
