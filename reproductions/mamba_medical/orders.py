"""A small real task on which the order of a scan can matter: handwritten digits, upright and with their axes swapped.

The digits are scikit-learn's, 8x8 pixels, one position a pixel. The network has blocks of SS2D of the first VMamba and
no other operator that mixes positions, but for the depthwise convolution inside them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from claimbench.reproductions.mamba_medical.ss2d import Scans
from claimbench.reproductions.mamba_medical.vmamba import VSSBlock

__all__ = ["ORDERS", "SEEDS", "Accuracies", "network", "trained"]

ORDERS: Sequence[Scans] = ("unidi", "bidi", "cross2d", "cascade2d")
SEEDS = 3
CLASSES, DIM, DEPTH, STATES = 10, 16, 2, 4
STEPS, BATCH, RATE = 200, 32, 1e-2
TRAINING_SHARE = 0.6


@dataclass(frozen=True)
class Accuracies:
    """The shares of test digits that a network names: upright, and with rows and columns swapped."""

    upright: float
    swapped: float


def network(scans: Scans) -> nn.Module:
    """Return a projection of pixels, VSS blocks and a classifier of the mean: (B, 8, 8, 1) to (B, 10)."""
    blocks = (VSSBlock(DIM, d_state=STATES, scans=scans) for _ in range(DEPTH))
    return nn.Sequential(nn.Linear(1, DIM), *blocks, nn.LayerNorm(DIM), _Mean(), nn.Linear(DIM, CLASSES))


def trained(scans: Scans, seed: int, steps: int = STEPS) -> Accuracies:
    """Train a :func:`network` and return its accuracies; a seed draws weights and batches, the same for every order."""
    (pictures, kinds), test = _digits(training=True), _digits(training=False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = network(scans)
    order = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        index = torch.randint(0, len(kinds), (BATCH,), generator=order)
        loss = F.cross_entropy(model(pictures[index]), kinds[index])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return Accuracies(_accuracy(model, *test), _accuracy(model, test[0].transpose(1, 2), test[1]))


class _Mean(nn.Module):
    """The mean over the positions of (B, H, W, C)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((1, 2))


@torch.no_grad()
def _accuracy(model: nn.Module, pictures: Tensor, kinds: Tensor) -> float:
    return float((model(pictures).argmax(1) == kinds).double().mean())


@cache
def _digits(*, training: bool) -> tuple[Tensor, Tensor]:
    """Return pictures (N, 8, 8, 1) and kinds (N,); the first writers' for training, the others' for the test."""
    from sklearn.datasets import load_digits

    images, kinds = load_digits(return_X_y=True)
    cut = int(TRAINING_SHARE * len(kinds))
    part = slice(0, cut) if training else slice(cut, None)
    pictures = torch.from_numpy(images[part] / 8 - 1).float().view(-1, 8, 8, 1)
    return pictures, torch.from_numpy(kinds[part]).long()
