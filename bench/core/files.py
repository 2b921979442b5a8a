"""Files: digests, and the checkout that this package runs from."""

from __future__ import annotations

import hashlib
from pathlib import Path


def digest(path: Path | str) -> str:
    """Return the SHA-256 of a file, the evidence of which weights were used."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
