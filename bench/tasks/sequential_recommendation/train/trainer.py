"""Trains a recommender by SASRec's recipe: one negative a positive, Adam, batches of users drawn with replacement.

Every draw follows from the seed and the number of the epoch, so that training that was cut off goes on as if it had
not been.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from time import perf_counter
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from claimbench.bench.tasks.sequential_recommendation.data.interactions import Ids
from claimbench.bench.tasks.sequential_recommendation.data.split import Split
from claimbench.bench.tasks.sequential_recommendation.score import Scores, generator, scorer


class Recommender(Protocol):
    """The methods that a paper's model must offer to be trained and scored."""

    def training_logits(self, ids: Tensor, positives: Tensor, negatives: Tensor) -> tuple[Tensor, Tensor]:
        """Return the scores of the positive and the negative item after each real one; all given (B, n)."""

    def scores(self, ids: Tensor, candidates: Tensor | None = None) -> Tensor:
        """Score the next item after the sequences (B, n): of candidates (B, C), or of every item (B, items + 1)."""


@dataclass(frozen=True)
class TrainerRecipe:
    """The recipe of a training.

    Attributes:
        maxlen: actions of a user that are looked at.
        batch: users a step.
        lr, beta2: Adam's.
        epochs: at most; an epoch is users / batch steps.
        every: epochs between validations.
        patience: training ends when validation has not improved for so many epochs.
    """

    maxlen: int
    batch: int = 128
    lr: float = 1e-3
    beta2: float = 0.98
    epochs: int = 200
    every: int = 5
    patience: int = 20

    def to_json(self) -> dict[str, float | int]:
        """Return the recipe, JSON-ready."""
        return asdict(self)


class Batches:
    """Draws the batches of an epoch: all users and negatives at once."""

    def __init__(self, split: Split, recipe: TrainerRecipe) -> None:
        self.split, self.size = split, recipe.batch
        self.steps = max(split.data.users // recipe.batch, 1)
        self.inputs, self.positives = split.training(recipe.maxlen)

    def epoch(self, rng: np.random.Generator) -> list[tuple[Ids, Ids, Ids]]:
        """Return the inputs, positives and negatives (batch, maxlen) of every step."""
        chosen = rng.integers(0, len(self.split.trained), (self.steps, self.size))
        found = []
        for rows in chosen:
            inputs = self.inputs[rows]
            real = inputs > 0
            negatives = np.zeros_like(inputs)
            owners = np.repeat(self.split.trained[rows], real.sum(1))
            negatives[real] = self.split.negatives(owners, rng)
            found.append((inputs, self.positives[rows], negatives))
        return found


class Trainer:
    """A model in training on one device."""

    def __init__(self, model: nn.Module, split: Split, recipe: TrainerRecipe, seed: int, device: torch.device) -> None:
        self.model: Any = model.to(device)
        self.seed, self.device = seed, device
        self.batches = Batches(split, recipe)
        self.optimizer = torch.optim.Adam(model.parameters(), lr=recipe.lr, betas=(0.9, recipe.beta2), fused=True)

    def epoch(self, number: int) -> tuple[float, float, float]:
        """Train one epoch; return its mean loss, its seconds, and those that went into drawing batches."""
        start = perf_counter()
        batches = self.batches.epoch(generator(self.seed, 0, number))
        torch.manual_seed(int(generator(self.seed, 1, number).integers(2**62)))
        drawn = perf_counter()
        self.model.train()
        total = torch.zeros((), device=self.device)
        for batch in batches:
            total += self.step(*(torch.from_numpy(part).to(self.device) for part in batch))
        return float(total) / len(batches), perf_counter() - start, drawn - start

    def step(self, ids: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
        """Make one step on a batch (B, n) and return its loss: binary cross-entropy of both kinds, each a mean."""
        good, bad = self.model.training_logits(ids, positives, negatives)
        loss = F.softplus(-good).mean() + F.softplus(bad).mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def score(self, ids: Ids, candidates: Ids | None) -> Scores:
        """Score sequences as :data:`claimbench.bench.tasks.sequential_recommendation.score.Scorer` says."""
        return scorer(self.model, self.device)(ids, candidates)
