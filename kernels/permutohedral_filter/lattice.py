"""A lattice that is built once and filters many times."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from claimbench.kernels.operator import Operator
from claimbench.kernels.permutohedral_filter import reference


class _Filter(torch.autograd.Function):
    """Filtering on a lattice: its gradient is the transposed filter, which in turn has the filter for a gradient."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, lattice: Lattice, transpose: bool) -> Tensor:
        ctx.lattice, ctx.transpose = lattice, transpose
        return lattice._apply(values, transpose)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        return _Filter.apply(grad, ctx.lattice, not ctx.transpose), None, None


class Lattice:
    """The permutohedral lattice around features: :meth:`filter` is ``permutohedral_filter`` without the building.

    Attributes:
        shape: (B, F, N) of the features.
        vertices: the number of vertices of each image's lattice.
    """

    def __init__(self, operator: Operator, features: Tensor, bridge: bool) -> None:
        self.shape, self._features = features.shape, features
        values = features.new_empty(features.shape[0], 1, features.shape[2])
        backend = operator.select(reference.Arguments(values, features, bridge))
        build: Any = reference.Lattice if backend is None else backend.Lattice
        self._images = [build(points, bridge) for points in features] if features.shape[2] else []
        self.vertices = [image.vertices for image in self._images]

    def own_weights(self) -> Tensor:
        """Return the weight of each point's own value (B, N); the Gaussian's is one.

        It is that of a lattice without gaps. This lattice reaches it or falls just short of it.
        """
        return torch.stack([reference.own_weights(points) for points in self._features]).to(self._features.dtype)

    def filter(self, values: Tensor) -> Tensor:
        """Return the filtered values (B, C, N), differentiable in them.

        Raises:
            ValueError: the shape of the values does not fit the features'.
        """
        batch, _, points = self.shape
        if values.dim() != 3 or values.shape[0] != batch or values.shape[2] != points:
            raise ValueError(f"Lattice.filter: values must be ({batch}, C, {points}), got shape {tuple(values.shape)}")
        filtered: Tensor = _Filter.apply(values, self, False)
        return filtered

    def _apply(self, values: Tensor, transpose: bool) -> Tensor:
        out = torch.empty_like(values)
        for image, lattice, to in zip(values, self._images, out, strict=False):
            lattice.apply(image, to, transpose)
        return out
