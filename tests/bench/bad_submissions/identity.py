"""Models, settings and devices that do not exist or do not go together; counts that are not the model's."""

import json

from tests.bench.bad_submissions.cases import COUNTS, MEMORY, TIMES, bad


@bad(COUNTS, "paper-code", "code-of-ones-own", "code from elsewhere, and van is this repository's")
def _(draft):
    for record in draft.records:
        record["paper_sha256"] = 64 * "a"


@bad(COUNTS, "paper-code", "files-of-ours", "van is a paper of this repository: files of it are not taken")
def _(draft):
    file = {"sha256": 64 * "a", "text": None}
    return [*draft.lines(), json.dumps({"paper": {"id": "van", "files": {"model.py": file}}}).encode()]


@bad(COUNTS, "unknown-paper", "vann", "unknown paper 'vann'; did you mean van")
def _(draft):
    for job in draft.jobs():
        job["paper"] = "vann"


@bad(COUNTS, "unknown-variant", "van_b9", "unknown variant of van 'van_b9'")
def _(draft):
    for job in draft.jobs():
        job["subject"] = "van_b9"


@bad(COUNTS, "unknown-variant", "form", "unknown form of van_b0 'merged'")
def _(draft):
    for job in draft.jobs():
        job["form"] = "merged"


@bad(TIMES, "unknown-variant", "own-model", "nobody else's model")
def _(draft):
    for job in draft.jobs():
        job |= {"paper": "", "subject": "mine.py:build", "form": ""}


@bad(TIMES, "unknown-variant", "timm-model", "unknown timm model")
def _(draft):
    for job in draft.jobs():
        job |= {"paper": "", "subject": "timm:convnext_giant_of_mine", "form": ""}


@bad(COUNTS, "not-the-papers-model", "shallower", "its option config is not that of van_b0")
def _(draft):
    for job in draft.jobs():
        job["options"]["config"]["depths"][2] -= 1


@bad(COUNTS, "not-the-papers-model", "smaller-input", "its option sample_shape is not that of van_b0")
def _(draft):
    for job in draft.jobs():
        job["options"]["sample_shape"] = [3, 192, 192]


@bad(TIMES, "unknown-metric", "unit", "its unit is 'ms', not 's'")
def _(draft):
    for record in draft.of("latency"):
        record["measurement"]["unit"] = "ms"


@bad(TIMES, "contradiction", "tf32-on-a-cpu", "tf32 needs a GPU")
def _(draft):
    for job in draft.jobs():
        job["settings"]["precision"] = "tf32"


@bad(TIMES, "contradiction", "cudagraph-on-a-cpu", "a CUDA graph needs a GPU")
def _(draft):
    for job in draft.jobs():
        job["settings"]["mode"] = "cudagraph"


@bad(TIMES, "contradiction", "another-batch", "batch 2 was asked for, and batch 1 measured")
def _(draft):
    for job in draft.jobs():
        if job["metric"] == "latency":
            job["settings"]["batch"] = 2


@bad(TIMES, "contradiction", "quick-in-the-evidence", "quick is False in the settings and True in the evidence")
def _(draft):
    for record in draft.of("latency"):
        record["measurement"]["detail"]["quick"] = True


@bad(TIMES, "contradiction", "precision", "unknown precision 'fp8'")
def _(draft):
    for job in draft.jobs():
        job["settings"]["precision"] = "fp8"


@bad(TIMES, "device-name", "called-a-gpu", "by its description it is")
def _(draft):
    draft.environment["device"] = draft.header["device"] = "nvidia-h200"


@bad(COUNTS, "impossible-environment", "more-cores-than-there-are", "of its 2 cores could be used")
def _(draft):
    draft.environment["cpu"]["usable_cores"] = 64
    name = draft.environment["device"].replace("-2c", "-64c")
    draft.environment["device"] = draft.header["device"] = name


@bad(COUNTS, "impossible-environment", "two-torches", "and the build of it")
def _(draft):
    draft.environment["libraries"]["torch"] = "2.8.0"


@bad(COUNTS, "parity-goldens", "an-easier-one", "it was measured against")
def _(draft):
    for job in draft.jobs():
        if job["metric"] == "parity":
            job["options"]["goldens"] = ["van/van_b1.json"]


@bad(TIMES, "evidence", "no-machine", "detail.machine")
def _(draft):
    del draft.first("latency")["measurement"]["detail"]["machine"]


@bad(COUNTS, "not-the-models-parameters", "fewer", "parameters are stated, and the model has 4,105,800")
def _(draft):
    draft.first("params")["measurement"]["value"] -= 100_000


@bad(COUNTS, "not-the-models-parameters", "one-more", "4,105,801 parameters are stated")
def _(draft):
    draft.first("params_trainable")["measurement"]["value"] += 1


@bad(COUNTS, "not-the-models-flops", "half", "FLOPs are stated, and the model takes")
def _(draft):
    draft.first("flops")["measurement"]["value"] //= 2


@bad(COUNTS, "not-the-models-flops", "macs-as-flops", "MACs are stated, and the model takes")
def _(draft):
    del draft.first("macs")["measurement"]["detail"]["second_opinion"]
    draft.first("macs")["measurement"]["value"] *= 2


@bad(COUNTS, "second-opinion", "a-tenth-less", "and its operators add up to")
def _(draft):
    draft.first("macs_fvcore")["measurement"]["value"] = int(0.9 * draft.first("macs_fvcore")["measurement"]["value"])


@bad(COUNTS, "second-opinion", "agrees-by-hand", "is not the products that fvcore counted")
def _(draft):
    draft.first("macs")["measurement"]["detail"]["second_opinion"]["macs"] += 1


@bad(MEMORY, "not-the-models-weights", "half", "bytes of weights are stated, and the model has")
def _(draft):
    weights, both = draft.first("memory_weights")["measurement"], draft.first("memory_with_weights")["measurement"]
    half = weights["value"] // 2
    weights["value"] -= half
    both["value"] -= half
