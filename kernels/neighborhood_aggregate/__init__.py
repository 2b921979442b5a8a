"""Neighbourhood aggregation: every position takes a weighted sum of its own window, with weights of its own."""

from __future__ import annotations

import torch
from torch import Tensor

from claimbench.kernels.neighborhood_aggregate import reference
from claimbench.kernels.operator import Operator

__all__ = ["OPERATOR", "check_window", "neighborhood_aggregate"]

OPERATOR = Operator(
    name="neighborhood_aggregate",
    arguments=reference.Arguments,
    reference=reference.neighborhood_aggregate,
    fake=lambda args: torch.empty_like(args.value),
)


def check_window(name: str, height: int, width: int, kernel_size: int, dilation: int = 1) -> None:
    """Raise ValueError, on behalf of operator ``name``, where windows of this kind do not fit into the map."""
    if kernel_size < 1 or kernel_size % 2 == 0:
        raise ValueError(f"{name}: kernel_size must be odd and positive, got {kernel_size}")
    if dilation < 1:
        raise ValueError(f"{name}: dilation must be at least 1, got {dilation}")
    if min(height, width) < kernel_size * dilation:
        raise ValueError(
            f"{name}: a {height}x{width} map is smaller than kernel_size * dilation = {kernel_size} * {dilation}; "
            "enlarge the map or choose a smaller window"
        )


def neighborhood_aggregate(weights: Tensor, value: Tensor, kernel_size: int, dilation: int = 1) -> Tensor:
    """Sum the values in the window of every position, weighted by that position's own weights.

    ``out[b,g,h,w,c] = sum over i, j of weights[b,g,h,w, i k + j] * value[b, g, row(h, i), column(w, j), c]``.
    The k x k window is centred on its position and shifted inwards at the border, so that it always holds k x k
    positions of the map. With dilation d a position sees only rows and columns of its own residue class modulo d.

    Args:
        weights: (B, G, H, W, k*k), floating point, any strides, windows in row-major order.
        value: (B, G, H, W, D), the same dtype, any strides; unit stride along D is the fast path on the CPU.
        kernel_size: k, odd.
        dilation: d; k * d may not exceed H or W.

    Returns:
        (B, G, H, W, D) in value's dtype and strides.

    Raises:
        ValueError: a shape, the kernel size or the dilation is not as above.
        TypeError: the dtypes differ outside autocast.

    Source: the second half of neighbourhood attention (Hassani et al., CVPR 2023, arXiv 2204.07143), dilated after
    arXiv 2209.15001; known as ``na2d_av`` in NATTEN up to 0.17.
    """
    name = "neighborhood_aggregate"
    if value.dim() != 5:
        raise ValueError(f"{name}: value must be (B, G, H, W, D), got shape {tuple(value.shape)}")
    height, width = value.shape[2:4]
    check_window(name, height, width, kernel_size, dilation)
    expected = (*value.shape[:4], kernel_size**2)
    if weights.shape != expected:
        raise ValueError(f"{name}: weights must be {tuple(expected)}, got shape {tuple(weights.shape)}")
    return OPERATOR(weights, value, kernel_size, dilation)
