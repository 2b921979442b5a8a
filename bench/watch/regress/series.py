"""One side of a comparison as series: the figures of each configuration, round by round."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import log

from scipy.special import bdtr, ndtri

from claimbench.bench.core.grouping import grouped
from claimbench.bench.core.records import Record, Settings
from claimbench.bench.core.statistics import Z95, median, median_interval
from claimbench.bench.report import metrics
from claimbench.bench.report.figures import ReadSamples, row_name
from claimbench.bench.store.encoding import StoredRecord
from claimbench.bench.store.evidence.reading import shown

CONTROL = "timm:"
"""The first words of subjects that no commit of the papers' code changes."""

TIMED = ("throughput", "latency")

CONTRADICTION = 1e-3
"""A figure that is further than this, relative, from the median of its samples is not theirs."""


_Identity = tuple[str, str, str, str, Settings, tuple[int, ...], int | None, str]
"""The first fields of a :class:`Series`, up to the device."""


@dataclass(frozen=True)
class Series:
    """One configuration on one side.

    Attributes:
        paper, subject, form, row: its identity; ``row`` as in :func:`claimbench.bench.report.figures.row_name`.
        settings, shape, batch: of the measurement; ``batch`` is the one that a search found if none was asked for.
        device: the machine's short name; empty if not known.
        commit, environment: of its newest record; older records of another commit or environment are left out.
        last: its newest record.
        rounds: its measured records, by run and round.
        lost: the number of further rounds that failed.
    """

    paper: str
    subject: str
    form: str
    row: str
    settings: Settings
    shape: tuple[int, ...]
    batch: int | None
    device: str
    commit: str
    environment: str
    last: Record
    rounds: dict[tuple[str, int], Record] = field(default_factory=dict)
    lost: int = 0

    @property
    def kind(self) -> str:
        """The kind of its row: see :data:`claimbench.bench.report.metrics.Kind`."""
        return metrics.row(self.row).kind

    @property
    def timed(self) -> bool:
        """Whether it is a time, which is judged by its rounds."""
        return self.last.measurement.metric in TIMED

    @property
    def value(self) -> float | int | None:
        """The figure, the median of the rounds; None where none was measured."""
        values = [record.measurement.value for record in self.rounds.values() if record.measurement.value is not None]
        if not values:
            return None
        return values[-1] if self.kind in ("count", "parity") else median([float(value) for value in values])

    @property
    def status(self) -> str:
        """``measured``, or the status of its newest record."""
        return "measured" if self.rounds else self.last.measurement.status

    def logs(self, samples: ReadSamples) -> dict[tuple[str, int], float]:
        """Return the logarithm of each round's median time; a round without its samples has its stored figure."""
        found = {}
        for key, record in self.rounds.items():
            time = _time(record, samples)
            if time > 0:
                found[key] = log(time)
        return found

    def within(self, samples: ReadSamples) -> float:
        """Return the relative standard deviation of a round's median, from its samples; 0 if not known."""
        widths = [_deviation(samples(record)) for record in self.rounds.values()]
        known = [width for width in widths if width is not None]
        return median(known) if known else 0.0


def series(records: Iterable[Record]) -> list[Series]:
    """Return the series of ``records``, one for each configuration, in the order in which they were first measured."""
    return [_series(identity, group) for identity, group in grouped(records, _identity).items()]


def _series(identity: _Identity, records: list[Record]) -> Series:
    newest = max(records, key=lambda record: (record.run, record.time))
    state = (newest.commit, newest.environment)
    last: dict[tuple[str, int], Record] = {}
    for record in records:
        if (record.commit, record.environment) == state:
            last[record.run, record.job.round] = record
    measured = {key: record for key, record in last.items() if record.measurement.status == "measured"}
    lost = len(last) - len(measured) if measured else 0
    return Series(*identity, newest.commit, newest.environment, newest, measured, lost)


def _identity(record: Record) -> _Identity:
    job = record.job
    batch = job.settings.batch or shown(record.measurement).batch
    shape = job.settings.input_size or job.options.sample_shape
    device = record.device if isinstance(record, StoredRecord) else ""
    return (job.paper, job.subject, job.form, row_name(record), job.settings, shape, batch, device)


def _deviation(samples: Sequence[float]) -> float | None:
    """Return the standard deviation of a median of ``samples``, relative, from its interval by order statistics.

    With few samples the interval covers more than 95 %, as the binomial distribution says.
    """
    interval = median_interval(samples)
    if interval is None or min(samples) <= 0:
        return None
    beyond = sum(sample < interval[0] for sample in samples)
    quantile = -float(ndtri(bdtr(beyond, len(samples), 0.5)))
    return (log(interval[1]) - log(interval[0])) / (2 * max(quantile, Z95))


def _time(record: Record, samples: ReadSamples) -> float:
    """Return a round's median time in seconds: of a call for latency, of an image for throughput; 0 if it has none.

    Where the stored figure and its samples contradict each other, the slower counts: see :func:`contradicts`.
    """
    return max(_times(record, samples), default=0.0)


def contradicts(record: Record, samples: ReadSamples) -> bool:
    """Whether a record's figure is not what its samples say: one of the two was edited."""
    found = _times(record, samples)
    return len(found) == 2 and max(found) > (1 + CONTRADICTION) * min(found)


def _times(record: Record, samples: ReadSamples) -> list[float]:
    """Return the time that a record's figure says and, if they are at hand, the one that its samples say."""
    value = float(record.measurement.value or 0.0)
    taken = samples(record)
    middle = median(taken) if taken else 0.0
    if record.measurement.metric == "throughput":
        batch = record.job.settings.batch or shown(record.measurement).batch or 0
        value = 1 / value if value > 0 else 0.0
        middle = middle / batch if batch else 0.0
    return [time for time in (value, middle) if time > 0]
