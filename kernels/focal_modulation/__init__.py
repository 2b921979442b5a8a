"""Focal modulation's context: a chain of depthwise convolutions, each level gated into one sum."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from claimbench.kernels.focal_modulation import reference
from claimbench.kernels.operator import Operator

__all__ = ["OPERATOR", "focal_modulation"]

OPERATOR = Operator(
    name="focal_modulation",
    arguments=reference.Arguments,
    reference=reference.focal_modulation,
    fake=lambda args: torch.empty_like(args.context),
)


def focal_modulation(context: Tensor, gates: Tensor, weights: Sequence[Tensor]) -> Tensor:
    """Aggregate context of growing reach.

    ``z_0 = context``, ``z_l = GELU(depthwise_l(z_{l-1}))`` with zero padding, and the sum over l = 1..L of
    ``gates_l * z_l`` plus ``gates_{L+1} * GELU(mean over positions of z_L)``. The gates are not squashed.

    Source: Yang et al., "Focal Modulation Networks", NeurIPS 2022, arXiv 2203.11926, equations 3 to 5.

    Args:
        context: (B, C, H, W), floating point, any strides; channels-last memory is the fast path on the CPU.
        gates: (B, L + 1, H, W), shared by all channels, any strides.
        weights: of the L levels, (C, 1, k, k) each with odd k.

    Returns:
        (B, C, H, W) in context's dtype and memory format.

    Raises:
        ValueError: a shape or a kernel size is not as above.
        TypeError: the dtypes differ outside autocast.
    """
    if context.dim() != 4 or context.shape[2] * context.shape[3] == 0:
        raise ValueError(f"focal_modulation: context must be (B, C, H, W), not empty, got {tuple(context.shape)}")
    batch, channels, height, width = context.shape
    expected = (batch, len(weights) + 1, height, width)
    if gates.shape != expected:
        raise ValueError(
            f"focal_modulation: gates must be {expected} for {len(weights)} levels, got shape {tuple(gates.shape)}"
        )
    for weight in weights:
        size = weight.shape[-1]
        if weight.shape != (channels, 1, size, size) or size % 2 == 0:
            raise ValueError(
                f"focal_modulation: weights must be ({channels}, 1, k, k) with odd k, got shape {tuple(weight.shape)}"
            )
    flat = [weight.flatten(1) for weight in weights]
    taps = torch.cat(flat, dim=1) if flat else context.new_empty((channels, 0))
    return OPERATOR(context, gates, taps, [weight.shape[-1] for weight in weights])
