"""Shows downloads to a person: a bar on a terminal, lines elsewhere; always on stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from claimbench.bench.core.terminal import console
from claimbench.bench.data.download.download import Watch


class Screen:
    """Shows downloads.

    Attributes:
        quiet: whether nothing is shown.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet

    def say(self, sentence: str) -> None:
        """Print a sentence."""
        if not self.quiet:
            print(f"bench: {sentence}", file=sys.stderr, flush=True)

    @contextmanager
    def file(self, name: str, address: str) -> Iterator[Watch]:
        """Show one file while the block runs."""
        out = console(stderr=True)
        if self.quiet or not out.is_terminal:
            self.say(f"fetching {name} from {address}")
            yield Watch(says=lambda sentence: self.say(f"{name}: {sentence}"))
            return
        from rich.markup import escape
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )

        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=out, transient=True) as bar:
            task = bar.add_task(escape(name), total=None)

            def came(here: int, total: int | None) -> None:
                bar.update(task, completed=here, total=total)

            yield Watch(came, lambda sentence: bar.console.print(escape(f"{name}: {sentence}")))
