"""Runs a network over pictures with masks and counts how its labels, before and after refinement, overlap theirs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.segmentation import reading
from bench.segmentation.catalogue import BAND, Masks
from bench.segmentation.layout import Pair
from bench.segmentation.overlap import Overlap
from bench.segmentation.preprocessing import Normalisation, prepared
from bench.segmentation.trimap import bands

WIDTHS = (1, 2, BAND, 8, 16, 32)
"""Of the bands around boundaries, in pixels."""

Refine = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""From a picture (H, W, 3) in RGB and class probabilities (C, H, W) to better probabilities."""


@dataclass
class Found:
    """How labels overlap masks: everywhere, and by the width of a band around boundaries."""

    whole: Overlap
    narrow: dict[float, Overlap] = field(default_factory=dict)

    @classmethod
    def empty(cls, classes: int) -> Found:
        """Return the counts of no picture."""
        return cls(Overlap(classes), {width: Overlap(classes) for width in WIDTHS})

    def add(self, labels: np.ndarray, predicted: np.ndarray) -> None:
        """Count one picture: masks and predictions (H, W)."""
        self.whole.add(labels, predicted)
        for width, where in bands(labels, WIDTHS).items():
            self.narrow[width].add(labels, predicted, where)


@dataclass(frozen=True)
class Segmenter:
    """A network and what surrounds it.

    Attributes:
        scores: maps pictures (B, 3, H, W) to scores (B, C, h, w).
        upsample: maps scores and a size (H, W) to scores of that size.
        place: puts a tensor where the network expects it.
        normalisation: of the pictures.
        classes: C.
        refine: the stage after the network; None where there is none.
    """

    scores: Callable[[Tensor], Tensor]
    upsample: Callable[[Tensor, Sequence[int]], Tensor]
    place: Callable[[Tensor], Tensor]
    normalisation: Normalisation
    classes: int
    refine: Refine | None = None

    def preprocessing(self, dataset: Masks) -> dict[str, Any]:
        """Return what is done to a picture before the network sees it, for the evidence of a score."""
        return vars(self.normalisation) | {"pad": dataset.pad}

    def probabilities(self, inputs: Sequence[Tensor], sizes: Sequence[tuple[int, int]]) -> Iterator[np.ndarray]:
        """Yield class probabilities (C, H, W) of each input (1, 3, H', W'), cut to its picture's size."""
        with torch.inference_mode():
            batch = torch.cat(list(inputs))
            scores = self.scores(self.place(batch)).float().cpu()
            for each, (height, width) in zip(scores, sizes, strict=True):
                whole = self.upsample(each[None], batch.shape[2:])[0, :, :height, :width]
                yield whole.softmax(0).numpy()


@dataclass(frozen=True)
class Labeller:
    """A network that takes pictures as they are: resizing and padding them is its own affair.

    Attributes:
        label: maps a picture (H, W, 3) in RGB to the class (H, W) of each of its pixels.
        classes: how many there are.
        steps: what it does to a picture, for the evidence of a score.
        tested_shape: (3, height, width) into which it resizes pictures.
    """

    label: Callable[[np.ndarray], np.ndarray]
    classes: int
    steps: dict[str, Any] = field(default_factory=dict)
    tested_shape: tuple[int, ...] = ()

    def preprocessing(self, dataset: Masks) -> dict[str, Any]:
        """Return what is done to a picture, which is the same for all data sets."""
        return self.steps

    def evaluate(self, dataset: Masks, pairs: Sequence[Pair]) -> Found:
        """Return how its labels overlap the masks; see :func:`evaluate`."""
        found = Found.empty(self.classes)
        for pair in pairs:
            picture, labels = reading.both(pair, dataset, self.classes)
            found.add(labels, self.label(picture))
        return found


def evaluate(segmenter: Segmenter, dataset: Masks, pairs: Sequence[Pair], batch: int = 1) -> tuple[Found, Found | None]:
    """Return how a network's labels overlap the masks before and after refinement (None where there is none).

    Args:
        segmenter: the network.
        dataset: whose pictures they are.
        pairs: the pictures and masks.
        batch: how many pictures of one padded size go through the network at once.

    Raises:
        UserError: a file cannot be read or does not fit; names it.
    """
    before = Found.empty(segmenter.classes)
    after = Found.empty(segmenter.classes) if segmenter.refine is not None else None
    for group in _groups(segmenter, dataset, pairs, batch):
        sizes = [labels.shape for _, labels, _ in group]
        found = segmenter.probabilities([each for *_, each in group], sizes)
        for (picture, labels, _), probabilities in zip(group, found, strict=True):
            before.add(labels, probabilities.argmax(0))
            if after is not None and segmenter.refine is not None:
                after.add(labels, segmenter.refine(picture, probabilities).argmax(0))
    return before, after


Sample = tuple[np.ndarray, np.ndarray, Tensor]
"""A picture (H, W, 3), its mask (H, W) and the network's input (1, 3, H', W')."""


def _groups(segmenter: Segmenter, dataset: Masks, pairs: Sequence[Pair], batch: int) -> Iterator[list[Sample]]:
    """Yield the pictures in order, up to ``batch`` neighbours of one padded size together."""
    group: list[Sample] = []
    for pair in pairs:
        picture, labels = reading.both(pair, dataset, segmenter.classes)
        sample = (picture, labels, prepared(picture, segmenter.normalisation, dataset.pad))
        if group and (len(group) == batch or group[-1][2].shape != sample[2].shape):
            yield group
            group = []
        group.append(sample)
    if group:
        yield group
