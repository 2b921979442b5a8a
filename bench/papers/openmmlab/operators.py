"""Stand-ins for mmcv's compiled operators if mmcv was installed without them, as it is from its source on PyPI.

Detectors need non-maximum suppression and RoIAlign: torchvision has both, by the same definition. Any other compiled
operator can be imported, and raises an error that names it when it is called.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any, NoReturn

import torch
from torch import Tensor
from torchvision.ops import nms, roi_align

NAME = "mmcv._ext"
AVERAGE = 1
"""mmcv's number for average pooling, the only kind torchvision has."""


class _Operators(ModuleType):
    """The module that mmcv looks its operators up in."""

    def __getattr__(self, name: str) -> Callable[..., NoReturn]:
        if name.startswith("__"):
            raise AttributeError(name)

        def missing(*args: Any, **kwargs: Any) -> NoReturn:
            raise NotImplementedError(f"mmcv's compiled operator {name} is not installed: build onedl-mmcv from source")

        return missing


def provide() -> None:
    """Install the stand-ins unless mmcv has its own operators."""
    if NAME in sys.modules or find_spec(NAME) is not None:
        return
    module = _Operators(NAME)
    module.__spec__ = ModuleSpec(NAME, None)
    for operator in (_nms, _roi_align_forward, _roi_align_backward):
        setattr(module, operator.__name__.removeprefix("_"), operator)
    sys.modules[NAME] = module


def _nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Return the indices of the boxes (N, 4) that are kept, best first; ``offset`` is 1 if widths count pixels."""
    if offset:
        boxes = torch.cat((boxes[:, :2], boxes[:, 2:] + offset), dim=1)
    return nms(boxes, scores, iou_threshold)


def _roi_align_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Write into ``output`` (N, C, h, w) the regions ``rois`` (N, 5: picture and corners) of ``input``."""
    if pool_mode != AVERAGE:
        raise NotImplementedError("RoIAlign with max pooling needs mmcv's compiled operators: build onedl-mmcv")
    output.copy_(roi_align(input, rois, (aligned_height, aligned_width), spatial_scale, sampling_ratio, aligned))


def _roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Write the gradient of the input into ``grad_input``."""
    backward = torch.ops.torchvision._roi_align_backward
    size = (aligned_height, aligned_width)
    grad_input.copy_(backward(grad_output, rois, spatial_scale, *size, *grad_input.shape, sampling_ratio, aligned))
