"""From placed masks to a label for each pixel: fusion, smoothing over superpixels, and the scores of a parsing."""

from __future__ import annotations

import torch
from torch import Tensor

from claimbench.kernels.box_warp import box_warp
from claimbench.kernels.segment_mean import segment_mean

__all__ = ["fused", "normalised", "parsing_scores", "smoothed"]


def normalised(scores: Tensor) -> Tensor:
    """Return scores (N, K, H, W), none negative, divided by their sum over the labels at each pixel."""
    return scores / scores.sum(dim=1, keepdim=True).clamp(min=torch.finfo(scores.dtype).tiny)


def fused(masks: Tensor, boxes: Tensor, visible: Tensor, height: int, width: int) -> Tensor:
    """Return the probabilities of all labels at each pixel: (N, 1 + K, height, width), the background first.

    The masks are warped into their boxes, times visibility. The background is what no mask covers: the product over
    labels of one minus the map. The paper's readable parts do not say how it is found.

    Args:
        masks: (N, K, h, w), from 0 to 1.
        boxes: (N, K, 4), centre x and y, width and height in pixels.
        visible: (N, K), from 0 to 1.
        height, width: of the picture.
    """
    maps = box_warp(masks, boxes, visible, height, width)
    return normalised(torch.cat([(1 - maps).prod(dim=1, keepdim=True), maps], dim=1))


def smoothed(scores: Tensor, segments: Tensor) -> tuple[Tensor, Tensor]:
    """Return probabilities that are the same all over a superpixel, and the labels that they say.

    Args:
        scores: (N, K, H, W), none negative; they are normalised at each pixel first.
        segments: (N, H, W), the number of each pixel's superpixel, from 0.

    Returns:
        The means over the superpixels (N, K, H, W), and the label of the highest (N, H, W).
    """
    count = int(segments.max()) + 1 if segments.numel() else 1
    found = segment_mean(normalised(scores), segments, count)
    return found, found.argmax(dim=1)


def parsing_scores(prediction: Tensor, truth: Tensor, labels: int) -> dict[str, Tensor]:
    """Return the scores of predicted label maps, as fractions, from pixel counts of the whole set.

    A label of which nothing is predicted has precision 0, one of which nothing is true recall 0, and the F1 of two
    zeros is 0; all count in the means. Mean F1 is the mean of the labels' F1.

    Args:
        prediction, truth: integers of one shape, from 0 to ``labels`` - 1; 0 is the background.
        labels: their number.

    Returns:
        ``accuracy``; ``foreground_accuracy``, over the pixels whose truth is not background; ``mean_precision``,
        ``mean_recall`` and ``mean_f1`` over all labels; ``mean_f1_foreground`` without the background;
        ``mean_f1_present`` over the labels with true pixels; ``f1`` (labels,).

    Raises:
        ValueError: the shapes differ, or a label is out of range.
    """
    if prediction.shape != truth.shape:
        raise ValueError(f"predictions are {tuple(prediction.shape)} and labels {tuple(truth.shape)}")
    for name, each in (("prediction", prediction), ("truth", truth)):
        if each.numel() and not 0 <= int(each.min()) <= int(each.max()) < labels:
            raise ValueError(f"the labels of {name} must be from 0 to {labels - 1}, got {each.unique().tolist()}")
    pairs = truth.flatten().long() * labels + prediction.flatten().long()
    counts = torch.bincount(pairs, minlength=labels * labels).view(labels, labels).double()
    right, true, predicted = counts.diagonal(), counts.sum(1), counts.sum(0)

    def share(part: Tensor, whole: Tensor) -> Tensor:
        return torch.where(whole > 0, part / whole.clamp(min=1), 0.0)

    precision, recall, f1 = share(right, predicted), share(right, true), share(2 * right, true + predicted)
    return {
        "accuracy": share(right.sum(), true.sum()),
        "foreground_accuracy": share(right[1:].sum(), true[1:].sum()),
        "mean_precision": precision.mean(),
        "mean_recall": recall.mean(),
        "mean_f1": f1.mean(),
        "mean_f1_foreground": f1[1:].mean(),
        "mean_f1_present": f1[true > 0].mean(),
        "f1": f1,
    }
