"""One module a metric, each with ``measure(subject, job) -> list[Measurement]``, run in a process of its own.

Neither torch nor timm is imported here: listing metrics and explaining failures must not load them.
"""

from __future__ import annotations

import os

from claimbench.bench.core.records import Job

METRICS: dict[str, str] = {
    name: f"claimbench.bench.measure.{name}"
    for name in ("params", "flops", "throughput", "latency", "memory", "energy", "accuracy", "parity")
}
"""The metrics that a job can name, and the module that measures each."""

ROWS: dict[str, tuple[tuple[str, str], ...]] = {
    "params": (("params", "params"), ("params_trainable", "params")),
    "flops": (("macs", "MAC"), ("flops", "FLOP"), ("macs_fvcore", "MAC")),
    "throughput": (("throughput", "img/s"),),
    "latency": (("latency", "s"),),
    "memory": (
        ("memory_peak", "B"),
        ("memory_with_weights", "B"),
        ("memory_weights", "B"),
        ("memory_per_image", "B"),
        ("memory_reserved", "B"),
        ("memory_device", "B"),
        ("memory_training", "B"),
    ),
    "energy": (("energy", "J/img"),),
    "accuracy": (("top1", "%"), ("top5", "%")),
    "parity": (("parity", "rel"),),
}
"""The rows (name, unit) that each metric yields; a job that dies yields them all, each saying why.

``memory_reserved`` and ``memory_device`` exist on GPUs only.
"""

REPEATED = ("throughput", "latency")
"""The metrics that are measured in several rounds, each in a fresh process."""


def prepare(job: Job) -> None:
    """Set the values that must precede torch's import: the number of threads, and an allocator that frees memory."""
    if job.settings.threads is not None:
        os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(job.settings.threads)
    if job.metric == "memory":
        from claimbench.bench.machine.heap import return_freed_memory

        return_freed_memory()
