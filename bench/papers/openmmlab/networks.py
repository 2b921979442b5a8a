"""The networks of the papers' tables, each with its head, input size and training schedule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SEGMENTATION, DETECTION = "semantic-segmentation", "object-detection"


@dataclass(frozen=True)
class ToolboxNetwork:
    """A neck and heads around a backbone, on the toolbox's own configuration.

    Attributes:
        name: as papers print it, but for upper and lower case.
        task: the network's.
        toolbox: ``mmseg`` or ``mmdet``.
        model, data, schedule: files under the toolbox's ``_base_`` configurations.
        size: height and width of the picture at which papers count FLOPs.
        classes: of the data set.
        optimizer: of the papers' trainings.
        box_head: the papers' changes to each box head of the toolbox's file.
    """

    name: str
    task: str
    toolbox: str
    model: str
    data: str
    schedule: str
    size: tuple[int, int]
    classes: int
    optimizer: Mapping[str, Any]
    box_head: Mapping[str, Any] = field(default_factory=dict)


_FOUR_CONVOLUTIONS = {
    "type": "ConvFCBBoxHead",
    "num_shared_convs": 4,
    "num_shared_fcs": 1,
    "conv_out_channels": 256,
    "reg_class_agnostic": False,
    "reg_decoded_bbox": True,
    "norm_cfg": {"type": "SyncBN"},
    "loss_bbox": {"type": "GIoULoss", "loss_weight": 10.0},
}
"""The box heads that papers since Swin put into Cascade R-CNN."""

NETWORKS: Mapping[str, ToolboxNetwork] = {
    network.name: network
    for network in (
        ToolboxNetwork(
            "UPerNet",
            SEGMENTATION,
            "mmseg",
            "upernet_swin",
            "ade20k",
            "schedule_160k",
            (512, 2048),
            150,
            {"type": "AdamW", "lr": 6e-5, "betas": (0.9, 0.999), "weight_decay": 0.01},
        ),
        ToolboxNetwork(
            "Semantic FPN",
            SEGMENTATION,
            "mmseg",
            "fpn_r50",
            "ade20k",
            "schedule_80k",
            (512, 2048),
            150,
            {"type": "AdamW", "lr": 1e-4, "weight_decay": 1e-4},
        ),
        ToolboxNetwork(
            "Mask R-CNN",
            DETECTION,
            "mmdet",
            "mask-rcnn_r50_fpn",
            "coco_instance",
            "schedule_1x",
            (800, 1280),
            80,
            {"type": "AdamW", "lr": 1e-4, "betas": (0.9, 0.999), "weight_decay": 0.05},
        ),
        ToolboxNetwork(
            "Cascade Mask R-CNN",
            DETECTION,
            "mmdet",
            "cascade-mask-rcnn_r50_fpn",
            "coco_instance",
            "schedule_1x",
            (800, 1280),
            80,
            {"type": "AdamW", "lr": 1e-4, "betas": (0.9, 0.999), "weight_decay": 0.05},
            _FOUR_CONVOLUTIONS,
        ),
        ToolboxNetwork(
            "RetinaNet",
            DETECTION,
            "mmdet",
            "retinanet_r50_fpn",
            "coco_detection",
            "schedule_1x",
            (800, 1280),
            80,
            {"type": "AdamW", "lr": 1e-4, "weight_decay": 0.05},
        ),
    )
}
"""By name, the default of each task first."""


def find(name: str) -> ToolboxNetwork | None:
    """Return the network that a paper calls ``name``, in upper or lower case; None if it is not among them."""
    return next((network for network in NETWORKS.values() if network.name.lower() == name.lower()), None)
