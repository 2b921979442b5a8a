"""Object detection and instance segmentation: pictures in, boxes and masks out, judged by COCO's average precision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from claimbench.bench.core.quantities import Answer, Quantity, Row
from claimbench.bench.core.task import DataSet, Task
from claimbench.bench.tasks.object_detection import catalogue

if TYPE_CHECKING:
    from torch import nn

    from claimbench.bench.core.listener import Listener
    from claimbench.bench.core.records import Job, Measurement
    from claimbench.bench.core.task import Subject

ROWS = {
    catalogue.BOX_AP: Row("COCO box AP", "quality", "%", better="higher", least=0, most=100),
    catalogue.MASK_AP: Row("COCO mask AP", "quality", "%", better="higher", least=0, most=100),
}
COCO = DataSet(
    "coco",
    catalogue.TITLE,
    tuple((name, row.unit) for name, row in ROWS.items()),
    needs=catalogue.NEEDS,
    source=catalogue.SOURCE,
)
DATASETS = {"coco": COCO}
QUANTITIES = {
    name: Quantity(row.title, "quality", "%", (Answer(name),), "higher", needs="needs COCO 2017 and trained weights")
    for name, row in ROWS.items()
}


class ObjectDetection(Task):
    """Pictures (3, height, width) to boxes and masks, by detectors around backbones of papers about another task."""

    name = "object-detection"
    title = "Object detection"
    cpu_batch = 1
    datasets = DATASETS
    default = "coco"
    rows = ROWS
    quantities = QUANTITIES

    def require(self) -> None:
        """Check that OpenMMLab's packages are installed."""
        from claimbench.bench.papers.openmmlab.install import require_openmmlab

        require_openmmlab()

    def build(self, job: Job) -> nn.Module:
        """Return a detector around the backbone that the variant names."""
        from claimbench.bench.papers.openmmlab.measured import build

        return build(job)

    def evaluate(self, subject: Subject, job: Job) -> list[Measurement]:
        """Return the scores of :mod:`claimbench.bench.tasks.object_detection.evaluate`."""
        from claimbench.bench.tasks.object_detection.evaluate import measure

        return measure(subject, job)

    def check(self, jobs: Sequence[Job], listener: Listener) -> list[str]:
        """Read the annotations and every picture of the folders that jobs name."""
        from claimbench.bench.tasks.object_detection.check import precheck

        return precheck(jobs, listener)


TASK = ObjectDetection()
