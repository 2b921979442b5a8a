"""No triton operator: PyTorch's matrix products run it, sample by sample."""

from __future__ import annotations


def unavailable() -> str:
    """Return why there is no triton backend, as a sentence."""
    return "no triton operator: PyTorch's matrix products run variable-length attention, sample by sample"
