"""Arithmetic and least memory traffic of LayerNorm over channels, from the shapes of its arguments.

Normalisations count as no FLOPs: PyTorch's counter counts matrix products and convolutions only, and a model must not
cost more for calling this operator than for calling :func:`torch.nn.functional.layer_norm`. Its speed is bound by
memory.
"""

from __future__ import annotations

from collections.abc import Sequence

from claimbench.kernels.layer_norm_2d.reference import Arguments


def forward_flops(args: Arguments) -> int:
    """Return 0: the arithmetic of a normalisation is not counted."""
    return 0


def backward_flops(args: Arguments, needs: Sequence[bool] = (True,) * 3) -> int:
    """Return 0: the arithmetic of a normalisation is not counted."""
    return 0


def forward_bytes(args: Arguments) -> int:
    """Return the bytes of the forward pass when x is read once and the output written once."""
    return args.x.itemsize * (2 * args.x.numel() + args.weight.numel() + args.bias.numel())


def backward_bytes(args: Arguments) -> int:
    """Return the bytes of the backward pass: x, weight and the output's gradient in, three gradients out."""
    return args.x.itemsize * (3 * args.x.numel() + 2 * args.weight.numel() + args.bias.numel())
