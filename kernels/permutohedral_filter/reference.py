"""The definition of the permutohedral filter in plain PyTorch: the lattice, and filtering on it."""

from __future__ import annotations

import math
from functools import reduce
from typing import NamedTuple

import torch
from torch import Tensor

FINEST = 2**20
"""The simplex of a point is chosen from coordinates rounded to 1 / FINEST. Points that lie on a face of two simplices,
as many with integer pixel coordinates do, then fall into the same one however their coordinates were rounded."""


LARGEST = 1e6
"""The largest size of a feature: beyond it float64 could not hold the rounded coordinates."""


class Arguments(NamedTuple):
    """The arguments of :func:`claimbench.kernels.permutohedral_filter.permutohedral_filter`."""

    values: Tensor
    features: Tensor
    bridge: bool


def validate(features: Tensor) -> None:
    """Raise ValueError if a feature is not finite or too large for a lattice."""
    if not bool((features.detach().abs() <= LARGEST).all()):
        raise ValueError(f"permutohedral_filter: features must be finite and at most {LARGEST:.0e} in size")


def embed(features: Tensor) -> Tensor:
    """Return the features (N, F) as coordinates (N, F + 1) of the lattice's hyperplane, whose sum is zero.

    A distance of one becomes sqrt(2/3) (F + 1): the variance of splat, blur and slice together is then the Gaussian's.
    """
    dims = features.shape[1]
    index = torch.arange(dims, dtype=torch.float64, device=features.device)
    scaled = features.double() * (math.sqrt(2 / 3) * (dims + 1) / ((index + 1) * (index + 2)).sqrt())
    tails = torch.cat([scaled, scaled.new_zeros(len(scaled), 1)], dim=1).flip(1).cumsum(1).flip(1)
    before = torch.cat([scaled.new_zeros(len(scaled), 1), scaled * (index + 1)], dim=1)
    return tails - before


def simplices(points: Tensor) -> tuple[Tensor, Tensor]:
    """Return the vertices (N, d + 1, d + 1) around points (N, d + 1), by remainder, and their weights (N, d + 1)."""
    size = points.shape[1]
    rounded = (points * FINEST).round() / FINEST
    multiple = (rounded / size + 0.5).floor()
    order = (rounded - multiple * size).sort(dim=1, descending=True, stable=True).indices
    rank = order.argsort(dim=1) + multiple.sum(1, keepdim=True).long()
    origin = multiple.long() * size + size * ((rank < 0).long() - (rank >= size).long())
    rank = rank % size
    descending = torch.zeros_like(points).scatter_(1, rank, (points - origin) / size)
    first = descending[:, -1:] - descending[:, :1] + 1
    weights = torch.cat([first, (descending[:, :-1] - descending[:, 1:]).flip(1)], dim=1)
    remainder = torch.arange(size, device=points.device)[:, None]
    vertices = origin[:, None] + remainder - size * (rank[:, None] > size - 1 - remainder).long()
    return vertices, weights


def neighbours(vertices: Tensor) -> Tensor:
    """Return the neighbours (d + 1, 2, M, d + 1) of the vertices (M, d + 1), before and after along each direction."""
    size = vertices.shape[1]
    steps = 1 - size * torch.eye(size, dtype=torch.int64, device=vertices.device)
    return torch.stack([vertices - steps[:, None], vertices + steps[:, None]], dim=1)


def _numbered(keys: Tensor) -> tuple[int, Tensor]:
    """Return the number of different rows and each row's number among them, columns taken in one by one."""

    def join(number: Tensor, column: Tensor) -> Tensor:
        column = column - column.min()
        return torch.unique(number * (column.max() + 1) + column, return_inverse=True)[1]

    number = reduce(join, keys.unbind(1), torch.zeros_like(keys[:, 0]))
    return int(number.max()) + 1, number


def bridges(vertices: Tensor) -> Tensor:
    """Return the vertices that are not among these but have at least two of them for neighbours."""
    reached = neighbours(vertices).flatten(0, 2)
    count, number = _numbered(torch.cat([vertices, reached]))
    occupied = number.new_zeros(count).index_fill_(0, number[: len(vertices)], 1).bool()
    met = number[len(vertices) :].bincount(minlength=count)
    row = number.new_zeros(count).scatter_(0, number[len(vertices) :], torch.arange(len(reached), device=number.device))
    return reached[row[(met >= 2) & ~occupied]]


class Lattice:
    """The lattice around the features (F, N) of one image.

    Attributes:
        vertices: the number of vertices.
        slots: (N, F + 1), the vertices around each point.
        weights: (N, F + 1), their barycentric weights in float64.
        links: (F + 1, 2, M), each vertex's neighbours; M stands for none.
    """

    def __init__(self, features: Tensor, bridge: bool) -> None:
        validate(features)
        self.dims = features.shape[0]
        around, self.weights = simplices(embed(features.detach().T))
        keys = around.flatten(0, 1)
        occupied, slots = _numbered(keys)
        self.slots = slots.view(-1, self.dims + 1)
        vertices = keys[slots.new_zeros(occupied).scatter_(0, slots, torch.arange(len(slots), device=slots.device))]
        if bridge:
            vertices = torch.cat([vertices, bridges(vertices)])
        self.vertices = len(vertices)
        count, number = _numbered(torch.cat([vertices, neighbours(vertices).flatten(0, 2)]))
        place = torch.full((count,), self.vertices, device=number.device)
        place[number[: self.vertices]] = torch.arange(self.vertices, device=number.device)
        self.links = place[number[self.vertices :]].view(self.dims + 1, 2, self.vertices)

    def apply(self, values: Tensor, out: Tensor, transpose: bool = False) -> None:
        """Write the filtered values (C, N) to ``out``; ``transpose`` takes the blurs in the reverse order."""
        out.copy_(self.filtered(values, transpose))

    def filtered(self, values: Tensor, transpose: bool = False) -> Tensor:
        """Return the filtered values (C, N), differentiable in the values."""
        weights = self.weights.to(values.dtype)
        rows = values.new_zeros(self.vertices + 1, values.shape[0])
        spread = values.T[:, None] * weights[:, :, None]
        rows = rows.index_add(0, self.slots.flatten(), spread.flatten(0, 1))
        for before, after in self.links.flip(0) if transpose else self.links:
            blurred = rows[:-1] / 2 + (rows[before] + rows[after]) / 4
            rows = torch.cat([blurred, blurred.new_zeros(1, blurred.shape[1])])
        return amplitude(self.dims) * torch.einsum("nkc,nk->cn", rows[self.slots], weights)


def amplitude(dims: int) -> float:
    """Return the integral of the Gaussian in units of the volume that a vertex stands for.

    With it, filtering a constant over evenly spread points gives the sum over the Gaussian.
    """
    return (2 * math.pi / 1.5) ** (dims / 2) * math.sqrt(dims + 1)


def own_weights(features: Tensor) -> Tensor:
    """Return the weight of each point's own value (N,), for features (F, N), on a lattice without a missing vertex.

    Two vertices of a simplex whose remainders differ by m are m steps along different directions apart, or all the
    others backwards; a step has a quarter of the blur's weight and staying half.
    """
    _, weights = simplices(embed(features.detach().T))
    size = weights.shape[1]
    remainder = torch.arange(size, device=weights.device)
    apart = (remainder[:, None] - remainder).abs().double()
    blurred = 2.0 ** -(size + apart) + 2.0 ** (apart - 2 * size)
    blurred.diagonal().add_(4.0**-size)  # staying, or a full turn either way
    return amplitude(features.shape[0]) * torch.einsum("nk,kl,nl->n", weights, blurred, weights)


def permutohedral_filter(args: Arguments) -> Tensor:
    """See :func:`claimbench.kernels.permutohedral_filter.permutohedral_filter`."""
    values, features, bridge = args
    if values.numel() == 0:
        return values.clone()
    wide = values.to(torch.promote_types(values.dtype, torch.float32))
    filtered = [Lattice(f, bridge).filtered(v) for v, f in zip(wide, features, strict=True)]
    return torch.stack(filtered).to(values.dtype)
