"""Progress of a study: a bar over all epochs, and a line for each training that is running."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from claimbench.bench.core.terminal import console
from claimbench.bench.training.study.plan import Plan
from claimbench.bench.training.study.pool import Listener
from claimbench.bench.training.study.task import Task, label


@contextmanager
def shown(plan: Plan, done: int) -> Iterator[Listener]:
    """Show what happens on stderr while the block runs; without a terminal, a line for each training that ends.

    Args:
        plan: the study.
        done: how many of its trainings are done already.
    """
    out = console(stderr=True)
    if not out.is_terminal:
        yield _Lines(len(plan.jobs), done)
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), TextColumn("{task.fields[says]}"))
    times = (TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, *times, console=out, transient=True) as bar:
        yield _Bars(bar, plan, done)


def sentence(task: Task, event: dict[str, Any]) -> str:
    """Return how a training ended."""
    if "failed" in event:
        return f"{label(task.job)} failed: {event['failed']}"
    accuracy = next(row["value"] for row in event["rows"] if row["metric"] == "study_accuracy")
    return f"{label(task.job)}: {accuracy:.2f} %"


class _Lines:
    """For logs."""

    def __init__(self, total: int, done: int) -> None:
        self._total, self._done = total, done

    def __call__(self, task: Task, event: dict[str, Any]) -> None:
        if "rows" in event or "failed" in event:
            self._done += 1
            print(f"[{self._done} of {self._total}] {sentence(task, event)}", file=sys.stderr, flush=True)


class _Bars:
    """For a terminal."""

    def __init__(self, bar: Any, plan: Plan, done: int) -> None:
        self._bar = bar
        epochs = [job.options.setting["epochs"] for job in plan.jobs]
        self._whole = bar.add_task("all trainings", total=len(epochs), completed=done, says=f"{done} of {len(epochs)}")
        self._running: dict[str, Any] = {}
        self._done, self._total = done, len(epochs)

    def __call__(self, task: Task, event: dict[str, Any]) -> None:
        key, epochs = task.job.key(), task.setting.epochs
        if not event:
            self._running[key] = self._bar.add_task(label(task.job), total=epochs, says="begins")
        elif "epoch" in event:
            says = f"epoch {event['epoch']} of {epochs}, validation {event['validation']:.1f} %"
            self._bar.update(self._running[key], completed=event["epoch"], says=says)
            self._bar.update(self._whole, advance=1 / epochs)
        else:
            self._done += 1
            self._bar.remove_task(self._running.pop(key))
            self._bar.update(self._whole, completed=self._done, says=f"{self._done} of {self._total}")
            self._bar.console.print(sentence(task, event), markup=False)
