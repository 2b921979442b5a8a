"""Top-1 accuracy on the validation pictures, each counted once, over all processes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from claimbench.bench.machine.group import Group


@dataclass(frozen=True)
class Validation:
    """Top-1 accuracy in per cent, mean cross-entropy, and their number of pictures."""

    top1: float
    loss: float
    pictures: int


def validate(model: nn.Module, loader: Any, group: Group) -> Validation:
    """Return the score of ``model`` in eval mode over the pictures of all processes' loaders together.

    A process whose pictures end earlier repeats its last forward pass, uncounted, since sharded weights are gathered by
    all processes together.
    """
    training = model.training
    model.eval()
    counts = torch.zeros(3, dtype=torch.float64, device=group.device)
    with torch.no_grad():
        for pictures, labels in loader:
            pictures, labels = pictures.to(group.device), labels.to(group.device)
            logits = model(pictures).float()
            loss = F.cross_entropy(logits, labels, reduction="sum")
            correct = (logits.argmax(1) == labels).sum()
            counts += torch.stack((correct.double(), loss.double(), torch.tensor(float(len(labels))).to(loss).double()))
        for _ in range(max(group.gather(len(loader))) - len(loader)):
            model(pictures)
    model.train(training)
    correct, loss, total = group.sum(counts).tolist()
    return Validation(100 * correct / total, loss / total, int(total))
