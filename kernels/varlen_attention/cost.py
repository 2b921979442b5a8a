"""Arithmetic and least memory traffic of variable-length attention, from the shapes and the lengths of the samples.

The FLOPs are those of the products; softmax and rotation are not counted.
"""

from __future__ import annotations

from collections.abc import Sequence

from claimbench.kernels.cost import elements
from claimbench.kernels.varlen_attention.reference import Arguments, spans


def _pairs(args: Arguments) -> int:
    """Return the number of pairs of a query and a key of the same sample and head.

    Raises:
        ValueError: the offsets hold no values, as on the meta device.
    """
    if args.offsets.is_meta:
        raise ValueError("varlen_attention: the cost depends on the offsets' values, keep them on the CPU")
    lengths = [(queries.stop - queries.start) * (keys.stop - keys.start) for queries, keys in spans(args)]
    return args.query.shape[1] * sum(lengths)


def forward_flops(args: Arguments) -> int:
    """Return the FLOPs of the forward pass: a multiply and an add for each pair and channel of key and value."""
    return 2 * _pairs(args) * (args.key.shape[2] + args.value.shape[2])


def backward_flops(args: Arguments, needs: Sequence[bool] = (True,) * 7) -> int:
    """Return the FLOPs of the backward pass for the gradients that are needed; the recomputation is not counted."""
    of_query, of_key, of_value = needs[:3]
    table = any(needs[5:])  # the gradient of the table is made of those of query and key
    of_query, of_key = of_query or table, of_key or table
    key, value = args.key.shape[2], args.value.shape[2]
    weights = value * (of_query or of_key)  # the gradient of the weights, which those of query and key rest on
    return 2 * _pairs(args) * (weights + key * (of_query + of_key) + value * of_value)


def _out(args: Arguments) -> int:
    """Return the number of elements of the output."""
    return args.query.shape[0] * args.query.shape[1] * args.value.shape[2]


def forward_bytes(args: Arguments) -> int:
    """Return the bytes of the forward pass when every argument is read and the output written once."""
    return args.query.itemsize * (elements(args) + _out(args))


def backward_bytes(args: Arguments) -> int:
    """Return the bytes of the backward pass: all arguments and the output's gradient in, every gradient out."""
    return args.query.itemsize * (2 * elements(args) + _out(args))
