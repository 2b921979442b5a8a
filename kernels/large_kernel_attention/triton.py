"""Large kernel attention on a GPU: the depthwise convolutions in Triton, the matrix product PyTorch's own."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from claimbench.kernels import triton_support as support
from claimbench.kernels.depthwise_conv2d import triton as depthwise
from claimbench.kernels.large_kernel_attention import passes
from claimbench.kernels.triton_support import unavailable

__all__ = ["backward", "forward", "refuses", "unavailable"]


def refuses(u: Tensor, *rest: object) -> str | None:
    """Return why the Triton backend cannot take these arguments, or None if it can."""
    return support.refuses(u, *rest)


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
    """Return the gated map, in u's memory format."""
    convolutions = (local_weight, local_bias, dilated_weight, dilated_bias)
    _, dilated = passes.spatial(depthwise, u, *convolutions, dilation)
    return passes.gate(u, dilated, pointwise_weight, pointwise_bias)


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
    return passes.backward(depthwise, grad, tensors, dilation, needs)
