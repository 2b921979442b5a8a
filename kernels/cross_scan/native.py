"""The cross-scan on the CPU, in C++."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from claimbench.kernels import native
from claimbench.kernels.cross_scan.reference import Arguments
from claimbench.kernels.native import refuses, unavailable

__all__ = ["backward", "forward", "merge", "refuses", "scan", "unavailable"]


def scan(x: Tensor, scans: int, channels_last: bool) -> Tensor:
    """Return the sequences of a map, shaped as :func:`~claimbench.kernels.cross_scan.cross_scan` says."""
    x = x.detach() if x.stride(3) == 1 else x.detach().contiguous()
    batch, *sizes = x.shape
    words = x.view(torch.int16) if x.itemsize == 2 else x
    if channels_last:
        height, width, channels = sizes
        out = words.new_empty(batch, height * width, 4, channels)
        native.module().cross_scan_tokens(words.flatten(1, 2), out, scans, height, width, native.threads())
    else:
        channels, height, width = sizes
        out = words.new_empty(batch, 4, channels, height * width)
        native.module().cross_scan(words, out, scans, native.threads())
    return out.view(x.dtype)


def merge(y: Tensor, height: int, width: int, scans: int, channels_last: bool) -> Tensor:
    """Return the map of the sequences, shaped as :func:`~claimbench.kernels.cross_merge.cross_merge` says."""
    shared = native.share(y if y.stride(3) == 1 else y.contiguous())
    batch, channels = y.shape[0], y.shape[3 if channels_last else 2]
    shape = (batch, height, width, channels) if channels_last else (batch, channels, height, width)
    out = shared.new_empty(shape)
    native.module().cross_merge(shared, out, scans, height, width, channels_last, native.threads())
    return out.to(y.dtype)


def forward(args: Arguments) -> Tensor:
    """Return the four sequences of a map."""
    return scan(*args)


def backward(grad: Tensor, saved: list[Tensor], args: Arguments, needs: Sequence[bool]) -> list[Tensor | None]:
    """Return the gradient of x: the cross-merge of the sequences' gradients."""
    x, scans, channels_last = args
    height, width = x.shape[1:3] if channels_last else x.shape[2:]
    return native.gradients([merge(grad, height, width, scans, channels_last)], args, needs)
