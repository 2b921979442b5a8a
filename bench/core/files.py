"""Files: digests, and the checkout that this package runs from."""

from __future__ import annotations

import hashlib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""The root of the checkout, or the folder of the installed package."""


def checkout() -> Path | None:
    """Return the root of the checkout that this package runs from; None if it is installed elsewhere."""
    return ROOT if (ROOT / "pyproject.toml").is_file() else None


def digest(path: Path | str) -> str:
    """Return the SHA-256 of a file, the evidence of the weights used."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
