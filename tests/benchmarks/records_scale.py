"""How long 100,000 records take to query, to compare and to make a leaderboard of.

Run ``python tests/benchmarks/records_scale.py [records]`` from the root of a checkout. Each figure is the least of
five (of one for the leaderboard), in seconds, by the wall clock.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from claimbench.bench.core.records import Job, Measurement, Options, Record, Settings
from claimbench.bench.papers.spec import Paper
from claimbench.bench.publish.site.generate import build
from claimbench.bench.publish.site.source import SiteSource
from claimbench.bench.report.compare import compare
from claimbench.bench.report.report import paper_records
from claimbench.bench.store.encoding import encode
from claimbench.bench.store.store import Store

ROWS = (
    "params",
    "macs",
    "throughput",
    "throughput",
    "throughput",
    "latency",
    "latency",
    "latency",
    "memory_peak",
    "top1",
)
SUBJECTS = 10
PAPERS = 10
OPTIONS = Options(
    sample_shape=(3, 224, 224),
    config={
        "depth": [4, 4, 6, 2],
        "sub_depth": [12, 2],
        "embed_dim": [64, 128, 256, 512],
        "kernel_size": [17, 15, 13, 7],
        "mlp_ratio": [4, 4, 4, 4],
        "sub_num_heads": [4, 8],
        "ls_init_value": [None, None, 1, 1],
    },
)
DETAIL = {"clocks": {"before": 1980, "after": 1980}, "stop": "interval", "temperature": [40, 50], "void": 0}


def write(root: Path, records: int) -> None:
    """Write ``records`` records in runs of 1,000, as the store lays them out but without a disk flush each."""
    for number in range(records // 1000):
        run = f"20260101T{number:06d}Z-000000"
        device = f"device-{number % 4}"
        path = root / "records" / device / f"{run}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            for index in range(1000):
                file.write(encode(_record(run, index), 1)[0] + b"\n")


def _record(run: str, index: int) -> Record:
    row = ROWS[index % len(ROWS)]
    model = index // len(ROWS)
    paper = f"paper{model % PAPERS}"
    settings = Settings(device="cuda", batch=64, input_size=(3, 224, 224))
    job = Job(paper, f"{paper}_{model // PAPERS % SUBJECTS}", "model", row, settings, index % 3, OPTIONS)
    measurement = Measurement(row, 1234.5 + index, "img/s", "CUDA events", low=1.0, high=2000.0, detail=DETAIL)
    return Record(run, job, measurement, "0123456789abcdef", "abcdef0", "2026-01-01T00:00:00Z")


def _paper() -> Paper:
    reported = [{"metric": "params_m", "value": "33", "source": "a table"}]
    variants = [{"name": f"paper3_{number}", "reported": reported} for number in range(SUBJECTS)]
    return Paper.model_validate({"id": "paper3", "title": "Paper 3", "task": "any", "variants": variants})


def least(action: Callable[[], Any], repeats: int = 5) -> tuple[float, Any]:
    """Return the least time of several calls, and the last result."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = action()
        times.append(time.perf_counter() - start)
    return min(times), result


def main() -> None:
    records = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write(root, records)
        size = sum(path.stat().st_size for path in root.rglob("*.jsonl"))
        print(f"{records} records, {size / 2**20:.0f} MiB")
        store = Store(root)
        paper = _paper()
        for name, action in {
            "query everything": store.query,
            "query one paper in every run": lambda: store.query(paper="paper3"),
            "query one row of one subject in every run": lambda: store.query(subject="paper3_4", metric="macs"),
            "query the newest of everything": lambda: store.query(newest=True),
            "query one device": lambda: store.query(device="device-2"),
            "query the latest run of a paper": lambda: store.query(run=store.latest(paper="paper3"), paper="paper3"),
            "query one paper in every run and compare": lambda: compare(paper, store.query(paper="paper3")),
            "query the newest of one paper and compare": lambda: compare(paper, paper_records(store, paper)),
            "query everything and compare": lambda: compare(paper, store.query()),
        }.items():
            seconds, found = least(action)
            print(f"{seconds:8.3f} s  {name}: {len(found)}")
        source = SiteSource(root, [paper])
        seconds, site = least(lambda: build(source, root / "site"), repeats=1)
        print(f"{seconds:8.3f} s  build the leaderboard: {site.pages} pages")


if __name__ == "__main__":
    main()
