"""The definition of packing in plain PyTorch."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Arguments(NamedTuple):
    """The arguments of :func:`claimbench.kernels.pack_tokens.pack_tokens`, with one axis of tokens."""

    tokens: Tensor
    alive: Tensor
    count: int


def wrong_count(count: int, found: int) -> ValueError:
    """Return the error that says that ``count`` is not the number of tokens that are alive."""
    return ValueError(f"pack_tokens: count is {count}, but {found} tokens are alive")


def pack_tokens(args: Arguments) -> Tensor:
    """See :func:`claimbench.kernels.pack_tokens.pack_tokens`."""
    rows = args.tokens[args.alive]
    if len(rows) != args.count:
        raise wrong_count(args.count, len(rows))
    return rows
