"""Progress on stderr: bars with the time left on a terminal, elsewhere only lines."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from claimbench.bench.core.listener import Listener
from claimbench.bench.core.terminal import console

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID


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
    """For logs: prints results and remarks, a line each."""

    def __init__(self, what: str = "") -> None:
        self._what = what

    def begin(self, what: str, *given: Any, **more: Any) -> Listener:
        return _Lines(f"{what}: ")

    def say(self, result: str) -> None:
        print(result, file=sys.stderr, flush=True)

    def note(self, remark: str) -> None:
        print(f"bench: {self._what}{remark}", file=sys.stderr, flush=True)


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
        task = self._progress.add_task(what, total=total, completed=done, unit=unit)  # type: ignore[arg-type]
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
    from rich.text import Text

    class Amount(progress.ProgressColumn):
        """The amount done, and the total."""

        def render(self, task: progress.Task) -> Text:
            if task.fields["unit"] == "B":
                return progress.DownloadColumn().render(task) + "  " + progress.TransferSpeedColumn().render(task)
            return Text("") if task.total is None else progress.MofNCompleteColumn().render(task)

    columns = (
        progress.SpinnerColumn(),
        Amount(),
        progress.BarColumn(bar_width=24),
        progress.TimeElapsedColumn(),
        progress.TimeRemainingColumn(),
        progress.TextColumn("{task.description}", markup=False),
    )
    return progress.Progress(*columns, console=out, transient=True)
