"""The selective scan over a map along four directions, without a copy of the map for each."""

from __future__ import annotations

import torch
from torch import Tensor

from claimbench.kernels.arguments import check_dtypes
from claimbench.kernels.cross_scan.reference import check_scans, scan_number
from claimbench.kernels.operator import Operator
from claimbench.kernels.selective_scan import MOST_STATES
from claimbench.kernels.selective_scan.reference import chunk_length, state_dtype
from claimbench.kernels.selective_scan_2d import reference

__all__ = ["OPERATOR", "selective_scan_2d"]

_NAME = "selective_scan_2d"


def _check(args: reference.Arguments) -> None:
    u, A = args.u, args.A
    if u.dim() != 4 or 0 in u.shape[1:]:
        raise ValueError(f"{_NAME}: u must be (B, D, H, W) with no axis but B empty, got shape {tuple(u.shape)}")
    batch, channels, height, width = u.shape
    if A.dim() != 2 or A.shape[0] != 4 * channels or not 1 <= A.shape[1] <= MOST_STATES:
        wanted = f"({4 * channels}, N) with N from 1 to {MOST_STATES}"
        raise ValueError(f"{_NAME}: A must be {wanted}, got shape {tuple(A.shape)}")
    expected = {
        "delta": (batch, 4, channels, height, width),
        "B": (batch, 4, A.shape[1], height, width),
        "C": (batch, 4, A.shape[1], height, width),
        "D": (4 * channels,),
        "delta_bias": (4 * channels,),
    }
    for field, shape in expected.items():
        tensor = getattr(args, field)
        if tensor is not None and tensor.shape != shape:
            raise ValueError(f"{_NAME}: {field} must be {shape}, got shape {tuple(tensor.shape)}")
    check_dtypes(_NAME, args, OPERATOR.keeps_dtype)
    check_scans(_NAME, args.scans)


def _fake(args: reference.Arguments) -> tuple[Tensor, Tensor]:
    """Return an empty output and empty states (B, chunks, N, 4 D) at the chunks' starts, for the backward pass."""
    u, A = args.u, args.A
    chunks = -(-u.shape[2] * u.shape[3] // chunk_length(A.shape[1]))
    return torch.empty_like(u), u.new_empty(u.shape[0], chunks, *A.shape[::-1], dtype=state_dtype(u.dtype))


OPERATOR = Operator(
    name=_NAME,
    arguments=reference.Arguments,
    reference=reference.selective_scan_2d,
    fake=_fake,
    extras=1,
    keeps_dtype=("A", "D", "delta_bias"),
    check=_check,
)


def selective_scan_2d(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
    scans: str = "cross2d",
) -> Tensor:
    """Scan a map along four directions, each with its own coefficients, and add the four results in their places.

    It is ``cross_scan``, ``selective_scan`` with four groups and ``cross_merge`` in one, but delta, B and C are maps:
    number k of each belongs to direction k and is given where the map has it, not in the order of the scan. A linear
    layer that makes them from u at every position then needs no copy of u in another order.

    Args:
        u: (B, D, H, W), floating point, any strides.
        delta: (B, 4, D, H, W), the same dtype: the step sizes before bias and softplus.
        A: (4 * D, N), N from 1 to 64, of any floating dtype, the D channels of the first direction first.
        B: (B, 4, N, H, W), of u's dtype.
        C: as B.
        D: (4 * D,), of any floating dtype.
        delta_bias: (4 * D,), of any floating dtype.
        delta_softplus: whether the step sizes go through softplus.
        scans: ``cross2d``, ``unidi`` or ``bidi``, as of the cross-scan.

    Returns:
        (B, D, H, W) in u's dtype and memory format.

    Raises:
        ValueError: a shape or ``scans`` is not as above.
        TypeError: dtypes that must be one differ outside autocast.

    Source: Liu et al., "VMamba: Visual State Space Model", 2024, arXiv 2401.10166, section 4.3.
    """
    number = scan_number(_NAME, scans)
    out: Tensor = OPERATOR(u, delta, A, B, C, D, delta_bias, delta_softplus, number)
    return out
