"""Arithmetic and least memory traffic of attentive pooling, from the shapes of its arguments.

The FLOPs are those of the products; softmax is not counted. Byte counts take key and value for two tensors.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

Shape = Sequence[int]


def _pairs(query: Shape, key: Shape) -> int:
    """Return how many pairs of a query and a token there are."""
    return key[0] * key[1] * query[1]


def forward_flops(query: Shape, key: Shape, value: Shape, scale: float) -> int:
    """Return the FLOPs of the forward pass: a multiply and an add for each pair and channel of key and value."""
    return 2 * _pairs(query, key) * (key[3] + value[3])


def backward_flops(
    query: Shape, key: Shape, value: Shape, scale: float, needs: Sequence[bool] = (True, True, True)
) -> int:
    """Return the FLOPs of the backward pass for the gradients that are needed; the recomputation is not counted."""
    of_query, of_key, of_value = needs
    weights = value[3] * (of_query or of_key)  # the gradient of the weights, which those of query and key rest on
    return 2 * _pairs(query, key) * (weights + key[3] * (of_query + of_key) + value[3] * of_value)


def _out(query: Shape, key: Shape, value: Shape) -> int:
    return key[0] * query[1] * value[3]


def forward_bytes(query: Shape, key: Shape, value: Shape, scale: float, itemsize: int) -> int:
    """Return the bytes of the forward pass when every argument is read and the output written once."""
    return itemsize * (prod(query) + prod(key) + prod(value) + _out(query, key, value))


def backward_bytes(query: Shape, key: Shape, value: Shape, scale: float, itemsize: int) -> int:
    """Return the bytes of the backward pass: all arguments and the output's gradient in, every gradient out."""
    return itemsize * (2 * (prod(query) + prod(key) + prod(value)) + _out(query, key, value))
