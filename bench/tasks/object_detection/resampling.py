"""The spread of average precision over other samples of pictures, from the matches of COCO's library in each picture.

The library matches detections and objects picture by picture, so that a resampling of the pictures needs no new match:
every detection and object of a picture counts as often as the picture was drawn. That is exact: copies of a detection
have one score and follow each other (unless one picture has another detection of the very same score), and precision is
read off only where recall rises, at its highest from there on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

BLOCK = 4_000_000
"""Numbers that are held at once for each array: a replicate has one for each detection of a category."""


def means(evaluation: Any, drawn: np.ndarray) -> np.ndarray:
    """Return COCO's AP (over overlaps, and categories of which there are objects) in each resampling, as fractions.

    Args:
        evaluation: pycocotools' ``COCOeval`` after ``evaluate()``.
        drawn: (R, pictures), the count of each picture, in the order of its ``params.imgIds``.

    Returns:
        (R,), nan where no object counts.
    """
    params = evaluation.params
    pictures, sizes = len(params.imgIds), len(params.areaRng)
    total, known = np.zeros(len(drawn)), np.zeros(len(drawn))
    for category in range(len(params.catIds)):
        first = category * sizes * pictures  # any size comes first among the sizes
        found = _category(evaluation.evalImgs[first : first + pictures], drawn, params)
        if found is not None:
            there = ~np.isnan(found)
            total += np.where(there, found, 0)
            known += there
    return np.divide(total, known, out=np.full(len(drawn), np.nan), where=known > 0)


def _category(matched: Sequence[dict[str, Any] | None], drawn: np.ndarray, params: Any) -> np.ndarray | None:
    """Return the AP of one category in each resampling, nan where no object is drawn; None if there is none."""
    places = [place for place, each in enumerate(matched) if each is not None]
    each = [found for found in matched if found is not None]
    if not each:
        return None
    objects = drawn[:, places] @ np.array([np.count_nonzero(np.equal(found["gtIgnore"], 0)) for found in each])
    if not objects.any():
        return None
    picture = np.repeat(places, [len(found["dtScores"]) for found in each])
    scores = np.concatenate([np.asarray(found["dtScores"], np.float64) for found in each])
    order = np.argsort(-scores, kind="mergesort")
    picture = picture[order]
    counted = ~np.concatenate([found["dtIgnore"] for found in each], axis=1)[:, order].astype(bool)
    right = np.concatenate([found["dtMatches"] for found in each], axis=1)[:, order].astype(bool) & counted
    precision = np.zeros(len(drawn))
    rows = max(1, BLOCK // max(1, len(picture)))
    for start in range(0, len(drawn), rows):
        block = slice(start, start + rows)
        often = drawn[block][:, picture].astype(np.float64)
        for positive, valid in zip(right, counted, strict=True):
            precision[block] += _interpolated(often, positive, valid, objects[block], params.recThrs)
    return np.where(objects > 0, precision / len(right), np.nan)


def _interpolated(
    often: np.ndarray, right: np.ndarray, counted: np.ndarray, objects: np.ndarray, recalls: np.ndarray
) -> np.ndarray:
    """Return precision averaged over levels of recall (R,), from detections in the order of their scores.

    Args:
        often: (R, D), the count of each detection.
        right, counted: (D,), whether it is a true positive, and whether it counts at all.
        objects: (R,), the number to be found.
        recalls: the levels.
    """
    places = np.flatnonzero(right)
    if not len(places):
        return np.zeros(len(often))
    ends = places + 1
    starts = np.concatenate([[0], ends[:-1]])
    true = np.cumsum(often[:, places], axis=1)
    valid = often if counted.all() else often * counted
    up_to = np.cumsum(np.add.reduceat(valid[:, : ends[-1]], starts, axis=1), axis=1)
    precision = np.divide(true, up_to, out=np.zeros_like(true), where=up_to > 0)
    highest = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    recall = true / np.maximum(objects, 1)[:, None]
    reached = np.searchsorted(recalls, recall.ravel(), side="right").reshape(recall.shape)
    newly = np.diff(reached, axis=1, prepend=0)
    return (newly * highest).sum(1) / len(recalls)
