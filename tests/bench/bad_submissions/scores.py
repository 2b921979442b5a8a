"""Scores and parity that cannot be."""

import numpy as np

from claimbench.bench.core.bits import packed
from tests.bench import made_up_gpu
from tests.bench.bad_submissions.cases import COUNTS, GPU, bad


@bad(GPU, "out-of-range", "above-a-hundred", "it is 150, and can be at most 100")
def _(draft):
    draft.first("top5")["measurement"]["value"] = 150.0


@bad(GPU, "impossible-score", "not-of-its-pictures", "pictures are 75.4 %")
def _(draft):
    draft.first("top1")["measurement"]["value"] = 75.5


@bad(GPU, "impossible-score", "more-than-all", "50001 of 50000 pictures are right")
def _(draft):
    draft.first("top5")["measurement"]["detail"]["correct"] = 50_001


@bad(GPU, "impossible-score", "other-predictions", "of its predictions are right, and it states")
def _(draft):
    row = draft.first("top1")["measurement"]
    row |= made_up_gpu.score(6, 8, images_in_folder=50_000, classes=1000)
    row["detail"] |= {"labels": list(range(8)), "predictions": [0, 1, 2, 3, 4, 0, 0, 0]}
    draft.first("top5")["measurement"] |= made_up_gpu.score(8, 8)


@bad(GPU, "impossible-score", "other-answers", "20 of its predictions are right, and it states 37700")
def _(draft):
    draft.first("top1")["measurement"]["detail"]["right"] = packed(np.arange(50_000) < 20)


@bad(GPU, "impossible-score", "other-classes", "37600 of its predictions are right, and it states 37700")
def _(draft):
    each = {"images": [50] * 1000, "correct": [40] * 900 + [16] * 100}
    draft.first("top1")["measurement"]["detail"]["per_class"] = each


@bad(GPU, "impossible-score", "answers-to-fewer", "it is of 50000 pictures, and has answers to others")
def _(draft):
    draft.first("top1")["measurement"]["detail"]["right"] = packed(np.arange(40_000) < 37_700)


@bad(GPU, "impossible-score", "more-than-the-set", "it is of 50000 pictures, and the set has 40000")
def _(draft):
    draft.first("top1")["measurement"]["detail"]["images_in_folder"] = 40_000


@bad(GPU, "out-of-range", "of-another-data-set", "it is 120, and can be at most 100")
def _(draft):
    for job in draft.jobs():
        if job["metric"] == "accuracy":
            job["options"]["dataset"] = "imagenet-c"
    for old, new, detail in (
        ("top1", "imagenet_c_mce", {"corruption_errors": {"fog": 120.0}}),
        ("top5", "imagenet_c_top1", {"accuracy": {"fog/1": 100.0}, "images_in_set": 50_000}),
    ):
        row = draft.first(old)["measurement"]
        row |= {"metric": new, "value": 120.0, "low": None, "high": None, "detail": row["detail"] | detail}


@bad(GPU, "random-weights", "a-score", "with random weights")
def _(draft):
    for job in draft.jobs():
        if job["metric"] == "accuracy":
            job["settings"]["weights"] = "random"
            del job["options"]["weights_file"]


@bad(GPU, "unlikely-score", "chance", "about chance for 1000 classes")
def _(draft):
    row = draft.first("top1")["measurement"]
    row |= made_up_gpu.score(50, 50_000, images_in_folder=50_000, classes=1000)


@bad(GPU, "unlikely-score", "top5-below-top1", "is below its top1")
def _(draft):
    draft.first("top5")["measurement"] |= made_up_gpu.score(30_000, 50_000)


@bad(COUNTS, "parity-not-passed", "above-the-tolerance", "is called passed, and is off by")
def _(draft):
    row = draft.first("parity")["measurement"]
    next(iter(row["detail"]["goldens"][0]["outputs"].values()))["max_rel"] = row["value"] = 1e-3


@bad(COUNTS, "parity-not-passed", "a-wider-tolerance", "the tolerance of")
def _(draft):
    draft.first("parity")["measurement"]["detail"]["goldens"][0]["tolerance"] = 0.1


@bad(COUNTS, "parity-not-passed", "another-figure", "and the worst of its outputs is off by")
def _(draft):
    draft.first("parity")["measurement"]["value"] = 1e-16
