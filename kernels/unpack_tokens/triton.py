"""No Triton operator: PyTorch's own functions run unpacking."""

from __future__ import annotations


def unavailable() -> str:
    """Return why there is no Triton backend, as a sentence."""
    return "no Triton operator: PyTorch's own functions run unpacking"
