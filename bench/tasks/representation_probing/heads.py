"""Training one head on frozen features; every choice is made on the validation part."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from claimbench.bench.core.differences import Right
from claimbench.bench.papers.models.build import seeded
from claimbench.bench.tasks.representation_probing.features import Features

EVALUATED_AT_ONCE = 256


@dataclass(frozen=True)
class HeadRecipe:
    """The training of every head: AdamW without decay, a cosine to zero, the rate of the best validation accuracy."""

    epochs: int = 20
    batch: int = 128
    rates: tuple[float, ...] = (1e-3, 4e-3, 1.6e-2, 6.4e-2, 2.56e-1)


@dataclass(frozen=True)
class TrainedHead:
    """One seed of one head.

    Attributes:
        right: whether it got each test picture right.
        rate: the learning rate that the validation part chose.
        validation: its accuracy there, in per cent.
    """

    right: Right
    rate: float
    validation: float


def train(build: Callable[[], nn.Module], parts: dict[str, Features], recipe: HeadRecipe, seed: int) -> TrainedHead:
    """Train with every rate, choose by validation accuracy (of equal ones the lower rate), and test that head once.

    Batches depend on the seed alone, so that heads compared in pairs see the same ones.

    Raises:
        ValueError: the head does not fit the features.
    """
    found = []
    for rate in sorted(recipe.rates):
        with seeded(seed):
            head = build()
        _fit(head, parts["train"], recipe, rate, seed)
        found.append((_right(head, parts["validation"]).float().mean().item(), -rate, head))
    best, rate, head = max(found, key=lambda each: each[:2])
    return TrainedHead(_right(head, parts["test"]).numpy(), -rate, 100 * best)


def _fit(head: nn.Module, part: Features, recipe: HeadRecipe, rate: float, seed: int) -> None:
    head.train()
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(head.parameters(), lr=rate, weight_decay=0.0)
    steps = max(1, len(part.labels) // recipe.batch)
    for epoch in range(recipe.epochs):
        order = torch.randperm(len(part.labels), generator=generator)
        for step in range(steps):
            done = (epoch * steps + step) / (recipe.epochs * steps)
            for group in optimizer.param_groups:
                group["lr"] = rate * (1 + math.cos(math.pi * done)) / 2
            index = order[step * recipe.batch : (step + 1) * recipe.batch]
            optimizer.zero_grad()
            F.cross_entropy(head(part.tokens[index].float()), part.labels[index]).backward()
            optimizer.step()


@torch.inference_mode()
def _right(head: nn.Module, part: Features) -> Tensor:
    head.eval()
    pairs = zip(part.tokens.split(EVALUATED_AT_ONCE), part.labels.split(EVALUATED_AT_ONCE), strict=True)
    return torch.cat([head(tokens.float()).argmax(1) == labels for tokens, labels in pairs])
