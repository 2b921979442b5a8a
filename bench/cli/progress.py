"""Progress on a terminal: what is being measured, how far the run is, and what it found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from claimbench.bench.core.terminal import console
from claimbench.bench.run.runner import Screen

if TYPE_CHECKING:
    from claimbench.bench.core.records import Job, Measurement


def label(job: Job) -> str:
    """Return a job in words."""
    settings = job.settings
    parts = [
        job.subject,
        job.form,
        job.metric,
        f"batch {settings.batch}" if settings.batch else "",
        settings.precision if settings.precision != "fp32" else "",
        settings.mode if settings.mode != "eager" else "",
        f"round {job.round + 1}" if job.round else "",
    ]
    return " ".join(part for part in parts if part)


@contextmanager
def shown(total: int, within: Callable[[Job], str] = lambda job: "") -> Iterator[Screen]:
    """Show a progress bar on stderr while the block runs; nothing where that is no terminal.

    Args:
        total: how many jobs there are.
        within: says how far a long job is; asked several times a second.
    """
    out = console(stderr=True)
    if not out.is_terminal:
        yield Screen()
        return
    from rich.markup import escape
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        SpinnerColumn,
        Task,
        TextColumn,
        TimeElapsedColumn,
    )
    from rich.text import Text

    class Within(TextColumn):
        """How far the job in progress is."""

        def render(self, task: Task) -> Text:
            job = task.fields.get("job")
            return Text(within(job) if job is not None else "")

    columns = (
        SpinnerColumn(),
        MofNCompleteColumn(),
        BarColumn(bar_width=24),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
        Within(""),
    )
    with Progress(*columns, console=out, transient=True) as bar:
        task = bar.add_task("", total=total)

        def tell(job: Job, rows: list[Measurement] | None) -> None:
            if rows is None:
                bar.update(task, description=escape(label(job)), job=job)
                return
            bar.advance(task)
            for row in rows:
                if row.status == "failed":
                    bar.console.print(f"[red]failed[/] {escape(label(job))}: {escape(row.reason)}")
                    break

        def testing(claim: str) -> None:
            bar.update(task, description=escape(f"testing {claim}"), job=None)

        yield Screen(tell, testing)


@contextmanager
def checking(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show on stderr how many pictures of a data set were checked; nothing where that is no terminal."""
    out = console(stderr=True)
    if not out.is_terminal:
        yield lambda done, total: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("checking {task.description}"), MofNCompleteColumn(), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=out, transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
