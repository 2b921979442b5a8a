"""Unpacking tokens: packed rows go back to the places that are alive; the other places keep what they hold."""

from __future__ import annotations

import torch
from torch import Tensor

from claimbench.kernels.operator import Operator
from claimbench.kernels.unpack_tokens import reference

__all__ = ["OPERATOR", "unpack_tokens"]

NAME = "unpack_tokens"


def _check(args: reference.Arguments) -> None:
    rows, alive, canvas = args
    if rows.dim() != 2 or canvas.dim() != 2 or rows.shape[1] != canvas.shape[1]:
        raise ValueError(
            f"{NAME}: rows must be (T, C) and canvas (R, C), got shapes {tuple(rows.shape)} and {tuple(canvas.shape)}"
        )
    if alive.shape != canvas.shape[:1] or alive.dtype != torch.bool or alive.device != rows.device:
        raise ValueError(
            f"{NAME}: alive must be {tuple(canvas.shape[:1])} in bool on {rows.device}, got {tuple(alive.shape)} in "
            f"{alive.dtype} on {alive.device}"
        )
    if len(rows) > len(canvas) or canvas.device != rows.device:
        raise ValueError(f"{NAME}: {len(rows)} rows on {rows.device} do not go into {len(canvas)} on {canvas.device}")


def _fake(args: reference.Arguments) -> Tensor:
    """Return an empty canvas."""
    return args.canvas.new_empty(args.canvas.shape)


OPERATOR = Operator(
    name=NAME,
    arguments=reference.Arguments,
    reference=reference.unpack_tokens,
    fake=_fake,
    check=_check,
)


def unpack_tokens(rows: Tensor, alive: Tensor, canvas: Tensor) -> Tensor:
    """Return ``canvas`` with the places that are alive replaced by the rows, in their order; nothing is overwritten.

    It is the way back of :func:`~claimbench.kernels.pack_tokens.pack_tokens`, which says why neither is
    :func:`~claimbench.kernels.token_reorganize.token_reorganize`. The gradient of rows is packed from that of the
    output, the gradient of canvas is zero at the places that are alive.

    Args:
        rows: (T, C), floating point, any strides, one for each place that is alive.
        alive: (...), bool.
        canvas: (..., C), the same dtype, any strides.

    Returns:
        (..., C), contiguous.

    Raises:
        ValueError: a shape or a dtype is not as above, or there are not as many rows as places that are alive.
        TypeError: the dtypes differ outside autocast.

    Source: Tang et al., arXiv 2308.01045, section 3.2.
    """
    if alive.shape != canvas.shape[:-1]:
        raise ValueError(f"{NAME}: alive must be {tuple(canvas.shape[:-1])}, got shape {tuple(alive.shape)}")
    return OPERATOR(rows, alive.reshape(-1), canvas.reshape(-1, canvas.shape[-1])).view(canvas.shape)
