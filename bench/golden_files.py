"""The golden records that come with this repository: which there are for a variant."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "tests" / "goldens"


def names(paper: str, variant: str, variants: Iterable[str]) -> list[str]:
    """Return the goldens of one variant as names below :data:`FOLDER`; none outside a checkout.

    ``x@256x192`` and ``x_small_map`` are goldens of the variant ``x`` where no variant has their own name.
    """
    known = list(variants)
    files = sorted((FOLDER / paper).glob("*.json"))
    return [f"{paper}/{file.name}" for file in files if variant_of(file.stem, known) == variant]


def variant_of(name: str, variants: Iterable[str]) -> str | None:
    """Return the variant that a golden called ``name`` describes: its namesake, or the longest that it begins with."""
    found = [v for v in variants if name == v or (name.startswith(v) and name[len(v)] in "@_")]
    return max(found, key=len, default=None)
