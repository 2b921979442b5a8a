"""Semantic segmentation: pictures in, a class for each pixel out, judged by intersection over union."""

from __future__ import annotations

from claimbench.bench.core.task import Score, Task
from claimbench.bench.tasks.semantic_segmentation.catalogue import BAND, DATASETS, DEFAULT

_NARROW = f"{{dataset}}, mIoU within {BAND} px of boundaries"

TASK = Task(
    name="semantic-segmentation",
    title="Semantic segmentation",
    datasets=DATASETS,
    default=DEFAULT,
    scores=(
        Score(
            "{dataset}_miou",
            "{dataset}, mIoU",
            "%",
            least=0,
            most=100,
            reported=("{dataset}_miou", "{dataset}_miou_ss"),  # papers say _ss if each picture is seen at one size
        ),
        Score("{dataset}_miou_crf", "{dataset}, mIoU after the CRF", "%", least=0, most=100),
        Score("{dataset}_trimap_miou", _NARROW, "%", least=0, most=100),
        Score("{dataset}_trimap_miou_crf", f"{_NARROW} after the CRF", "%", least=0, most=100),
        Score("{dataset}_pixel_accuracy", "{dataset}, pixel accuracy", "%", least=0, most=100),
        Score(
            "{dataset}_miou_ms",
            "{dataset}, mIoU over several sizes",
            "%",
            least=0,
            most=100,
            needs=f"{Score.needs} --multi-scale",
        ),
    ),
    cpu_batch=1,
    memory_batch=2,
    multi_scale=True,
    shares=True,
)
