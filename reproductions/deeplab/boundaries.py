"""Pictures of scikit-image with masks made by thresholds, for the claim about the CRF.

The scores of a network of output stride 8 are imitated: the share of object in each 8x8 neighbourhood, softened, is
upsampled bilinearly. The CRF then has to find the outlines again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from claimbench.reproductions.deeplab.backbones import STRIDE
from claimbench.reproductions.deeplab.crf import CrfParameters, dense_crf
from claimbench.reproductions.deeplab.model import upsample
from claimbench.reproductions.deeplab.overlap import distance_to_boundary, mean_iou

__all__ = ["EVERYWHERE", "WIDTHS", "Scene", "blurred", "gains", "scenes"]

SIDE = 193
"""The side of a picture, in pixels."""
WIDTHS = (2, 4, 8, 16)
"""The widths of the bands around boundaries, in pixels."""
EVERYWHERE = 10**6
"""The width of a band that holds the whole picture."""
SURE = 0.9
"""The probability that the imitated network gives to a class that fills a neighbourhood."""
LEAST_AREA = 64
"""Pixels of the largest object or hole that is removed from a mask."""


@dataclass(frozen=True)
class Scene:
    """A picture (3, H, W) in RGB from 0 to 255 and its mask (H, W): 1 on objects."""

    picture: Tensor
    mask: Tensor


def scenes() -> dict[str, Scene]:
    """Return pieces of scikit-image's pictures, by name, each with the mask that a rule gives."""
    from skimage import color, data, filters, morphology

    def above(values: np.ndarray) -> np.ndarray:
        return values > filters.threshold_otsu(values)

    rules: Mapping[str, tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]] = {
        "coins": (color.gray2rgb(data.coins())[30 : 30 + SIDE, 150 : 150 + SIDE], lambda p: above(color.rgb2gray(p))),
        "stained tissue": (data.immunohistochemistry()[:SIDE, :SIDE], lambda p: above(color.rgb2hed(p)[..., 2])),
        "coffee": (data.coffee()[60 : 60 + SIDE, 130 : 130 + SIDE], lambda p: ~above(color.rgb2gray(p))),
        "rocket": (data.rocket()[100 : 100 + SIDE, 200 : 200 + SIDE], lambda p: above(color.rgb2gray(p))),
    }
    found = {}
    for name, (piece, rule) in rules.items():
        picture = np.ascontiguousarray(piece)
        mask = morphology.remove_small_objects(rule(picture), max_size=LEAST_AREA)
        mask = morphology.remove_small_holes(mask, max_size=LEAST_AREA)
        found[name] = Scene(torch.from_numpy(picture).permute(2, 0, 1), torch.from_numpy(mask).long())
    return found


def blurred(mask: Tensor) -> Tensor:
    """Return the scores (2, H, W) that a network of output stride 8 could give for a mask (H, W)."""
    objects = F.avg_pool2d(mask[None, None].float(), STRIDE + 1, STRIDE, STRIDE // 2, count_include_pad=False)
    share = (1 - SURE) + (2 * SURE - 1) * objects
    return upsample(torch.cat([1 - share, share], 1).log(), mask.shape)[0]


def gains(scene: Scene, parameters: CrfParameters) -> dict[int, tuple[float, float]]:
    """Return mean intersection over union before and after the CRF for each band, the whole picture last."""
    scores = blurred(scene.mask)
    after = dense_crf(-scores.log_softmax(0), scene.picture, parameters)
    distance = distance_to_boundary(scene.mask)
    found = {}
    for width in (*WIDTHS, EVERYWHERE):
        where = distance < width
        both = [mean_iou(scene.mask[where], labels.argmax(0)[where], 2) for labels in (scores, after)]
        found[width] = (both[0], both[1])
    return found
