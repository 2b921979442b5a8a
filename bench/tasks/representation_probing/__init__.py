"""Representation probing: the tokens of a frozen encoder in, a score for each class out, by a small trained head."""

from __future__ import annotations

from claimbench.bench.core.quantities import Quantity
from claimbench.bench.core.task import Score, Task
from claimbench.bench.tasks.representation_probing.catalogue import DATASETS, DEFAULT

_ENCODER = "EfficientNet-Lite0's tokens"
_NEEDS = "needs ImageNet-1K and the paper's encoder"


class RepresentationProbing(Task):
    """Tokens (N, D) to class scores; heads are trained where they are scored."""

    def size(self, shape: tuple[int, ...]) -> str:
        """Return "196 tokens of 768"."""
        return f"{shape[0]} tokens of {shape[1]}" if len(shape) == 2 else ""


TASK = RepresentationProbing(
    name="representation-probing",
    title="Representation probing",
    datasets=DATASETS,
    default=DEFAULT,
    scores=(
        Score(
            "{dataset}_probe_top1",
            f"{{dataset}}, probing accuracy, on {_ENCODER}",
            "%",
            least=0,
            most=100,
            needs="",
        ),
        Score(
            "{dataset}_probe_gain",
            f"{{dataset}}, gain over a linear probe, on {_ENCODER}",
            "points",
            least=-100,
            most=100,
            needs="",
        ),
    ),
    not_measured={
        "imagenet1k_probe_top1": Quantity("ImageNet-1K top-1, probing", "quality", "%", better="higher", needs=_NEEDS),
        "imagenet1k_knn_top1": Quantity("ImageNet-1K top-1, k-NN", "quality", "%", better="higher", needs=_NEEDS),
    },
    learns=True,
)
