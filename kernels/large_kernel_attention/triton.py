"""Large kernel attention on a GPU: the depthwise convolutions in Triton, the matrix product PyTorch's own."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from claimbench.kernels.depthwise_conv2d import triton as depthwise
from claimbench.kernels.large_kernel_attention import passes
from claimbench.kernels.large_kernel_attention.reference import Arguments
from claimbench.kernels.triton_support import refuses, unavailable

__all__ = ["backward", "forward", "refuses", "unavailable"]


def forward(args: Arguments) -> Tensor:
    """Return the gated map, in u's memory format."""
    _, dilated = passes.spatial(depthwise, args)
    return passes.gate(args, dilated)


def backward(grad: Tensor, saved: list[Tensor], args: Arguments, needs: Sequence[bool]) -> list[Tensor | None]:
    """Return the gradients of all tensors, None where ``needs`` is False."""
    return passes.backward(depthwise, grad, args, needs)
