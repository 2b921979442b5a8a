"""Arithmetic and least memory traffic of local block attention, from the shapes of its arguments."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from claimbench.kernels.cost import elements
from claimbench.kernels.local_block_attention.reference import Arguments


def forward_flops(args: Arguments) -> int:
    """Return the FLOPs of the forward pass, two a multiply-add; padding outside the map is counted.

    Every query sees a whole window and, in each table, as many entries as a window has rows.
    """
    side = args.block_size + 2 * args.halo_size
    content = prod(args.query.shape[:4]) * side**2 * (args.key.shape[4] + args.value.shape[4])
    tables = sum(table is not None for table in (args.row_table, args.column_table))
    return 2 * (content + args.query.numel() * side * tables)


def backward_flops(args: Arguments, needs: Sequence[bool] = (True,) * 5) -> int:
    """Return the FLOPs of the backward pass: two gradients for each product of the forward pass."""
    return 2 * forward_flops(args)


def _out(args: Arguments) -> int:
    """Return the number of elements of the output."""
    return prod(args.query.shape[:4]) * args.value.shape[4]


def forward_bytes(args: Arguments) -> int:
    """Return the bytes of the forward pass when every tensor is read or written once."""
    return args.query.itemsize * (elements(args) + _out(args))


def backward_bytes(args: Arguments) -> int:
    """Return the bytes of the backward pass: arguments and the output's gradient in, all gradients out."""
    return args.query.itemsize * (2 * elements(args) + _out(args))
