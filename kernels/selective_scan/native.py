"""The selective scan on the CPU, in C++."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from claimbench.kernels import native
from claimbench.kernels.native import refuses, unavailable
from claimbench.kernels.selective_scan.reference import Arguments, chunk_length, state_dtype

__all__ = ["backward", "forward", "parts", "refuses", "unavailable"]

_PARTS = 16


def parts(groups: int, channels: int, states: int) -> int:
    """Return into how many parts to cut the channels of each group in the backward pass, at least 1.

    There should be work for every thread, but each part has gradients of B and C of its own, which take as much memory
    as ``2 * states`` channels.
    """
    return min(-(-channels // 16), -(-_PARTS // max(groups, 1)), max(2, channels // (2 * states)))


def _shared(args: Arguments) -> tuple[list[Tensor | None], Tensor | None]:
    """Return the tensors in the dtype of the state, those of sequences as (B, G, D / G, L); the first state apart."""
    dtype, groups = state_dtype(args.u.dtype), args.B.shape[1]
    u, delta, A, B, C, D, z, bias, initial = (t if t is None else t.detach().to(dtype) for t in args[:9])
    u, delta, z = (t if t is None else t.unflatten(1, (groups, -1)) for t in (u, delta, z))
    return [u, delta, A, B, C, D, z, bias], initial


def forward(args: Arguments) -> tuple[Tensor, Tensor, Tensor]:
    """Return the output, the last state and the states (B, chunks, N, D) at the chunks' starts."""
    u, A = args.u, args.A
    dtype, chunk = state_dtype(u.dtype), chunk_length(A.shape[1])
    out = torch.empty_like(u, dtype=dtype)
    last = u.new_empty(*u.shape[:2], A.shape[1], dtype=dtype)
    states = last.new_empty(u.shape[0], -(-u.shape[2] // chunk), A.shape[1], u.shape[1])
    tensors, initial = _shared(args)
    into = out.unflatten(1, (args.B.shape[1], -1))
    native.module().selective_scan_forward(
        *tensors, initial, into, last, states, args.delta_softplus, chunk, native.threads()
    )
    return out.to(u.dtype), last, states


def backward(
    grad: Sequence[Tensor], saved: list[Tensor], args: Arguments, needs: Sequence[bool]
) -> list[Tensor | None]:
    """Return the gradients of all tensors, None where ``needs`` is False; all come out of one pass."""
    u, A, B = args.u, args.A, args.B
    dtype, chunk, (batch, groups) = state_dtype(u.dtype), chunk_length(A.shape[1]), B.shape[:2]
    tensors, _ = _shared(args)
    of_u, of_delta, of_z = (t if t is None else torch.empty_like(t, dtype=dtype) for t in (u, args.delta, args.z))
    of_A = u.new_empty(batch, *A.shape, dtype=dtype)
    of_D, of_bias, of_initial = of_A.new_empty(batch, len(A)), of_A.new_empty(batch, len(A)), torch.empty_like(of_A)
    splits = parts(batch * groups, len(A) // groups, A.shape[1])
    of_B, of_C = of_A.new_zeros(splits, *B.shape), of_A.new_zeros(splits, *B.shape)
    into = [t if t is None else t.unflatten(1, (groups, -1)) for t in (of_u, of_delta, of_z)]
    native.module().selective_scan_backward(
        grad[0].detach().to(dtype).unflatten(1, (groups, -1)), grad[1].detach().to(dtype), *tensors, saved[-1], *into,
        of_A, of_B, of_C, of_D, of_bias, of_initial, args.delta_softplus, chunk, native.threads(),
    )  # fmt: skip
    sums = (each.sum(0) for each in (of_A, of_B, of_C, of_D))
    found = [of_u, of_delta, *sums, of_z, of_bias.sum(0), of_initial]
    return native.gradients(found, args, needs)
