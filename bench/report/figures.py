"""Measured figures: each sums up the records of one configuration.

A time is measured in several rounds, each a record; together they give one figure with an interval that covers the
samples and the spread between processes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

import orjson

from claimbench.bench.core import statistics
from claimbench.bench.core.quantities import TRAINING
from claimbench.bench.core.records import Job, Options, Record, Settings, Status, resize
from claimbench.bench.store.encoding import StoredRecord
from claimbench.bench.store.evidence.reading import Shown, shown

ReadSamples = Callable[[Record], Sequence[float]]
"""Gives a record's samples: ``Store.samples``, or :func:`own_samples` for records that were never stored."""


@dataclass(frozen=True)
class Figure:
    """One measured configuration.

    Attributes:
        subject, form, row, settings, options: the configuration; ``row`` is the measurement's name, with ``_training``
            behind it if training steps were measured.
        device: the device's short name.
        run, time, commit, environment: of the newest record in it.
        value, low, high: the figure and its 95 % interval, in ``unit``; None unless ``status`` is ``measured``.
        unit, method, status, reason: as in :class:`claimbench.bench.core.records.Measurement`.
        detail: the part of its evidence that reports read.
        rounds: the number of processes that measured it; ``samples``: that of all their samples.
        lost: the number of further rounds, which failed.
        times: the samples of each round in seconds (an image for throughput), for comparing with other times.
        spread: of the rounds' medians, relative; None with fewer than two rounds.
    """

    subject: str
    form: str
    row: str
    settings: Settings
    options: Options
    device: str
    run: str
    time: str
    commit: str
    environment: str
    value: float | int | None
    low: float | None
    high: float | None
    unit: str
    method: str
    status: Status
    reason: str
    detail: Shown
    rounds: int = 1
    samples: int = 0
    lost: int = 0
    times: tuple[tuple[float, ...], ...] = ()
    spread: float | None = None

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """The shape of one sample, if the record states it."""
        return resize(self.options.sample_shape, self.settings.input_size)

    @property
    def batch(self) -> int | None:
        """The batch: as it was asked for, or else the best that a search found."""
        found = self.settings.batch or self.detail.batch
        return found or None


EFFORT = ("budget_s", "goldens", "second_opinion", "batch", "devices", "workers")
"""Options of a job that set the amount of evidence, not the work: the newest run counts, whatever they were."""


def own_samples(record: Record) -> Sequence[float]:
    """Return the samples that a record carries itself."""
    return record.measurement.samples


def figures(records: Iterable[Record], samples: ReadSamples = own_samples) -> list[Figure]:
    """Return one figure for each configuration, from its newest run; within that, the last record of each round."""
    identities: dict[int, tuple[Job, tuple[Any, ...]]] = {}  # with the job: no other can then have its id
    found: dict[tuple[Any, ...], dict[int, Record]] = {}
    for record in records:
        job = record.job
        known = identities.get(id(job))
        if known is None:
            known = identities[id(job)] = (job, _identity(job))
        device = record.device if isinstance(record, StoredRecord) else ""
        key = (known[1], device, record.measurement.metric)
        rounds = found.get(key)
        if rounds is None:
            found[key] = {job.round: record}
            continue
        newest = next(iter(rounds.values())).run
        if record.run > newest:
            found[key] = {job.round: record}
        elif record.run == newest:
            rounds[job.round] = record
    return [_figure([rounds[number] for number in sorted(rounds)], samples) for rounds in found.values()]


def row_name(record: Record) -> str:
    """Return the name of a record's row; the same measurement on training steps is another row."""
    name = record.measurement.metric
    return name + TRAINING if record.job.settings.training and not name.endswith(TRAINING) else name


def _identity(job: Job) -> tuple[Any, ...]:
    """Return the identity of a configuration: the job without its round and its options of effort."""
    configuration = {name: value for name, value in job.options.work().items() if name not in EFFORT}
    options = orjson.dumps(configuration, default=str, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)
    return (job.paper, job.subject, job.form, job.metric, job.settings, options)


def _figure(rounds: list[Record], samples: ReadSamples) -> Figure:
    measured = [record for record in rounds if record.measurement.status == "measured"]
    last = (measured or rounds)[-1]
    result = last.measurement
    figure = Figure(
        subject=last.job.subject,
        form=last.job.form,
        row=row_name(last),
        settings=last.job.settings,
        options=last.job.options,
        device=last.device if isinstance(last, StoredRecord) else last.job.settings.device,
        run=last.run,
        time=last.time,
        commit=last.commit,
        environment=last.environment,
        value=result.value,
        low=result.low,
        high=result.high,
        unit=result.unit,
        method=result.method,
        status=result.status,
        reason=result.reason,
        detail=shown(result),
        rounds=len(measured),
        lost=len(rounds) - len(measured) if measured else 0,
    )
    if result.metric in ("throughput", "latency") and measured:
        return _combined(figure, measured, samples)
    return figure


def _combined(figure: Figure, rounds: list[Record], samples: ReadSamples) -> Figure:
    """Return the figure that several rounds of a time give together.

    If the samples of a round are not at hand, its value stands for them.
    """
    times = tuple(_times(record, samples) for record in rounds)
    estimate = statistics.combine(times)
    value, low, high = estimate.median, estimate.low, estimate.high
    if figure.row.startswith("throughput"):
        value, low, high = 1 / value, high and 1 / high, low and 1 / low
    counted = sum(len(samples(record)) for record in rounds)
    changes: dict[str, Any] = {
        "value": value,
        "low": low,
        "high": high,
        "samples": counted,
        "times": times,
        "spread": estimate.between,
    }
    return Figure(**(vars(figure) | changes))


def _times(record: Record, samples: ReadSamples) -> tuple[float, ...]:
    """Return a round's times in seconds: of a call for latency, of an image for throughput."""
    result = record.measurement
    taken = [sample for sample in samples(record) if isfinite(sample)]
    assert result.value is not None
    if result.metric == "latency":
        return tuple(taken) or (float(result.value),)
    if not taken:
        return (1 / result.value,)
    batch = result.value * statistics.median(taken)  # images a second times seconds a batch
    return tuple(time / batch for time in taken)
