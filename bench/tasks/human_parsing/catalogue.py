"""The data sets of human parsing: ATR's and a user's own, with their labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from claimbench.bench.core.task import DataSet

ATR_LABELS = (
    *("background", "hat", "hair", "sunglass", "upper-clothes", "skirt", "pants", "dress", "belt", "left-shoe"),
    *("right-shoe", "face", "left-leg", "right-leg", "left-arm", "right-arm", "bag", "scarf"),
)
"""The labels of ``atr_label.txt`` in its order; LIP and others have other orders."""


@dataclass(frozen=True)
class ParsedSet(DataSet):
    """A data set of pictures of people and label maps.

    Attributes:
        labels: their names, the background first; empty if the model decides.
        pictures: the number in the whole set; None if the folder decides.
        larger: the number in a copy of the set with further pictures, whose scores are not comparable.
    """

    labels: tuple[str, ...] = ()
    pictures: int | None = None
    larger: int | None = None


_ALL = (
    ParsedSet(
        "atr",
        "ATR test",
        needs="the folder humanparsing with JPEGImages/, SegmentationClassAug/ and test.txt, the test part",
        source="Liang et al., TPAMI 2015: pixel counts of 18 labels, pooled over the pictures of the test part",
        scored_classes=len(ATR_LABELS),
        labels=ATR_LABELS,
        pictures=7_700,
        larger=17_706,
    ),
    ParsedSet(
        "parsing",
        "a folder of people and label maps",
        needs="a folder with images/ and masks/, a PNG of label numbers (0 is the background) for each picture",
        published=False,
    ),
)

DATASETS: Mapping[str, ParsedSet] = {dataset.name: dataset for dataset in _ALL}
DEFAULT = "atr"
