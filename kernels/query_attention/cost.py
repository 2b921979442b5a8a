"""Arithmetic and least memory traffic of query attention, from the shapes of its arguments.

The FLOPs are those of the products; softmax and the mean over heads are not counted.
"""

from __future__ import annotations

from collections.abc import Sequence

from claimbench.kernels.cost import elements
from claimbench.kernels.query_attention.reference import Arguments


def _pairs(args: Arguments) -> int:
    """Return the number of pairs of a query and a token of its image, over all heads."""
    return args.query.shape[1] * args.key.shape[0] * args.key.shape[1]


def forward_flops(args: Arguments) -> int:
    """Return the FLOPs of the forward pass: a multiply and an add for each pair and channel of key and value."""
    return 2 * _pairs(args) * (args.key.shape[2] + args.value.shape[2])


def backward_flops(args: Arguments, needs: Sequence[bool] = (True, True, True, False)) -> int:
    """Return the FLOPs of the backward pass for the gradients that are needed; the recomputation is not counted."""
    of_query, of_key, of_value = needs[:3]
    key, value = args.key.shape[2], args.value.shape[2]
    weights = value * (of_query or of_key)  # the gradient of the weights, which those of query and key rest on
    return 2 * _pairs(args) * (weights + key * (of_query + of_key) + value * of_value)


def _out(args: Arguments) -> int:
    """Return the number of elements of both outputs."""
    batch, queries = len(args.offsets) - 1, args.query.shape[1]
    return queries * (batch * args.value.shape[1] * args.value.shape[2] + args.key.shape[0])


def forward_bytes(args: Arguments) -> int:
    """Return the bytes of the forward pass when every argument is read and the outputs written once."""
    return args.query.itemsize * (elements(args[:3]) + _out(args))


def backward_bytes(args: Arguments) -> int:
    """Return the bytes of the backward pass: all arguments and the outputs' gradients in, every gradient out."""
    return args.query.itemsize * (2 * elements(args[:3]) + _out(args))
