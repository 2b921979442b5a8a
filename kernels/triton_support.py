"""The checks and launch parameters that the Triton backends share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

_DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
_TILE_ELEMENTS = 1024


def interpreted() -> bool:
    """Return whether kernels run in Triton's interpreter, on CPU tensors (``TRITON_INTERPRET=1``)."""
    return bool(triton.knobs.runtime.interpret)


def unavailable() -> str | None:
    """Return why Triton kernels cannot run on this machine, as a sentence, or None if they can."""
    if interpreted() or torch.cuda.is_available():
        return None
    return (
        "Triton kernels need a GPU and none is visible; TRITON_INTERPRET=1, set before the start, "
        "runs them in Triton's interpreter, slowly"
    )


def refuses(args: Iterable[object], *maps: Tensor) -> str | None:
    """Return why the Triton backend cannot take these arguments, or None if it can.

    Args:
        args: the operator's arguments; every tensor has to be of a known dtype and on the right device.
        maps: (B, G, ...) tensors that a kernel indexes with 32 bits inside one (batch, group).
    """
    device = "cpu" if interpreted() else "cuda"
    for arg in args:
        if not isinstance(arg, Tensor):
            continue
        if arg.device.type != device:
            where = "Triton's interpreter runs on the CPU" if interpreted() else "Triton operators run on a GPU"
            return f"{where}, got a tensor on {arg.device}"
        if arg.dtype not in _DTYPES:
            return f"Triton operators take float32, float64, bfloat16 or float16, got {arg.dtype}"
    for tensor in maps:
        reach = sum((size - 1) * stride for size, stride in zip(tensor.shape[2:], tensor.stride()[2:], strict=True))
        if reach >= 2**31:
            return f"one map of shape {tuple(tensor.shape[2:])} spans {reach} elements, more than 32-bit offsets reach"
    return None


def accumulator(*tensors: Tensor) -> Any:
    """Return the type to calculate in: float64 if any tensor is, else float32."""
    return tl.float64 if any(t.dtype == torch.float64 for t in tensors) else tl.float32


def storage(*tensors: Tensor) -> torch.dtype:
    """Return the torch dtype of intermediate results: :func:`accumulator`'s."""
    return torch.float64 if any(t.dtype == torch.float64 for t in tensors) else torch.float32


def block_of(size: int) -> int:
    """Return the power of two that covers ``size``."""
    return int(triton.next_power_of_2(size))


def positions_per_program(width: int) -> int:
    """Return the number of positions of a program when each has vectors of ``width`` (a power of two) elements."""
    return min(128, max(16, _TILE_ELEMENTS // width))


@contextmanager
def launching(tensor: Tensor) -> Iterator[None]:
    """Launch kernels on the tensor's GPU with autocast off, which would round an operator's float32 intermediates."""
    device = torch.cuda.device(tensor.device) if tensor.is_cuda else nullcontext()
    with device, torch.autocast(tensor.device.type, enabled=False):
        yield
