"""Rules that watch every result: impossible figures and suspicious coincidences are pointed out beside the figure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from claimbench.bench.core.records import Record
from claimbench.bench.report import metrics
from claimbench.bench.store.evidence.reading import shown

CHANCE_FACTOR = 3
"""A score below this many times chance is chance."""

COINCIDENCE_IMAGES = 200
"""On at least this many images, two different models do not score exactly the same by accident."""

T = 1e12
PEAKS: dict[str, dict[str, float]] = {
    "h200": {"fp32": 67 * T, "tf32": 495 * T, "bf16": 990 * T, "fp16": 990 * T},
    "h100": {"fp32": 67 * T, "tf32": 495 * T, "bf16": 990 * T, "fp16": 990 * T},
    "b200": {"fp32": 80 * T, "tf32": 1250 * T, "bf16": 2500 * T, "fp16": 2500 * T},
    "a100": {"fp32": 19.5 * T, "tf32": 156 * T, "bf16": 312 * T, "fp16": 312 * T},
    "l40s": {"fp32": 91.6 * T, "tf32": 183 * T, "bf16": 366 * T, "fp16": 366 * T},
    "v100": {"fp32": 15.7 * T, "fp16": 125 * T},
    "t4": {"fp32": 8.1 * T, "fp16": 65 * T},
    "4090": {"fp32": 82.6 * T, "tf32": 82.6 * T, "bf16": 330 * T, "fp16": 330 * T},
    "3090": {"fp32": 35.6 * T, "tf32": 35.6 * T, "bf16": 142 * T, "fp16": 142 * T},
}
"""Dense peaks in FLOP/s from NVIDIA's data sheets, by a word of the product's name; of the larger board if several."""

CPU_GHZ = 6.0
CPU_FLOPS_A_CYCLE = {"x86_64_v4": 64, "x86_64_v3": 32, "baseline": 16}
CPU_HALF_FACTOR = 32
"""No processor clocks higher; FLOPs a core and cycle in float32; matrix units may do this many times more in halves."""


@dataclass(frozen=True)
class Anomaly:
    """One result that breaks a rule.

    Attributes:
        rule: the rule's name.
        message: one sentence.
        jobs: the keys of the jobs that measured the figures.
    """

    rule: str
    message: str
    jobs: tuple[str, ...]


def check(records: Sequence[Record], environments: Mapping[str, Mapping[str, Any]] | None = None) -> list[Anomaly]:
    """Apply every rule to the measured records.

    Args:
        records: any set of records, for example one run's.
        environments: the results of :func:`claimbench.bench.machine.environment.capture`, by digest; needed to know a
        device's peak.
    """
    measured = [r for r in records if r.measurement.status == "measured" and r.measurement.value is not None]
    found = [finding for rule in RULES for finding in rule(measured)]
    return [*found, *_above_peak(measured, environments or {})]


def peak_flops(environment: Mapping[str, Any], precision: str) -> float | None:
    """Return more FLOP/s than the device can do at ``precision``, or None if that is not known."""
    if environment.get("gpu"):
        words = str(_mapping(environment["gpu"]).get("name", "")).lower().replace("-", " ").split()
        return next((peaks.get(precision) for name, peaks in PEAKS.items() if name in words), None)
    cpu = _mapping(environment.get("cpu"))
    cycle, cores = CPU_FLOPS_A_CYCLE.get(str(cpu.get("level"))), _number(cpu.get("usable_cores"))
    if cycle is None or cores is None or cpu.get("architecture") != "x86_64":
        return None
    half = CPU_HALF_FACTOR if precision in ("bf16", "fp16") else 1
    return cores * CPU_GHZ * 1e9 * cycle * half


def _mapping(value: object) -> Mapping[str, Any]:
    """Return a value from a stored file as the mapping that it should be, or an empty one."""
    return value if isinstance(value, Mapping) else {}


def _number(value: object) -> float | None:
    """Return a value from a stored file as the number that it should be, or None."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _name(record: Record) -> str:
    form = f" ({record.job.form})" if record.job.form else ""
    return f"{record.job.subject}{form}"


def _value(record: Record) -> float:
    """Return the figure of a measured record."""
    assert record.measurement.value is not None
    return record.measurement.value


def too_low(record: Record) -> bool:
    """Whether a measured figure is less than it can be.

    A score in another unit than per cent may be anything, as correlations are; a model may have nothing to train, and
    scores of one picture do not spread.
    """
    row, value = record.measurement, _value(record)
    if record.job.metric == "accuracy" and row.unit != "%":
        return False
    return value < 0 or (
        value == 0 and row.metric not in ("parity", "params_trainable") and not row.metric.endswith("_std")
    )


def _not_positive(records: Iterable[Record]) -> Iterator[Anomaly]:
    """Figures are more than nothing, see :func:`too_low`."""
    for record in records:
        if too_low(record):
            message = f"{record.measurement.metric} of {_name(record)} is {_value(record):g}"
            yield Anomaly("not-positive", message, (record.job.key(),))


def out_of_range(record: Record) -> str:
    """Return a phrase with the bounds of a measured figure that lies outside them; empty for one within."""
    row, value = metrics.row(record.measurement.metric), _value(record)
    low, high = row.least, row.most
    if low is not None and value < low and not too_low(record):
        return f"at least {low:g}"
    if high is not None and value > high:
        return f"at most {high:g}"
    return ""


def _out_of_range(records: Iterable[Record]) -> Iterator[Anomaly]:
    """A figure lies between the least and the most that its row can be."""
    for record in records:
        bound = out_of_range(record)
        if bound:
            message = f"{record.measurement.metric} of {_name(record)} is {_value(record):g}, and can be {bound}"
            yield Anomaly("out-of-range", message, (record.job.key(),))


def _chance(records: Iterable[Record]) -> Iterator[Anomaly]:
    """A model that scores at chance has the wrong weights, labels or preprocessing."""
    for record in records:
        classes = shown(record.measurement).classes
        name = record.measurement.metric
        if name.endswith("top1") and classes and _value(record) <= CHANCE_FACTOR * 100 / classes:
            message = f"{name} of {_name(record)} is {_value(record):.2f} %, about chance for {classes:g} classes"
            yield Anomaly("chance", message, (record.job.key(),))


def _same_score(records: Iterable[Record]) -> Iterator[Anomaly]:
    """Different models with exactly the same score are likely one model measured twice."""
    groups: dict[tuple[str, int, int | None], list[Record]] = defaultdict(list)
    for record in records:
        detail, name = shown(record.measurement), record.measurement.metric
        images = detail.images or 0
        if name.endswith("top1") and images >= COINCIDENCE_IMAGES:
            groups[name, images, detail.correct].append(record)
    yield from _coincidences("same-score", "exactly the same top1", groups.values())


def _same_size(records: Iterable[Record]) -> Iterator[Anomaly]:
    """Different models with exactly the same parameters and operations are likely one model built twice."""
    sizes: dict[tuple[str, str, str], dict[str, Record]] = defaultdict(dict)
    for record in records:
        if record.measurement.metric in ("params", "macs") and not record.job.settings.training:
            sizes[record.job.paper, record.job.subject, record.job.form][record.measurement.metric] = record
    groups: dict[tuple[float, float], list[Record]] = defaultdict(list)
    for rows in sizes.values():
        if len(rows) == 2:
            groups[_value(rows["params"]), _value(rows["macs"])].append(rows["macs"])
    yield from _coincidences("same-size", "exactly the same parameters and MACs", groups.values())


def _coincidences(rule: str, what: str, groups: Iterable[list[Record]]) -> Iterator[Anomaly]:
    """Report the groups that hold more than one subject; forms of one subject may well agree."""
    for group in groups:
        names = sorted({record.job.subject for record in group})
        if len(names) > 1:
            keys = tuple(dict.fromkeys(record.job.key() for record in group))
            yield Anomaly(rule, f"{' and '.join(names)} have {what}", keys)


def _top5_below_top1(records: Iterable[Record]) -> Iterator[Anomaly]:
    """The label cannot be first and not among the first five."""
    scores: dict[str, dict[str, Record]] = defaultdict(dict)
    for record in records:
        if record.measurement.metric.endswith(("top1", "top5")):
            scores[record.job.key()][record.measurement.metric[-4:]] = record
    for key, rows in scores.items():
        if len(rows) == 2 and _value(rows["top5"]) < _value(rows["top1"]):
            yield Anomaly("top5-below-top1", f"top5 of {_name(rows['top5'])} is below its top1", (key,))


def _counters_disagree(records: Iterable[Record]) -> Iterator[Anomaly]:
    """Two counters that count the same work should find the same."""
    for record in records:
        opinion = shown(record.measurement).second_opinion
        if opinion is not None and not opinion.agrees:
            message = (
                f"{_name(record)}: {_value(record):,} MACs by our count and {opinion.macs:,.0f} by fvcore "
                f"({opinion.relative_difference:+.1%})"
            )
            yield Anomaly("counters-disagree", message, (record.job.key(),))


def _parity_broken(records: Iterable[Record]) -> Iterator[Anomaly]:
    """A model that differs from the official one makes every other figure doubtful."""
    for record in records:
        if record.measurement.metric == "parity" and shown(record.measurement).passed is False:
            message = f"{_name(record)} differs from the official implementation by {_value(record):.1e}"
            yield Anomaly("parity-broken", message, (record.job.key(),))


def _above_peak(records: Sequence[Record], environments: Mapping[str, Mapping[str, Any]]) -> Iterator[Anomaly]:
    """No model does more operations a second than its device can."""
    work = {
        (r.job.paper, r.job.subject, r.job.form, r.job.settings.input_size, r.job.settings.training): _value(r)
        for r in records
        if r.measurement.metric == "flops"
    }
    for record in records:
        job, environment = record.job, environments.get(record.environment)
        flops = work.get((job.paper, job.subject, job.form, job.settings.input_size, job.settings.training))
        if record.measurement.metric != "throughput" or flops is None or environment is None:
            continue
        peak = peak_flops(environment, job.settings.precision)
        rate = _value(record) * flops
        if peak is not None and rate > peak:
            message = (
                f"{_name(record)} would do {rate / T:.1f} TFLOP/s, more than the {peak / T:.1f} of "
                f"{environment.get('device', 'this device')}"
            )
            yield Anomaly("above-peak", message, (job.key(),))


RULES: tuple[Callable[[list[Record]], Iterator[Anomaly]], ...] = (
    _not_positive,
    _out_of_range,
    _chance,
    _same_score,
    _same_size,
    _top5_below_top1,
    _counters_disagree,
    _parity_broken,
)
"""Rules that need nothing but the records; each yields its findings."""
