"""The predictions of a trained network for one picture, which goes through its toolbox's own test pipeline."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from mmcv.transforms import Compose
from mmengine.registry import DefaultScope

from claimbench.bench.papers.openmmlab.assemble import named, test_pipeline
from claimbench.bench.papers.openmmlab.found import Found
from claimbench.bench.papers.openmmlab.networks import ToolboxNetwork

if TYPE_CHECKING:
    from mmengine.model import BaseModel

OWN_STEPS = ("LoadImageFromFile", "LoadAnnotations")
"""Steps of a pipeline that are left out: :mod:`bench` reads pictures and compares predictions with the truth."""


RATIOS = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
"""Factors of the canvas that pictures are resized into, for scores over several sizes as in the papers' tables."""

SCALES = f"ratios {', '.join(map(str, RATIOS))} of the canvas, each also mirrored; mean of the probabilities"


def labels(network: BaseModel, settings: ToolboxNetwork, picture: np.ndarray) -> np.ndarray:
    """Return the class (H, W) of each pixel of a picture (H, W, 3) in RGB."""
    found: np.ndarray = _predicted(network, settings, picture).pred_sem_seg.data[0].cpu().numpy()
    return found


def labels_over_scales(network: BaseModel, settings: ToolboxNetwork, picture: np.ndarray) -> np.ndarray:
    """Return the class (H, W) that is likeliest over all :data:`RATIOS` of a picture and its mirror image.

    Each look gives probabilities in the picture's own pixels and the right way round; their mean decides.
    """
    total: Any = 0
    for ratio in RATIOS:
        for mirrored in (False, True):
            total = total + _predicted(network, settings, picture, ratio, mirrored).seg_logits.data.softmax(0)
    found: np.ndarray = total.argmax(0).cpu().numpy()
    return found


def objects(network: BaseModel, settings: ToolboxNetwork, picture: np.ndarray) -> Found:
    """Return the objects in a picture (H, W, 3) in RGB."""
    found = _predicted(network, settings, picture).pred_instances.cpu().numpy()
    return Found(found.bboxes, found.scores, found.labels, found.masks if "masks" in found else None)


def tested_shape(settings: ToolboxNetwork) -> tuple[int, ...]:
    """Return (3, height, width) of the canvas that pictures are resized into."""
    (step,) = (step for step in test_pipeline(settings) if step["type"] == "Resize")
    width, height = step["scale"]
    return 3, height, width


def preprocessing(network: Any, settings: ToolboxNetwork) -> dict[str, Any]:
    """Return the preprocessing of a picture, JSON-ready, for the evidence of a score."""
    before = network.data_preprocessor
    return {
        "resize": f"into {'x'.join(map(str, tested_shape(settings)[1:]))} at its own ratio of sides",
        "mean": before.mean.flatten().tolist(),
        "std": before.std.flatten().tolist(),
        "library": settings.toolbox,
    }


def _predicted(
    network: Any, settings: ToolboxNetwork, picture: np.ndarray, ratio: float = 1.0, mirrored: bool = False
) -> Any:
    """Return the toolbox's sample of one picture, in the picture's own pixels."""
    height, width = picture.shape[:2]
    read = {"img": picture[..., ::-1], "img_shape": (height, width), "ori_shape": (height, width)}
    with DefaultScope.overwrite_default_scope(settings.toolbox):
        packed = _steps(settings.name, ratio, mirrored)({**read, "img_id": 0, "img_path": ""})
        return network.test_step({"inputs": [packed["inputs"]], "data_samples": [packed["data_samples"]]})[0]


@cache
def _steps(name: str, ratio: float, mirrored: bool) -> Compose:
    steps = []
    for step in test_pipeline(named(name)):
        if step["type"] == "Resize":
            steps.append({**step, "scale": tuple(int(side * ratio) for side in step["scale"])})
            steps += [{"type": "RandomFlip", "prob": 1.0}] * mirrored
        elif step["type"] not in OWN_STEPS:
            steps.append(step)
    return Compose(steps)
