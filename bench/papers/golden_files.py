"""The golden records at hand for a variant, here or beside a paper of another package."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from claimbench.bench.core import files
from claimbench.bench.papers import registry

FOLDER = files.ROOT / ("tests/goldens" if files.checkout() else "goldens")
"""The golden records of this distribution's papers; a wheel carries them."""


def names(paper: str, variant: str, variants: Iterable[str]) -> list[str]:
    """Return the goldens of one variant as names that :func:`path` takes.

    ``x@256x192`` and ``x_small_map`` are goldens of the variant ``x`` if no variant has their own name. Those of no
    variant are of parts of a network that cannot be built, which all variants of the paper are made of.
    """
    known = list(variants)
    found = sorted(_folder(paper).glob("*.json"))
    return [f"{paper}/{file.name}" for file in found if variant_of(file.stem, known) in (variant, None)]


def path(name: str) -> Path:
    """Return the path of a golden, from ``<paper>/<file>``; an absolute path stays as it is."""
    paper, _, file = name.partition("/")
    return _folder(paper) / file if paper else Path(name)


def _folder(paper: str) -> Path:
    """Return the folder of a paper's goldens: ``goldens`` beside its ``paper.yaml``, or else the repository's."""
    entry = registry.entries().get(paper)
    own = entry.folder / "goldens" if entry is not None else Path()
    return own if own.name and own.is_dir() else FOLDER / paper


def variant_of(name: str, variants: Iterable[str]) -> str | None:
    """Return the variant that a golden called ``name`` describes: its namesake, or the longest that it begins with."""
    found = [v for v in variants if name == v or (name.startswith(v) and name[len(v)] in "@_")]
    return max(found, key=len, default=None)
