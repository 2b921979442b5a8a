"""Private text, which stays on its machine: folders, which name users and their projects, names of user and host."""

from __future__ import annotations

import getpass
import re
import socket
from collections.abc import Iterator
from typing import Any

_PART = r"[^\s/\\'\":;,]"
_FOLDERS = re.compile(
    rf"(?<![\w./])(?:file://)?(?:/(?!/){_PART}+|~[\w-]*)(?:/{_PART}*)+"  # /home/ann/data, ~/data
    rf"|(?<!\w)[A-Za-z]:[\\/](?!/){_PART}*(?:[\\/]{_PART}*)*"  # C:\Users\Ann
)
"""An absolute path of two parts or more, or one that starts in somebody's home, on Unix or Windows."""

_COMMON = frozenset(
    {"root", "user", "admin", "test", "runner", "ubuntu", "debian", "localhost", "docker", "local", "gpu"}
)
"""Names that tell nothing, and that may well be words of a record."""


def scrub(value: Any) -> Any:
    """Return nested data with file names in place of paths, and without the names of this user and host."""
    if isinstance(value, dict):
        return {name: scrub(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [scrub(inner) for inner in value]
    return _scrub_text(value) if isinstance(value, str) else value


def paths(value: Any) -> Iterator[str]:
    """Yield every absolute path in the texts of nested data."""
    level = [value]
    while level:
        entry = level.pop()
        if isinstance(entry, dict):
            level += [*entry, *entry.values()]
        elif isinstance(entry, list | tuple):
            level += entry
        elif isinstance(entry, str):
            yield from (found.group() for found in _FOLDERS.finditer(entry))


def _scrub_text(text: str) -> str:
    text = _FOLDERS.sub(lambda found: re.split(r"[\\/]", found.group().rstrip("\\/"))[-1], text)
    for name, instead in _names():
        text = re.sub(rf"(?<![\w-]){re.escape(name)}(?![\w-])", instead, text)
    return text


def _names() -> Iterator[tuple[str, str]]:
    """Yield the names of this user and host, and the text to write instead."""
    host = socket.gethostname()
    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):
        user = ""
    for name, instead in ((host, "HOST"), (host.partition(".")[0], "HOST"), (user, "USER")):
        if len(name) > 2 and name.lower() not in _COMMON:
            yield name, instead
