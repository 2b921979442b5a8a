"""Reads YAML that somebody else wrote: plain data only, bounded in size, depth and expansion."""

from __future__ import annotations

import re
from typing import Any

import yaml

LARGEST = 1_000_000
"""Characters; no paper has that many facts."""

DEEPEST = 500
"""Levels of nesting. libyaml's Python binding recurses on the C stack, which tens of thousands would overflow."""

_BRACKET = re.compile(r"[\[{]|[\]}]")
_COMPACT = re.compile(rf"(?:[-?:][ \t]+){{{DEEPEST}}}")


def parse(text: str) -> Any:
    """Return the content of ``text``: mappings, lists, text, numbers, dates. No object is ever built, no code ever run.

    Raises:
        ValueError: it is not YAML, asks for other objects, or is too large or too deep; names the problem and the line.
    """
    if len(text) > LARGEST:
        raise ValueError(f"it is longer than {LARGEST} characters")
    if _COMPACT.search(text) or _bracket_depth(text) > DEEPEST:
        raise ValueError(f"it is nested deeper than {DEEPEST} levels")
    try:
        data = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "it is not valid YAML"
        raise ValueError(f"it cannot be understood{where}: {problem}") from error
    except RecursionError as error:
        raise ValueError(f"it is nested deeper than {DEEPEST} levels") from error
    if _expanded(data, {}) > LARGEST:
        raise ValueError(f"its aliases expand to more than {LARGEST} values")
    return data


def _bracket_depth(text: str) -> int:
    depth = deepest = 0
    for match in _BRACKET.finditer(text):
        depth += 1 if match.group() in "[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _expanded(node: Any, known: dict[int, int], level: int = 0) -> int:
    """Return the number of values in ``node`` with every alias written out; a node inside itself counts as endless."""
    if not isinstance(node, dict | list):
        return 1
    if level > DEEPEST:
        return LARGEST + 1
    if id(node) not in known:
        known[id(node)] = LARGEST + 1
        inner = node.values() if isinstance(node, dict) else node
        known[id(node)] = 1 + sum(_expanded(value, known, level + 1) for value in inner)
    return known[id(node)]
