"""Large kernel attention on the CPU: both depthwise convolutions in C++, the matrix product PyTorch's own."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from claimbench.kernels import native
from claimbench.kernels.depthwise_conv2d import native as depthwise
from claimbench.kernels.large_kernel_attention import passes
from claimbench.kernels.large_kernel_attention.reference import Arguments
from claimbench.kernels.native import refuses, unavailable

__all__ = ["backward", "forward", "refuses", "unavailable"]


def _shared(args: Arguments) -> Arguments:
    return Arguments._make([*native.shared(args), args.dilation])


def forward(args: Arguments) -> Tensor:
    """Return the gated map, in u's memory format; the map between the convolutions stays in the caches."""
    shared = _shared(args)
    dilated = torch.empty_like(shared.u)
    native.module().large_kernel_attention_spatial(
        shared.u,
        shared.local_weight,
        shared.local_bias.contiguous(),
        shared.dilated_weight,
        shared.dilated_bias.contiguous(),
        dilated,
        args.dilation,
        native.threads(),
    )
    return passes.gate(shared, dilated).to(args.u.dtype)


def backward(grad: Tensor, saved: list[Tensor], args: Arguments, needs: Sequence[bool]) -> list[Tensor | None]:
    """Return the gradients of all tensors, None where ``needs`` is False."""
    found = passes.backward(depthwise, native.share(grad), _shared(args), needs)
    return [None if gradient is None else gradient.to(grad.dtype) for gradient in found]
