"""Object detection and instance segmentation: pictures in, boxes and masks out, judged by COCO's average precision."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.quantities import Answer, Quantity, Row
from bench.tasks.task import DataSet, Task

if TYPE_CHECKING:
    from torch import nn

    from bench.measure.subject import Subject
    from bench.records import Job, Measurement

COCO = DataSet(
    "coco",
    "COCO 2017 val",
    (("coco_box_ap", "%"), ("coco_mask_ap", "%")),
    needs="the folder with annotations/instances_val2017.json and val2017",
    source="Lin et al., ECCV 2014: average precision over overlaps of 0.50 to 0.95",
)
ROWS = {
    "coco_box_ap": Row("COCO box AP", "quality", "%", better="higher"),
    "coco_mask_ap": Row("COCO mask AP", "quality", "%", better="higher"),
}
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
        from bench.integrations.install import require_openmmlab

        require_openmmlab()

    def build(self, job: Job) -> nn.Module:
        """Return a detector around the backbone that the variant names."""
        from bench.integrations.openmmlab.measured import build

        return build(job)

    def evaluate(self, subject: Subject, job: Job) -> list[Measurement]:
        """Say what a score would take.

        Raises:
            UnavailableError: always.
        """
        from bench.measure import UnavailableError

        raise UnavailableError(
            "needs COCO 2017 and a detector trained on it: mmdetection's runner scores it, see config()"
        )


TASK = ObjectDetection()
