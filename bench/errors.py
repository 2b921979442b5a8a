"""What may go wrong by the user's hand, said in one sentence."""

from __future__ import annotations

from collections.abc import Iterable

DEBUG = "BENCH_DEBUG"
"""Set to 1, this environment variable shows what workers print, and the tracebacks of internal errors."""


class UserError(Exception):
    """Bad input. The message is one sentence that says what is wrong and what to do; the command exits with 2."""


def unknown(kind: str, name: str, known: Iterable[str]) -> UserError:
    """Return the error for a name that does not exist, with the nearest names."""
    from difflib import get_close_matches

    names = sorted(known)
    near = get_close_matches(name, names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(names[:20])}"
    return UserError(f"unknown {kind} {name!r}; {hint}")
