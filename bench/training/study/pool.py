"""Trainings side by side: one at a time on each slot, a process each."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from queue import Empty, Queue
from typing import Any

from claimbench.bench.machine.process import Interrupted, Stop, stream
from claimbench.bench.store.schema import read_measurements
from claimbench.bench.training.study.study_task import StudyTask

WORKER = "claimbench.bench.training.study.worker"
"""The module that trains."""


Event = tuple[StudyTask, dict[str, Any]]
"""A message of a training: ``{}`` when it starts, then those of :mod:`claimbench.bench.training.study.worker`.

``rows`` holds :class:`~claimbench.bench.core.records.Measurement` objects here."""


def train(tasks: Iterable[StudyTask], slots: Sequence[str], stop: Stop) -> Generator[Event, None, None]:
    """Run every task on the next free slot and yield the messages of each; one that dies gives a message too.

    Trainings that are in flight end when the caller stops listening.

    Args:
        tasks: in the order in which they begin; their devices are those of the slots.
        slots: a device each; one that is named twice takes two trainings at once.
        stop: watched all the time.

    Raises:
        Interrupted: a signal asked to stop; the trainings in flight have ended, and go on from their checkpoints later.
    """
    waiting = deque(tasks)
    events: Queue[Event | None] = Queue()
    errors: list[BaseException] = []
    over = threading.Event()

    def work(slot: str) -> None:
        try:
            while not over.is_set():
                try:
                    task = replace(waiting.popleft(), device=slot)
                except IndexError:
                    return
                for event in _train(task, stop):
                    events.put(event)
                    if over.is_set():
                        break
        except BaseException as error:  # handed to the thread that waits
            errors.append(error)
            over.set()
        finally:
            events.put(None)

    threads = [threading.Thread(target=work, args=(slot,), daemon=True) for slot in slots[: len(waiting)]]
    for thread in threads:
        thread.start()
    try:
        working = len(threads)
        while working:
            with suppress(Empty):
                event = events.get(timeout=0.2)  # so that signals are handled meanwhile
                working -= event is None
                if event is not None:
                    yield event
    finally:
        over.set()
        for thread in threads:
            thread.join()
    if errors:
        raise next((e for e in errors if not isinstance(e, Interrupted)), errors[0])


def _train(task: StudyTask, stop: Stop) -> Iterator[Event]:
    """Run one training and yield all that it says."""
    yield task, {}
    try:
        for answer in stream(WORKER, task.to_json(), stop):
            event = _event(answer)
            yield task, event
            if "rows" in event or "failed" in event:
                return
    except RuntimeError as error:
        yield task, {"failed": str(error)}


def _event(answer: Any) -> dict[str, Any]:
    """Return the event in an answer, its rows as measurements; an answer that holds none is a failure."""
    try:
        if not isinstance(answer, dict):
            raise ValueError("it is no object")
        return {"rows": read_measurements(answer["rows"])} if "rows" in answer else answer
    except ValueError as error:
        return {"failed": f"the process gave a wrong answer: {error}"}
