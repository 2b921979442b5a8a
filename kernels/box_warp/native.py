"""The box warp on the CPU, in C++."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from claimbench.kernels import native
from claimbench.kernels.box_warp.reference import Arguments
from claimbench.kernels.native import refuses, unavailable

__all__ = ["backward", "forward", "refuses", "unavailable"]


def _shared(args: Arguments) -> list[Tensor]:
    """Return mask, box and visibility in one compute dtype, the more precise one."""
    tensors = native.shared(args)
    dtype = torch.promote_types(tensors[0].dtype, tensors[1].dtype)
    return [tensor.to(dtype) for tensor in tensors]


def forward(args: Arguments) -> Tensor:
    """Return the maps (N, K, height, width)."""
    shared = _shared(args)
    out = shared[0].new_empty(*args.mask.shape[:2], args.height, args.width)
    native.module().box_warp_forward(*shared, out, native.threads())
    return out.to(args.mask.dtype)


def backward(grad: Tensor, saved: list[Tensor], args: Arguments, needs: Sequence[bool]) -> list[Tensor | None]:
    """Return the gradients of mask, box and visible, None where ``needs`` is False; all come out of one pass."""
    shared = _shared(args)
    grads = [torch.empty_like(tensor) for tensor in shared]
    native.module().box_warp_backward(grad.detach().to(shared[0].dtype), *shared, *grads, native.threads())
    given = (args.mask, args.box, args.visible)
    return [g.to(t.dtype) if need else None for g, t, need in zip(grads, given, needs, strict=True)]
