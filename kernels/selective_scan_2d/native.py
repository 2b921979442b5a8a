"""The selective scan over a map on the CPU, in C++."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from claimbench.kernels import native
from claimbench.kernels.native import refuses, unavailable
from claimbench.kernels.selective_scan.native import parts
from claimbench.kernels.selective_scan.reference import chunk_length, state_dtype
from claimbench.kernels.selective_scan_2d.reference import Arguments

__all__ = ["backward", "forward", "refuses", "unavailable"]


def _shared(args: Arguments) -> list[Tensor | None]:
    """Return the tensors in the dtype of the state, with one axis for the positions of maps."""
    dtype = state_dtype(args.u.dtype)
    u, delta, B, C = (maps.detach().to(dtype).flatten(-2) for maps in (args.u, args.delta, args.B, args.C))
    A, D, bias = (t if t is None else t.detach().to(dtype) for t in (args.A, args.D, args.delta_bias))
    return [u, delta, A, B, C, D, bias]


def _room(maps: Tensor, dtype: torch.dtype) -> Tensor:
    """Return empty maps with the strides of ``maps`` if one step leads from position to position, else contiguous."""
    found = torch.empty_like(maps, dtype=dtype)
    steady = found.stride(-2) == found.shape[-1] * found.stride(-1)
    return found if steady else found.new_empty(found.shape)


def _settings(args: Arguments) -> tuple[bool, int, int, int, int, int]:
    return args.delta_softplus, args.scans, *args.u.shape[2:], chunk_length(args.A.shape[1]), native.threads()


def forward(args: Arguments) -> tuple[Tensor, Tensor]:
    """Return the output and the states (B, chunks, N, 4 D) at the chunks' starts."""
    u, A = args.u, args.A
    batch, _, height, width = u.shape
    out = _room(u, state_dtype(u.dtype))
    states = out.new_empty(batch, -(-height * width // chunk_length(A.shape[1])), *A.shape[::-1])
    native.module().selective_scan_2d_forward(*_shared(args), out.flatten(2), states, *_settings(args))
    return native.like(out, u), states


def backward(grad: Tensor, saved: list[Tensor], args: Arguments, needs: Sequence[bool]) -> list[Tensor | None]:
    """Return the gradients of all tensors, None where ``needs`` is False; all come out of one pass."""
    u, delta, A, B = args[:4]
    dtype, batch, channels = state_dtype(u.dtype), len(u), len(A)
    of_u, of_delta = _room(u, dtype), _room(delta, dtype)
    of_A = of_u.new_empty(batch, *A.shape)
    of_D, of_bias = of_u.new_empty(batch, channels), of_u.new_empty(batch, channels)
    of_B, of_C = of_u.new_zeros(2, parts(batch, u.shape[1], A.shape[1]), *B.shape)
    native.module().selective_scan_2d_backward(
        grad.detach().to(dtype).flatten(2), *_shared(args), saved[-1], of_u.flatten(2), of_delta.flatten(3), of_A,
        of_B.flatten(-2), of_C.flatten(-2), of_D, of_bias, *_settings(args),
    )  # fmt: skip
    found = (of_u, of_delta, *(each.sum(0) for each in (of_A, of_B, of_C, of_D, of_bias)))
    return native.gradients(found, args, needs)
