"""The losses of both networks. The readable parts of the paper do not state them: these are this suite's."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

__all__ = ["shape_loss", "template_loss"]


def _visible_mean(errors: Tensor, visible: Tensor) -> Tensor:
    """Return the mean of errors (N, K, values) over the labels that are there; 0 if none is."""
    weight = visible.to(errors.dtype)[..., None]
    return (errors * weight).sum() / (weight.sum() * errors.shape[-1]).clamp(min=1)


def template_loss(found: Tensor, coefficients: Tensor, visible: Tensor) -> Tensor:
    """Return the mean squared error of coefficients (N, K, T) over the labels that are there, ``visible`` (N, K)."""
    return _visible_mean((found - coefficients).square(), visible)


def shape_loss(boxes: Tensor, logits: Tensor, true: Tensor, visible: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the loss of boxes and visibility.

    Boxes count for the labels that are there, visibility for all: absent labels are its negatives.

    Args:
        boxes, true: (N, K, 4), found and true, centre x and y, width and height in pixels.
        logits: (N, K), of visibility.
        visible: (N, K), whether a label is there.
        size: the height and width of the picture, in parts of which errors of boxes count.
    """
    scale = boxes.new_tensor([size[1], size[0], size[1], size[0]])
    errors = F.smooth_l1_loss(boxes / scale, true / scale, reduction="none", beta=0.05)
    presence = F.binary_cross_entropy_with_logits(logits, visible.to(logits.dtype))
    return _visible_mean(errors, visible) + presence
