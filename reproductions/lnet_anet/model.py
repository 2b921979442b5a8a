"""LNets and ANet: faces are found by networks that only learned tags, and attributes read off patches of the face.

The paper gives the kinds of layers and few sizes. Those here are assumptions of this suite: AlexNet's for the LNets,
whose first layer the paper states (96 filters of 11x11), and small ones for ANet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from claimbench.kernels.box_warp import box_warp
from claimbench.reproductions.lnet_anet.interweaved import (
    Layer,
    LocalConv,
    MaxPool,
    Patches,
    interweaved,
    patch_by_patch,
)
from claimbench.reproductions.lnet_anet.localise import average_response, best_window
from claimbench.reproductions.lnet_anet.losses import svm_scores

__all__ = ["ANet", "LNet", "LNetsANet", "LocallyShared", "build", "crop"]

_WAYS = {"interweaved": interweaved, "patches": patch_by_patch}


class LNet(nn.Module):
    """Five convolutions and two max-pools; filters are shared over the whole picture, which may have any size.

    Args:
        widths: the channels of the five layers.
        attributes: the number of tags that it is fine-tuned with.
    """

    def __init__(self, widths: Sequence[int] = (96, 256, 384, 384, 256), attributes: int = 40) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        last = 3
        for number, (width, kernel) in enumerate(zip(widths, (11, 5, 3, 3, 3), strict=True)):
            stride, padding = (4, 2) if number == 0 else (1, kernel // 2)
            layers += [nn.Conv2d(last, width, kernel, stride, padding), nn.ReLU()]
            layers += [nn.MaxPool2d(3, 2)] if number < 2 else []
            last = width
        self.features = nn.Sequential(*layers)
        self.tags = nn.Linear(last, attributes)

    def response(self, x: Tensor) -> Tensor:
        """Return the averaged response map (N, h, w) of C5, which marks the face."""
        return average_response(self.features(x))

    def forward(self, x: Tensor) -> Tensor:
        """Map pictures (N, 3, H, W) to the scores of tags (N, attributes), which serve the training alone."""
        return self.tags(self.features(x).amax((2, 3)))


class LocallyShared(nn.Module):
    """A locally shared convolution's weights: filters for each cell of a grid.

    Args:
        in_channels, channels: of the maps.
        kernel: the side of the filters.
        grid: the cells of a row and of a column; 1 for an ordinary convolution.
    """

    def __init__(self, in_channels: int, channels: int, kernel: int, grid: int = 1) -> None:
        super().__init__()
        self.grid = grid
        self.weight = nn.Parameter(torch.empty(grid * grid, channels, in_channels, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(grid * grid, channels))
        for filters in self.weight:
            nn.init.kaiming_normal_(filters, nonlinearity="relu")

    def layer(self) -> LocalConv:
        """Return the layer as the two ways of evaluation take it."""
        return LocalConv(self.weight, self.bias, (self.grid, self.grid))


class ANet(nn.Module):
    """Four convolutions (C3 and C4 locally shared), three max-pools and FC, on every patch of a face region.

    Args:
        widths: the channels of C1 to C4, then those of FC.
        kernels: the sides of the four filters.
        grids: the cells of C3 and of C4.
        patch: the side of a patch.
        stride: the distance between patches.
        attributes: the number of attributes, whose linear classifiers score FC.
        identities: the number of identities that it is pre-trained with; 0 for no such layer.
        form: ``interweaved`` for one pass over the region, ``patches`` for patch by patch.
    """

    def __init__(
        self,
        widths: Sequence[int] = (20, 40, 60, 80, 160),
        kernels: Sequence[int] = (5, 3, 3, 2),
        grids: Sequence[int] = (3, 2),
        patch: int = 56,
        stride: int = 4,
        attributes: int = 40,
        identities: int = 0,
        form: str = "interweaved",
    ) -> None:
        super().__init__()
        sizes = zip((3, *widths[:3]), widths[:4], kernels, (1, 1, *grids), strict=True)
        self.convs = nn.ModuleList(LocallyShared(*each) for each in sizes)
        self.patches, self.evaluate = Patches.of(self.layers(), (patch, patch), stride), _WAYS[form]
        height, width = self.patches.out
        self.fc = nn.Linear(widths[3] * height * width, widths[4])
        self.svm = nn.Linear(widths[4], attributes)
        self.identity = nn.Linear(widths[4], identities) if identities else None

    def layers(self) -> list[Layer]:
        """Return the layers of a patch up to FC."""
        found: list[Layer] = []
        for number, conv in enumerate(self.convs):
            assert isinstance(conv, LocallyShared)
            found += [conv.layer(), *([MaxPool(2, 2)] if number < 3 else [])]
        return found

    def forward_features(self, x: Tensor) -> Tensor:
        """Return FC (N, patches, D) of the patches of face regions (N, 3, H, W), row by row.

        Raises:
            ValueError: a region is smaller than a patch.
        """
        maps = self.evaluate(self.layers(), x, self.patches)
        return self.fc(maps.flatten(3)).relu().flatten(1, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Map face regions (N, 3, H, W) to attribute scores (N, attributes), mean over their patches."""
        return svm_scores(self.forward_features(x), self.svm.weight, self.svm.bias)


def crop(x: Tensor, window: Tensor, size: int) -> Tensor:
    """Return a square window of each picture, resized bilinearly.

    Args:
        x: (N, C, H, W).
        window: (N, 4), its first column and row and its last ones, as fractions of the picture; may reach beyond it.
        size: of the result's sides.

    Returns:
        (N, C, size, size), 0 beyond the picture.
    """
    first, last = window[:, :2], window[:, 2:]
    extent = size / (last - first)  # of the whole picture, in pixels of the result
    box = torch.cat([extent * (0.5 - first), extent], dim=1)
    return box_warp(x, box[:, None].expand(-1, x.shape[1], -1), x.new_ones(x.shape[:2]), size, size)


class LNetsANet(nn.Module):
    """The cascade: LNet_o finds head and shoulders, LNet_s the face in them, ANet its attributes.

    Args:
        lnet: the arguments of both :class:`LNet`.
        anet: the arguments of :class:`ANet`.
        head: the side to which the window of LNet_o is resized for LNet_s.
        region: the side to which the face is resized for ANet.
        enlarged: the factor by which the face's window grows before.
        form: as of :class:`ANet`.
    """

    def __init__(
        self,
        lnet: Mapping[str, Any],
        anet: Mapping[str, Any],
        head: int = 227,
        region: int = 64,
        enlarged: float = 1.2,
        form: str = "interweaved",
    ) -> None:
        super().__init__()
        self.lnet_o, self.lnet_s, self.anet = LNet(**lnet), LNet(**lnet), ANet(**anet, form=form)
        self.head, self.region, self.enlarged = head, region, enlarged

    def locate(self, x: Tensor) -> Tensor:
        """Return the window of the face in each picture (N, 3, H, W), as fractions of the picture: (N, 4)."""
        outer = best_window(self.lnet_o.response(x))
        inner = best_window(self.lnet_s.response(crop(x, outer, self.head)))
        start, extent = outer[:, :2], outer[:, 2:] - outer[:, :2]
        return torch.cat([start + extent * inner[:, :2], start + extent * inner[:, 2:]], dim=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map pictures (N, 3, H, W) to the scores of their faces' attributes (N, attributes)."""
        window = self.locate(x)
        centre, half = (window[:, :2] + window[:, 2:]) / 2, (window[:, 2:] - window[:, :2]) / 2 * self.enlarged
        face = torch.cat([centre - half, centre + half], dim=1)
        return self.anet(crop(x, face, self.region))


_NETWORKS = {"lnet": LNet, "anet": ANet, "lnets_anet": LNetsANet}


def build(config: Mapping[str, Any], form: str = "interweaved") -> nn.Module:
    """Return the network that ``config`` names under ``network`` with its other hyper-parameters, in eval mode or not.

    ``form`` is the evaluation of ANet's patches: ``interweaved`` or ``patches``; an LNet has none.

    Raises:
        ValueError: the configuration names no network of known sizes, or the form does not exist.
    """
    rest = dict(config)
    name = rest.pop("network", None)
    if name not in _NETWORKS:
        raise ValueError("the sizes of the paper's layers are not known: build lnets_anet_assumed or its parts")
    if form not in _WAYS:
        raise ValueError(f"the form must be {' or '.join(_WAYS)}, got {form!r}")
    return _NETWORKS[name](**rest) if name == "lnet" else _NETWORKS[name](**rest, form=form)
