"""The definition of packing in plain PyTorch."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Arguments(NamedTuple):
    """The arguments of :func:`claimbench.kernels.pack_tokens.pack_tokens`, with one axis of tokens."""

    tokens: Tensor
    alive: Tensor
    length: int


def wrong_length(length: int, found: int) -> ValueError:
    """Return the error that says that ``length`` is not the number of tokens that are alive."""
    return ValueError(f"pack_tokens: length is {length}, but {found} tokens are alive")


def pack_tokens(args: Arguments) -> Tensor:
    """See :func:`claimbench.kernels.pack_tokens.pack_tokens`."""
    rows = args.tokens[args.alive]
    if len(rows) != args.length:
        raise wrong_length(args.length, len(rows))
    return rows
