"""The plan of a training: the paper, its model, the data and the seeds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from claimbench.bench.papers.spec import Paper, Variant
from claimbench.bench.tasks.sequential_recommendation.catalogue import ActionSet
from claimbench.bench.tasks.sequential_recommendation.data.split import Split
from claimbench.bench.tasks.sequential_recommendation.train.trainer import TrainerRecipe


@dataclass(frozen=True)
class TrainingPlan:
    """The plan of a training over several seeds.

    Attributes:
        paper, variant, form: the model, whose hyper-parameters are ``config``.
        dataset: the data set.
        recipe: of the training.
        seeds: of one training each.
        folder: of all of them.
    """

    paper: Paper
    variant: Variant
    form: str
    config: Mapping[str, Any]
    dataset: ActionSet
    recipe: TrainerRecipe
    seeds: tuple[int, ...]
    folder: Path

    def identity(self, split: Split) -> dict[str, Any]:
        """Return the values that two trainings share if they differ in seed and recipe only."""
        return {
            "paper": self.paper.id,
            "variant": self.variant.name,
            "form": self.form,
            "config": dict(self.config),
            "dataset": self.dataset.name,
            "data": split.data.digest,
        }
