"""Elementwise steps that overwrite memory of the model's own if no gradient needs its content."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["add", "gelu", "multiply"]


def add(fresh: Tensor, other: Tensor) -> Tensor:
    """Return ``fresh + other``, in ``fresh``'s memory if no gradient needs it; the caller owns ``fresh``."""
    if torch.is_grad_enabled() or fresh.dtype != other.dtype:
        return fresh + other
    return fresh.add_(other)


def gelu(fresh: Tensor) -> Tensor:
    """Return the GELU of ``fresh``, in its memory if no gradient needs it; the caller owns ``fresh``.

    PyTorch is faster on a channels-last map seen as (B, H, W, C), because that view is contiguous.
    """
    if fresh.dim() == 4 and fresh.stride(1) == 1:
        last = fresh.permute(0, 2, 3, 1)
        if torch.is_grad_enabled():
            return F.gelu(last).permute(0, 3, 1, 2)
        torch.ops.aten.gelu_(last)
        return fresh
    return F.gelu(fresh) if torch.is_grad_enabled() else torch.ops.aten.gelu_(fresh)


def multiply(fresh: Tensor, other: Tensor) -> Tensor:
    """Return ``fresh * other``, in ``fresh``'s memory if no gradient needs it; the caller owns ``fresh``."""
    if torch.is_grad_enabled() or fresh.dtype != other.dtype:
        return fresh * other
    return fresh.mul_(other)
