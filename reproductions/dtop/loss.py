"""The loss of an attention-to-mask head: no matching, since query c stands for class c."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["atm_loss"]

ALPHA, GAMMA = 0.25, 2.0
"""The balance and the exponent of the focal loss."""


def atm_loss(
    class_logits: Tensor,
    masks: Tensor,
    labels: Tensor,
    class_weight: float = 1.0,
    mask_weight: float = 20.0,
    dice_weight: float = 1.0,
    absent_weight: float = 0.1,
    ignore_index: int = 255,
) -> dict[str, Tensor]:
    """Return the three parts of one head's loss, each (1,), times its weight.

    ``loss_ce`` is the cross-entropy of present and absent over all classes and images; ``loss_mask`` (focal) and
    ``loss_dice`` compare the masks of the classes that are present, resized to the labels, and are divided by their
    number in the batch, at least 1. An image without labels adds to the first part alone.

    Args:
        class_logits: (B, classes, 2), present and absent.
        masks: (B, classes, h, w), mask logits.
        labels: (B, H, W), integers, classes or ``ignore_index``.
        class_weight, mask_weight, dice_weight: of the parts.
        absent_weight: of absent classes in the cross-entropy, a mean by weight.
        ignore_index: the label of pixels that belong to no class.

    Raises:
        ValueError: a label is neither a class nor ``ignore_index``.

    Source: Zhang et al., arXiv 2210.05844, section 3.4; mmseg_custom/loss of the official code.
    """
    batch, classes = class_logits.shape[:2]
    labels = labels.long()
    counted = labels != ignore_index
    strange = counted & ((labels < 0) | (labels >= classes))
    if strange.any():
        found = labels[strange][0].item()
        raise ValueError(f"the labels hold {found}, which is neither one of {classes} classes nor {ignore_index}")
    present = torch.zeros(batch, classes + 1, dtype=torch.bool, device=labels.device)
    present.scatter_(1, torch.where(counted, labels, classes).flatten(1), True)
    present = present[:, :classes]
    weights = torch.tensor([1.0, absent_weight]).to(class_logits)  # the official code keeps them in float32
    loss_ce = F.cross_entropy(class_logits.transpose(1, 2), (~present).long(), weights)
    image, own = present.nonzero().unbind(1)
    number, size = max(len(own), 1), labels.shape[1:]
    if len(own):
        logits = F.interpolate(masks[image, own][:, None], size, mode="bilinear", align_corners=False).flatten(1)
    else:  # an empty batch cannot be resized
        logits = masks.new_zeros(0, size.numel())
    targets = (labels[image] == own[:, None, None]).to(logits.dtype).flatten(1)
    return {
        "loss_ce": (class_weight * loss_ce)[None],
        "loss_mask": (mask_weight * _focal(logits, targets) / number)[None],
        "loss_dice": (dice_weight * _dice(logits, targets) / number)[None],
    }


def _focal(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the sum over masks (P, pixels) of the mean focal loss of their pixels."""
    probability = logits.sigmoid()
    of_target = probability * targets + (1 - probability) * (1 - targets)
    entropy = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    balance = ALPHA * targets + (1 - ALPHA) * (1 - targets)
    return (balance * entropy * (1 - of_target) ** GAMMA).mean(1).sum()


def _dice(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the sum over masks (P, pixels) of one minus their smoothed Dice coefficient."""
    probability = logits.sigmoid()
    overlap = 2 * (probability * targets).sum(1)
    return (1 - (overlap + 1) / (probability.sum(1) + targets.sum(1) + 1)).sum()
