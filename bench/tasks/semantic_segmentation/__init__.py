"""Semantic segmentation: pictures in, a class for each pixel out, judged by intersection over union."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from claimbench.bench.core.quantities import Answer, Quantity, Row
from claimbench.bench.core.task import Task
from claimbench.bench.tasks.semantic_segmentation import catalogue

if TYPE_CHECKING:
    from torch import nn

    from claimbench.bench.core.listener import Listener
    from claimbench.bench.core.records import Job, Measurement
    from claimbench.bench.core.task import Subject

ROWS = {
    f"{dataset.name}_{score}": Row(f"{dataset.title}, {title}", "quality", "%", better="higher", least=0, most=100)
    for dataset in catalogue.DATASETS.values()
    for score, title in catalogue.SCORES.items()
}


def _reported(dataset: catalogue.Masks) -> dict[str, Quantity]:
    """Return what papers report on a data set."""
    needs = f"needs the data set and trained weights: --metrics accuracy --dataset {dataset.name}"
    classes = len(dataset.classes) or None
    found = {
        row: Quantity(ROWS[row].title, "quality", "%", (Answer(row),), "higher", needs=needs, classes=classes)
        for row, _ in dataset.rows
    }
    miou = f"{dataset.name}_miou"
    several = replace(found[f"{miou}_ms"], needs=f"{needs} --multi-scale")
    return found | {f"{miou}{catalogue.ONE_SCALE}": found[miou], f"{miou}_ms": several}


QUANTITIES = {
    name: quantity
    for dataset in catalogue.DATASETS.values()
    if dataset.layout != "folder"
    for name, quantity in _reported(dataset).items()
}


class SemanticSegmentation(Task):
    """Pictures (3, height, width) to scores for each class and position; see :mod:`claimbench.bench.segmentation`."""

    name = "semantic-segmentation"
    title = "Semantic segmentation"
    datasets = catalogue.DATASETS
    default = catalogue.DEFAULT
    rows = ROWS
    quantities = QUANTITIES
    cpu_batch = 1
    memory_batch = 2
    multi_scale = True

    def evaluate(self, subject: Subject, job: Job) -> list[Measurement]:
        """Return the scores of :mod:`claimbench.bench.tasks.semantic_segmentation.evaluate`."""
        from claimbench.bench.tasks.semantic_segmentation.evaluate import measure

        return measure(subject, job)

    def classes(self, job: Job) -> int:
        """Return how many classes the model of a job tells apart."""
        from claimbench.bench.tasks.semantic_segmentation.evaluate import classes_of

        return classes_of(job)

    def check(self, jobs: Sequence[Job], listener: Listener) -> list[str]:
        """Read every picture and mask of the data sets that jobs name."""
        from claimbench.bench.tasks.semantic_segmentation.check import precheck

        return precheck(jobs, listener)

    def require(self) -> None:
        """Check that OpenMMLab's packages are installed, which segmenters around backbones are built with."""
        from claimbench.bench.papers.openmmlab.install import require_openmmlab

        require_openmmlab()

    def build(self, job: Job) -> nn.Module:
        """Return a segmenter around the backbone that the variant names."""
        from claimbench.bench.papers.openmmlab.measured import build

        return build(job)


TASK = SemanticSegmentation()
