"""Object detection and instance segmentation: pictures in, boxes and masks out, judged by COCO's average precision."""

from __future__ import annotations

from claimbench.bench.core.task import Score, Task
from claimbench.bench.tasks.object_detection.catalogue import COCO

_NEEDS = "needs COCO 2017 and trained weights"

TASK = Task(
    name="object-detection",
    title="Object detection",
    datasets={COCO.name: COCO},
    default=COCO.name,
    scores=(
        Score("{dataset}_box_ap", "COCO box AP", "%", least=0, most=100, needs=_NEEDS),
        Score("{dataset}_mask_ap", "COCO mask AP", "%", least=0, most=100, needs=_NEEDS),
    ),
    cpu_batch=1,
    shares=True,
)
