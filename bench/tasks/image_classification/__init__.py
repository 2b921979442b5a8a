"""Image classification: pictures in, a score for each class out, judged by top-1 and top-5."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from claimbench.bench.core.quantities import Answer, Quantity, Row
from claimbench.bench.core.task import Task, TrainRequest
from claimbench.bench.tasks.image_classification import catalogue

if TYPE_CHECKING:
    from claimbench.bench.core.listener import Listener
    from claimbench.bench.core.records import Job, Measurement
    from claimbench.bench.core.task import Subject

ROWS = {
    "top1": Row("Top-1 accuracy", "quality", "%", better="higher", least=0, most=100),
    "top5": Row("Top-5 accuracy", "quality", "%", better="higher", least=0, most=100),
    "imagenet_c_mce": Row("ImageNet-C mean corruption error", "quality", "%", better="lower", least=0),
    "imagenet_c_top1": Row("ImageNet-C mean top-1", "quality", "%", better="higher", least=0, most=100),
    **{
        row: Row(f"{dataset.title} top-{row[-1]}", "quality", "%", better="higher", least=0, most=100)
        for dataset in catalogue.DATASETS.values()
        for row, _ in dataset.rows
        if dataset.name not in (catalogue.DEFAULT, "imagenet-c")
    },
}

QUANTITIES = {
    "imagenet1k_top1": Quantity("ImageNet-1K top-1", "quality", "%", (Answer("top1"),), "higher", classes=1000),
    "imagenet1k_top5": Quantity("ImageNet-1K top-5", "quality", "%", (Answer("top5"),), "higher", classes=1000),
    **{
        row: Quantity(
            ROWS[row].title,
            "quality",
            "%",
            (Answer(row),),
            ROWS[row].better,
            needs=f"needs the data set and trained weights: --metrics accuracy --dataset {dataset.name}",
        )
        for dataset in catalogue.DATASETS.values()
        for row, _ in dataset.rows
        if dataset.name not in (catalogue.DEFAULT, "folder")
    },
    "imagenet1k_zero_shot_top1": Quantity(
        "ImageNet-1K top-1, zero-shot", "quality", "%", better="higher", needs="needs a text encoder and ImageNet-1K"
    ),
}


class ImageClassification(Task):
    """Pictures (channels, height, width) to class scores; the data sets of
    :mod:`claimbench.bench.tasks.image_classification.catalogue`.
    """

    name = "image-classification"
    title = "Image classification"
    datasets = catalogue.DATASETS
    default = catalogue.DEFAULT
    rows = ROWS
    quantities = QUANTITIES

    def evaluate(self, subject: Subject, job: Job) -> list[Measurement]:
        """Return the scores of :mod:`claimbench.bench.tasks.image_classification.evaluate`."""
        from claimbench.bench.tasks.image_classification.evaluate import measure

        return measure(subject, job)

    def classes(self, job: Job) -> int:
        """Return how many classes the model of a job tells apart."""
        from claimbench.bench.tasks.image_classification.evaluate import classes_of

        return classes_of(job)

    def check(self, jobs: Sequence[Job], listener: Listener) -> list[str]:
        """Check folders and archives picture by picture, and that each model's classes are those of its data set."""
        from claimbench.bench.tasks.image_classification.check import precheck

        return precheck(jobs, listener)

    def train(self, request: TrainRequest) -> int:
        """Train by the paper's own recipe, see :mod:`claimbench.bench.training`."""
        from claimbench.bench.tasks.image_classification.train.command import train

        return train(request)


TASK = ImageClassification()
