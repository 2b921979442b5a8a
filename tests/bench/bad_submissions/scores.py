"""Scores and parity that cannot be."""

from tests.bench import made_up_gpu
from tests.bench.bad_submissions.cases import COUNTS, GPU, bad


@bad(GPU, "impossible-score", "above-a-hundred", "it is 150 %")
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
