"""The definition of unpacking in plain PyTorch."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Arguments(NamedTuple):
    """The arguments of :func:`claimbench.kernels.unpack_tokens.unpack_tokens`, with one axis of tokens."""

    rows: Tensor
    alive: Tensor
    canvas: Tensor


def wrong_number(number: int, found: int) -> ValueError:
    """Return the error that says that there are not as many rows as places that are alive."""
    return ValueError(f"unpack_tokens: there are {number} rows for {found} places that are alive")


def unpack_tokens(args: Arguments) -> Tensor:
    """See :func:`claimbench.kernels.unpack_tokens.unpack_tokens`."""
    rows, alive, canvas = args
    places = alive.nonzero()[:, 0]
    if len(places) != len(rows):
        raise wrong_number(len(rows), len(places))
    return canvas.index_copy(0, places, rows)
