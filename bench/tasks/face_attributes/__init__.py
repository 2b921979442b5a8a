"""Face attributes: pictures of faces in, a score for each of 40 binary attributes out, judged by their accuracies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from claimbench.bench.core.task import Score, Task
from claimbench.bench.tasks.face_attributes.catalogue import ATTRIBUTES, DATASETS, DEFAULT

MEAN, BALANCED = "{dataset}_mean_accuracy", "{dataset}_mean_balanced_accuracy"
EACH, EACH_BALANCED = "{dataset}_accuracy_", "{dataset}_balanced_accuracy_"


def _of_attribute(start: str, title: str, attribute: str) -> Score:
    named = f"{{dataset}}, {title} of {attribute.replace('_', ' ')}"
    return Score(start + attribute.lower(), named, "%", least=0, most=100)


class FaceAttributes(Task):
    """Pictures to 40 scores, a positive one for an attribute that the face has."""

    def expected(self, dataset: str, config: Mapping[str, Any] | None = None) -> tuple[tuple[str, str], ...]:
        """Return the rows of the means: of those of 40 attributes there is none unless they were measured."""
        found = self.datasets.get(dataset) or self.datasets[self.default]
        return tuple((found.fill(name), "%") for name in (MEAN, BALANCED))


TASK = FaceAttributes(
    name="face-attributes",
    title="Face attributes",
    datasets=DATASETS,
    default=DEFAULT,
    scores=(
        Score(
            MEAN,
            "{dataset}, mean accuracy",
            "%",
            least=0,
            most=100,
            reported=(MEAN, f"{EACH}average"),  # tables end in a column of averages
        ),
        Score(BALANCED, "{dataset}, mean balanced accuracy", "%", least=0, most=100),
        *(_of_attribute(EACH, "accuracy", attribute) for attribute in ATTRIBUTES),
        *(_of_attribute(EACH_BALANCED, "balanced accuracy", attribute) for attribute in ATTRIBUTES),
    ),
    cpu_batch=2,
    shares=True,
)
