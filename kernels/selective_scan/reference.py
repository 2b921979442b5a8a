"""The definition of the selective scan in plain PyTorch."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


class Arguments(NamedTuple):
    """The arguments of :func:`claimbench.kernels.selective_scan.selective_scan`, B and C with their groups."""

    u: Tensor
    delta: Tensor
    A: Tensor
    B: Tensor
    C: Tensor
    D: Tensor | None
    z: Tensor | None
    delta_bias: Tensor | None
    initial_state: Tensor | None
    delta_softplus: bool


def state_dtype(dtype: torch.dtype) -> torch.dtype:
    """Return the dtype that states have and that is computed in: float64 for float64, else float32."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def chunk_length(states: int) -> int:
    """Return the number of positions between two states (N numbers a channel) that are kept for the backward pass."""
    return 64 if states <= 32 else 128


def linear_recurrence(a: Tensor, b: Tensor) -> Tensor:
    """Return x of ``x[l] = a[l] x[l-1] + b[l]`` along the last axis, where ``x[-1] = 0``.

    Neighbours are joined in pairs, the recurrence of half the length is solved, and the states between follow. Products
    of ``a`` may vanish, but nothing is divided by them.
    """
    if b.shape[-1] == 1:
        return b
    first_a, second_a, first_b, second_b = a[..., ::2], a[..., 1::2], b[..., ::2], b[..., 1::2]
    pairs = second_b.shape[-1]
    second = linear_recurrence(first_a[..., :pairs] * second_a, second_a * first_b[..., :pairs] + second_b)
    later = first_b[..., 1:] + first_a[..., 1:] * second[..., : first_b.shape[-1] - 1]
    first = torch.cat((first_b[..., :1], later), dim=-1)
    joined = torch.stack((first[..., :pairs], second), dim=-1).flatten(-2)
    return torch.cat((joined, first[..., pairs:]), dim=-1)


def selective_scan(args: Arguments) -> tuple[Tensor, Tensor]:
    """See :func:`claimbench.kernels.selective_scan.selective_scan`."""
    dtype, groups = state_dtype(args.u.dtype), (args.B.shape[1], -1)
    u, delta, A, B, C = (tensor.to(dtype) for tensor in args[:5])
    if args.delta_bias is not None:
        delta = delta + args.delta_bias.to(dtype)[:, None]
    if args.delta_softplus:
        delta = F.softplus(delta)
    decay = (delta.unsqueeze(2) * A.unsqueeze(-1)).exp()
    drive = ((delta * u).unflatten(1, groups).unsqueeze(3) * B.unsqueeze(2)).flatten(1, 2)
    if args.initial_state is not None:
        start = drive[..., :1] + decay[..., :1] * args.initial_state.to(dtype).unsqueeze(-1)
        drive = torch.cat((start, drive[..., 1:]), dim=-1)
    states = linear_recurrence(decay, drive)
    out = (states.unflatten(1, groups) * C.unsqueeze(2)).sum(3).flatten(1, 2)
    if args.D is not None:
        out = out + args.D.to(dtype)[:, None] * u
    if args.z is not None:
        out = out * F.silu(args.z.to(dtype))
    return out.to(args.u.dtype), states[..., -1]
