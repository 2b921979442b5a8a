"""Tells whether a compiled module was built from the sources that are here, without loading it or torch."""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path

STALE = "the native operators were built from other sources than those that are here: run `pip install` again"


def is_built(level: str) -> bool:
    """Return whether there is a module for an instruction-set level, up to date or not."""
    return find_spec(f"claimbench.kernels._native_{level}") is not None


def is_current(level: str) -> bool:
    """Return whether the module of a level was built from the C++ sources beside it, or there are none to compare."""
    spec = find_spec(f"claimbench.kernels._native_{level}")
    digest = sources(Path(__file__).parent)
    return digest is None or (
        spec is not None and spec.origin is not None and digest.encode() in Path(spec.origin).read_bytes()
    )


def sources(folder: Path) -> str | None:
    """Return the digest that a build of the C++ sources in ``folder`` carries, None if there are none."""
    files = [path for pattern in ("*.h", "*.cpp", "*/*.h", "*/*.cpp") for path in folder.glob(pattern)]
    digests = sorted(hashlib.sha256(path.read_bytes()).hexdigest() for path in files)
    return hashlib.sha256(";".join(digests).encode()).hexdigest() if digests else None
