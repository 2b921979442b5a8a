"""The objects that a detector finds in one picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Found:
    """The detections in one picture (H, W).

    Attributes:
        boxes: (N, 4), left, top, right and bottom in pixels of the picture.
        scores: (N,).
        classes: (N,), positions in COCO's list of classes.
        masks: (N, H, W), bool; None for a detector that gives boxes only.
    """

    boxes: np.ndarray
    scores: np.ndarray
    classes: np.ndarray
    masks: np.ndarray | None = None
