"""Sequential recommendation: a user's last items in, a score for each next item out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from claimbench.bench.core.quantities import Answer, Quantity, Row
from claimbench.bench.core.task import Task, TrainRequest
from claimbench.bench.tasks.sequential_recommendation import catalogue

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from claimbench.bench.core.listener import Listener
    from claimbench.bench.core.records import Job, Measurement
    from claimbench.bench.core.task import Subject

_TITLES = {
    "hit@10": "Hit@10",
    "ndcg@10": "NDCG@10",
    "full_hit@10": "Hit@10 among all items",
    "full_ndcg@10": "NDCG@10 among all items",
}
ROWS = {
    f"{dataset.prefix}_{name}": Row(f"{dataset.title}: {title}", "quality", "", better="higher", least=0, most=1)
    for dataset in catalogue.DATASETS.values()
    for name, title in _TITLES.items()
}
QUANTITIES = {
    row: Quantity(
        ROWS[row].title,
        "quality",
        "",
        (Answer(row),),
        "higher",
        needs=f"needs trained weights: bench train --dataset {dataset.name}",
    )
    for dataset in catalogue.DATASETS.values()
    for row in sorted(dataset.reported)
}


class SequentialRecommendation(Task):
    """Item numbers (length,), 0 where padded on the left, to what follows each of them."""

    name = "sequential-recommendation"
    title = "Sequential recommendation"
    sample = "seq"
    datasets = catalogue.DATASETS
    default = catalogue.DEFAULT
    rows = ROWS
    quantities = QUANTITIES

    def size(self, shape: tuple[int, ...]) -> str:
        """Return the length of the sequences."""
        return f"{shape[0]} items" if len(shape) == 1 else ""

    def example(self, shape: tuple[int, ...], batch: int, generator: Generator, config: Mapping[str, Any]) -> Tensor:
        """Return whole sequences (batch, length) of items drawn uniformly, without padding."""
        import torch

        return torch.randint(1, int(config.get("items", 1)) + 1, (batch, *shape), generator=generator)

    def evaluate(self, subject: Subject, job: Job) -> list[Measurement]:
        """Return the scores by the paper's protocol and among all items, see
        :mod:`claimbench.bench.tasks.sequential_recommendation.evaluate`.
        """
        from claimbench.bench.tasks.sequential_recommendation.evaluate import measure

        return measure(subject, job)

    def check(self, jobs: Sequence[Job], listener: Listener) -> list[str]:
        """Read the files that the user named, see :mod:`claimbench.bench.tasks.sequential_recommendation.check`."""
        from claimbench.bench.tasks.sequential_recommendation.check import precheck

        return precheck(jobs, listener)

    def train(self, request: TrainRequest) -> int:
        """Train with each seed and store the mean of the seeds, see
        :mod:`claimbench.bench.tasks.sequential_recommendation.train.command`.
        """
        from claimbench.bench.tasks.sequential_recommendation.train.command import train

        return train(request)


TASK = SequentialRecommendation()
