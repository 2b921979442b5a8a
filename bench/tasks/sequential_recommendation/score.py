"""The scoring of a recommender: one true item among 100 drawn ones, or among all.

The true item's place is its rank among items sorted by score. If others have the very same score, all
orders among them count alike: the result is the mean over those orders, so that a model that scores everything equal
hits by chance and no more. The true item may be among the drawn ones, where it ties with itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from claimbench.bench.core.errors import UserError
from claimbench.bench.tasks.sequential_recommendation.data.interactions import Ids
from claimbench.bench.tasks.sequential_recommendation.data.split import Part, Split

NEGATIVES = 100
USERS = 10_000
CUT = 10

Scores = NDArray[np.float32]
Scorer = Callable[[Ids, Ids | None], Scores]
"""Scores the next item: sequences (B, n) and candidates (B, C) -> (B, C), or None -> (B, items + 1)."""


@dataclass(frozen=True)
class UserScores:
    """The scores of each user's true item.

    Attributes:
        hits, gains: for each user, whether it is among the first ten, and 1 / log2(place + 1) if so: (n,).
    """

    hits: NDArray[np.float64]
    gains: NDArray[np.float64]

    @property
    def hit(self) -> float:
        """Hit@10, from 0 to 1; one item is true, so this is Recall@10 too."""
        return float(self.hits.mean())

    @property
    def ndcg(self) -> float:
        """NDCG@10, from 0 to 1."""
        return float(self.gains.mean())


def place(higher: Ids, equal: Ids, cut: int = CUT) -> UserScores:
    """Return the outcome of items with ``higher`` others above them and ``equal`` others on their own score."""
    gain = np.concatenate([1 / np.log2(np.arange(cut) + 2), [0.0]])
    best, worst = np.minimum(higher, cut), np.minimum(higher + equal + 1, cut)
    total = np.concatenate([[0.0], gain[:cut].cumsum()])
    orders = equal + 1
    return UserScores((worst - best) / orders, (total[worst] - total[best]) / orders)


def draw_users(split: Split, rng: np.random.Generator, most: int = USERS) -> Ids:
    """Return the users of one evaluation: all that can be evaluated, or ``most`` of them drawn at random."""
    users = split.evaluated
    return users if len(users) <= most else np.sort(rng.choice(users, most, replace=False))


@dataclass(frozen=True)
class Evaluation:
    """An evaluation whose users and negatives are drawn.

    Attributes:
        split: the data.
        part: the one of the two left-out actions that is to be found.
        users: the evaluated users (n,).
        candidates: the true item and those that it stands among, (n, 101).
    """

    split: Split
    part: Part
    users: Ids
    candidates: Ids

    @classmethod
    def draw(cls, split: Split, part: Part, users: Ids, rng: np.random.Generator) -> Evaluation:
        """Draw 100 negatives for each user, with replacement; only items of its training part are rejected."""
        _, truth = split.queries(users, part, 1)
        drawn = split.negatives(np.repeat(users[:, None], NEGATIVES, axis=1), rng)
        return cls(split, part, users, np.concatenate([truth[:, None], drawn], axis=1))

    def sampled(self, score: Scorer, length: int, batch: int = 512) -> UserScores:
        """Rank each true item among the drawn ones; sequences are cut to their last ``length`` actions."""
        known, _ = self.split.queries(self.users, self.part, length)
        found = [
            _finite(score(known[i : i + batch], self.candidates[i : i + batch]))
            for i in range(0, len(self.users), batch)
        ]
        scores = np.concatenate(found)
        true, others = scores[:, :1], scores[:, 1:]
        return place((others > true).sum(1), (others == true).sum(1))

    def full(self, score: Scorer, length: int, batch: int = 256) -> UserScores:
        """Rank each true item among all that its user was not trained on: the sampled protocol without sampling."""
        known, truth = self.split.queries(self.users, self.part, length)
        higher, equal = np.empty(len(truth), np.int64), np.empty(len(truth), np.int64)
        starts, ends, actions = self.split.data.starts, self.split.train_ends, self.split.data.actions
        for i in range(0, len(truth), batch):
            part = slice(i, i + batch)
            users, true_items = self.users[part], truth[part]
            scores = _finite(score(known[part], None)).copy()
            rows = np.arange(len(users))
            true = scores[rows, true_items].copy()
            scores[:, 0] = -np.inf
            counts = ends[users] - starts[users]
            trained = np.concatenate([actions[starts[user] : ends[user]] for user in users])
            scores[np.repeat(rows, counts), trained] = -np.inf
            scores[rows, true_items] = -np.inf
            higher[part], equal[part] = (scores > true[:, None]).sum(1), (scores == true[:, None]).sum(1)
        return place(higher, equal)


def _finite(scores: Scores) -> Scores:
    if not np.isfinite(scores).all():
        raise UserError("the model's scores are not finite: its training diverged or its weights are damaged")
    return scores


def generator(seed: int, purpose: int, number: int = 0) -> np.random.Generator:
    """Return the source of random numbers for one purpose of a seed."""
    return np.random.default_rng([seed, purpose, number])


def scorer(model: Any, device: torch.device) -> Scorer:
    """Return the function by which a model scores sequences, as the protocol asks for it."""

    def score(ids: Ids, candidates: Ids | None) -> Scores:
        given = None if candidates is None else torch.from_numpy(candidates).to(device)
        model.eval()
        with torch.inference_mode():
            found: Tensor = model.scores(torch.from_numpy(ids).to(device), given)
        return np.asarray(found.float().cpu().numpy())

    return score


PURPOSES: Mapping[Part, int] = {"validation": 2, "test": 3}
"""The purposes of the random numbers: 0 and 1 are training's."""


def draw(split: Split, part: Part, seed: int, most: int = 10_000) -> Evaluation:
    """Return the evaluation of a seed: its users and their negatives stay the same from epoch to epoch."""
    rng = generator(seed, PURPOSES[part])
    return Evaluation.draw(split, part, draw_users(split, rng, most), rng)
