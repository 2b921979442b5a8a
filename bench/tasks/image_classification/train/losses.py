"""The loss of one pass: cross-entropy of the model's outputs in train mode with the targets.

A model says logits, or a mapping with ``main`` and ``aux`` (an auxiliary head), or a triple ``cls``, ``tokens``,
``box`` (token labelling with pictures mixed inside the model).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from claimbench.bench.papers.recipe import Recipe, TokenLabelling


class Loss(nn.Module):
    """The recipe's loss.

    Args:
        recipe: its label smoothing, auxiliary weight and token labelling.
        classes: the number that the model knows.
        mixed: whether targets arrive as probabilities (from timm's Mixup), already smoothed.
    """

    def __init__(self, recipe: Recipe, classes: int, mixed: bool) -> None:
        from timm.loss import LabelSmoothingCrossEntropy, SoftTargetCrossEntropy

        super().__init__()
        self.recipe, self.classes = recipe, classes
        self.entropy: nn.Module
        if mixed:
            self.entropy = SoftTargetCrossEntropy()
        elif recipe.label_smoothing:
            self.entropy = LabelSmoothingCrossEntropy(recipe.label_smoothing)
        else:
            self.entropy = nn.CrossEntropyLoss()

    def forward(self, said: Any, target: Tensor) -> Tensor:
        """Return the mean loss of a pass.

        Args:
            said: the model's output in train mode.
            target: classes (B,), or probabilities (B, classes).

        Raises:
            ValueError: the recipe has no weight for an output of the model.
        """
        if isinstance(said, Tensor):
            return self.entropy(said, target)
        if isinstance(said, Mapping):
            if self.recipe.auxiliary is None:
                raise ValueError("the model has an auxiliary head and the recipe no weight for it (`auxiliary`)")
            return self.entropy(said["main"], target) + self.recipe.auxiliary * self.entropy(said["aux"], target)
        if self.recipe.token_labelling is None:
            raise ValueError("the model labels its tokens and the recipe has no weights for that (`token_labelling`)")
        if target.ndim == 1:
            target = smoothed(target, self.classes, self.recipe.label_smoothing)
        return token_loss(said, target, self.recipe.token_labelling)


def smoothed(target: Tensor, classes: int, smoothing: float) -> Tensor:
    """Return classes (B,) as probabilities (B, classes), ``smoothing`` of each spread over all classes."""
    return F.one_hot(target, classes).to(torch.float32) * (1 - smoothing) + smoothing / classes


def token_loss(said: Any, target: Tensor, weights: TokenLabelling) -> Tensor:
    """Return the loss of token labelling where every position's target is the picture's (arXiv 2104.10858).

    The picture's target is mixed with that of the mirrored batch by the area of the box; the positions' logits are
    unmixed by the model already.

    Args:
        said: ``cls`` (B, classes), ``tokens`` (B, N, classes) and ``box``, the mixed part in positions.
        target: probabilities (B, classes).
        weights: of the two terms.
    """
    box = said.box
    area = (box.bottom - box.top) * (box.right - box.left) / said.tokens.shape[1]
    mixed = target * (1 - area) + target.flip(0) * area
    picture = -(mixed * said.cls.float().log_softmax(-1)).sum(-1).mean()
    positions = -(target[:, None] * said.tokens.float().log_softmax(-1)).sum(-1).mean()
    return weights.picture * picture + weights.positions * positions
