"""Packing tokens: the rows that are alive, close together; its way back is :mod:`unpack_tokens`."""

from __future__ import annotations

import torch
from torch import Tensor

from claimbench.kernels.operator import Operator
from claimbench.kernels.pack_tokens import reference

__all__ = ["OPERATOR", "pack_tokens"]

NAME = "pack_tokens"


def _check(args: reference.Arguments) -> None:
    tokens, alive, length = args
    if tokens.dim() != 2:
        raise ValueError(f"{NAME}: tokens must be (R, C), got shape {tuple(tokens.shape)}")
    if alive.shape != tokens.shape[:1] or alive.dtype != torch.bool or alive.device != tokens.device:
        raise ValueError(
            f"{NAME}: alive must be {tuple(tokens.shape[:1])} in bool on {tokens.device}, got {tuple(alive.shape)} in "
            f"{alive.dtype} on {alive.device}"
        )
    if not 0 <= length <= len(alive):
        raise ValueError(f"{NAME}: length must be from 0 to the {len(alive)} tokens, got {length}")


def _fake(args: reference.Arguments) -> Tensor:
    """Return an empty output (length, C)."""
    return args.tokens.new_empty(args.length, args.tokens.shape[1])


OPERATOR = Operator(
    name=NAME,
    arguments=reference.Arguments,
    reference=reference.pack_tokens,
    fake=_fake,
    check=_check,
)


def pack_tokens(tokens: Tensor, alive: Tensor, length: int | None = None) -> Tensor:
    """Return the rows that are alive, in their order and without gaps.

    :func:`~claimbench.kernels.token_reorganize.token_reorganize` does not fit: it keeps as many tokens of each image as
    the caller says, sorted by a score. Here the number differs from image to image and follows from a mask, the order
    stays, and the images of a batch lie one after the other, as
    :func:`~claimbench.kernels.varlen_attention.varlen_attention` takes them.

    Args:
        tokens: (..., C), floating point, any strides.
        alive: (...), bool, which tokens to keep.
        length: their number, if the caller knows it; None counts, which waits for a GPU.

    Returns:
        (length, C) in tokens' dtype, contiguous.

    Raises:
        ValueError: a shape or a dtype is not as above, or ``length`` is not the number of tokens that are alive.

    Source: Tang et al., arXiv 2308.01045, section 3.2; Dao et al., arXiv 2205.14135 (packed batches).
    """
    if alive.shape != tokens.shape[:-1]:
        raise ValueError(f"{NAME}: alive must be {tuple(tokens.shape[:-1])}, got shape {tuple(alive.shape)}")
    known = int(alive.sum()) if length is None else length
    return OPERATOR(tokens.reshape(-1, tokens.shape[-1]), alive.reshape(-1), known)
