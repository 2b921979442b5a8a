"""Average precision of detections, computed by COCO's own library."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from typing import Any, Literal

import numpy as np

from claimbench.bench.core.statistics import bootstrap_interval, resampled
from claimbench.bench.papers.openmmlab.found import Found
from claimbench.bench.tasks.object_detection.catalogue import CLASSES
from claimbench.bench.tasks.object_detection.data import GroundTruth, Picture
from claimbench.bench.tasks.object_detection.resampling import means

Kind = Literal["bbox", "segm"]

Results = list[dict[str, Any]]
"""Detections in pictures, as COCO's library takes them."""


@dataclass(frozen=True)
class Precision:
    """Average precision as fractions; None if no object counts.

    Attributes:
        mean: over overlaps of 0.50 to 0.95 and the categories of which there are objects.
        by: ``ap50``, ``ap75``, and ``small``, ``medium`` and ``large`` objects.
        per_class: ``mean`` of each category.
        interval: of ``mean``, 95 %, by resampling pictures; None with fewer than two.
    """

    mean: float | None
    by: dict[str, float | None]
    per_class: dict[str, float | None]
    interval: tuple[float, float] | None


def as_results(found: Found, picture: Picture) -> Results:
    """Return the detections of one picture as COCO's library takes them, ready for JSON."""
    regions = [None] * len(found.boxes) if found.masks is None else _runs(found.masks)
    return [
        {
            "image_id": picture.number,
            "category_id": int(category) + 1,
            "bbox": [float(left), float(top), float(right - left), float(bottom - top)],
            "score": float(score),
            **({} if region is None else {"segmentation": region}),
        }
        for (left, top, right, bottom), score, category, region in zip(
            found.boxes, found.scores, found.classes, regions, strict=True
        )
    ]


def average_precision(truth: GroundTruth, pictures: Sequence[Picture], found: Results, kind: Kind) -> Precision:
    """Return the average precision of detections.

    Args:
        truth: the objects.
        pictures: those that the detector has seen.
        found: the :func:`as_results` of these pictures.
        kind: whether boxes or masks are compared.
    """
    from pycocotools.cocoeval import COCOeval

    numbers = [picture.number for picture in pictures]
    seen = set(numbers)
    objects = [dict(each) for each in truth.objects if each["image_id"] in seen]  # the library writes into them
    results = [_result(number, each, kind) for number, each in enumerate(found, start=1)]
    with redirect_stdout(StringIO()):
        evaluation = COCOeval(_index(pictures, objects), _index(pictures, results), kind)
        evaluation.params.imgIds = sorted(numbers)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    names = ("ap50", "ap75", "small", "medium", "large")
    by = {name: _fraction(value) for name, value in zip(names, evaluation.stats[1:6], strict=True)}
    precision = evaluation.eval["precision"][:, :, :, 0, -1]  # every overlap, recall and category; any size
    each = {name: _mean(precision[:, :, place]) for place, name in enumerate(CLASSES)}
    interval = bootstrap_interval(means(evaluation, resampled(len(pictures)))) if len(pictures) > 1 else None
    return Precision(_fraction(evaluation.stats[0]), by, each, interval)


def _index(pictures: Sequence[Picture], objects: list[dict[str, Any]]) -> Any:
    from pycocotools.coco import COCO

    coco = COCO()
    coco.dataset = {
        "images": [{"id": each.number, "width": each.width, "height": each.height} for each in pictures],
        "annotations": objects,
        "categories": [{"id": place, "name": name} for place, name in enumerate(CLASSES, start=1)],
    }
    coco.createIndex()
    return coco


def _result(number: int, each: dict[str, Any], kind: Kind) -> dict[str, Any]:
    """Return a detection with its number and its area, that of the box or mask compared."""
    from pycocotools import mask

    width, height = each["bbox"][2:]
    area = float(mask.area(each["segmentation"])) if kind == "segm" else width * height
    return {**each, "id": number, "area": area, "iscrowd": 0}


def _runs(masks: np.ndarray) -> list[dict[str, Any]]:
    from pycocotools import mask

    regions = mask.encode(np.asfortranarray(masks.transpose(1, 2, 0).astype(np.uint8)))
    return [{"size": region["size"], "counts": region["counts"].decode()} for region in regions]


def _fraction(value: float) -> float | None:
    """Return a figure of COCO's library, which gives -1 if there is none."""
    return None if value < 0 else float(value)


def _mean(values: np.ndarray) -> float | None:
    known = values[values > -1]
    return float(known.mean()) if known.size else None
