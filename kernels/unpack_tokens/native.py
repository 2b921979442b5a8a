"""No native operator: PyTorch's own functions run unpacking."""

from __future__ import annotations


def unavailable() -> str:
    """Return why there is no native backend, as a sentence."""
    return "no native operator: PyTorch's own functions run unpacking"
