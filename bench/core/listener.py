"""Listeners: long work reports its progress to one, and the command line shows it."""

from __future__ import annotations

from typing import Self


class Listener:
    """A receiver of the progress of work. This one ignores it; subclasses override the methods of the events that they
    show.

    Work begins with :meth:`begin`, which returns the listener of that work, and ends with :meth:`end` or with the
    ``with`` block that it was begun in. Several pieces of work may go on side by side.
    """

    def begin(self, what: str, total: float | None = None, *, done: float = 0, unit: str = "") -> Listener:
        """Take note that work begins, and return the listener of it.

        Args:
            what: the name of the work.
            total: the whole amount of work; None if that is not known yet.
            done: the amount done before.
            unit: ``B`` for bytes; empty for things that are counted.
        """
        return self

    def at(self, done: float, total: float | None = None, what: str = "") -> None:
        """Take note of the amount done, and of a change of the total or of the work's name."""

    def expect(self, seconds: float) -> None:
        """Take note of the seconds that the work is expected to go on from now."""

    def say(self, result: str) -> None:
        """Take note of a result of the work, one line that can be read even after the work has ended."""

    def note(self, remark: str) -> None:
        """Take note of a remark about the work, one line that is shown with the name of the work."""

    def failed(self, reason: str) -> None:
        """Take note of the reason that the work failed; its caller reports it again in the end."""

    def end(self) -> None:
        """Take note that the work has ended."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.end()


SILENT = Listener()
"""A listener for work that nobody watches."""
