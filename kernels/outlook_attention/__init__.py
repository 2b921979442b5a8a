"""Outlook attention: every window is mixed by a matrix of its own, and overlapping windows are added up."""

from __future__ import annotations

import torch
from torch import Tensor

from claimbench.kernels.operator import Operator
from claimbench.kernels.outlook_attention import reference

__all__ = ["OPERATOR", "outlook_attention", "windows_along"]

OPERATOR = Operator(
    name="outlook_attention",
    arguments=reference.Arguments,
    reference=reference.outlook_attention,
    fake=lambda args: torch.empty_like(args.value),
)


def windows_along(length: int, kernel_size: int, stride: int, padding: int) -> int:
    """Return the number of windows along an axis of ``length`` positions; it is less than 1 if none fits."""
    return (length + 2 * padding - kernel_size) // stride + 1


def outlook_attention(
    scores: Tensor, value: Tensor, kernel_size: int, stride: int = 1, padding: int = 0, scale: float = 1.0
) -> Tensor:
    """Mix the values of every k x k window by that window's own k^2 x k^2 attention; add overlapping windows up.

    ``out = fold(softmax(scale * scores) @ unfold(value))``: row i of a window's softmax makes its contribution to
    position i of the window. Windows start every ``stride`` positions, the first one ``padding`` before the map;
    positions beyond the map hold zeros and their sums are dropped. Neither the unfolded values
    (B, k^2 G D, windows) nor the softmax is ever held in memory.

    Args:
        scores: (B, h, w, G, k*k, k*k), floating point, any strides; there are h = (H + 2 padding - k) // stride + 1
            rows of windows and likewise w columns.
        value: (B, H, W, G, D), the same dtype, any strides; unit stride along D is the fast path on the CPU.
        kernel_size: k, at least 1.
        stride: at least 1.
        padding: from 0 to k - 1.
        scale: multiplies the scores.

    Returns:
        (B, H, W, G, D) in value's dtype and strides.

    Raises:
        ValueError: a shape or a number is not as above.
        TypeError: the dtypes differ outside autocast.

    Source: Yuan et al., "VOLO: Vision Outlooker for Visual Recognition", TPAMI 2022, arXiv 2106.13112, section 3.1.
    """
    name = "outlook_attention"
    if value.dim() != 5:
        raise ValueError(f"{name}: value must be (B, H, W, G, D), got shape {tuple(value.shape)}")
    if kernel_size < 1 or stride < 1:
        raise ValueError(f"{name}: kernel_size and stride must be positive, got {kernel_size} and {stride}")
    if not 0 <= padding < kernel_size:
        raise ValueError(f"{name}: padding must be from 0 to kernel_size - 1 = {kernel_size - 1}, got {padding}")
    batch, height, width, groups = value.shape[:4]
    rows, columns = (windows_along(length, kernel_size, stride, padding) for length in (height, width))
    if min(rows, columns) < 1:
        raise ValueError(f"{name}: no {kernel_size}x{kernel_size} window fits a {height}x{width} map")
    expected = (batch, rows, columns, groups, kernel_size**2, kernel_size**2)
    if scores.shape != expected:
        raise ValueError(f"{name}: scores must be {expected}, got shape {tuple(scores.shape)}")
    return OPERATOR(scores, value, kernel_size, stride, padding, scale)
