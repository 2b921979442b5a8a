"""No native kernels yet: the definition runs."""

from __future__ import annotations


def unavailable() -> str:
    """Return why there is no native backend, as a sentence."""
    return "no native operator: only the definition in PyTorch is there"
