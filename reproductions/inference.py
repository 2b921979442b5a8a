"""Ways to save time and memory in inference: one matrix product over positions, and a batch computed in pieces."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from claimbench.kernels import backend

__all__ = ["by_pieces", "is_counted", "is_plain_inference", "pointwise"]

_PIECE_BYTES = 8 << 20
"""The bytes of a stage's widest map that are computed at a time; larger pieces leave the processor's cache."""


def is_counted(x: Tensor) -> bool:
    """Return whether the definition has to run because its cost is counted: meta tensors, or the reference backend."""
    return x.is_meta or backend.override() == "reference"


def is_plain_inference(x: Tensor) -> bool:
    """Return whether ``x`` is a CPU tensor whose results nothing records: no autograd, tracer, counter or autocast."""
    watched = torch.is_grad_enabled() or torch.compiler.is_compiling() or is_counted(x)
    return not watched and x.device.type == "cpu" and not torch.is_autocast_enabled("cpu")


def pointwise(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Convolve (B, C, H, W) in channels-last memory with a 1x1 kernel (O, C, 1, 1) or (O, C): one matrix product."""
    batch, channels, height, width = x.shape
    rows = F.linear(x.permute(0, 2, 3, 1).reshape(-1, channels), weight.flatten(1), bias)
    return rows.view(batch, height, width, weight.shape[0]).permute(0, 3, 1, 2)


def by_pieces(module: nn.Module, x: Tensor, widest: int) -> Tensor:
    """Return ``module(x)``; plain inference computes as many samples at a time as the caches hold.

    The batch is cut only if the widest map of the whole batch would have to go to memory and back, and if no forward
    hook expects to see all samples.

    Args:
        module: treats each sample by itself.
        x: (B, C, H, W) or (B, H, W, C).
        widest: the channels of the widest map inside.
    """
    count = _pieces(x, widest) if is_plain_inference(x) else 1
    watched = any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())
    if count <= 1 or watched:
        result: Tensor = module(x)
        return result
    pieces = x.tensor_split(count)
    first: Tensor = module(pieces[0])
    layout = torch.contiguous_format if first.is_contiguous() else torch.channels_last
    out = torch.empty((x.shape[0], *first.shape[1:]), dtype=first.dtype, memory_format=layout)
    for piece, to in zip(pieces, out.tensor_split(count), strict=True):
        to.copy_(first if piece is pieces[0] else module(piece))
    return out


def _pieces(x: Tensor, widest: int) -> int:
    """Return into how many pieces a batch is cut, from what its widest map takes."""
    channels = x.shape[1] if x.stride(1) == 1 else x.shape[-1]
    size = x.numel() // max(channels, 1) * widest * x.itemsize
    return min(-(-size // _PIECE_BYTES), x.shape[0])
