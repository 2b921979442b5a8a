"""No Triton here: on a GPU the filter runs in its PyTorch form."""

from __future__ import annotations


def unavailable() -> str:
    """Return why there is no Triton backend, as a sentence."""
    return "no Triton operator: permutohedral_filter runs on a GPU in its PyTorch form (sorting, gathers and scatters)"
