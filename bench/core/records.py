"""What is measured and how it is written down: settings, jobs, measurements, records.

Only the standard library is imported here, because the process that measures imports this module.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

SCHEMA_VERSION = 1

Status = Literal["measured", "failed", "unavailable"]
"""``measured``: there is a value. ``failed``: it was tried and died. ``unavailable``: this machine or these inputs
cannot give it. The last two always come with a ``reason``, one sentence."""


@dataclass(frozen=True)
class Settings:
    """Everything that may change a figure and that the user can choose.

    ``batch`` is None where it plays no part (parameters) or is to be searched for (``--batch auto``).
    """

    device: str = "cpu"
    batch: int | None = None
    input_size: tuple[int, ...] = ()
    precision: str = "fp32"
    mode: str = "eager"
    channels_last: bool = False
    threads: int | None = None
    weights: str = "random"
    quick: bool = False
    training: bool = False


def resize(shape: tuple[int, ...], asked: tuple[int, ...]) -> tuple[int, ...]:
    """Return ``shape`` with its last axes replaced by ``asked``; one number stands for height and width."""
    if not asked:
        return shape
    if len(asked) == 1 and len(shape) == 3:
        asked = asked * 2
    return (*shape[: max(len(shape) - len(asked), 0)], *asked)


@dataclass(frozen=True)
class Job:
    """One thing to measure, in a process of its own.

    Attributes:
        paper: the paper's id; empty for a baseline that belongs to no paper.
        subject: the variant's name, ``timm:<model>`` or ``<file.py>:<factory>`` for a baseline.
        form: the form of the variant (``paper.yaml`` names them, for example ``plain`` and ``merged``).
        metric: a name of ``claimbench.bench.measure.METRICS``.
        settings: how.
        round: which repetition this is, for metrics that are repeated in fresh processes.
        options: further arguments of the metric, for example a golden file or a data folder.
    """

    paper: str
    subject: str
    form: str
    metric: str
    settings: Settings
    round: int = 0
    options: dict[str, Any] = field(default_factory=dict)

    def key(self) -> str:
        """Return a short digest that is the same for the same work, for resuming a run."""
        body = json.dumps(asdict(self), sort_keys=True, default=str)
        return hashlib.sha256(body.encode()).hexdigest()[:16]

    def config(self) -> Job:
        """Return the job without its round: what several rounds measure together."""
        return replace(self, round=0)


@dataclass(frozen=True)
class Measurement:
    """One figure with its evidence.

    Attributes:
        metric: the row's name, for example ``params``, ``macs``, ``throughput``, ``memory_peak``.
        value: the figure; None unless ``status`` is ``measured``.
        unit: ``params``, ``MAC``, ``FLOP``, ``img/s`` and ``J/img`` (with the task's sample for img), ``s``,
            ``B``, ``rel``; of scores what their task says.
        method: how it was obtained, one phrase.
        status: see :data:`Status`.
        reason: why there is no value, one sentence.
        low, high: a 95 % interval where the method gives one.
        samples: every sample (seconds for times), in the order taken.
        detail: whatever else belongs to the evidence, JSON-ready (clocks, stop reason, per-operator counts, notes).
    """

    metric: str
    value: float | int | None
    unit: str
    method: str
    status: Status = "measured"
    reason: str = ""
    low: float | None = None
    high: float | None = None
    samples: tuple[float, ...] = ()
    detail: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def missing(cls, metric: str, unit: str, reason: str, *, failed: bool = False, **detail: Any) -> Measurement:
        """Return a row that says why there is no figure."""
        status: Status = "failed" if failed else "unavailable"
        return cls(metric, None, unit, "", status=status, reason=reason, detail=detail)


@dataclass(frozen=True)
class Record:
    """One stored line: a measurement, the job it came from, when, where, and from which code.

    Attributes:
        run: the run's id, sortable by time.
        job: the job.
        measurement: the figure.
        environment: the digest of the environment, stored once beside the records.
        commit: the commit of this suite, with ``+dirty`` where the tree had changes; empty outside a checkout.
        time: UTC, ISO 8601.
    """

    run: str
    job: Job
    measurement: Measurement
    environment: str
    commit: str
    time: str
    schema: int = SCHEMA_VERSION


def read_job(data: dict[str, Any]) -> Job:
    """Return the job that ``dataclasses.asdict`` turned into ``data``."""
    settings = dict(data["settings"])
    settings["input_size"] = tuple(settings.get("input_size", ()))
    return Job(**{**data, "settings": Settings(**settings)})
