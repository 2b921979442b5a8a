"""The locally shared convolution on the CPU: PyTorch's own convolution (oneDNN) for each cell."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from claimbench.kernels.locally_shared_conv2d.reference import Arguments, cells, output_size
from claimbench.kernels.native import refuses

__all__ = ["backward", "forward", "refuses", "unavailable"]


def unavailable() -> None:
    """Return None: no compiled module is needed."""


def forward(args: Arguments) -> Tensor:
    """Return the convolution of x."""
    x, weight, bias = args.x, args.weight, args.bias
    if len(weight) == 1:
        return F.conv2d(x, weight[0], None if bias is None else bias[0], args.stride).contiguous()
    out = x.new_empty(len(x), weight.shape[1], *output_size(args))
    for cell in cells(args):
        shift = None if bias is None else bias[cell.filters]
        out[:, :, cell.out[0], cell.out[1]] = F.conv2d(
            x[:, :, cell.x[0], cell.x[1]], weight[cell.filters], shift, args.stride
        )
    return out


def backward(grad: Tensor, saved: list[Tensor], args: Arguments, needs: Sequence[bool]) -> list[Tensor | None]:
    """Return the gradients of x, weight and bias, None where ``needs`` is False."""
    x, weight, bias = args.x, args.weight, args.bias
    tensors = (x, weight, bias)
    grads = [torch.zeros_like(t) if need and t is not None else None for t, need in zip(tensors, needs, strict=True)]
    steps = ([args.stride] * 2, [0, 0], [1, 1], False, [0, 0], 1)
    for cell in cells(args):
        found = torch.ops.aten.convolution_backward(
            grad[:, :, cell.out[0], cell.out[1]],
            x[:, :, cell.x[0], cell.x[1]],
            weight[cell.filters],
            [weight.shape[1]],
            *steps,
            [bool(need) for need in needs],
        )
        if grads[0] is not None:
            grads[0][:, :, cell.x[0], cell.x[1]] += found[0]
        for each, one in zip(grads[1:], found[1:], strict=True):
            if each is not None:
                each[cell.filters] = one
    return grads
