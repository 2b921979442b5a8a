"""Arithmetic and least memory traffic of the selective scan, from the shapes of its arguments.

An exponential is not counted, nor are softplus and the gate's sigmoid.
"""

from __future__ import annotations

from collections.abc import Sequence

from claimbench.kernels.cost import elements
from claimbench.kernels.selective_scan.reference import Arguments


def forward_flops(args: Arguments) -> int:
    """Return the FLOPs of the forward pass.

    Each number of a state takes 6: the decay's exponent, the drive's product, a multiply and an add for the step and
    for the reading. Each position and channel takes one for ``d u``, two for D and one for the gate.
    """
    each = 6 * args.A.shape[1] + 1 + 2 * (args.D is not None) + (args.z is not None)
    return args.u.numel() * each


def published_flops(args: Arguments) -> int:
    """Return the count that papers print since 2024: 9 B L D N, and B L D each for D and the gate.

    Papers add it to multiply-adds of the other layers without halving it.

    Source: github.com/state-spaces/mamba, issue 110.
    """
    return args.u.numel() * (9 * args.A.shape[1] + (args.D is not None) + (args.z is not None))


def backward_flops(args: Arguments, needs: Sequence[bool] = (True,) * 9) -> int:
    """Return the FLOPs of the backward pass where any gradient is needed.

    Each number of a state takes 17 beside those of the forward pass, which is run again: 3 for its own gradient, 2
    each for the gradients of A, B, C and of the drive, 4 for that of the exponent and 2 for its part of delta's.
    """
    return (forward_flops(args) + 17 * args.u.numel() * args.A.shape[1]) * any(needs)


def forward_bytes(args: Arguments) -> int:
    """Return the bytes of the forward pass when every argument is read and both outputs are written once."""
    return args.u.itemsize * (elements(args) + args.u.numel() + args.u.shape[0] * args.A.numel())


def backward_bytes(args: Arguments) -> int:
    """Return the bytes of the backward pass: the outputs' gradients and the arguments in, all gradients out."""
    return args.u.itemsize * (2 * elements(args) + args.u.numel() + args.u.shape[0] * args.A.numel())
