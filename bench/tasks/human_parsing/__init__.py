"""Human parsing: pictures of people in, a label of garment or body part for each pixel out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from claimbench.bench.core.task import Score, Task
from claimbench.bench.tasks.human_parsing.catalogue import ATR_LABELS, DATASETS, DEFAULT

SMOOTHED = "_superpixels"
"""The ending of scores after the stage behind the network."""

_SCORES = {
    "avg_f1": "mean F1 of all labels",
    "accuracy": "pixel accuracy",
    "foreground_accuracy": "pixel accuracy of the foreground",
    "avg_precision": "mean precision",
    "avg_recall": "mean recall",
    "avg_f1_foreground": "mean F1 without the background",
    "avg_f1_present": "mean F1 of the labels that occur",
}


class HumanParsing(Task):
    """Pictures to a score for each label and position, the background's first."""

    def expected(self, dataset: str, config: Mapping[str, Any] | None = None) -> tuple[tuple[str, str], ...]:
        """Return the rows over all labels: of those of single labels there is none unless they were measured."""
        found = self.datasets.get(dataset) or self.datasets[self.default]
        return tuple((found.fill(f"{{dataset}}_{name}{stage}"), "%") for stage in ("", SMOOTHED) for name in _SCORES)


TASK = HumanParsing(
    name="human-parsing",
    title="Human parsing",
    datasets=DATASETS,
    default=DEFAULT,
    scores=(
        *(
            Score(f"{{dataset}}_{name}{stage}", f"{{dataset}}, {title}{where}", "%", least=0, most=100)
            for stage, where in (("", ""), (SMOOTHED, " after superpixels"))
            for name, title in _SCORES.items()
        ),
        *(
            Score(f"{{dataset}}_f1_{label}", f"{{dataset}}, F1 of {label}", "%", least=0, most=100, datasets=("atr",))
            for label in ATR_LABELS
        ),
    ),
    cpu_batch=2,
    shares=True,
)
