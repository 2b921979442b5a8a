"""Listeners: whatever takes long tells one how far it is, and the command line shows it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self


class Listener:
    """Told how far some work is. This one says nothing; others override what they show.

    Work begins with :meth:`begin`, which returns the listener of that work, and ends with :meth:`end` or with the
    ``with`` block that it was begun in. Several pieces of work may go on side by side.
    """

    def begin(
        self,
        what: str,
        total: float | None = None,
        *,
        done: float = 0,
        unit: str = "",
        within: Callable[[], str] | None = None,
    ) -> Listener:
        """Take note that work begins, and return the listener of it.

        Args:
            what: the work, in words.
            total: how much there is to do; None if that is not known yet.
            done: how much of it was done before.
            unit: ``B`` for bytes; empty for things that are counted.
            within: says how far the work is where nothing else does, in words; asked several times a second.
        """
        return self

    def at(self, done: float, total: float | None = None, what: str = "") -> None:
        """Take note of how much is done, and of how much there is or what is done now where that has changed."""

    def say(self, result: str) -> None:
        """Take note of a result of the work, one line that can be read even after the work has ended."""

    def note(self, remark: str) -> None:
        """Take note of a remark about the work, one line that is shown with the name of the work."""

    def failed(self, reason: str) -> None:
        """Take note of why the work failed; whoever began it says so again in the end."""

    def end(self) -> None:
        """Take note that the work has ended."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.end()


SILENT = Listener()
"""Stands for nobody who listens."""
