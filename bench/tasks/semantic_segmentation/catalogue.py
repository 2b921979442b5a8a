"""The data sets that segmentation is evaluated on, as data: the folders of pictures and masks, and the values of masks.

Only the standard library is imported here: planning a run must load neither torch nor numpy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from claimbench.bench.core.task import DataSet

VOID = 255
"""The label of pixels that do not count."""

BAND = 4
"""The width in pixels of the band around boundaries that has rows of its own; the others are in the detail."""

Layout = Literal["voc", "pascal-context", "cityscapes", "ade20k", "coco-stuff", "folder"]


@dataclass(frozen=True)
class Masks(DataSet):
    """A data set of pictures and masks, and its published protocol.

    Attributes:
        layout: of its folder; see :mod:`claimbench.bench.tasks.semantic_segmentation.data`.
        classes: their names in the order of the model's scores; empty if the model decides.
        labels: the class (or :data:`VOID`) of each value that a mask may hold; empty if that is the value itself.
        pictures: the number in the whole set; None if the folder decides.
        pad: pictures are padded to this side before they go through a model; larger ones to the next multiple of 8
            plus 1.
    """

    layout: Layout = "folder"
    classes: tuple[str, ...] = ()
    labels: Mapping[int, int] = field(default_factory=dict)
    pictures: int | None = None
    pad: int = 1

    def values(self, classes: int) -> dict[int, int]:
        """Return the class, or :data:`VOID`, of each value that a mask may hold, for a model of so many classes."""
        return dict(self.labels) or {**{i: i for i in range(classes)}, VOID: VOID}


VOC_CLASSES = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
PASCAL_CONTEXT_CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "table", "dog", "horse"),
    *("motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor", "bag", "bed", "bench", "book"),
    *("building", "cabinet", "ceiling", "cloth", "computer", "cup", "door", "fence", "floor", "flower", "food"),
    *("grass", "ground", "keyboard", "light", "mountain", "mouse", "curtain", "platform", "sign", "plate", "road"),
    *("rock", "shelves", "sidewalk", "sky", "snow", "bedclothes", "track", "tree", "truck", "wall", "water"),
    *("window", "wood"),
)
CITYSCAPES_CLASSES: Mapping[str, int] = {
    "road": 7,
    "sidewalk": 8,
    "building": 11,
    "wall": 12,
    "fence": 13,
    "pole": 17,
    "traffic light": 19,
    "traffic sign": 20,
    "vegetation": 21,
    "terrain": 22,
    "sky": 23,
    "person": 24,
    "rider": 25,
    "car": 26,
    "truck": 27,
    "bus": 28,
    "train": 31,
    "motorcycle": 32,
    "bicycle": 33,
}
"""The evaluated classes and their values in the files ``*_labelIds.png``; the other values up to 33 are void."""

_CITYSCAPES_IDS = {value: i for i, value in enumerate(CITYSCAPES_CLASSES.values())}


def _from_one(classes: int) -> dict[int, int]:
    """Return the labels of masks that count classes from 1; 0 and 255 are void."""
    return {0: VOID, VOID: VOID, **{i + 1: i for i in range(classes)}}


_ALL = (
    Masks(
        "voc12",
        "VOC 2012 val",
        needs="the folder VOCdevkit/VOC2012 with JPEGImages, SegmentationClass and ImageSets/Segmentation/val.txt",
        source="Everingham et al., IJCV 2015: mean over 21 classes of intersection over union, void pixels left out",
        scored_classes=21,
        layout="voc",
        classes=VOC_CLASSES,
        pictures=1449,
        pad=513,
    ),
    Masks(
        "cityscapes",
        "Cityscapes val",
        needs="the folder with leftImg8bit/val and gtFine/val",
        source="Cordts et al., CVPR 2016: mean over 19 classes of the intersection over union",
        scored_classes=19,
        layout="cityscapes",
        classes=tuple(CITYSCAPES_CLASSES),
        labels={value: _CITYSCAPES_IDS.get(value, VOID) for value in (*range(34), 255)},
        pictures=500,
    ),
    Masks(
        "ade20k",
        "ADE20K val",
        needs="the folder ADEChallengeData2016 with images/validation and annotations/validation",
        source="Zhou et al., CVPR 2017: mean over 150 classes, unlabelled pixels left out",
        scored_classes=150,
        layout="ade20k",
        classes=tuple(f"class {i + 1}" for i in range(150)),
        labels={0: VOID, **{i + 1: i for i in range(150)}},
        pictures=2000,
    ),
    Masks(
        "pascal_context59",
        "PASCAL-Context val, 59 classes",
        needs="the folder VOCdevkit/VOC2010 with JPEGImages, SegmentationClassContext (PNG, 0 for the background, then "
        "1 to 59 in MMSegmentation's order) and ImageSets/SegmentationContext/val.txt",
        source="Mottaghi et al., CVPR 2014: mean over the 59 most frequent classes, the background left out",
        scored_classes=59,
        layout="pascal-context",
        classes=PASCAL_CONTEXT_CLASSES,
        labels=_from_one(59),
        pictures=5105,
    ),
    Masks(
        "coco_stuff10k",
        "COCO-Stuff-10K test",
        needs="the folder with images/test2014 and annotations/test2014, as MMSegmentation's coco_stuff10k.py converts "
        "it (NAME_labelTrainIds.png: 0 unlabelled, then 1 to 171)",
        source="Caesar et al., CVPR 2018: mean over 171 classes, unlabelled pixels left out",
        scored_classes=171,
        layout="coco-stuff",
        classes=tuple(f"class {i + 1}" for i in range(171)),
        labels=_from_one(171),
        pictures=1000,
    ),
    Masks(
        "masks",
        "a folder of pictures and masks",
        needs="a folder with images/ and masks/, a PNG of class numbers (255 is void) for each picture",
        published=False,
    ),
)

DATASETS: Mapping[str, Masks] = {dataset.name: dataset for dataset in _ALL}
DEFAULT = "voc12"
