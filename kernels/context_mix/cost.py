"""Arithmetic and least memory traffic of context mixing, from the shapes of its arguments.

The FLOPs are those of the definition (affinity, projection, aggregation; no biases, no softmax). A backend that folds
the projection into the keys does fewer: R*d*P once for each map and then d*P for each position.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from claimbench.kernels.context_mix.reference import Arguments
from claimbench.kernels.cost import elements


def forward_flops(args: Arguments) -> int:
    """Return the FLOPs of the forward pass: a multiply and an add for each product in the formula."""
    positions, regions, taps = prod(args.query.shape[:4]), args.key.shape[2], args.projection.shape[0]
    affinity = args.query.numel() * regions
    scores = positions * regions * taps
    return 2 * (affinity + scores + positions * args.value.shape[-1] * taps)


def backward_flops(args: Arguments, needs: Sequence[bool] = (True,) * 6) -> int:
    """Return the FLOPs of the backward pass: each product gives rise to two. The recomputation is not counted."""
    return 2 * forward_flops(args)


def forward_bytes(args: Arguments) -> int:
    """Return the bytes of the forward pass when every argument is read and the output written once."""
    return args.value.itemsize * (elements(args) + args.value.numel())


def backward_bytes(args: Arguments) -> int:
    """Return the bytes of the backward pass: all arguments and the output's gradient in, six gradients out."""
    return args.value.itemsize * (2 * elements(args) + args.value.numel())
