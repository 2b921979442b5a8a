"""Arithmetic and least memory traffic of LayerNorm over channels, from the shapes of its arguments.

Normalisations count as no FLOPs: PyTorch's counter counts matrix products and convolutions only, and a model must not
cost more for calling this operator than for calling :func:`torch.nn.functional.layer_norm`. What bounds it is memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

Shape = Sequence[int]


def forward_flops(x: Shape, weight: Shape, bias: Shape, eps: float) -> int:
    """Return 0: the arithmetic of a normalisation is not counted."""
    return 0


def backward_flops(x: Shape, weight: Shape, bias: Shape, eps: float, needs: Sequence[bool] = (True,) * 3) -> int:
    """Return 0: the arithmetic of a normalisation is not counted."""
    return 0


def forward_bytes(x: Shape, weight: Shape, bias: Shape, eps: float, itemsize: int) -> int:
    """Return the bytes of the forward pass when x is read once and the output written once."""
    return itemsize * (2 * prod(x) + prod(weight) + prod(bias))


def backward_bytes(x: Shape, weight: Shape, bias: Shape, eps: float, itemsize: int) -> int:
    """Return the bytes of the backward pass: x, weight and the output's gradient in, three gradients out."""
    return itemsize * (3 * prod(x) + 2 * prod(weight) + prod(bias))
