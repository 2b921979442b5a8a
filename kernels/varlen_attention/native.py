"""No native operator: PyTorch's matrix products run it, sample by sample."""

from __future__ import annotations


def unavailable() -> str:
    """Return why there is no native backend, as a sentence."""
    return "no native operator: PyTorch's matrix products run variable-length attention, sample by sample"
