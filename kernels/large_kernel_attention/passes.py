"""The passes of large kernel attention over the depthwise convolutions of one backend and PyTorch's matrix product."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["backward", "gate", "spatial"]


def _rows(x: Tensor) -> Tensor:
    """Return (B, C, H, W) as (B * H * W, C); a view of channels-last memory."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


def _map(rows: Tensor, like: Tensor) -> Tensor:
    """Return (B * H * W, C) as (B, C, H, W) of channels-last memory."""
    batch, _, height, width = like.shape
    return rows.view(batch, height, width, rows.shape[1]).permute(0, 3, 1, 2)


def spatial(
    depthwise: ModuleType,
    u: Tensor,
    local_weight: Tensor,
    local_bias: Tensor,
    dilated_weight: Tensor,
    dilated_bias: Tensor,
    dilation: int,
) -> tuple[Tensor, Tensor]:
    """Return local(u) and dilated(local(u))."""
    local = depthwise.forward(u, local_weight, local_bias, 1)
    return local, depthwise.forward(local, dilated_weight, dilated_bias, dilation)


def gate(u: Tensor, dilated: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return u * pointwise(dilated) in u's memory format."""
    with torch.autocast(u.device.type, enabled=False):
        attention = _map(F.linear(_rows(dilated), weight.flatten(1), bias), u)
        return torch.mul(u, attention, out=attention) if u.stride() == attention.stride() else u * attention


def backward(
    depthwise: ModuleType, grad: Tensor, tensors: Sequence[Tensor], dilation: int, needs: Sequence[bool]
) -> list[Tensor | None]:
    """Return the gradients of all tensors, None where ``needs`` is False; the convolutions are computed again."""
    u, local_weight, local_bias, dilated_weight, dilated_bias, pointwise_weight, pointwise_bias = tensors
    grads: list[Tensor | None] = [None] * 7
    with torch.autocast(u.device.type, enabled=False):
        local, dilated = spatial(depthwise, u, local_weight, local_bias, dilated_weight, dilated_bias, dilation)
        matrix, flow = pointwise_weight.flatten(1), _rows(grad * u)
        if needs[5]:
            grads[5] = (flow.t() @ _rows(dilated)).view_as(pointwise_weight)
        if needs[6]:
            grads[6] = flow.sum(0)
        if any(needs[:5]):
            arriving = _map(flow @ matrix, u)
            wanted = (any(needs[:3]), needs[3], needs[4])
            through, *grads[3:5] = depthwise.backward(
                arriving, [], local, dilated_weight, dilated_bias, dilation, needs=wanted
            )
        if any(needs[:3]):
            grads[:3] = depthwise.backward(through, [], u, local_weight, local_bias, 1, needs=needs[:3])
        if grads[0] is not None:
            attention = _map(F.linear(_rows(dilated), matrix, pointwise_bias), u)
            grads[0] = torch.empty_like(u).copy_(grads[0].addcmul_(grad, attention))
    return grads
