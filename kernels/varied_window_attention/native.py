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
from claimbench.kernels.native import unavailable

__all__ = ["backward", "forward", "refuses", "unavailable"]

VECTOR = 16
"""Numbers in the longest vector of any instruction set: the native code takes whole vectors of channels."""


def refuses(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    offset: Tensor,
    stretch: Tensor,
    bias: Tensor | None,
    window_size: int,
    scale: float,
) -> str | None:
    """Return why the native backend cannot take these arguments, or None if it can."""
    return native.refuses(query, key, value, offset, stretch, bias)


def _vectors(x: Tensor) -> Tensor:
    """Return a map of whole vectors of channels, of unit stride: x itself in the models, elsewhere a padded copy."""
    x = native.share(x)
    missing = -x.shape[-1] % VECTOR
    if missing:
        return F.pad(x, (0, missing))
    return x if x.stride(-1) == 1 else x.contiguous()


def _new(like: Tensor, channels: int) -> Tensor:
    """Return an empty map of vectors in memory (B, H, W, G, channels)."""
    batch, groups, height, width = like.shape[:4]
    return like.new_empty((batch, height, width, groups, channels)).permute(0, 3, 1, 2, 4)


def forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    offset: Tensor,
    stretch: Tensor,
    bias: Tensor | None,
    window_size: int,
    scale: float,
) -> tuple[Tensor, Tensor]:
    """Return the output and the logarithm of every query's sum of exponentials."""
    q, k, v = _vectors(query), _vectors(key), _vectors(value)
    out = _new(v, v.shape[-1])
    logarithm = q.new_empty(query.shape[:4])
    native.module().varied_window_attention_forward(
        q, k, v, *_shared(offset, stretch, bias), out, logarithm, window_size, scale, native.threads()
    )
    if out.shape[-1] != value.shape[-1]:
        out = _new(v, value.shape[-1]).copy_(out[..., : value.shape[-1]])
    return out.to(query.dtype), logarithm


def _shared(*tensors: Tensor | None) -> list[Tensor | None]:
    return [None if tensor is None else native.share(tensor) for tensor in tensors]


def backward(
    grad: Tensor,
    saved: list[Tensor],
    query: Tensor,
    key: Tensor,
    value: Tensor,
    offset: Tensor,
    stretch: Tensor,
    bias: Tensor | None,
    window_size: int,
    scale: float,
    needs: Sequence[bool],
) -> list[Tensor | None]:
    """Return the gradients of the six tensors, None where ``needs`` is False; all come out of one pass."""
    g, q, k, v = _vectors(grad), _vectors(query), _vectors(key), _vectors(value)
    grads = [_new(q, q.shape[-1]), _new(k, k.shape[-1]).zero_(), _new(v, v.shape[-1]).zero_()]
    places = [torch.empty_like(tensor, dtype=q.dtype) for tensor in (offset, stretch)]
    # Every map adds its own share, so that the sum does not depend on threads.
    share = None if bias is None else q.new_empty((len(query), *bias.shape))
    native.module().varied_window_attention_backward(
        g,
        saved[1],
        q,
        k,
        v,
        *_shared(offset, stretch, bias),
        *grads,
        *places,
        share,
        window_size,
        scale,
        native.threads(),
    )
    maps = [
        torch.empty_like(argument).copy_(found[..., : argument.shape[-1]])
        for argument, found in zip((query, key, value), grads, strict=True)
    ]
    found = [*maps, *places, None if share is None else share.sum(0)]
    return [f.to(query.dtype) if f is not None and need else None for f, need in zip(found, needs, strict=True)]
