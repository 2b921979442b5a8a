"""The passes of large kernel attention over the depthwise convolutions of one backend and PyTorch's matrix product."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType

import torch
from torch import Tensor
from torch.nn import functional as F

from claimbench.kernels.depthwise_conv2d.reference import Arguments as Convolution
from claimbench.kernels.large_kernel_attention.reference import Arguments

__all__ = ["backward", "gate", "spatial"]


def _rows(x: Tensor) -> Tensor:
    """Return (B, C, H, W) as (B * H * W, C); a view of channels-last memory."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


def _map(rows: Tensor, like: Tensor) -> Tensor:
    """Return (B * H * W, C) as (B, C, H, W) of channels-last memory."""
    batch, _, height, width = like.shape
    return rows.view(batch, height, width, rows.shape[1]).permute(0, 3, 1, 2)


def spatial(depthwise: ModuleType, args: Arguments) -> tuple[Tensor, Tensor]:
    """Return local(u) and dilated(local(u))."""
    local = depthwise.forward(Convolution(args.u, args.local_weight, args.local_bias, 1))
    return local, depthwise.forward(Convolution(local, args.dilated_weight, args.dilated_bias, args.dilation))


def gate(args: Arguments, dilated: Tensor) -> Tensor:
    """Return u * pointwise(dilated) in u's memory format."""
    u = args.u
    with torch.autocast(u.device.type, enabled=False):
        attention = _map(F.linear(_rows(dilated), args.pointwise_weight.flatten(1), args.pointwise_bias), u)
        return torch.mul(u, attention, out=attention) if u.stride() == attention.stride() else u * attention


def backward(depthwise: ModuleType, grad: Tensor, args: Arguments, needs: Sequence[bool]) -> list[Tensor | None]:
    """Return the gradients of all tensors, None where ``needs`` is False; the convolutions are computed again."""
    u = args.u
    grads: list[Tensor | None] = [None] * 7
    with torch.autocast(u.device.type, enabled=False):
        local, dilated = spatial(depthwise, args)
        matrix, flow = args.pointwise_weight.flatten(1), _rows(grad * u)
        if needs[5]:
            grads[5] = (flow.t() @ _rows(dilated)).view_as(args.pointwise_weight)
        if needs[6]:
            grads[6] = flow.sum(0)
        if any(needs[:5]):
            convolution = Convolution(local, args.dilated_weight, args.dilated_bias, args.dilation)
            wanted = (any(needs[:3]), needs[3], needs[4])
            through, *grads[3:5] = depthwise.backward(_map(flow @ matrix, u), [], convolution, wanted)
        if any(needs[:3]):
            convolution = Convolution(u, args.local_weight, args.local_bias, 1)
            grads[:3] = depthwise.backward(through, [], convolution, needs[:3])
        if grads[0] is not None:
            attention = _map(F.linear(_rows(dilated), matrix, args.pointwise_bias), u)
            grads[0] = torch.empty_like(u).copy_(grads[0].addcmul_(grad, attention))
    return grads
