"""The permutohedral filter on the CPU, in C++."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from claimbench.kernels import native
from claimbench.kernels.native import unavailable
from claimbench.kernels.permutohedral_filter.reference import Arguments, validate

__all__ = ["Lattice", "backward", "forward", "refuses", "unavailable"]

_MOST_FEATURES = 16


def refuses(args: Arguments) -> str | None:
    """Return why the native backend cannot take these arguments, or None if it can."""
    if args.features.shape[1] > _MOST_FEATURES:
        return f"the native lattice has at most {_MOST_FEATURES} features, got {args.features.shape[1]}"
    return native.refuses(args)


class Lattice:
    """The lattice around the features (F, N) of one image, in C++."""

    def __init__(self, features: Tensor, bridge: bool) -> None:
        validate(features)
        self._built: Any = native.module().permutohedral_lattice(native.share(features), bridge, native.threads())
        self._dtype = native.compute_dtype(features.dtype)
        self.vertices: int = self._built.vertices

    def apply(self, values: Tensor, out: Tensor, transpose: bool = False) -> None:
        """Write the filtered values (C, N) to ``out``; ``transpose`` reverses the order of the blurs."""
        to = out if out.dtype == self._dtype else torch.empty_like(out, dtype=self._dtype)
        self._built.apply(values.detach().to(self._dtype), to, transpose, native.threads())
        if to is not out:
            out.copy_(to)


def _filtered(values: Tensor, args: Arguments, transpose: bool) -> Tensor:
    out = torch.empty_like(values)
    if out.numel():
        for image, points, to in zip(values, args.features, out, strict=True):
            Lattice(points, args.bridge).apply(image, to, transpose)
    return out


def forward(args: Arguments) -> Tensor:
    """Return the filtered values, laid out like them."""
    return _filtered(args.values, args, transpose=False)


def backward(grad: Tensor, saved: list[Tensor], args: Arguments, needs: Sequence[bool]) -> list[Tensor | None]:
    """Return the gradient of values, and zeros for features, None where ``needs`` is False."""
    grads: list[Tensor | None] = [None, torch.zeros_like(args.features) if needs[1] else None]
    if needs[0]:
        grads[0] = torch.empty_like(args.values).copy_(_filtered(grad, args, transpose=True))
    return grads
