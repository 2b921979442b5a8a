"""Progress on stderr: bars with the time left on a terminal, elsewhere only lines."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from claimbench.bench.core.listener import Listener
from claimbench.bench.core.terminal import WIDTH, console
from claimbench.bench.core.text import duration

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

SPACE_S = 30.0
"""A log gets a line on progress at most this often."""


@contextmanager
def shown() -> Iterator[Listener]:
    """Show the progress of work while the block runs."""
    out = console(stderr=True)
    if not out.is_terminal:
        yield _Lines()
        return
    bars = _Bars(out)
    try:
        yield bars
    finally:
        bars.close()


class _Lines(Listener):
    """For logs: results and remarks, a line each, and at most every :data:`SPACE_S` how far the work is.

    Attributes:
        latest: the piece of work that began last and has not ended.
    """

    def __init__(self) -> None:
        self._printed, self._next = False, time.monotonic() + SPACE_S
        self.latest: _Line | None = None

    def begin(self, what: str, total: float | None = None, *, done: float = 0, unit: str = "") -> Listener:
        self.latest = _Line(self, None, what, total, done, unit)
        return self.latest

    def say(self, result: str) -> None:
        print(result, file=sys.stderr, flush=True)

    def note(self, remark: str) -> None:
        self.say(f"bench: {remark}")

    def moved(self, begun: bool = False) -> None:
        """Print how far the latest piece of work is, if it is time for that or the first part of any work begins."""
        if self.latest is not None and (time.monotonic() >= self._next or (begun and not self._printed)):
            self._printed, self._next = True, time.monotonic() + SPACE_S
            self.say(self.latest.line())


class _Line(Listener):
    """One piece of work in a log."""

    def __init__(
        self, lines: _Lines, around: _Line | None, what: str, total: float | None, done: float, unit: str
    ) -> None:
        self._lines, self._around, self._what, self._unit = lines, around, what, unit
        self._shown, self._total, self._done, self._first = what, total, done, done
        self._begun, self._until = time.monotonic(), 0.0

    def begin(self, what: str, total: float | None = None, *, done: float = 0, unit: str = "") -> Listener:
        self._lines.latest = part = _Line(self._lines, self, what, total, done, unit)
        self._lines.moved(begun=True)
        return part

    def at(self, done: float, total: float | None = None, what: str = "") -> None:
        self._done, self._total, self._shown = done, total or self._total, what or self._shown
        self._lines.moved()

    def expect(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds
        self._lines.moved()

    def say(self, result: str) -> None:
        self._lines.say(result)

    def note(self, remark: str) -> None:
        self._lines.note(f"{self._what}: {remark}")

    def end(self) -> None:
        if self._lines.latest is self:
            self._lines.latest = self._around

    def line(self) -> str:
        """Return how far all of the work is, and this part of it."""
        whole = self
        while whole._around is not None:
            whole = whole._around
        far = ", ".join(filter(None, (whole._amount(), whole._left())))
        inside = f": {self._amount()}" if whole is not self and self._amount() else ""
        return f"{f'[{far}] ' if far else ''}{self._shown}{inside}"

    def _amount(self) -> str:
        if not self._total:
            return ""
        if self._unit == "B":
            return f"{self._done / 1e6:.1f} of {self._total / 1e6:.1f} MB"
        return f"{self._done:,.0f} of {self._total:,.0f}"

    def _left(self) -> str:
        """Return the time left: the one that was told, else by the pace so far; empty if nothing is known."""
        now = time.monotonic()
        if self._until:
            return time_left(self._until - now)
        if not self._total or self._done <= self._first:
            return ""
        return time_left((now - self._begun) / (self._done - self._first) * (self._total - self._done))


def time_left(seconds: float) -> str:
    """Return the time left in words."""
    return f"about {duration(max(0.0, seconds))} left"


class _Bars(Listener):
    """For a terminal: a bar for each piece of work, as long as it goes on."""

    def __init__(self, out: Console) -> None:
        self._out = out
        self._progress: Progress | None = None
        self._begun = 0

    def begin(self, what: str, total: float | None = None, *, done: float = 0, unit: str = "") -> Listener:
        if self._progress is None:  # nothing is drawn between two pieces of work, when results may be printed
            self._progress = _progress(self._out)
            self._progress.start()
        self._begun += 1
        task = self._progress.add_task(what, total=total, completed=done, unit=unit, until=0.0)  # type: ignore[arg-type]
        return _Bar(self, self._progress, task, what)

    def say(self, result: str) -> None:
        self._out.print(result, markup=False)

    def note(self, remark: str) -> None:
        self._out.print(f"bench: {remark}", markup=False)

    def print_failure(self, what: str, reason: str) -> None:
        """Print why a piece of work failed."""
        from rich.markup import escape

        self._out.print(f"[red]failed[/] {escape(what)}: {escape(reason)}")

    def ended(self) -> None:
        """Take note that one piece of work has ended."""
        self._begun -= 1
        if not self._begun:
            self.close()

    def close(self) -> None:
        """Remove the bars."""
        if self._progress is not None:
            self._progress.stop()
        self._progress, self._begun = None, 0


class _Bar(Listener):
    """One piece of work."""

    def __init__(self, bars: _Bars, progress: Progress, task: TaskID, what: str) -> None:
        self._bars, self._progress, self._task, self._what = bars, progress, task, what

    def begin(self, *given: Any, **more: Any) -> Listener:
        return self._bars.begin(*given, **more)

    def at(self, done: float, total: float | None = None, what: str = "") -> None:
        changed: dict[str, Any] = {"description": what} if what else {}
        self._progress.update(self._task, completed=done, total=total, **changed)

    def expect(self, seconds: float) -> None:
        self._progress.update(self._task, until=time.monotonic() + seconds)

    def say(self, result: str) -> None:
        self._bars.say(result)

    def note(self, remark: str) -> None:
        self._bars.note(f"{self._what}: {remark}")

    def failed(self, reason: str) -> None:
        self._bars.print_failure(self._what, reason)

    def end(self) -> None:
        self._progress.remove_task(self._task)
        self._bars.ended()


def _progress(out: Console) -> Progress:
    from rich import progress
    from rich.table import Column
    from rich.text import Text

    class Amount(progress.ProgressColumn):
        """The amount done, and the total."""

        def render(self, task: progress.Task) -> Text:
            if task.fields["unit"] == "B":
                return progress.DownloadColumn().render(task) + "  " + progress.TransferSpeedColumn().render(task)
            return Text("") if task.total is None else progress.MofNCompleteColumn().render(task)

    class Left(progress.ProgressColumn):
        """The time left: the one that was told, else by the pace so far."""

        def render(self, task: progress.Task) -> Text:
            left = task.fields["until"] - time.monotonic() if task.fields["until"] else task.time_remaining
            return Text("" if left is None else time_left(left), style="cyan")

    columns = (
        progress.SpinnerColumn(),
        Amount(),
        progress.BarColumn(bar_width=24 if out.width >= WIDTH else 8),
        progress.TimeElapsedColumn(),
        Left(table_column=Column(no_wrap=True)),
        progress.TextColumn("{task.description}", markup=False),
    )
    return progress.Progress(*columns, console=out, transient=True)
