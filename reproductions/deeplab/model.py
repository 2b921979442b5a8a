"""DeepLab v2: a classification network with holes in place of its last strides, and an atrous pyramid.

Chen et al., "DeepLab: Semantic Image Segmentation with Deep Convolutional Nets, Atrous Convolution, and Fully Connected
CRFs", arXiv 1606.00915. The CRF is a stage of its own: :mod:`claimbench.reproductions.deeplab.crf`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from claimbench.reproductions.deeplab.backbones import STRIDE, VGG16, ResNet
from claimbench.reproductions.deeplab.crf import CrfParameters, dense_crf, unary_of
from claimbench.reproductions.deeplab.heads import AtrousPyramid, LinearPyramid

__all__ = ["DeepLab", "MultiScale", "build", "initialise", "refine", "upsample"]

FORMS = ("single", "msc")


class DeepLab(nn.Module):
    """Features of output stride 8, and a head that scores each position.

    Args:
        backbone: maps pictures to features.
        head: maps the features to scores.
    """

    def __init__(self, backbone: VGG16 | ResNet, head: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.apply(initialise)
        for module in head.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=0.01)

    def forward(self, x: Tensor) -> Tensor:
        """Return scores (B, classes, h, w) for pictures (B, 3, H, W); h = (H - 1) / 8 + 1, rounded up."""
        return self.head(self.backbone(x))


class MultiScale(nn.Module):
    """The element-wise maximum of a network's scores for the picture and for smaller copies of it (section 4.1.2).

    Args:
        network: scores one scale.
        scales: the sizes of the smaller copies over the picture's.
    """

    def __init__(self, network: nn.Module, scales: Sequence[float] = (0.5, 0.75)) -> None:
        super().__init__()
        self.network = network
        self.scales = tuple(scales)

    def scores(self, x: Tensor) -> list[Tensor]:
        """Return the scores of the picture and of each smaller copy, each at its own size."""
        smaller = (F.interpolate(x, scale_factor=s, mode="bilinear", align_corners=False) for s in self.scales)
        return [self.network(x), *(self.network(copy) for copy in smaller)]

    def forward(self, x: Tensor) -> Tensor:
        """Return scores (B, classes, h, w) for pictures (B, 3, H, W)."""
        full, *smaller = self.scores(x)
        size = full.shape[2:]
        for scores in smaller:
            scores = F.interpolate(scores, size=size, mode="bilinear", align_corners=False)
            full = torch.maximum(full, scores)
        return full


def upsample(scores: Tensor, size: Sequence[int], *, aligned: bool = True) -> Tensor:
    """Return scores (B, C, h, w) at a picture's size (H, W), bilinearly.

    Args:
        scores: (B, C, h, w) at an eighth of the size.
        size: (H, W) of the picture.
        aligned: whether each position goes to every eighth pixel and the surplus is cut off, as in the authors' code.
            The first position goes to the first pixel. The padding of 2x2 pools puts one more before it, of which 7
            pixels are cut off; such maps are too large by 8 pixels at least, others by 7 at most. Without it the map
            is stretched over the picture, as in the PyTorch port.
    """
    if not aligned:
        return F.interpolate(scores, size=tuple(size), mode="bilinear", align_corners=False)
    whole = [STRIDE * (side - 1) + 1 for side in scores.shape[2:]]
    top, left = (STRIDE - 1 if a >= b + STRIDE else 0 for a, b in zip(whole, size, strict=True))
    full = F.interpolate(scores, size=whole, mode="bilinear", align_corners=True)[..., top:, left:]
    missing = [max(b - a, 0) for a, b in zip(full.shape[2:], size, strict=True)]
    if any(missing):
        full = F.pad(full, (0, missing[1], 0, missing[0]), mode="replicate")
    return full[..., : size[0], : size[1]]


def refine(config: Mapping[str, Any]) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Return the stage after the network: the fully connected CRF with the weights and widths of ``config``'s ``crf``.

    It maps a picture (H, W, 3) in RGB and class probabilities (C, H, W) to better probabilities.
    """
    parameters = CrfParameters(**config.get("crf", {}))

    def refined(picture: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
        colours = torch.from_numpy(np.array(picture)).permute(2, 0, 1)
        with torch.no_grad():
            return dense_crf(unary_of(torch.from_numpy(probabilities)), colours, parameters).numpy()

    return refined


def initialise(module: nn.Module) -> None:
    """Start convolutions from a normal of variance 2 / fan-out (the backbones are pretrained in the paper)."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def build(config: Mapping[str, Any], form: str = "single") -> DeepLab | MultiScale:
    """Return a randomly initialised DeepLab.

    Args:
        config: ``n_classes``, ``atrous_rates`` and ``kernel`` of the head; ``n_blocks`` for a ResNet; else VGG-16 with
            ``pool_kernel``, ``average_pool`` and the ``hidden`` width of its branches. ``scales`` are those of ``msc``.
        form: ``single``, or ``msc`` for the maximum over scales.

    Raises:
        ValueError: there is no form of that name.
    """
    if form not in FORMS:
        raise ValueError(f"deeplab has the forms {' and '.join(map(repr, FORMS))}, got {form!r}")
    classes, rates = config["n_classes"], config["atrous_rates"]
    backbone: VGG16 | ResNet
    head: nn.Module
    if "n_blocks" in config:
        backbone = ResNet(config["n_blocks"])
        head = LinearPyramid(backbone.channels, classes, config.get("kernel", 3), rates)
    else:
        backbone = VGG16(config["pool_kernel"], config["average_pool"])
        head = AtrousPyramid(backbone.channels, config["hidden"], classes, config["kernel"], rates)
    network = DeepLab(backbone, head)
    return MultiScale(network, config.get("scales", (0.5, 0.75))) if form == "msc" else network
