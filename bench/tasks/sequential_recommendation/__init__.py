"""Sequential recommendation: a user's last items in, a score for each next item out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from claimbench.bench.core.task import Score, Task
from claimbench.bench.tasks.sequential_recommendation.catalogue import DATASETS, DEFAULT

if TYPE_CHECKING:
    from torch import Generator, Tensor

_TITLES = {
    "hit@10": "Hit@10",
    "ndcg@10": "NDCG@10",
    "full_hit@10": "Hit@10 among all items",
    "full_ndcg@10": "NDCG@10 among all items",
}


class SequentialRecommendation(Task):
    """Item numbers (length,), 0 where padded on the left, to the items that follow each of them."""

    def size(self, shape: tuple[int, ...]) -> str:
        """Return the length of the sequences."""
        return f"{shape[0]} items" if len(shape) == 1 else ""

    def example(self, shape: tuple[int, ...], batch: int, generator: Generator, config: Mapping[str, Any]) -> Tensor:
        """Return whole sequences (batch, length) of items drawn uniformly, without padding."""
        import torch

        return torch.randint(1, int(config.get("items", 1)) + 1, (batch, *shape), generator=generator)


TASK = SequentialRecommendation(
    name="sequential-recommendation",
    title="Sequential recommendation",
    sample="seq",
    datasets=DATASETS,
    default=DEFAULT,
    scores=tuple(
        Score(
            f"{{dataset}}_{name}",
            f"{{dataset}}: {title}",
            least=0,
            most=1,
            needs="needs trained weights: bench train --dataset {dataset}",
        )
        for name, title in _TITLES.items()
    ),
)
