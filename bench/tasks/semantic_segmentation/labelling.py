"""Runs a network over pictures with masks and counts the overlap of its labels, refined or not, with theirs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from claimbench.bench.core.records import Job
from claimbench.bench.core.task import Subject
from claimbench.bench.data.pictures.masked import MaskedPicture, size_of, sizes
from claimbench.bench.measure.scoring.look import look
from claimbench.bench.tasks.semantic_segmentation import data
from claimbench.bench.tasks.semantic_segmentation.catalogue import BAND, Masks
from claimbench.bench.tasks.semantic_segmentation.preprocessing import Normalisation, normalised, padded, prepared
from claimbench.bench.tasks.semantic_segmentation.score import Overlap, bands, counts_of
from claimbench.bench.tasks.semantic_segmentation.sliding import Windows

WIDTHS = (1, 2, BAND, 8, 16, 32)
"""The widths of the bands around boundaries, in pixels."""

Refine = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""From a picture (H, W, 3) in RGB and class probabilities (C, H, W) to better probabilities."""


Counts = dict[str, list[list[int]]]
"""One picture's counts, JSON-ready: everywhere (``whole``) and by the width of a band, for each class that occurs its
number and its counts of pixels that are right, labelled so and predicted so."""

WHOLE = "whole"


def counted(labels: np.ndarray, predicted: np.ndarray, classes: int) -> Counts:
    """Return the overlap of the labels predicted for a picture (H, W) with its mask (H, W)."""
    narrow = {str(width): where for width, where in bands(labels, WIDTHS).items()}
    each = {name: counts_of(labels, predicted, classes, where) for name, where in {WHOLE: None, **narrow}.items()}
    return {
        name: [[int(i), *counts[:, i].tolist()] for i in np.flatnonzero(counts.any(0))] for name, counts in each.items()
    }


@dataclass
class Overlaps:
    """The overlap of labels with masks: everywhere, and by the width of a band around boundaries."""

    whole: Overlap
    narrow: dict[float, Overlap]

    @classmethod
    def of(cls, pictures: Iterable[Counts], classes: int) -> Overlaps:
        """Return the counts of many pictures."""
        found = cls(Overlap(classes), {width: Overlap(classes) for width in WIDTHS})
        for picture in pictures:
            for name, overlap in ((WHOLE, found.whole), *((str(width), each) for width, each in found.narrow.items())):
                counts = np.zeros((3, classes), np.int64)
                for place, *numbers in picture[name]:
                    counts[:, place] = numbers
                overlap.take(counts)
        return found


NETWORK, REFINED, SCALES = "", "_crf", "_ms"
"""Whose labels are counted, as names of scores end: the network's, those after its refinement, and those of the network
over several sizes of a picture."""

Ways = dict[str, Counts]
"""One picture's counts by whose labels they are of."""


@dataclass(frozen=True)
class Segmenter:
    """A network and the stages around it.

    Attributes:
        scores: maps pictures (B, 3, H, W) to scores (B, C, h, w).
        upsample: maps scores and a size (H, W) to scores of that size.
        place: moves a tensor to the device and layout of the network.
        normalisation: of the pictures.
        classes: C.
        refine: the stage after the network; None if there is none.
        windows: of a sliding-window test; None if pictures are seen whole.
    """

    scores: Callable[[Tensor], Tensor]
    upsample: Callable[[Tensor, Sequence[int]], Tensor]
    place: Callable[[Tensor], Tensor]
    normalisation: Normalisation
    classes: int
    refine: Refine | None = None
    windows: Windows | None = None

    def preprocessing(self, dataset: Masks) -> dict[str, Any]:
        """Return the steps applied to a picture before the network sees it, for the evidence of a score."""
        placed = {"pad": dataset.pad} if self.windows is None else {"sliding": vars(self.windows)}
        return vars(self.normalisation) | placed

    def groups(self, dataset: Masks, pairs: Sequence[MaskedPicture], batch: int) -> list[list[MaskedPicture]]:
        """Return the pictures in order, up to ``batch`` neighbours of one padded size together."""
        if self.windows is not None:
            return [[pair] for pair in pairs]
        found: list[list[MaskedPicture]] = []
        before: tuple[int, ...] = ()
        for pair in pairs:
            size = padded(size_of(pair), dataset.pad) if batch > 1 else ()
            if found and size == before and len(found[-1]) < batch:
                found[-1].append(pair)
            else:
                found.append([pair])
            before = size
        return found

    def see(self, dataset: Masks, pairs: Sequence[MaskedPicture]) -> Iterator[Ways]:
        """Yield the overlap of each picture's labels with its mask; the pictures have one padded size."""
        both = [data.both(pair, dataset, self.classes) for pair in pairs]
        sizes = [labels.shape for _, labels in both]
        if self.windows is None:
            inputs = [prepared(picture, self.normalisation, dataset.pad) for picture, _ in both]
            found = self.probabilities(inputs, sizes)
        else:
            found = (self.sliding(picture, size) for (picture, _), size in zip(both, sizes, strict=True))
        for (picture, labels), probabilities in zip(both, found, strict=True):
            ways = {NETWORK: probabilities}
            if self.refine is not None:
                ways[REFINED] = self.refine(picture, probabilities)
            yield {way: counted(labels, each.argmax(0), self.classes) for way, each in ways.items()}

    def probabilities(self, inputs: Sequence[Tensor], sizes: Sequence[tuple[int, int]]) -> Iterator[np.ndarray]:
        """Yield class probabilities (C, H, W) of each input (1, 3, H', W'), cut to its picture's size."""
        with torch.inference_mode():
            batch = torch.cat(list(inputs))
            scores = self.scores(self.place(batch)).float().cpu()
            for each, (height, width) in zip(scores, sizes, strict=True):
                whole = self.upsample(each[None], batch.shape[2:])[0, :, :height, :width]
                yield whole.softmax(0).numpy()

    def sliding(self, picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """Return class probabilities (C, H, W) of a picture that the network sees in windows."""
        assert self.windows is not None
        with torch.inference_mode():
            x = normalised(self.windows.resized(picture), self.normalisation)
            scores = self.windows.scores(x, lambda crops: self.scores(self.place(crops)).float().cpu(), self.upsample)
            return self.upsample(scores, size)[0].softmax(0).numpy()


@dataclass(frozen=True)
class Labeller:
    """A network that takes pictures as they are: resizing and padding them is its own affair.

    Attributes:
        label: maps a picture (H, W, 3) in RGB to the class (H, W) of each of its pixels.
        label_over_scales: the same from several sizes of it; None if that is not asked for.
        classes: their number.
        steps: applied to a picture, for the evidence of a score.
        tested_shape: (3, height, width) into which it resizes pictures.
    """

    label: Callable[[np.ndarray], np.ndarray]
    classes: int
    label_over_scales: Callable[[np.ndarray], np.ndarray] | None = None
    steps: dict[str, Any] = field(default_factory=dict)
    tested_shape: tuple[int, ...] = ()

    def preprocessing(self, dataset: Masks) -> dict[str, Any]:
        """Return the steps applied to a picture, the same for all data sets."""
        return self.steps

    def groups(self, dataset: Masks, pairs: Sequence[MaskedPicture], batch: int) -> list[list[MaskedPicture]]:
        """Return the pictures that are looked at together: each alone."""
        return [[pair] for pair in pairs]

    def see(self, dataset: Masks, pairs: Sequence[MaskedPicture]) -> Iterator[Ways]:
        """Yield the overlap of each picture's labels with its mask."""
        ways = {NETWORK: self.label, SCALES: self.label_over_scales}
        for pair in pairs:
            picture, labels = data.both(pair, dataset, self.classes)
            yield {way: counted(labels, label(picture), self.classes) for way, label in ways.items() if label}


def evaluate(
    subject: Subject,
    job: Job,
    network: Segmenter | Labeller,
    dataset: Masks,
    pairs: Sequence[MaskedPicture],
    what: Mapping[str, Any],
) -> tuple[dict[str, Overlaps], dict[str, Any]]:
    """Return the overlap of labels with masks, by the labels' source, and the file that keeps each picture's counts.

    Args:
        subject: the model.
        job: its option ``batch`` is the number of pictures of one padded size that go through the network at once; for
            the others see :func:`claimbench.bench.measure.scoring.look.look`.
        network: the network that labels the pictures.
        dataset: whose pictures they are.
        pairs: the pictures and masks.
        what: all that the labels depend on besides the model, JSON-ready.

    Raises:
        UserError: a file cannot be read or does not fit; names it.
    """
    batch = job.options.batch or 1
    groups = network.groups(dataset, pairs, batch)
    named = ({"/".join(pair.picture.parts[-2:]): pair for pair in group} for group in groups)
    told = {**what, "batch": batch, "pictures": sizes(pairs)}
    see = partial(network.see, dataset)
    with torch.inference_mode():
        found, kept = look(subject, job, told, named, lambda groups: map(see, groups))
    return {way: Overlaps.of((picture[way] for picture in found), network.classes) for way in found[0]}, kept
