"""Unpacking on the CPU, in C++."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from claimbench.kernels import native
from claimbench.kernels.native import bits, unavailable
from claimbench.kernels.native import refuses as _refuses
from claimbench.kernels.unpack_tokens.reference import Arguments, wrong_number

__all__ = ["backward", "forward", "refuses", "unavailable"]


def refuses(args: Arguments) -> str | None:
    """Return why these arguments cannot be taken, as a sentence, or None if they can."""
    return _refuses((args.rows, args.canvas))


def forward(args: Arguments) -> Tensor:
    """Return the canvas with the rows in their places."""
    out = args.canvas.new_empty(args.canvas.shape)
    found = native.module().unpack_tokens_forward(
        bits(args.rows), args.alive.view(torch.uint8), bits(args.canvas), bits(out), native.threads()
    )
    if found != len(args.rows):
        raise wrong_number(len(args.rows), found)
    return out


def backward(grad: Tensor, saved: list[Tensor], args: Arguments, needs: Sequence[bool]) -> list[Tensor | None]:
    """Return the gradients of rows and canvas, None where ``needs`` is False."""
    alive, module = args.alive.view(torch.uint8), native.module()
    rows = torch.empty_like(args.rows) if needs[0] else None
    canvas = torch.empty_like(args.canvas) if needs[2] else None
    if rows is not None:
        module.pack_tokens_forward(bits(grad), alive, bits(rows), native.threads())
    if canvas is not None:
        module.unpack_tokens_forward(None, alive, bits(grad), bits(canvas), native.threads())
    return [rows, None, canvas]
