"""FLOPs of neighbourhood aggregation: one multiply and one add for each weight and channel."""

from __future__ import annotations

from math import prod
from typing import Any


def forward_flops(weights: Any, value: Any, kernel_size: int, dilation: int) -> int:
    """Return the FLOPs of the forward pass from the shapes of the arguments."""
    return 2 * prod(value) * kernel_size**2


def backward_flops(weights: Any, value: Any, kernel_size: int, dilation: int, needs: Any = None) -> int:
    """Return the FLOPs of the backward pass (both gradients)."""
    return 2 * forward_flops(weights, value, kernel_size, dilation)
