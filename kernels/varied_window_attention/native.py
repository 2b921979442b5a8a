"""Varied-size window attention on the CPU, in C++.

Sampling with PyTorch's grid_sample and attending with its scaled_dot_product_attention takes about three times as
long: both want copies of the map in layouts of their own.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from claimbench.kernels import native
from claimbench.kernels.native import refuses, unavailable
from claimbench.kernels.varied_window_attention.reference import Arguments

__all__ = ["backward", "forward", "refuses", "unavailable"]

VECTOR = 16
"""Numbers in the longest vector of any instruction set: the native code takes whole vectors of channels."""


def _vectors(x: Tensor) -> Tensor:
    """Return a map of whole vectors of channels, of unit stride: x itself in the models, elsewhere a padded copy."""
    missing = -x.shape[-1] % VECTOR
    if missing:
        return F.pad(x, (0, missing))
    return x if x.stride(-1) == 1 else x.contiguous()


def _new(like: Tensor, channels: int) -> Tensor:
    """Return an empty map of vectors in memory (B, H, W, G, channels)."""
    batch, groups, height, width = like.shape[:4]
    return like.new_empty((batch, height, width, groups, channels)).permute(0, 3, 1, 2, 4)


def forward(args: Arguments) -> tuple[Tensor, Tensor]:
    """Return the output and the logarithm of every query's sum of exponentials."""
    *maps, offset, stretch, bias = native.shared(args)
    q, k, v = map(_vectors, maps)
    out = _new(v, v.shape[-1])
    logarithm = q.new_empty(q.shape[:4])
    native.module().varied_window_attention_forward(
        q, k, v, offset, stretch, bias, out, logarithm, args.window_size, args.scale, native.threads()
    )
    channels = args.value.shape[-1]
    if out.shape[-1] != channels:
        out = _new(v, channels).copy_(out[..., :channels])
    return out.to(args.query.dtype), logarithm


def backward(grad: Tensor, saved: list[Tensor], args: Arguments, needs: Sequence[bool]) -> list[Tensor | None]:
    """Return the gradients of the six tensors, None where ``needs`` is False; all come out of one pass."""
    *maps, offset, stretch, bias = native.shared(args)
    g, q, k, v = map(_vectors, (native.share(grad), *maps))
    grads = [_new(q, q.shape[-1]), _new(k, k.shape[-1]).zero_(), _new(v, v.shape[-1]).zero_()]
    places = [torch.empty_like(tensor) for tensor in (offset, stretch)]
    # Every map adds its own share, so that the sum does not depend on threads.
    share = None if bias is None else q.new_empty((len(q), *bias.shape))
    native.module().varied_window_attention_backward(
        g,
        saved[1],
        q,
        k,
        v,
        offset,
        stretch,
        bias,
        *grads,
        *places,
        share,
        args.window_size,
        args.scale,
        native.threads(),
    )
    found: list[Tensor | None] = [
        torch.empty_like(argument).copy_(padded[..., : argument.shape[-1]])
        for argument, padded in zip((args.query, args.key, args.value), grads, strict=True)
    ]
    found += [*places, None if share is None else share.sum(0)]
    return [f.to(grad.dtype) if f is not None and need else None for f, need in zip(found, needs, strict=True)]
