"""Active template regression: two networks predict what makes up the mask of every label.

The template network, with max-pooling, gives the coefficients of mask templates; the shape network, without pooling,
the box and the visibility. The readable parts of the paper give no sizes: those here are this suite's, and the network
is not the paper's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from claimbench.reproductions.atr.fusion import fused, smoothed
from claimbench.reproductions.atr.structure import template_combination

__all__ = ["ATR", "ShapeNetwork", "TemplateNetwork", "build", "refine"]


def _convolutions(widths: Sequence[int], pooling: bool) -> nn.Sequential:
    """Return convolutions that each halve the map: by max-pooling behind them, or by their stride."""
    layers: list[nn.Module] = []
    for last, width in zip((3, *widths), widths, strict=False):
        layers += [nn.Conv2d(last, width, 3, 1 if pooling else 2, 1), nn.ReLU()]
        layers += [nn.MaxPool2d(2)] if pooling else []
    return nn.Sequential(*layers)


class _Regressor(nn.Module):
    """Convolutions, their map resized to a fixed grid, and two linear layers.

    Args:
        widths: the channels of the convolutions.
        grid: the rows and columns of the map that the linear layers see.
        hidden: the width between the linear layers.
        outputs: the number of outputs.
        pooling: whether max-pooling halves the maps, and not strides.
    """

    def __init__(self, widths: Sequence[int], grid: Sequence[int], hidden: int, outputs: int, pooling: bool) -> None:
        super().__init__()
        self.grid, self.pooling = tuple(grid), pooling
        self.features = _convolutions(widths, pooling)
        self.head = nn.Sequential(
            nn.Linear(widths[-1] * grid[0] * grid[1], hidden), nn.ReLU(), nn.Linear(hidden, outputs)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map pictures (N, 3, H, W) to (N, outputs)."""
        maps = self.features(x)
        if self.pooling:
            maps = F.adaptive_max_pool2d(maps, self.grid)
        elif tuple(maps.shape[2:]) != self.grid:
            maps = F.interpolate(maps, self.grid, mode="bilinear", align_corners=False)
        found: Tensor = self.head(maps.flatten(1))
        return found


class TemplateNetwork(nn.Module):
    """The coefficients of every label's templates.

    Args:
        labels: K, without the background.
        templates: T, of each label.
        widths, grid, hidden, pooling: of the convolutions and of the linear layers behind them.
    """

    def __init__(
        self, labels: int, templates: int, widths: Sequence[int], grid: Sequence[int], hidden: int, pooling: bool = True
    ) -> None:
        super().__init__()
        self.labels = labels
        self.regressor = _Regressor(widths, grid, hidden, labels * templates, pooling)

    def forward(self, x: Tensor) -> Tensor:
        """Map pictures (N, 3, H, W) to coefficients (N, K, T)."""
        return self.regressor(x).unflatten(1, (self.labels, -1))


class ShapeNetwork(nn.Module):
    """The box and the visibility of every label; arguments as of :class:`TemplateNetwork`."""

    def __init__(
        self, labels: int, widths: Sequence[int], grid: Sequence[int], hidden: int, pooling: bool = False
    ) -> None:
        super().__init__()
        self.labels = labels
        self.regressor = _Regressor(widths, grid, hidden, labels * 5, pooling)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map pictures (N, 3, H, W) to boxes (N, K, 4), in pixels, and logits of visibility (N, K)."""
        found = self.regressor(x).unflatten(1, (self.labels, 5))
        height, width = x.shape[2:]
        return found[..., :4].sigmoid() * found.new_tensor([width, height, width, height]), found[..., 4]


class ATR(nn.Module):
    """Both networks, which share no weights, and the fusion of their outputs.

    Args:
        labels: their number, with the background.
        templates: of each label.
        mask: the rows and columns of the templates.
        widths: the channels of the convolutions of either network.
        grid: the map that the linear layers of either network see.
        hidden: the width between their linear layers.
        template_pooling, shape_pooling: whether each network has max-pooling; the other way round in the paper's
            swapped designs.
    """

    templates: Tensor

    def __init__(
        self,
        labels: int = 18,
        templates: int = 16,
        mask: Sequence[int] = (32, 32),
        widths: Sequence[int] = (16, 32, 64, 128),
        grid: Sequence[int] = (5, 3),
        hidden: int = 256,
        template_pooling: bool = True,
        shape_pooling: bool = False,
    ) -> None:
        super().__init__()
        self.template_network = TemplateNetwork(labels - 1, templates, widths, grid, hidden, template_pooling)
        self.shape_network = ShapeNetwork(labels - 1, widths, grid, hidden, shape_pooling)
        # Dictionaries are learned from masks and not by descent: dictionary.learned makes them.
        self.register_buffer("templates", torch.rand(labels - 1, templates, *mask) / templates)

    def structure(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the masks (N, K, h, w), boxes (N, K, 4) and logits of visibility (N, K) in pictures (N, 3, H, W)."""
        boxes, visible = self.shape_network(x)
        return template_combination(self.templates, self.template_network(x)), boxes, visible

    def forward(self, x: Tensor) -> Tensor:
        """Map pictures (N, 3, H, W) to the probabilities of labels (N, 1 + K, H, W), the background first.

        Raises:
            ValueError: a picture is smaller than the convolutions reduce it.
        """
        least = 2 ** (len(self.template_network.regressor.features) // 3)
        if min(x.shape[2:]) < least:
            raise ValueError(f"a picture must have at least {least}x{least} pixels, got {x.shape[2]}x{x.shape[3]}")
        masks, boxes, visible = self.structure(x)
        return fused(masks.clamp(0, 1), boxes, visible.sigmoid(), *x.shape[2:])


def build(config: Mapping[str, Any], form: str = "model") -> nn.Module:
    """Return the network of a configuration.

    Raises:
        ValueError: the configuration has none of the sizes.
    """
    if not config:
        raise ValueError("the sizes of the paper's networks are not known: build atr_small")
    return ATR(**config)


def refine(config: Mapping[str, Any]) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Return the stage after the network: the mean of probabilities (C, H, W) over the superpixels of a picture.

    Superpixels are SLIC's, of about 400 pixels each; the paper's method and their number are not known.
    """
    from skimage.segmentation import slic

    def refined(picture: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
        pieces = max(1, picture.shape[0] * picture.shape[1] // 400)
        segments = slic(picture, n_segments=pieces, start_label=0)
        found, _ = smoothed(torch.from_numpy(probabilities)[None], torch.from_numpy(segments)[None])
        return found[0].numpy()

    return refined
