"""No Triton kernels yet: the definition runs."""

from __future__ import annotations


def unavailable() -> str:
    """Return why there is no Triton backend, as a sentence."""
    return "no Triton operator: only the definition in PyTorch is there"
