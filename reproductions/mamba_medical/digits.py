"""A small real task for single mixers: handwritten digits, upright and with their axes swapped.

The digits are scikit-learn's, 8x8 pixels, one position a pixel. A network has two blocks around a mixer and no other
operator that mixes positions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from claimbench.reproductions.mamba_medical.vmamba import VSSBlock

__all__ = [
    "DIM",
    "ORDERS",
    "SEEDS",
    "STEPS",
    "Accuracies",
    "blocks_of",
    "classifier",
    "fit",
    "network",
    "pictures",
    "trained",
]

ORDERS = ("unidi", "bidi", "cross2d", "cascade2d")
SEEDS = 3
CLASSES, DIM, DEPTH, STATES = 10, 16, 2, 4
STEPS, BATCH, RATE = 160, 32, 1e-2
TRAINING_SHARE = 0.6


@dataclass(frozen=True)
class Accuracies:
    """The shares of test digits that a network names: upright, and with rows and columns swapped."""

    upright: float
    swapped: float


def classifier(block: Callable[[], nn.Module]) -> nn.Sequential:
    """Return a network (B, 8, 8, 1) to (B, 10): a projection of pixels, blocks of maps, a classifier of the mean."""
    blocks = (block() for _ in range(DEPTH))
    return nn.Sequential(nn.Linear(1, DIM), *blocks, nn.LayerNorm(DIM), _Mean(), nn.Linear(DIM, CLASSES))


def blocks_of(model: nn.Sequential) -> nn.Sequential:
    """Return the projection and the blocks of a :func:`classifier`."""
    return model[: 1 + DEPTH]


def network(scans: str) -> nn.Sequential:
    """Return a :func:`classifier` of VSS blocks that scan in an order."""
    return classifier(lambda: VSSBlock(DIM, d_state=STATES, scans=scans))


def trained(scans: str, seed: int, steps: int = STEPS) -> Accuracies:
    """Return the accuracies of a trained :func:`network`."""
    model = fit(lambda: network(scans), seed, steps)
    upright, kinds = _digits(training=False)
    return Accuracies(_accuracy(model, upright, kinds), _accuracy(model, upright.transpose(1, 2), kinds))


def pictures(count: int) -> Tensor:
    """Return the first digits of the test, (count, 8, 8, 1)."""
    return _digits(training=False)[0][:count]


def fit(build: Callable[[], nn.Sequential], seed: int, steps: int = STEPS) -> nn.Sequential:
    """Return a trained network; a seed draws weights and batches, the same batches for every network."""
    digits, kinds = _digits(training=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build()
    order = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        index = torch.randint(0, len(kinds), (BATCH,), generator=order)
        loss = F.cross_entropy(model(digits[index]), kinds[index])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return model


class _Mean(nn.Module):
    """The mean over the positions of (B, H, W, C)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((1, 2))


@torch.no_grad()
def _accuracy(model: nn.Module, digits: Tensor, kinds: Tensor) -> float:
    return float((model(digits).argmax(1) == kinds).double().mean())


@cache
def _digits(*, training: bool) -> tuple[Tensor, Tensor]:
    """Return pictures (N, 8, 8, 1) and kinds (N,); the first writers' for training, the others' for the test."""
    from sklearn.datasets import load_digits

    images, kinds = load_digits(return_X_y=True)
    cut = int(TRAINING_SHARE * len(kinds))
    part = slice(0, cut) if training else slice(cut, None)
    digits = torch.from_numpy(images[part] / 8 - 1).float().view(-1, 8, 8, 1)
    return digits, torch.from_numpy(kinds[part]).long()
