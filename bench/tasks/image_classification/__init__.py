"""Image classification: pictures in, a score for each class out, judged by top-1 and top-5."""

from __future__ import annotations

from claimbench.bench.core.quantities import Quantity
from claimbench.bench.core.task import Score, Task
from claimbench.bench.tasks.image_classification.catalogue import DATASETS, DEFAULT

_OTHERS = tuple(name for name in DATASETS if name not in (DEFAULT, "imagenet-c"))
_NO_TOP5 = ("imagenet-a", "imagenet-r", "elpv")
"""Papers report no top-5 on these."""

TASK = Task(
    name="image-classification",
    title="Image classification",
    datasets=DATASETS,
    default=DEFAULT,
    scores=(
        *(
            Score(
                f"top{rank}",
                f"Top-{rank} accuracy",
                "%",
                least=0,
                most=100,
                reported=(f"{{dataset}}_top{rank}",),
                reported_title=f"ImageNet-1K top-{rank}",
                needs="",
                datasets=(DEFAULT,),
            )
            for rank in (1, 5)
        ),
        Score(
            "{dataset}_mce", "{dataset} mean corruption error", "%", better="lower", least=0, datasets=("imagenet-c",)
        ),
        Score("{dataset}_top1", "{dataset} mean top-1", "%", least=0, most=100, datasets=("imagenet-c",)),
        Score("{dataset}_top1", "{dataset} top-1", "%", least=0, most=100, datasets=_OTHERS),
        Score(
            "{dataset}_top5",
            "{dataset} top-5",
            "%",
            least=0,
            most=100,
            datasets=tuple(name for name in _OTHERS if name not in _NO_TOP5),
        ),
    ),
    shares=True,
    not_measured={
        "imagenet1k_zero_shot_top1": Quantity(
            "ImageNet-1K top-1, zero-shot",
            "quality",
            "%",
            better="higher",
            needs="needs a text encoder and ImageNet-1K",
        )
    },
)
