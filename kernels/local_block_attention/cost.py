"""Arithmetic and least memory traffic of local block attention, from the shapes of its arguments."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

Shape = Sequence[int]
Table = Sequence[int] | None


def _content(query: Shape, key: Shape, value: Shape, block_size: int, halo_size: int) -> int:
    """Multiply-adds of scores and aggregation: every query sees a whole window."""
    return prod(query[:4]) * (block_size + 2 * halo_size) ** 2 * (key[4] + value[4])


def _position(query: Shape, key: Shape, table: Table, block_size: int, halo_size: int) -> int:
    """Multiply-adds of one axis' position scores: every query meets as many entries as a window has rows."""
    return 0 if table is None else prod(query) * (block_size + 2 * halo_size)


def forward_flops(
    query: Shape, key: Shape, value: Shape, row_table: Table, column_table: Table, block_size: int, halo_size: int,
    scale: float,
) -> int:  # fmt: skip
    """Return the FLOPs of the forward pass, two a multiply-add; padding outside the map is counted."""
    window = (block_size, halo_size)
    position = _position(query, key, row_table, *window) + _position(query, key, column_table, *window)
    return 2 * (_content(query, key, value, *window) + position)


def backward_flops(
    query: Shape, key: Shape, value: Shape, row_table: Table, column_table: Table, block_size: int, halo_size: int,
    scale: float, needs: Sequence[bool] = (True, True, True, True, True),
) -> int:  # fmt: skip
    """Return the FLOPs of the backward pass: two gradients for each product of the forward pass."""
    args = (query, key, value, row_table, column_table, block_size, halo_size, scale)
    return 2 * forward_flops(*args)


def _numbers(*shapes: Table) -> int:
    return sum(prod(shape) for shape in shapes if shape is not None)


def forward_bytes(
    query: Shape, key: Shape, value: Shape, row_table: Table, column_table: Table, block_size: int, halo_size: int,
    scale: float, itemsize: int,
) -> int:  # fmt: skip
    """Return the bytes of the forward pass when every tensor is read or written once."""
    out = prod(query[:4]) * value[4]
    return itemsize * (_numbers(query, key, value, row_table, column_table) + out)


def backward_bytes(
    query: Shape, key: Shape, value: Shape, row_table: Table, column_table: Table, block_size: int, halo_size: int,
    scale: float, itemsize: int,
) -> int:  # fmt: skip
    """Return the bytes of the backward pass: arguments and the output's gradient in, all gradients out."""
    out = prod(query[:4]) * value[4]
    return itemsize * (2 * _numbers(query, key, value, row_table, column_table) + out)
