"""Arithmetic and least memory traffic of attentive pooling, from the shapes of its arguments.

The FLOPs are those of the products; softmax is not counted. Byte counts take key and value for two tensors.
"""

from __future__ import annotations

from collections.abc import Sequence

from claimbench.kernels.attentive_pool.reference import Arguments
from claimbench.kernels.cost import elements


def _pairs(args: Arguments) -> int:
    """Return the number of pairs of a query and a token."""
    return args.key.shape[0] * args.key.shape[1] * args.query.shape[1]


def forward_flops(args: Arguments) -> int:
    """Return the FLOPs of the forward pass: a multiply and an add for each pair and channel of key and value."""
    return 2 * _pairs(args) * (args.key.shape[3] + args.value.shape[3])


def backward_flops(args: Arguments, needs: Sequence[bool] = (True,) * 3) -> int:
    """Return the FLOPs of the backward pass for the gradients that are needed; the recomputation is not counted."""
    of_query, of_key, of_value = needs
    key, value = args.key.shape[3], args.value.shape[3]
    weights = value * (of_query or of_key)  # the gradient of the weights, which those of query and key rest on
    return 2 * _pairs(args) * (weights + key * (of_query + of_key) + value * of_value)


def _out(args: Arguments) -> int:
    """Return the number of elements of the output."""
    return args.key.shape[0] * args.query.shape[1] * args.value.shape[3]


def forward_bytes(args: Arguments) -> int:
    """Return the bytes of the forward pass when every argument is read and the output written once."""
    return args.query.itemsize * (elements(args) + _out(args))


def backward_bytes(args: Arguments) -> int:
    """Return the bytes of the backward pass: all arguments and the output's gradient in, every gradient out."""
    return args.query.itemsize * (2 * elements(args) + _out(args))
