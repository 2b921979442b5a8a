"""The count of elements that the cost formulas of the operators share."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor


def elements(args: Iterable[object]) -> int:
    """Return the number of elements of all tensors among an operator's arguments."""
    return sum(arg.numel() for arg in args if isinstance(arg, Tensor))
