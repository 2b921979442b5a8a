"""Representation probing: the tokens of a frozen encoder in, a score for each class out, by a small trained head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from claimbench.bench.core.quantities import Answer, Quantity, Row
from claimbench.bench.core.task import DataSet, Task

if TYPE_CHECKING:
    from claimbench.bench.core.listener import Listener
    from claimbench.bench.core.records import Job, Measurement
    from claimbench.bench.core.task import Subject

ENCODER = "EfficientNet-Lite0's tokens"
SOURCES = {
    "elpv": (
        "ELPV",
        "the package elpv-dataset",
        "doubtful or worse against good cells, a fixed test part of a quarter",
    ),
    "fashion-mnist": (
        "Fashion-MNIST",
        "the folder of its four files",
        "6,000 training pictures, the official test part",
    ),
}
DATASETS = {
    name: DataSet(
        name,
        title,
        ((f"{name.replace('-', '_')}_probe_top1", "%"), (f"{name.replace('-', '_')}_probe_gain", "points")),
        needs,
        has_package=True,
        source=source,
    )
    for name, (title, needs, source) in SOURCES.items()
}
WHAT = (("probing accuracy", 0), ("gain over a linear probe", -100))
"""The rows of each data set: what it is, and the least that it can be."""

ROWS = {
    row: Row(f"{dataset.title}, {what}, on {ENCODER}", "quality", unit, better="higher", least=least, most=100)
    for dataset in DATASETS.values()
    for (row, unit), (what, least) in zip(dataset.rows, WHAT, strict=True)
}
_NEEDS = "needs ImageNet-1K and the paper's encoder"
QUANTITIES = {
    **{row: Quantity(found.title, "quality", found.unit, (Answer(row),), "higher") for row, found in ROWS.items()},
    "imagenet1k_probe_top1": Quantity("ImageNet-1K top-1, probing", "quality", "%", better="higher", needs=_NEEDS),
    "imagenet1k_knn_top1": Quantity("ImageNet-1K top-1, k-NN", "quality", "%", better="higher", needs=_NEEDS),
}


class RepresentationProbing(Task):
    """Tokens (N, D) to class scores; heads are trained where they are scored, see :mod:`claimbench.bench.probing`."""

    name = "representation-probing"
    title = "Representation probing"
    datasets = DATASETS
    default = "elpv"
    rows = ROWS
    quantities = QUANTITIES
    learns = True

    def size(self, shape: tuple[int, ...]) -> str:
        """Return "196 tokens of 768"."""
        return f"{shape[0]} tokens of {shape[1]}" if len(shape) == 2 else ""

    def evaluate(self, subject: Subject, job: Job) -> list[Measurement]:
        """Return the accuracy and the paired gain over a linear probe, see
        :func:`claimbench.bench.tasks.representation_probing.evaluate.measure`.
        """
        from claimbench.bench.tasks.representation_probing.evaluate import measure

        return measure(subject, job)

    def check(self, jobs: Sequence[Job], listener: Listener) -> list[str]:
        """Check the folder that the user named."""
        from claimbench.bench.tasks.representation_probing.data import check

        for name, given in {(job.options.dataset, job.options.data or "") for job in jobs}:
            check(name, given)
        return []


TASK = RepresentationProbing()
