"""Texts from records and paper files on their way into pages: nothing in them may run, hide or lead astray."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from claimbench.bench.report.render import clean
from claimbench.bench.store.store import slug

_LONGEST = 4000
"""Characters of one text that a page shows."""


def tidy(value: Any) -> Any:
    """Return data ready for JSON, in which no text controls anything; a number that is not finite becomes None."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {words(name): tidy(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [tidy(entry) for entry in value]
    return words(value)


def words(value: object) -> str:
    """Return a text on one line, with control characters made visible, cut off if it is absurdly long."""
    return _one_line(value if type(value) is str else str(value))


@lru_cache(maxsize=1 << 16)
def _one_line(value: str) -> str:
    text = clean(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."


def script(name: str, data: Any) -> str:
    """Return a script that hands ``data`` to the page under ``name``.

    The data travel as a JSON text that the browser parses: no text in them is ever code, and no key is ever special.
    """
    body = json.dumps(tidy(data), allow_nan=False, separators=(",", ":"))
    return f"claimbench.put({_literal(name)}, {_literal(body)});\n"


def _literal(text: str) -> str:
    """Return a text as JavaScript, in ASCII and without anything that HTML would obey."""
    quoted = json.dumps(text)
    for character in "<>&":
        quoted = quoted.replace(character, f"\\u{ord(character):04x}")
    return quoted


def link(address: object) -> str:
    """Return a web address if it is one that is safe to follow (http and https only), else an empty text."""
    text = str(address).strip()
    try:
        parts = urlsplit(text)
    except ValueError:
        return ""
    safe = parts.scheme in ("http", "https") and parts.netloc and text == clean(text) and " " not in text
    return text if safe else ""


def page_names(names: Iterable[str]) -> dict[str, str]:
    """Return a file name, without its ending, for each name: readable, plain, and never the same twice."""
    found: dict[str, str] = {}
    for name in sorted(set(names)):
        short = slug(name)
        if short in found.values() or short == "unknown":
            short = f"{short[:60]}-{hashlib.sha256(name.encode(errors='replace')).hexdigest()[:8]}"
        found[name] = short
    return found
