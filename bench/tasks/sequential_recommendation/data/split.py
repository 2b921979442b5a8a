"""Leave the last two out: each user's last action is for the test, the one before for validation."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from claimbench.bench.core.errors import UserError
from claimbench.bench.tasks.sequential_recommendation.data.interactions import Ids, Interactions

FEWEST = 3
"""Users with fewer actions are trained on and not evaluated (SASRec, the authors' code; its PyTorch port has 4)."""

Part = Literal["validation", "test"]


@dataclass(frozen=True)
class Split:
    """The parts of a data set. Users are counted from 0 here."""

    data: Interactions

    @cached_property
    def evaluated(self) -> Ids:
        """The users with enough actions to be evaluated."""
        return np.flatnonzero(self.data.lengths >= FEWEST)

    @cached_property
    def train_ends(self) -> Ids:
        """The index behind each user's last training action: (users,)."""
        ends = self.data.starts[1:].copy()
        ends[self.evaluated] -= 2
        return ends

    @cached_property
    def trained(self) -> Ids:
        """The users with a training action that another one precedes."""
        return np.flatnonzero(self.train_ends - self.data.starts[:-1] >= 2)

    def check(self) -> None:
        """Raise UserError if there is nobody to train or evaluate on, or nothing to draw as a negative."""
        name = self.data.name
        if not len(self.evaluated):
            raise UserError(f"{name}: no user has {FEWEST} actions, so that none can be evaluated")
        if not len(self.trained):
            raise UserError(f"{name}: no user has two training actions, so that there is nothing to train on")
        seen = np.bincount(self.seen // (self.data.items + 1), minlength=self.data.users)
        if seen.max() >= self.data.items:
            raise UserError(f"{name}: user {int(seen.argmax()) + 1} acted on every item, which leaves no negative")

    def windows(self, users: Ids, ends: Ids, length: int) -> Ids:
        """Return the last ``length`` actions of users before ``ends``, padded with 0 on the left: (n, length)."""
        index = ends[:, None] + np.arange(-length, 0)
        inside = index >= self.data.starts[users][:, None]
        return np.where(inside, self.data.actions[np.maximum(index, 0)], 0)

    def training(self, length: int) -> tuple[Ids, Ids]:
        """Return the inputs and the items that follow them, of all :attr:`trained` users: both (n, length)."""
        ends = self.train_ends[self.trained]
        positives = self.windows(self.trained, ends, length + 1)
        inputs = np.where(positives[:, 1:] > 0, positives[:, :-1], 0)
        return inputs, np.where(inputs > 0, positives[:, 1:], 0)

    def queries(self, users: Ids, part: Part, length: int) -> tuple[Ids, Ids]:
        """Return the known items of evaluated users (n, length) and the item that they chose next (n,)."""
        ends = self.data.starts[users + 1] - (1 if part == "test" else 2)
        return self.windows(users, ends, length), self.data.actions[ends]

    # What a user was trained on

    @cached_property
    def seen(self) -> Ids:
        """Every pair of a user and an item in its training part, as one sorted number each."""
        owners = np.repeat(np.arange(self.data.users), self.data.lengths)
        training = np.arange(len(self.data.actions)) < self.train_ends[owners]
        return np.unique(self._keys(owners[training], self.data.actions[training]))

    def in_training(self, users: Ids, items: Ids) -> NDArray[np.bool_]:
        """Tell of pairs of users and items whether they are in the training part; the two are broadcast."""
        keys = self._keys(users, items)
        found = np.minimum(np.searchsorted(self.seen, keys), len(self.seen) - 1)
        return self.seen[found] == keys

    def negatives(self, users: Ids, rng: np.random.Generator) -> Ids:
        """Draw an item for each of ``users`` (any shape), uniformly among those not in its training part."""
        drawn = rng.integers(1, self.data.items + 1, users.shape)
        again = np.nonzero(self.in_training(users, drawn))
        while len(again[0]):
            drawn[again] = rng.integers(1, self.data.items + 1, len(again[0]))
            still = self.in_training(users[again], drawn[again])
            again = tuple(axis[still] for axis in again)
        return drawn

    def _keys(self, users: Ids, items: Ids) -> Ids:
        return users * (self.data.items + 1) + items
