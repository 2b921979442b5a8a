"""Errors for the user, each with one sentence as its message."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from claimbench.bench.core.records import Job

DEBUG = "BENCH_DEBUG"
"""Set to 1, this environment variable shows the output of workers, and the tracebacks of internal errors."""


class UserError(Exception):
    """Bad input. The message is one sentence with the problem and its remedy; the command exits with 2."""


def unknown(kind: str, name: str, known: Iterable[str]) -> UserError:
    """Return the error for a name that does not exist, with the nearest names."""
    from difflib import get_close_matches

    names = sorted(known)
    near = get_close_matches(name, names, n=3, cutoff=0.5)
    more = f" and {len(names) - 20} more" if len(names) > 20 else ""
    hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(names[:20])}{more}"
    return UserError(f"unknown {kind} {name!r}; {hint}")


class UnavailableError(Exception):
    """Raised if this machine or these inputs cannot give the figure; the message is the sentence in its row."""


def out_of_memory(error: BaseException) -> bool:
    """Whether ``error`` says that memory ran out, on a GPU or on the CPU."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(
        phrase in text for phrase in ("out of memory", "can't allocate memory", "not enough memory")
    )


def explain(error: BaseException, job: Job) -> str:
    """Return one sentence for an exception that was not foreseen."""
    if out_of_memory(error):
        batch = job.settings.batch
        what = f"batch {batch} does" if batch is not None else "it does"
        return f"{what} not fit in the memory of {job.settings.device}"
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), "no message")
    return f"{type(error).__name__}: {text[:300]}"
