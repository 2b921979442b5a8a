"""JSON from strangers: no repeated keys, no numbers that floats or 64 bits cannot hold, nothing nested for ever."""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import Any, NoReturn

DEEPEST = 24
"""A record nests about eight deep."""

LARGEST = 2**63
"""The bound of integers that the store can hold."""


class StrictError(ValueError):
    """The text is not JSON that is taken here; the message is a phrase with the reason."""


def loads(line: bytes) -> Any:
    """Return the content of one line of JSON.

    Raises:
        StrictError: it is not UTF-8, not JSON, or breaks a rule above.
    """
    try:
        value = _DECODER.decode(line.decode())
        _check(value, DEEPEST)
    except UnicodeDecodeError as error:
        raise StrictError(f"it is not UTF-8 (byte {error.start + 1} of the line)") from error
    except UnicodeEncodeError as error:
        raise StrictError("a text holds half a character") from error
    except json.JSONDecodeError as error:
        raise StrictError(f"it is not valid JSON ({error.msg}, column {error.colno})") from error
    except RecursionError as error:
        raise StrictError("it is nested too deeply") from error
    return value


def _check(value: Any, levels: int) -> None:
    """Look at the texts of nested data, which may have that many levels."""
    if not levels:
        raise StrictError(f"it is nested more than {DEEPEST} deep")
    if isinstance(value, dict | list):
        for inner in (*value, *value.values()) if isinstance(value, dict) else value:
            _check(inner, levels - 1)
    elif isinstance(value, str) and b"\0" in value.encode():
        raise StrictError("a text holds NUL")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        repeated, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise StrictError(f"the name {repeated[:60]!r} stands twice in one object")
    return found


def _int(text: str) -> int:
    if len(text) > 20 or not -LARGEST <= (value := int(text)) < LARGEST:
        raise StrictError("a whole number has more than 64 bits")
    return value


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise StrictError("a number is not finite")
    return value


def _constant(text: str) -> NoReturn:
    raise StrictError(f"a number is not finite ({text})")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_int=_int, parse_float=_float, parse_constant=_constant)
