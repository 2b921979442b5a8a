"""A submission as a GPU would give it, made up: no GPU was at hand. It shows the form; no figure in it is measured."""

from __future__ import annotations

import random
from copy import deepcopy
from datetime import datetime, timedelta

from claimbench.bench.core.statistics import wilson
from tests.bench.submission_draft import Draft

GPU = {
    "name": "NVIDIA H200",
    "memory_bytes": 150_754_820_096,
    "max_sm_mhz": 1980,
    "max_memory_mhz": 3201,
    "power_limit_w": 700.0,
    "driver": "580.65.06",
}
MACHINE = {
    "before": {"load_average": 0.5, "cpu_mhz": 3000, "throttle_count": 0, "gpu": {"other_processes": 0}},
    "after": {"load_average": 0.5, "cpu_mhz": 3000, "throttle_count": 0, "gpu": {"other_processes": 0}},
    "others_cores": 0.01,
    "stolen": 0.0,
    "seconds": 4.0,
}
WARM_UP = {"settled": True, "windows": 2, "seconds": 0.5, "first_call_s": 0.4}


def make(base: Draft, weighed: Draft) -> Draft:
    """Return times, memory, energy and scores on a GPU, from submissions of times and of memory on a CPU."""
    draft = Draft(deepcopy(base.header), deepcopy(base.environment), deepcopy(base.plan))
    draft.environment |= {"device": "nvidia-h200", "gpu": GPU}
    draft.header["device"] = "nvidia-h200"
    draft.header["run"] = draft.plan["run"] = base.header["run"][:-6] + "000000"
    draft.plan["device"] = "cuda"
    draft.plan["jobs"] = []
    job = deepcopy(base.records[0]["job"])
    job["options"].pop("budget_s", None)
    job["settings"] |= {"device": "cuda"}
    template = {**deepcopy(base.records[0]), "samples_key": "", "run": draft.header["run"]}
    start = datetime.fromisoformat(base.records[0]["time"])
    numbers = random.Random(0)

    def add(metric, batch, rows, number=0, samples=(), **options):
        this = deepcopy(job)
        weights = "official" if metric == "accuracy" else "random"
        this |= {"metric": metric, "settings": this["settings"] | {"batch": batch, "weights": weights}}
        this["options"] |= options
        draft.plan["jobs"].append({**this, "round": number})
        time = (start + timedelta(seconds=20 * len(draft.plan["jobs"]))).isoformat(timespec="seconds")
        for row in rows:
            empty = {"method": "made up", "status": "measured", "reason": "", "low": None, "high": None, "detail": {}}
            record = {**deepcopy(template), "job": deepcopy(this), "round": number, "measurement": {**empty, **row}}
            draft.records.append(record | {"rows": len(rows), "time": time})
            draft.samples.append(list(samples))

    add("memory", 1, _memory(weighed.first("memory_training")["measurement"]["detail"]))
    add("energy", 256, [_energy()])
    add("accuracy", None, _scores(), weights_file="van_b0.pth", data="val")
    for number in range(3):
        for metric, batch, seconds, unit, count in (
            ("throughput", 256, 0.1, "img/s", 12),
            ("latency", 1, 0.05, "s", 24),
        ):
            samples = [seconds * (1 + numbers.uniform(-0.004, 0.004)) for _ in range(count)]
            add(metric, batch, [{"metric": metric, "unit": unit, "detail": _timing(batch)}], number, samples)
            draft.resample(draft.records[-1], samples)
    return draft


def _timing(batch: int) -> dict:
    return {
        "batch": batch,
        "stop": "interval",
        "quick": False,
        "noisy": False,
        "noisy_reasons": [],
        "void_samples": 0,
        "inner_loops": 1,
        "warmup": dict(WARM_UP),
        "budget_s": 10.0,
        "machine": deepcopy(MACHINE),
    }


def _energy() -> dict:
    images, joules, seconds = 25_600, 6000.0, 10.0
    detail = {
        "batch": 256,
        "images": images,
        "joules": joules,
        "seconds": seconds,
        "mean_power_w": joules / seconds,
        "quick": False,
        "noisy_reasons": [],
        "machine": MACHINE | {"seconds": 10.0},
    }
    return {"metric": "energy", "value": joules / images, "unit": "J/img", "detail": detail}


def _memory(weighed: dict) -> list[dict]:
    weights, peak, twice = weighed["weights_b"], 30_000_000, 58_000_000
    training = {**weighed, "repeats_b": [80_000_000]}
    return [
        {"metric": "memory_peak", "value": peak, "unit": "B", "detail": {"batch": 1, "repeats_b": [peak] * 3}},
        {"metric": "memory_with_weights", "value": peak + weights, "unit": "B"},
        {"metric": "memory_weights", "value": weights, "unit": "B"},
        {
            "metric": "memory_per_image",
            "value": float(twice - peak),
            "unit": "B",
            "detail": {"batches": [1, 2], "peaks_b": [float(peak), float(twice)]},
        },
        {"metric": "memory_reserved", "value": 100_000_000, "unit": "B"},
        {"metric": "memory_device", "value": 700_000_000, "unit": "B"},
        {"metric": "memory_training", "value": 80_000_000 + weights, "unit": "B", "detail": training},
    ]


def score(correct: int, images: int, **detail) -> dict:
    """Return the figures of a score, with what it rests on."""
    low, high = wilson(correct, images)
    rest = {"correct": correct, "images": images, **detail}
    return {"value": 100 * correct / images, "low": 100 * low, "high": 100 * high, "detail": rest}


def _scores() -> list[dict]:
    whole = {"images_in_folder": 50_000, "classes": 1000, "predictions_file": "van_b0.jsonl"}
    return [
        {"metric": "top1", "unit": "%", **score(37_700, 50_000, **whole)},
        {"metric": "top5", "unit": "%", **score(46_500, 50_000)},
    ]
