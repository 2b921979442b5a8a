"""The selective scan of Mamba: a linear recurrence for each channel whose coefficients depend on the input."""

from __future__ import annotations

import torch
from torch import Tensor

from claimbench.kernels.arguments import check_dtypes
from claimbench.kernels.operator import Operator
from claimbench.kernels.selective_scan import reference

__all__ = ["OPERATOR", "selective_scan"]

_NAME = "selective_scan"
MOST_STATES = 64


def _check(args: reference.Arguments) -> None:
    u = args.u
    if u.dim() != 3 or 0 in u.shape[1:]:
        raise ValueError(f"{_NAME}: u must be (B, D, L) with D and L at least 1, got shape {tuple(u.shape)}")
    batch, channels, length = u.shape
    if args.A.dim() != 2 or args.A.shape[0] != channels or not 1 <= args.A.shape[1] <= MOST_STATES:
        shape = tuple(args.A.shape)
        raise ValueError(f"{_NAME}: A must be ({channels}, N) with N from 1 to {MOST_STATES}, got shape {shape}")
    states = args.A.shape[1]
    if args.B.dim() != 4 or args.B.shape[1] == 0 or channels % args.B.shape[1]:
        shape = tuple(args.B.shape)
        raise ValueError(f"{_NAME}: B must be (B, G, N, L) with G a divisor of D = {channels}, got shape {shape}")
    of_groups = (batch, args.B.shape[1], states, length)
    expected = {
        "delta": (batch, channels, length),
        "B": of_groups,
        "C": of_groups,
        "D": (channels,),
        "z": (batch, channels, length),
        "delta_bias": (channels,),
        "initial_state": (batch, channels, states),
    }
    for field, shape in expected.items():
        tensor = getattr(args, field)
        if tensor is not None and tensor.shape != shape:
            raise ValueError(f"{_NAME}: {field} must be {shape}, got shape {tuple(tensor.shape)}")
    check_dtypes(_NAME, args, OPERATOR.keeps_dtype)


def _fake(args: reference.Arguments) -> tuple[Tensor, Tensor, Tensor]:
    """Return an empty output, last state and states (B, chunks, N, D) at the chunks' starts, for the backward pass."""
    u, states = args.u, args.A.shape[1]
    chunks = -(-u.shape[2] // reference.chunk_length(states))
    last = u.new_empty(*u.shape[:2], states, dtype=reference.state_dtype(u.dtype))
    return torch.empty_like(u), last, last.new_empty(u.shape[0], chunks, states, u.shape[1])


OPERATOR = Operator(
    name=_NAME,
    arguments=reference.Arguments,
    reference=reference.selective_scan,
    fake=_fake,
    extras=1,
    outputs=2,
    keeps_dtype=("A", "D", "delta_bias", "initial_state"),
    check=_check,
)


def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
    initial_state: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Run a state of N numbers along each channel, driven by u, and read it out.

    With ``d = delta + delta_bias``, then softplus of it if ``delta_softplus``, for every channel and state number n:

        x[l, n] = exp(d[l] A[n]) x[l-1, n] + d[l] u[l] B[n, l]
        y[l] = sum over n of C[n, l] x[l, n] + D u[l],  times z[l] sigmoid(z[l]) if there is a gate

    The state is float32 (float64 for float64) whatever the dtype of u. No backend holds all states: for the backward
    pass one in 64 is kept (in 128 where N is above 32), and the others are calculated again. Nothing is divided by a
    product of decays, so that strong decay is as safe as weak. NaN passes on to all later positions.

    Args:
        u: (B, D, L), floating point, any strides.
        delta: (B, D, L), the same dtype: the step size before bias and softplus.
        A: (D, N), N from 1 to 64, of any floating dtype; negative for a state that decays.
        B: (B, G, N, L), or (B, N, L) for one group, of u's dtype; D / G neighbouring channels share a group.
        C: as B.
        D: (D,), of any floating dtype.
        z: (B, D, L), of u's dtype.
        delta_bias: (D,), of any floating dtype.
        delta_softplus: whether the step size goes through softplus.
        initial_state: (B, D, N), x[-1], of any floating dtype; None for zero.

    Returns:
        y (B, D, L) in u's dtype and memory format, and the last state (B, D, N) in the state's dtype. Both are
        differentiable.

    Raises:
        ValueError: a shape is not as above.
        TypeError: dtypes that must be one differ outside autocast.

    Source: Gu and Dao, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces", 2023, arXiv 2312.00752,
    algorithm 2; the groups of Liu et al., "VMamba: Visual State Space Model", 2024, arXiv 2401.10166.
    """
    B, C = (each.unsqueeze(1) if each.dim() == 3 else each for each in (B, C))
    y, last_state = OPERATOR(u, delta, A, B, C, D, z, delta_bias, initial_state, delta_softplus)
    return y, last_state
