"""Packing on the CPU, in C++."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from claimbench.kernels import native
from claimbench.kernels.native import bits, unavailable
from claimbench.kernels.native import refuses as _refuses
from claimbench.kernels.pack_tokens.reference import Arguments, wrong_length

__all__ = ["backward", "forward", "refuses", "unavailable"]


def refuses(args: Arguments) -> str | None:
    """Return why these arguments cannot be taken, as a sentence, or None if they can."""
    return _refuses(args[:1])


def forward(args: Arguments) -> Tensor:
    """Return the rows that are alive."""
    out = args.tokens.new_empty(args.length, args.tokens.shape[1])
    alive = args.alive.view(torch.uint8)
    found = native.module().pack_tokens_forward(bits(args.tokens), alive, bits(out), native.threads())
    if found != args.length:
        raise wrong_length(args.length, found)
    return out


def backward(grad: Tensor, saved: list[Tensor], args: Arguments, needs: Sequence[bool]) -> list[Tensor | None]:
    """Return the gradient of the tokens, None where ``needs`` is False."""
    if not needs[0]:
        return [None, None]
    out = torch.empty_like(args.tokens)
    alive = args.alive.view(torch.uint8)
    native.module().unpack_tokens_forward(bits(grad), alive, None, bits(out), native.threads())
    return [out, None]
