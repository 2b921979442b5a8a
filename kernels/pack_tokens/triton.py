"""Packing on a GPU, and the kernels of unpacking: a program moves some columns of some rows.

A running sum of the mask says where each row goes; no pass uses atomics. The length is not compared with the mask,
since reading it back would wait for the GPU.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from claimbench.kernels import triton_support as support
from claimbench.kernels.triton_support import unavailable

__all__ = ["backward", "forward", "packed", "refuses", "unavailable", "unpacked"]

_ROWS = 16
_COLUMNS = 128


@triton.jit
def _pack_kernel(
    tokens, tr, tc, ends, alive, out, orow, oc, rows, columns, count,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    lives = tl.load(alive + row, mask=row < rows, other=0) != 0
    place = tl.load(ends + row, mask=row < rows, other=0) - 1
    moves = (lives & (place < count))[:, None] & (column < columns)[None, :]
    found = tl.load(tokens + row[:, None] * tr + column[None, :] * tc, mask=moves, other=0)
    tl.store(out + place[:, None] * orow + column[None, :] * oc, found, mask=moves)


@triton.jit
def _unpack_kernel(
    packed, pr, pc, canvas, cr, cc, ends, alive, out, orow, oc, rows, columns, count,
    PACKED: tl.constexpr, CANVAS: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    lives = tl.load(alive + row, mask=row < rows, other=0) != 0
    place = tl.load(ends + row, mask=row < rows, other=0) - 1
    inside = (row < rows)[:, None] & (column < columns)[None, :]
    found = tl.zeros((ROWS, COLUMNS), dtype=out.dtype.element_ty)
    if PACKED:
        moves = inside & (lives & (place < count))[:, None]
        found = tl.load(packed + place[:, None] * pr + column[None, :] * pc, mask=moves, other=0)
    if CANVAS:
        stays = inside & (lives == 0)[:, None]
        kept = tl.load(canvas + row[:, None] * cr + column[None, :] * cc, mask=stays, other=0)
        found = tl.where(lives[:, None], found, kept)
    tl.store(out + row[:, None] * orow + column[None, :] * oc, found, mask=inside)


def _grid(rows, columns):
    return triton.cdiv(rows, _ROWS), triton.cdiv(columns, _COLUMNS)


def packed(tokens, alive, out):
    """Write the rows of ``tokens`` (R, C) that are ``alive`` (R,) into ``out``, one after the other, and return it."""
    rows, columns = tokens.shape
    if out.numel():
        with support.launching(tokens):
            _pack_kernel[_grid(rows, columns)](
                tokens, *tokens.stride(), alive.cumsum(0), alive.contiguous().view(torch.uint8), out, *out.stride(),
                rows, columns, len(out), ROWS=_ROWS, COLUMNS=_COLUMNS,
            )  # fmt: skip
    return out


def unpacked(rows, alive, canvas, out):
    """Write ``rows`` to the places of ``out`` (R, C) that are alive, those of ``canvas`` to the others, and return it.

    What is None stands for zeros.
    """
    if out.numel():
        given = out if rows is None else rows
        beside = out if canvas is None else canvas
        with support.launching(out):
            _unpack_kernel[_grid(*out.shape)](
                given, *given.stride(), beside, *beside.stride(), alive.cumsum(0),
                alive.contiguous().view(torch.uint8), out, *out.stride(), *out.shape, len(given),
                PACKED=rows is not None, CANVAS=canvas is not None, ROWS=_ROWS, COLUMNS=_COLUMNS,
            )  # fmt: skip
    return out


def refuses(args):
    """Return why these arguments cannot be taken, as a sentence, or None if they can."""
    return support.refuses(args[:1])


def forward(args):
    """Return the rows that are alive."""
    return packed(args.tokens, args.alive, args.tokens.new_zeros(args.length, args.tokens.shape[1]))


def backward(grad, saved, args, needs):
    """Return the gradient of the tokens, None where ``needs`` is False."""
    return unpacked(grad, args.alive, None, torch.empty_like(args.tokens)) if needs[0] else None, None
