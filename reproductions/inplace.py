"""Elementwise steps in memory that a model has just made itself, where no gradient needs what was there."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["add", "gelu"]


def add(fresh: Tensor, other: Tensor) -> Tensor:
    """Return ``fresh + other``, in ``fresh``'s memory where no gradient needs it; the caller owns ``fresh``."""
    if torch.is_grad_enabled() or fresh.dtype != other.dtype:
        return fresh + other
    return fresh.add_(other)


def gelu(fresh: Tensor) -> Tensor:
    """Return the GELU of ``fresh``, in its memory where no gradient needs it; the caller owns ``fresh``."""
    return F.gelu(fresh) if torch.is_grad_enabled() else torch.ops.aten.gelu_(fresh)
