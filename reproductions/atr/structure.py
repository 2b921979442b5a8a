"""The structure of a label's mask: a normalised mask made of templates, and the box and visibility that place it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["LABELS", "PAIRS", "mirrored", "normalised_mask", "structures", "template_combination"]

LABELS = (
    *("background", "hat", "hair", "sunglass", "upper-clothes", "skirt", "pants", "dress", "belt", "left-shoe"),
    *("right-shoe", "face", "left-leg", "right-leg", "left-arm", "right-arm", "bag", "scarf"),
)
"""The names of the labels in the order of ``atr_label.txt``; LIP and others have other orders."""

PAIRS = ((9, 10), (12, 13), (14, 15))
"""The labels of a left and a right part."""


def template_combination(templates: Tensor, coefficients: Tensor) -> Tensor:
    """Return the mask of each label, the sum over its templates of coefficient times template.

    Args:
        templates: (K, T, h, w).
        coefficients: (N, K, T).

    Returns:
        (N, K, h, w).

    Raises:
        ValueError: the labels or templates of both differ.
    """
    if templates.dim() != 4 or coefficients.shape[1:] != templates.shape[:2]:
        shapes = f"{tuple(templates.shape)} and {tuple(coefficients.shape)}"
        raise ValueError(f"templates must be (K, T, h, w) and coefficients (N, K, T), got shapes {shapes}")
    found = coefficients.transpose(0, 1) @ templates.flatten(2)
    return found.transpose(0, 1).unflatten(2, templates.shape[2:])


def normalised_mask(labels: Tensor, label: int, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Return the training targets of one label of a label map.

    Args:
        labels: (H, W), integers.
        label: of the mask.
        height, width: of the normalised mask.

    Returns:
        The label's mask, cropped to its bounding box and resized bilinearly (by pixel centres, without smoothing):
        (height, width), float64; and the box (4,), its centre x and y, width and height in pixels. All are 0 if no
        pixel has the label.

    Raises:
        ValueError: the label map has not two axes, or the size is not positive.
    """
    if labels.dim() != 2:
        raise ValueError(f"a label map must be (H, W), got shape {tuple(labels.shape)}")
    if min(height, width) < 1:
        raise ValueError(f"a normalised mask must have samples, got {height}x{width}")
    mask = (labels == label).to(torch.float64)
    rows, columns = (torch.nonzero(mask.any(axis)).flatten() for axis in (1, 0))
    if not len(rows):
        return mask.new_zeros(height, width), mask.new_zeros(4)
    (y0, y1), (x0, x1) = ((int(places[0]), int(places[-1]) + 1) for places in (rows, columns))
    cut = mask[None, None, y0:y1, x0:x1]
    resized = F.interpolate(cut, (height, width), mode="bilinear", align_corners=False)[0, 0]
    return resized, mask.new_tensor([(x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0])


def structures(labels: Tensor, count: int, height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the targets of all labels but the background of label maps (N, H, W), in float32.

    Returns:
        Normalised masks (N, count - 1, height, width), boxes (N, count - 1, 4), and whether a label is there,
        (N, count - 1).
    """
    found = [normalised_mask(one, label, height, width) for one in labels for label in range(1, count)]
    masks, boxes = (torch.stack(each).float().unflatten(0, (len(labels), -1)) for each in zip(*found, strict=True))
    return masks, boxes, boxes[..., 2] > 0


def mirrored(labels: Tensor, pairs: Sequence[tuple[int, int]] = PAIRS) -> Tensor:
    """Return label maps (..., H, W) mirrored left to right, with the labels of left and right parts exchanged."""
    flipped = labels.flip(-1)
    found = flipped.clone()
    for left, right in pairs:
        found[flipped == left] = right
        found[flipped == right] = left
    return found
