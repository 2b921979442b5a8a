"""Large kernel attention on the CPU: both depthwise convolutions in C++, the matrix product PyTorch's own."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from claimbench.kernels import native
from claimbench.kernels.depthwise_conv2d import native as depthwise
from claimbench.kernels.large_kernel_attention import passes
from claimbench.kernels.native import unavailable

__all__ = ["backward", "forward", "refuses", "unavailable"]


def refuses(u: Tensor, *rest: object) -> str | None:
    """Return why the native backend cannot take these arguments, or None if it can."""
    return native.refuses(u, *rest)


def forward(
    u: Tensor,
    local_weight: Tensor,
    local_bias: Tensor,
    dilated_weight: Tensor,
    dilated_bias: Tensor,
    pointwise_weight: Tensor,
    pointwise_bias: Tensor,
    dilation: int,
) -> Tensor:
    """Return the gated map, in u's memory format; the map between the convolutions stays in the caches."""
    shared = native.share(u)
    dilated = torch.empty_like(shared)
    native.module().large_kernel_attention_spatial(
        shared,
        native.share(local_weight),
        native.share(local_bias).contiguous(),
        native.share(dilated_weight),
        native.share(dilated_bias).contiguous(),
        dilated,
        dilation,
        native.threads(),
    )
    return passes.gate(shared, dilated, native.share(pointwise_weight), native.share(pointwise_bias)).to(u.dtype)


def backward(
    grad: Tensor,
    saved: list[Tensor],
    u: Tensor,
    local_weight: Tensor,
    local_bias: Tensor,
    dilated_weight: Tensor,
    dilated_bias: Tensor,
    pointwise_weight: Tensor,
    pointwise_bias: Tensor,
    dilation: int,
    needs: Sequence[bool],
) -> list[Tensor | None]:
    """Return the gradients of all tensors, None where ``needs`` is False."""
    tensors = (u, local_weight, local_bias, dilated_weight, dilated_bias, pointwise_weight, pointwise_bias)
    shared = [native.share(tensor) for tensor in tensors]
    found = passes.backward(depthwise, native.share(grad), shared, dilation, needs)
    return [None if gradient is None else gradient.to(u.dtype) for gradient in found]
