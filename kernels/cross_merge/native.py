"""The cross-merge on the CPU, in C++."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from claimbench.kernels import native
from claimbench.kernels.cross_merge.reference import Arguments
from claimbench.kernels.cross_scan.native import merge, scan
from claimbench.kernels.native import refuses, unavailable

__all__ = ["backward", "forward", "refuses", "unavailable"]


def forward(args: Arguments) -> Tensor:
    """Return the map that is the sum of the sequences."""
    return merge(*args)


def backward(grad: Tensor, saved: list[Tensor], args: Arguments, needs: Sequence[bool]) -> list[Tensor | None]:
    """Return the gradient of y: the cross-scan of the map's gradient."""
    return native.gradients([scan(grad, args.scans, args.channels_last)], args, needs)
