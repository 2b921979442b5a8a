"""The losses of MS-Dual-Guided: cross entropy of every prediction, the guide loss and the reconstruction loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain, pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["GUIDE", "RECONSTRUCTION", "losses", "pairs"]

GUIDE, RECONSTRUCTION = 0.25, 0.1
"""The weights of the guide and the reconstruction loss in the training script."""


Pairs = list[tuple[Tensor, Tensor]]


def pairs(output: Mapping[str, Any]) -> tuple[Pairs, Pairs]:
    """Return what the network's output in train mode compares: latents of neighbouring steps, and reconstructions."""
    latents = [pair for steps in pairwise(output["latents"]) for pair in zip(*steps, strict=True)]
    return latents, list(zip(chain(*output["inputs"]), chain(*output["reconstructions"]), strict=True))


def losses(
    logits: Sequence[Tensor],
    labels: Tensor,
    latents: Sequence[tuple[Tensor, Tensor]] = (),
    reconstructions: Sequence[tuple[Tensor, Tensor]] = (),
    guide_weight: float = GUIDE,
    reconstruction_weight: float = RECONSTRUCTION,
    class_weights: Tensor | None = None,
) -> dict[str, Tensor]:
    """Return the losses as scalars: ``cross_entropy``, ``guide``, ``reconstruction``, and their weighted ``total``.

    Each is a sum of means over elements. The paper writes squared norms in equations 6 and 7; its code takes means.

    Args:
        logits: (B, classes, H, W) of each prediction.
        labels: classes (B, H, W).
        latents: of one step and the next at the same scale, in pairs.
        reconstructions: inputs of a semantic module and what it made of them, in pairs.
        guide_weight, reconstruction_weight: of the last two losses.
        class_weights: (classes,) of the cross entropies; None for equal ones, as the training script.

    Raises:
        ValueError: there are no predictions.
    """
    if not logits:
        raise ValueError("a loss needs at least one prediction")
    zero = logits[0].new_zeros(())
    entropy = torch.stack([F.cross_entropy(each, labels, class_weights) for each in logits]).sum()
    guide = sum((F.mse_loss(first, second) for first, second in latents), zero)
    reconstruction = sum((F.mse_loss(given, made) for given, made in reconstructions), zero)
    total = entropy + guide_weight * guide + reconstruction_weight * reconstruction
    return {"cross_entropy": entropy, "guide": guide, "reconstruction": reconstruction, "total": total}
