"""Arithmetic and least memory traffic of token reorganisation, from the shapes of its arguments."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

Shape = Sequence[int]


def _out(tokens: Shape, keep: int, fuse: bool) -> int:
    return tokens[0] * (1 + keep + fuse) * tokens[2]


def forward_flops(tokens: Shape, scores: Shape, keep: int, fuse: bool) -> int:
    """Return the FLOPs of the forward pass: a multiply and an add for each channel of a dropped token, where fused."""
    return 2 * fuse * tokens[0] * (scores[1] - keep) * tokens[2]


def backward_flops(tokens: Shape, scores: Shape, keep: int, fuse: bool, needs: Sequence[bool] = (True, True)) -> int:
    """Return the FLOPs of the backward pass: as many as the forward pass for the gradient of the scores.

    The gradient of the tokens is scaled copies, which are not counted.
    """
    return forward_flops(tokens, scores, keep, fuse) * bool(needs[1])


def forward_bytes(tokens: Shape, scores: Shape, keep: int, fuse: bool, itemsize: int) -> int:
    """Return the bytes of the forward pass: dropped tokens are read only where they are fused."""
    read = prod(tokens) if fuse else _out(tokens, keep, fuse)
    return itemsize * (read + prod(scores) + _out(tokens, keep, fuse))


def backward_bytes(tokens: Shape, scores: Shape, keep: int, fuse: bool, itemsize: int) -> int:
    """Return the bytes of the backward pass: the output's gradient, dropped tokens and scores in, two gradients out."""
    dropped = tokens[0] * (scores[1] - keep) * tokens[2] if fuse else 0
    return itemsize * (_out(tokens, keep, fuse) + dropped + prod(tokens) + 2 * prod(scores))
