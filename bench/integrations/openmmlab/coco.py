"""Average precision of a trained detector on COCO, by mmdetection's own data set and metric."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from bench.errors import UserError
from bench.integrations.openmmlab.assemble import config
from bench.measure import UnavailableError
from bench.measure.subject import Subject
from bench.records import Job, Measurement

ANNOTATIONS, PICTURES = "annotations/instances_val2017.json", "val2017"
ROWS = {"coco_box_ap": "coco/bbox_mAP", "coco_mask_ap": "coco/segm_mAP"}
"""What mmdetection calls each row."""


def evaluate(subject: Subject, job: Job) -> list[Measurement]:
    """Return box AP and mask AP, in percent, of a detector with trained weights on COCO's val2017.

    ``options["limit"]``, if given, is how many of the pictures are used.

    Raises:
        UnavailableError: there are no data, or the weights are random.
        UserError: the folder does not hold COCO.
    """
    if not job.options.get("data"):
        raise UnavailableError("needs COCO 2017: --data with annotations/instances_val2017.json and val2017")
    if "weights_file" not in job.options:
        raise UnavailableError("needs weights trained with this backbone and head: --weights FILE")
    folder = Path(job.options["data"])
    for part in (ANNOTATIONS, PICTURES):
        if not (folder / part).exists():
            raise UserError(f"{folder} does not hold COCO 2017: {part} is missing")
    settings = config(job.options["config"]["backbone"], job.options["config"]["network"], form=job.form)
    found, pictures = _score(subject, settings, folder, job.options.get("limit"))
    detail = {"images": pictures}
    return [
        Measurement(row, 100 * found[name], "%", "mmdetection's CocoMetric on val2017", detail=detail)
        if name in found
        else Measurement.missing(row, "%", "this network has no masks")
        for row, name in ROWS.items()
    ]


def _score(subject: Subject, settings: Any, folder: Path, limit: int | None) -> tuple[dict[str, float], int]:
    """Return mmdetection's figures and the number of pictures."""
    from mmdet.registry import DATASETS, METRICS
    from mmengine.dataset import pseudo_collate
    from mmengine.registry import DefaultScope

    network: Any = subject.model.network
    with DefaultScope.overwrite_default_scope("mmdet"):
        settings.test_dataloader.dataset.update(data_root=f"{folder}/", indices=limit)
        settings.test_evaluator.ann_file = None if limit else str(folder / ANNOTATIONS)
        pictures = DATASETS.build(settings.test_dataloader.dataset)
        metric = METRICS.build(settings.test_evaluator)
        metric.dataset_meta = pictures.metainfo
        with torch.inference_mode():
            for i in range(len(pictures)):
                batch = pseudo_collate([pictures[i]])
                samples = network.test_step(batch)
                metric.process(data_batch=batch, data_samples=[sample.to_dict() for sample in samples])
        return metric.evaluate(len(pictures)), len(pictures)
