"""The data sets of visual tokenization: folders of pictures, of clips and of voxels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from claimbench.bench.core.task import DataSet

Kind = Literal["pictures", "clips", "voxels"]

PICTURES = "a folder of pictures, in folders of any depth"
CLIPS = "a folder that holds a folder of frames for each clip, or video files"
VOXELS = "a folder of .npz files with `coords` (N, 3), integers, and `features` (N, F) from 0 to 1"

FEATURES = "4x4 DCT blocks of luma"
"""The features of the Fréchet distance."""


@dataclass(frozen=True)
class VisualSet(DataSet):
    """A data set of visual tokenization.

    Attributes:
        kind: of its examples.
        size: the side to which pictures and frames are cut: the shorter side is resized to it and the centre cropped; 0
            leaves them as they are.
    """

    kind: Kind = "pictures"
    size: int = 0


_ALL = (
    VisualSet("pictures", "Your pictures", needs=PICTURES, published=False),
    VisualSet("clips", "Your clips", needs=CLIPS, published=False, kind="clips"),
    VisualSet("voxels", "Your voxels", needs=VOXELS, published=False, kind="voxels"),
    VisualSet("imagenet", "ImageNet", needs=f"its validation pictures: {PICTURES}", source="ILSVRC 2012", size=256),
    VisualSet("coco", "COCO", needs=f"its validation pictures of 2017: {PICTURES}", source="COCO 2017", size=256),
    VisualSet("davis", "DAVIS", needs=f"its 1080p frames: {CLIPS}", source="DAVIS 2017", kind="clips"),
    VisualSet("tokenbench", "TokenBench", needs=f"its 471 videos: {CLIPS}", source="NVIDIA TokenBench", kind="clips"),
)

DATASETS: Mapping[str, VisualSet] = {dataset.name: dataset for dataset in _ALL}
DEFAULT = "pictures"
SEEN = tuple(name for name, dataset in DATASETS.items() if dataset.kind != "voxels")
"""The sets whose examples can be looked at, as voxels cannot."""
