"""Stores and papers that the tests of the site share."""

from __future__ import annotations

from typing import Any

import numpy as np

from claimbench.bench.core import bits
from claimbench.bench.core.records import Job, Measurement, Options, Record, Settings
from claimbench.bench.papers.spec import Paper
from claimbench.bench.publish.site.source import SiteSource
from claimbench.bench.store.night_files import Night, save
from claimbench.bench.store.store import Store
from claimbench.bench.training.study.setting import setting
from tests.bench.record_examples import record

HOSTILE = (
    "</script><img src=x onerror=\"window.pwned='{0}'\"><svg onload=\"window.pwned='{0}'\">"
    "{{{{7*7}}}}\u2028\u202e'\"`${{1}}"
)


def hostile(place: str) -> str:
    """Return a text that would set ``window.pwned`` wherever a page obeyed it."""
    return HOSTILE.format(place)


# name: (parameters in M, MACs in G, reported top-1, throughput on machine "box")
MODELS = {
    "demo_t": (10.0, 2.0, "80.0", 100.0),
    "demo_s": (20.0, 4.0, "82.0", 60.0),
    "demo_dud": (25.0, 5.0, "81.0", 40.0),
    "demo_b": (50.0, 9.0, "84.0", 30.0),
    "demo_worse": (60.0, 9.5, "83.9", 29.0),
}
FRONT = ["demo_t", "demo_s", "demo_b"]
"""The Pareto front of reported top-1 against MACs (and against throughput) of :data:`MODELS`."""


def demo_paper() -> Paper:
    """Return a paper of five models with a report each."""
    return Paper.model_validate(
        {
            "id": "demo",
            "title": "Demo: a paper of five models",
            "task": "image-classification",
            "arxiv": "2401.00001",
            "venue": "DEMO 2024",
            "official": {"repo": "someone/demo", "commit": "a" * 40, "license": "MIT"},
            "variants": [
                {
                    "name": name,
                    "reported": [
                        {"metric": "params_m", "value": f"{params:.0f}", "source": "Table 1"},
                        {"metric": "flops_g", "value": f"{macs + 0.5}", "source": "Table 1"},
                        {"metric": "imagenet1k_top1", "value": top1, "source": "Table 1"},
                    ],
                }
                for name, (params, macs, top1, _) in MODELS.items()
            ],
            "study": {"block": "a block", "counterpart": "a plainer one", "source": "Table 9"},
            "claims": [
                {"id": "fast", "text": "It is fast.", "source": "abstract", "needs": "a GPU"},
            ],
            "deviations": [
                {"text": "The counter leaves out norms.", "source": "its README", "metrics": ["flops_g"]},
            ],
        }
    )


def fill(store: Store, runs: int = 2, device: str = "box") -> None:
    """Measure the models of the demo paper in several runs, a day apart."""
    environment = store.add_environment(
        {
            "device": device,
            "os": "Linux 6.1",
            "cpu": {"model": "Test CPU", "usable_cores": 2},
            "libraries": {"torch": "2.9"},
        }
    )
    timed = Settings(batch=8, threads=2)
    for number in range(runs):
        run, time = f"2026010{number + 1}T000000Z-{number:06x}", f"2026-01-0{number + 1}T00:00:00+00:00"
        same = {"run": run, "time": time, "form": "model", "environment": environment}
        for name, (params, macs, _, speed) in MODELS.items():
            shape = {"sample_shape": [3, 224, 224]}
            store.append(
                record("params", int(params * 1e6), subject=name, options=shape, **same),
                record("macs", int(macs * 1e9), subject=name, unit="MAC", options=shape, job_metric="flops", **same),
                device=device,
            )
            for round in range(3):
                samples = tuple(8 / (speed + number) * (1 + 0.001 * i) for i in range(-6, 7))
                store.append(
                    record(
                        "throughput", speed + number, subject=name, unit="img/s", settings=timed, options=shape,
                        round=round, samples=samples, **same,
                    ),
                    device=device,
                )  # fmt: skip


def kernel_line(**changes: object) -> dict[str, object]:
    """Return a stored row of ``bench kernels bench``."""
    against = {"baseline": "reference", "ratio": 3.0, "low": 2.9, "high": 3.1, "verdict": "faster", "reason": "apart"}
    line = {
        "time": "2026-01-01T00:00:00+00:00", "commit": "abc1234", "environment": "0123456789abcdef",
        "operator": "twist", "case": "1x2x3", "dtype": "float32", "device": "cpu", "threads": 2, "direction": "forward",
        "implementation": "native", "status": "measured", "reason": "", "seconds": 0.002, "low": 0.0019, "high": 0.0021,
        "samples": [], "memory": 1048576, "memory_reason": "", "flops": 10**9, "moved": 10**7,
        "ceiling": {"flops": 1e12, "bytes": 1e10, "method": "a product and a copy"}, "ceiling_reason": "",
        "attainable": 0.001, "bound": "memory", "against": [against, {**against, "baseline": "compiled", "ratio": 1.5}],
        "strongest": "compiled", "method": "in turns", "roofline_fraction": 0.5,
    }  # fmt: skip
    return {**line, **changes}


def night(name: str, **changes: Any) -> Night:
    """Return a night that found nothing, but for ``changes``."""
    day = f"{name[:4]}-{name[4:6]}-{name[6:8]}"
    facts = {
        "commit": "abc1234",
        "asked": {},
        "started": f"{day}T01:00:00+00:00",
        "budget": None,
        "run": [],
        "left": [],
    }
    return Night(**{"night": name, "device": "box", "status": "good", "summary": "no regression", **facts, **changes})


def trainings(seed: int, right: int = 170) -> list[Record]:
    """Return the records of both arms of the demo paper's study in one seed; the block is right ``right`` times."""
    rows = []
    for arm, hits in (("block", right), ("counterpart", 150)):
        options = Options(setting=setting("quick", "digits", None).to_json(), hidden=(8,))
        job = Job("demo", "demo", arm, "study", Settings(), seed, options)
        rights = np.arange(200) < hits + seed
        detail = {"right": bits.encode(rights), "pictures": 200}
        measured = (
            Measurement("study_accuracy", 100 * float(rights.mean()), "%", "", detail=detail),
            Measurement("study_parameters", 1000, "", ""),
            Measurement("study_flops", 5, "", ""),
        )
        rows += [
            Record("20260103T000000Z-000003", job, one, "e", "abc1234", "2026-01-03T00:00:00Z") for one in measured
        ]
    return rows


def demo_source(results) -> SiteSource:
    """Return a source of the demo paper with records and a timed operator under ``results``."""
    import json

    store = Store(results)
    fill(store)
    path = results / "kernels" / "box.jsonl"
    path.parent.mkdir(parents=True)
    slow = kernel_line(implementation="reference", seconds=0.006, low=0.0059, high=0.0061, against=[])
    path.write_text(json.dumps(kernel_line()) + "\n" + json.dumps(slow) + "\n")
    save(results, night("20260101T010000Z-000001"))
    save(results, night("20260102T010000Z-000002", status="bad", regressions=["demo_t, Latency: slower, 1 ms → 2 ms"]))
    study = Store(results / "studies")
    study.append(*(row for seed in range(3) for row in trainings(seed)), device="box")
    return SiteSource(results, [demo_paper()])
