"""The losses of VM-UNet's trainings: a cross-entropy plus a Dice loss, for one class and for several."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

__all__ = ["bce_dice_loss", "ce_dice_loss"]


def bce_dice_loss(probability: Tensor, target: Tensor, bce_weight: float = 1.0, dice_weight: float = 1.0) -> Tensor:
    """Return the loss of the ISIC runs, a scalar: binary cross-entropy, and 1 - Dice of each picture, averaged.

    Args:
        probability, target: (B, ...), from 0 to 1.
        bce_weight, dice_weight: of the two terms.
    """
    found, true = probability.flatten(1), target.flatten(1)
    dice = (2 * (found * true).sum(1) + 1) / (found.sum(1) + true.sum(1) + 1)
    return bce_weight * F.binary_cross_entropy(found, true) + dice_weight * (1 - dice.mean())


def ce_dice_loss(logits: Tensor, target: Tensor, ce_weight: float = 0.4, dice_weight: float = 0.6) -> Tensor:
    """Return the loss of the Synapse runs, a scalar: cross-entropy, and 1 - Dice of each class over the whole batch.

    The denominator of Dice has squares; the classes count alike.

    Args:
        logits: (B, K, ...).
        target: (B, ...), classes.
        ce_weight, dice_weight: of the two terms.
    """
    found = logits.softmax(1).movedim(1, 0).flatten(1)
    true = F.one_hot(target, logits.shape[1]).movedim(-1, 0).flatten(1).to(found.dtype)
    both, squares = (found * true).sum(1), found.square().sum(1) + true.square().sum(1)
    dice = (2 * both + 1e-5) / (squares + 1e-5)
    return ce_weight * F.cross_entropy(logits, target) + dice_weight * (1 - dice.mean())
