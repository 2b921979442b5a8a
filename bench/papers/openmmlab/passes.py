"""The forward pass of a network, for counting and timing: tensors in, tensors out, the same work each time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from claimbench.bench.papers.openmmlab import predict
from claimbench.bench.papers.openmmlab.networks import SEGMENTATION, ToolboxNetwork

if TYPE_CHECKING:
    import numpy as np
    from mmengine.model import BaseModel

    from claimbench.bench.papers.openmmlab.found import Found

BOXES, MASKS = 1000, 100
"""Regions of a picture that go through the box head and through the mask head, as in mmdetection's own counter."""


class _Pass(nn.Module):
    """A network with its protocol of testing.

    Attributes:
        network: the toolbox's.
        preprocessing: of a picture that is scored, for the evidence.
        tested_shape: (3, height, width) of the canvas that such a picture is resized into.
    """

    def __init__(self, network: BaseModel, settings: ToolboxNetwork) -> None:
        super().__init__()
        self.network = network
        self._settings = settings
        self.preprocessing = predict.preprocessing(network, settings)
        self.tested_shape = predict.tested_shape(settings)


class SegmenterPass(_Pass):
    """Backbone, neck and head: pictures (B, 3, H, W) to scores (B, classes, H, W).

    In train mode the auxiliary head takes part, and scores have the size of the maps.

    Attributes:
        scales: the sizes that :meth:`label_over_scales` looks at, for the evidence.
    """

    scales = predict.SCALES

    @property
    def classes(self) -> int:
        """The number of classes it tells apart."""
        network: Any = self.network
        return int(network.decode_head.num_classes)

    def label(self, picture: np.ndarray) -> np.ndarray:
        """Return the class (H, W) of each pixel of a picture (H, W, 3) in RGB, as the trained network is tested."""
        return predict.labels(self.network, self._settings, picture)

    def label_over_scales(self, picture: np.ndarray) -> np.ndarray:
        """Return the same from the mean over several sizes of the picture and of its mirror image."""
        return predict.labels_over_scales(self.network, self._settings, picture)

    def forward(self, x: Tensor) -> Any:
        """Return the scores; in train mode those of every head."""
        network: Any = self.network
        if not self.training:
            size = tuple(x.shape[2:])
            return network.encode_decode(x, [{"img_shape": size, "ori_shape": size, "pad_shape": size}] * len(x))
        maps = network.extract_feat(x)
        heads = [network.decode_head, *([network.auxiliary_head] if network.with_auxiliary_head else [])]
        return [head(maps) for head in heads]


class DetectorPass(_Pass):
    """Backbone, neck, and the heads on as many regions of each picture as a trained detector looks at.

    The regions that the network itself would propose depend on its weights, and so would the work. Here they lie on a
    fixed grid, spread over the levels of the pyramid. Non-maximum suppression is not part of it.
    """

    @property
    def masks(self) -> bool:
        """Whether it gives masks besides boxes."""
        network: Any = self.network
        return bool(network.with_mask)

    def detect(self, picture: np.ndarray) -> Found:
        """Return the objects in a picture (H, W, 3) in RGB, as the trained network is tested: suppression and all."""
        return predict.objects(self.network, self._settings, picture)

    def forward(self, x: Tensor) -> Any:
        """Return the outputs of every head for pictures (B, 3, H, W)."""
        network: Any = self.network
        maps = network.extract_feat(x)
        if not hasattr(network, "roi_head"):
            return network.bbox_head(maps)
        heads = network.roi_head
        found = [network.rpn_head(maps)]
        for extractor, head in _stages(heads.bbox_roi_extractor, heads.bbox_head):
            found.append(head(_regions(extractor, maps, BOXES)))
        if heads.with_mask:
            for extractor, head in _stages(heads.mask_roi_extractor, heads.mask_head):
                found.append(head(_regions(extractor, maps, MASKS)))
        return found


def wrap(network: BaseModel, settings: ToolboxNetwork) -> nn.Module:
    """Return the forward pass of ``network`` that is measured."""
    return (SegmenterPass if settings.task == SEGMENTATION else DetectorPass)(network, settings)


def _stages(extractors: nn.Module, heads: nn.Module) -> list[tuple[Any, Any]]:
    """Return the pairs of a cascade, or the only pair."""
    if isinstance(heads, nn.ModuleList):
        shared = extractors if isinstance(extractors, nn.ModuleList) else [extractors] * len(heads)
        return list(zip(shared, heads, strict=True))
    return [(extractors, heads)]


def _regions(extractor: Any, maps: tuple[Tensor, ...], number: int) -> Tensor:
    """Return (B * number, C, side, side): a share of the regions from each level of the pyramid.

    A region spans 14 positions of its level, about as many as under the rule that gives regions to levels.
    """
    found = []
    levels = len(extractor.featmap_strides)
    for level, (stride, layer) in enumerate(zip(extractor.featmap_strides, extractor.roi_layers, strict=True)):
        height, width = maps[level].shape[2] * stride, maps[level].shape[3] * stride
        share = number // levels + (level < number % levels)
        boxes = _grid(share, height, width, min(14 * stride, height, width), maps[level])
        for picture in range(len(maps[level])):
            index = torch.full_like(boxes[:, :1], picture)
            found.append(layer(maps[level], torch.cat((index, boxes), dim=1)))
    return torch.cat(found)


def _grid(number: int, height: int, width: int, side: int, like: Tensor) -> Tensor:
    """Return ``number`` squares (x1, y1, x2, y2) of ``side`` pixels that lie evenly in a picture."""
    steps = torch.arange(number, device=like.device, dtype=torch.float32) / number
    x = (steps * 31).frac() * (width - side)
    y = steps * (height - side)
    return torch.stack((x, y, x + side, y + side), dim=1).to(like.dtype)
