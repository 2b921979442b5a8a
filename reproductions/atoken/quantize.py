"""The two kinds of latents: a diagonal Gaussian, and finite scalar quantisation (arXiv 2309.15505)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import prod
from operator import mul

import torch
from torch import Generator, Tensor, nn

__all__ = ["LEVELS", "FiniteScalarQuantizer", "Posterior"]

LEVELS: dict[int, tuple[int, ...]] = {
    2**4: (5, 3),
    2**6: (8, 8),
    2**8: (8, 6, 5),
    2**9: (8, 8, 8),
    2**10: (8, 5, 5, 5),
    2**11: (8, 8, 6, 5),
    2**12: (4, 4, 4, 4, 4, 4),
    2**13: (8, 8, 8, 4, 4),
    2**14: (8, 8, 8, 6, 5),
    2**16: (8, 8, 8, 5, 5, 5),
}
"""The levels of the official configurations by the size that they name; the product may be another number."""

EPS = 1e-3


@dataclass(frozen=True)
class Posterior:
    """A diagonal Gaussian over the latents of each token.

    Attributes:
        mean: (L, C).
        log_variance: (L, C), not limited.
    """

    mean: Tensor
    log_variance: Tensor

    @classmethod
    def of(cls, parameters: Tensor) -> Posterior:
        """Return the Gaussian of parameters (L, 2 C), in float32 at least."""
        parameters = parameters.float() if parameters.itemsize < 4 else parameters
        return cls(*parameters.chunk(2, dim=-1))

    def sample(self, generator: Generator | None = None) -> Tensor:
        """Return latents (L, C) drawn from it."""
        noise = torch.empty_like(self.mean).normal_(generator=generator)
        return self.mean + (0.5 * self.log_variance).exp() * noise

    def divergence(self) -> Tensor:
        """Return the Kullback-Leibler divergence of each token (L,) from the standard normal distribution, in nats."""
        terms = self.mean**2 + self.log_variance.exp() - 1 - self.log_variance
        return 0.5 * terms.sum(-1)


class FiniteScalarQuantizer(nn.Module):
    """Rounds each latent to one of a few levels; the codes of some dimensions together are one index of a codebook.

    A latent is bounded by a hyperbolic tangent so that ``levels`` integers remain, rounded, and scaled to [-1, 1]. The
    gradient passes the rounding unchanged.

    Args:
        levels: of each dimension of a codebook.
        codebooks: the number of codebooks side by side.
        dim: the width of the latents; if it is another than that of the codes, linear layers lie between.
    """

    levels: Tensor
    basis: Tensor
    reach: Tensor

    def __init__(self, levels: Sequence[int], codebooks: int = 1, dim: int | None = None) -> None:
        super().__init__()
        self.codebooks, self.size = codebooks, prod(levels)
        width = len(levels) * codebooks
        dim = width if dim is None else dim
        between = dim != width
        self.project_in = nn.Linear(dim, width) if between else nn.Identity()
        self.project_out = nn.Linear(width, dim) if between else nn.Identity()
        self.register_buffer("levels", torch.tensor(levels), persistent=False)
        self.register_buffer("reach", torch.tensor([level // 2 for level in levels]), persistent=False)
        basis = [1, *accumulate(levels[:-1], mul)]
        self.register_buffer("basis", torch.tensor(basis), persistent=False)

    def bound(self, z: Tensor) -> Tensor:
        """Return latents (..., dimensions) between the outermost levels, of which odd numbers are centred on 0."""
        half = (self.levels - 1).to(z.dtype) * (1 + EPS) / 2
        offset = (1 - self.levels % 2).to(z.dtype) / 2
        return (z + (offset / half).atanh()).tanh() * half - offset

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return the codes of latents (L, dim), of the same shape, and their indices (L, codebooks)."""
        dtype = z.dtype
        z = z.float() if z.itemsize < 4 else z
        bounded = self.bound(self.project_in(z).unflatten(-1, (self.codebooks, -1)))
        rounded = bounded + (bounded.round() - bounded).detach()
        codes = rounded / self.reach
        indices = ((rounded.detach().round().long() + self.reach) * self.basis).sum(-1)
        return self.project_out(codes.flatten(-2)).to(dtype), indices

    def decode(self, indices: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """Return the codes (L, dim) of indices (L, codebooks).

        Raises:
            ValueError: an index is not in the codebook.
        """
        if indices.numel() and not 0 <= int(indices.min()) <= int(indices.max()) < self.size:
            raise ValueError(f"indices must be from 0 to {self.size - 1}")
        digits = indices[..., None].div(self.basis, rounding_mode="floor") % self.levels
        return self.project_out(((digits - self.reach).to(dtype) / self.reach).flatten(-2))
