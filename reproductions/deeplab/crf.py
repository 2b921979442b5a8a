"""The fully connected CRF on top of the scores: mean field with Gaussian filters over position and colour.

Source: the paper, section 3.3, after Krähenbühl and Koltun, "Efficient Inference in Fully Connected CRFs with Gaussian
Edge Potentials", NeurIPS 2011. The energy of a labelling is the sum of ``-log P`` over pixels and, over pairs of pixels
with different labels, of ``w1 exp(-|dp|^2 / 2 s_alpha^2 - |dI|^2 / 2 s_beta^2) + w2 exp(-|dp|^2 / 2 s_gamma^2)``, with
positions p in pixels of the original picture and colours I in RGB from 0 to 255.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, inf
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import pad

from claimbench.kernels.depthwise_conv2d import depthwise_conv2d
from claimbench.kernels.permutohedral_filter import permutohedral_lattice

MOST_EXACT_PIXELS = 64 * 64
"""The largest picture that :func:`dense_crf_exact` takes, in pixels."""
_LANES = 8
"""The number of labels in the vectors that are filtered at a time."""

Normalization = Literal["after", "symmetric", "none"]
Filter = Callable[[Tensor], Tensor]
"""Maps (H, W, C) to the same shape: a Gaussian-weighted sum over all pixels."""


@dataclass(frozen=True)
class CrfParameters:
    """The CRF's weights and widths; the defaults lie in the ranges that the paper searches.

    Attributes:
        bilateral_weight: w1; a tensor of one number can be learnt.
        position_width: s_alpha, in pixels.
        colour_width: s_beta, in units of RGB from 0 to 255.
        spatial_weight: w2; a tensor of one number can be learnt.
        spatial_width: s_gamma, in pixels.
        iterations: steps of mean field.
    """

    bilateral_weight: float | Tensor = 4.0
    position_width: float = 67.0
    colour_width: float = 3.0
    spatial_weight: float | Tensor = 3.0
    spatial_width: float = 3.0
    iterations: int = 10

    def __post_init__(self) -> None:
        for name in ("position_width", "colour_width", "spatial_width"):
            if not getattr(self, name) > 0:
                raise ValueError(f"dense CRF: {name} must be positive, got {getattr(self, name)}")
        if self.iterations < 0:
            raise ValueError(f"dense CRF: iterations must be at least 0, got {self.iterations}")


PAPER = CrfParameters()


def dense_crf(
    unary: Tensor,
    picture: Tensor,
    parameters: CrfParameters = PAPER,
    normalization: Normalization = "after",
    own: bool = True,
    bridge: bool = True,
) -> Tensor:
    """Return the label probabilities that mean field finds, with the bilateral filter on the permutohedral lattice.

    The spatial filter is a convolution, which is exact on a grid of pixels; it ends at four widths.

    Args:
        unary: (C, H, W), ``-log`` of the probabilities at the picture's resolution; differentiable.
        picture: (3, H, W), RGB from 0 to 255, of any dtype.
        parameters: weights, widths and the number of iterations; weights that are tensors get gradients.
        normalization: ``after`` divides a filter's output by the filtered ones, as the authors' library does;
            ``symmetric`` by their roots before and after; ``none`` not at all.
        own: whether a pixel's own probabilities count, as in the authors' library.
        bridge: see :func:`claimbench.kernels.permutohedral_filter.permutohedral_filter`.

    Returns:
        (C, H, W) in unary's dtype, which sums to one over the labels.

    Raises:
        ValueError: a shape or an option is not as above.
    """
    _validate(unary, picture)
    filters = _lattice(picture, parameters, bridge, own), _convolution(parameters.spatial_width, own)
    return _mean_field(unary, filters, parameters, normalization)


def dense_crf_exact(
    unary: Tensor,
    picture: Tensor,
    parameters: CrfParameters = PAPER,
    normalization: Normalization = "after",
    own: bool = True,
) -> Tensor:
    """Return the probabilities that :func:`dense_crf` approximates, at a cost that is quadratic in the pixels.

    Raises:
        ValueError: as :func:`dense_crf`, or the picture has more than 64 x 64 pixels.
    """
    _validate(unary, picture)
    _, height, width = picture.shape
    if height * width > MOST_EXACT_PIXELS:
        raise ValueError(f"dense CRF: the exact form takes at most {MOST_EXACT_PIXELS} pixels, got {height} x {width}")
    bilateral = bilateral_features(picture, parameters.position_width, parameters.colour_width).to(unary)
    spatial = _positions(picture).to(unary) / parameters.spatial_width
    filters = _all_pairs(bilateral, own), _all_pairs(spatial, own)
    return _mean_field(unary, filters, parameters, normalization)


def unary_of(probabilities: Tensor) -> Tensor:
    """Return ``-log`` of probabilities, which are kept from zero by the smallest normal number of their dtype."""
    return -probabilities.clamp_min(torch.finfo(probabilities.dtype).tiny).log()


def bilateral_features(picture: Tensor, position_width: float, colour_width: float) -> Tensor:
    """Return positions and colours (5, H W) in units of their widths, as float32 or in the picture's own precision."""
    colours = picture.to(torch.promote_types(picture.dtype, torch.float32)).flatten(1)
    return torch.cat([_positions(picture).to(colours) / position_width, colours / colour_width])


def _positions(picture: Tensor) -> Tensor:
    rows, columns = (torch.arange(size, device=picture.device) for size in picture.shape[1:])
    return torch.stack(torch.meshgrid(rows, columns, indexing="ij")).flip(0).flatten(1).double()


def _lattice(picture: Tensor, parameters: CrfParameters, bridge: bool, own: bool) -> Filter:
    features = bilateral_features(picture, parameters.position_width, parameters.colour_width)
    lattice = permutohedral_lattice(features[None], bridge)
    alone = None if own else lattice.own_weights()[0].view(*picture.shape[1:], 1)

    def filtered(q: Tensor) -> Tensor:
        out = lattice.filter(q.permute(2, 0, 1).flatten(1)[None])[0].T.view_as(q)
        return out if alone is None else out - alone.to(q) * q

    return filtered


def _convolution(width: float, own: bool) -> Filter:
    def filtered(q: Tensor) -> Tensor:
        out = _along_rows(_along_rows(q, width).transpose(0, 1), width).transpose(0, 1)
        return out if own else out - q

    return filtered


def _along_rows(q: Tensor, width: float) -> Tensor:
    """Return (H, W, C) summed along the rows with Gaussian weights; each row is an image, one pixel high."""
    reach = min(ceil(4 * width), q.shape[1] - 1)
    taps = (-0.5 * (torch.arange(-reach, reach + 1, dtype=torch.float64) / width) ** 2).exp().to(q)
    rows = q.transpose(1, 2)[:, :, None]
    return depthwise_conv2d(rows, taps.expand(q.shape[2], 1, 1, -1).contiguous())[:, :, 0].transpose(1, 2)


def _all_pairs(features: Tensor, own: bool) -> Filter:
    weights = (-0.5 * torch.cdist(features.T, features.T).square()).exp()
    if not own:
        weights.fill_diagonal_(0)
    return lambda q: (weights @ q.flatten(0, 1)).view_as(q)


def _factors(
    filtered: Filter, weight: float | Tensor, like: Tensor, normalization: Normalization
) -> tuple[Tensor | None, Tensor]:
    """Return the factors of the probabilities before a filter (None for one) and of its output."""
    weight = torch.as_tensor(weight).to(like)
    if normalization == "none":
        return None, weight
    mass = filtered(torch.ones_like(like[..., :1])).clamp_min(0) + 1e-20
    if normalization == "after":
        return None, weight / mass
    if normalization == "symmetric":
        root = mass.rsqrt()
        return root, weight * root
    raise ValueError(f"dense CRF: normalization must be after, symmetric or none, got {normalization!r}")


def _mean_field(
    unary: Tensor, filters: tuple[Filter, Filter], parameters: CrfParameters, normalization: Normalization
) -> Tensor:
    labels = unary.shape[0]
    scores = -unary.permute(1, 2, 0)
    scores = pad(scores, (0, -labels % _LANES), value=-inf).contiguous()  # impossible labels fill up whole vectors
    weights = parameters.bilateral_weight, parameters.spatial_weight
    factors = [_factors(f, weight, scores, normalization) for f, weight in zip(filters, weights, strict=True)]
    learns = torch.is_grad_enabled() and any(t.requires_grad for t in (scores, *(after for _, after in factors)))
    q = scores.softmax(-1)
    spare = None if learns else torch.empty_like(scores)  # large pictures' new pages cost more than the arithmetic
    for _ in range(parameters.iterations):
        total = scores
        for filtered, (before, after) in zip(filters, factors, strict=True):
            total = torch.addcmul(total, filtered(q if before is None else q * before), after, out=spare)
        q = torch.softmax(total, -1, out=None if learns else q)
    return q[..., :labels].permute(2, 0, 1)


def _validate(unary: Tensor, picture: Tensor) -> None:
    if picture.dim() != 3 or picture.shape[0] != 3:
        raise ValueError(f"dense CRF: the picture must be (3, H, W), got shape {tuple(picture.shape)}")
    if unary.dim() != 3 or unary.shape[1:] != picture.shape[1:] or not unary.is_floating_point():
        expected = f"(C, {picture.shape[1]}, {picture.shape[2]})"
        raise ValueError(f"dense CRF: unary must be {expected}, floating point, got shape {tuple(unary.shape)}")
