"""A depthwise convolution along a sequence that sees no later position, with SiLU after it."""

from __future__ import annotations

import torch
from torch import Tensor

from claimbench.kernels.arguments import check_dtypes
from claimbench.kernels.causal_conv1d import reference
from claimbench.kernels.operator import Operator

__all__ = ["OPERATOR", "causal_conv1d"]

_NAME = "causal_conv1d"
_WIDEST = 4


def _check(args: reference.Arguments) -> None:
    x, weight, bias, _ = args
    if x.dim() != 3 or 0 in x.shape[1:]:
        raise ValueError(f"{_NAME}: x must be (B, D, L) with D and L at least 1, got shape {tuple(x.shape)}")
    channels = x.shape[1]
    if weight.dim() != 2 or weight.shape[0] != channels or not 1 <= weight.shape[1] <= _WIDEST:
        shape = tuple(weight.shape)
        raise ValueError(f"{_NAME}: weight must be ({channels}, W) with W from 1 to {_WIDEST}, got shape {shape}")
    if bias is not None and bias.shape != (channels,):
        raise ValueError(f"{_NAME}: bias must be ({channels},), got shape {tuple(bias.shape)}")
    check_dtypes(_NAME, args)


OPERATOR = Operator(
    name=_NAME,
    arguments=reference.Arguments,
    reference=reference.causal_conv1d,
    fake=lambda args: torch.empty_like(args.x),
    check=_check,
)


def causal_conv1d(x: Tensor, weight: Tensor, bias: Tensor | None = None, silu: bool = False) -> Tensor:
    """Convolve each channel with its own filter over the present position and those before it.

    ``out[l] = bias + sum over k of weight[k] x[l - W + 1 + k]``, where x is 0 before the start, then SiLU if ``silu``.

    Args:
        x: (B, D, L), floating point, any strides.
        weight: (D, W), W from 1 to 4, the same dtype; a filter of ``nn.Conv1d`` without its axis of one channel.
        bias: (D,), the same dtype.
        silu: whether the result goes through SiLU.

    Returns:
        (B, D, L) in x's dtype and memory format.

    Raises:
        ValueError: a shape is not as above.
        TypeError: the dtypes differ outside autocast.

    Source: Gu and Dao, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces", 2023, arXiv 2312.00752,
    section 3.4.
    """
    out: Tensor = OPERATOR(x, weight, bias, silu)
    return out
