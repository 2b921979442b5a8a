"""Compares speeds of models measured in one run, and tests whether a reported speed-up holds on another device."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import combinations

from claimbench.bench.core import statistics
from claimbench.bench.core.quantities import TRAINING
from claimbench.bench.core.rounding import Printed, show
from claimbench.bench.papers.spec import Baseline, Paper, Reported, Variant
from claimbench.bench.report import metrics
from claimbench.bench.report.figures import Figure
from claimbench.bench.report.rows import Row, conditions, measured_row
from claimbench.bench.report.verdicts import Judgement, judge_bounds

TIMES = "\N{MULTIPLICATION SIGN}"


@dataclass(frozen=True)
class TimedPair:
    """Two subjects timed under the same conditions in the same run.

    Attributes:
        first, second: the subjects, each with its form if there are several.
        title, conditions: of the timed row.
        verdict: ``faster`` if the first takes less time than the second.
        ratio: the speed of the first over that of the second, with its interval ``low`` to ``high`` if it has one.
        reason: for the verdict.
    """

    first: str
    second: str
    title: str
    conditions: str
    verdict: statistics.Verdict
    ratio: float
    low: float | None
    high: float | None
    reason: str

    def subject(self, index: int) -> str:
        """Return the first or the second subject without its form."""
        return (self.first, self.second)[index].partition(" (")[0]

    def turned(self) -> TimedPair:
        """Return the same comparison from the second subject's side."""
        return replace(
            self,
            first=self.second,
            second=self.first,
            verdict=_OPPOSITE.get(self.verdict, self.verdict),
            ratio=1 / self.ratio,
            low=1 / self.high if self.high else None,
            high=1 / self.low if self.low else None,
        )


_OPPOSITE: dict[statistics.Verdict, statistics.Verdict] = {"faster": "slower", "slower": "faster"}


def is_official(subject: str) -> bool:
    """Whether a subject is a copy of the official code: a file named ``official*.py`` that ``--against`` was given."""
    file, found, _ = subject.partition(".py:")
    return bool(found) and file.rpartition("/")[2].startswith("official")


def pairs(figures: Iterable[Figure]) -> list[TimedPair]:
    """Compare the times of every two subjects that one run timed under the same conditions."""
    groups: dict[tuple[object, ...], list[Figure]] = {}
    for figure in figures:
        if figure.times:
            key = (figure.run, figure.device, figure.row, figure.settings, figure.batch)
            groups.setdefault(key, []).append(figure)
    return [_pair(a, b, group) for group in groups.values() for a, b in combinations(group, 2)]


def _pair(first: Figure, second: Figure, group: list[Figure]) -> TimedPair:
    found = statistics.compare(second.times, first.times)
    return TimedPair(
        first=_name(first, group),
        second=_name(second, group),
        title=measured_row("", "", first).title,
        conditions=conditions(first),
        verdict=found.verdict,
        ratio=found.ratio.value,
        low=found.ratio.low,
        high=found.ratio.high,
        reason=found.reason,
    )


def _name(figure: Figure, group: list[Figure]) -> str:
    """Return a subject's name, with its form if the group has it in several."""
    forms = {other.form for other in group if other.subject == figure.subject}
    return f"{figure.subject} ({figure.form})" if len(forms) > 1 else figure.subject


def ratio_rows(paper: Paper, figures: Iterable[Figure]) -> Iterator[Row]:
    """Yield a row for each speed-up that can be tested here.

    That takes a variant and a baseline whose throughput is reported on the same device, whichever it is, and measured
    side by side here. The ratio of the reported figures is then compared with the ratio of the measured ones.
    """
    timed = [f for f in figures if f.times and f.row in ("throughput", "throughput" + TRAINING)]
    for variant in paper.variants:
        for baseline in paper.baselines:
            for mine, theirs in _reported_pairs(variant, baseline):
                for first, second in _side_by_side(paper, variant, baseline, mine, timed):
                    yield _ratio_row(variant.name, baseline.model, mine, theirs, first, second)


def _reported_pairs(variant: Variant, baseline: Baseline) -> Iterator[tuple[Reported, Reported]]:
    """Yield the reported figures of both under the same conditions."""
    for mine in variant.reported:
        for theirs in baseline.reported:
            same = all(
                getattr(mine, field) == getattr(theirs, field)
                for field in ("metric", "device", "batch", "precision", "input_size")
            )
            if same and _is_speed(mine) and mine.device and mine.value and theirs.value:
                yield mine, theirs


def _is_speed(reported: Reported) -> bool:
    return any(answer.row.startswith("throughput") for answer in metrics.quantity(reported.metric).answers)


def _side_by_side(
    paper: Paper, variant: Variant, baseline: Baseline, mine: Reported, timed: list[Figure]
) -> Iterator[tuple[Figure, Figure]]:
    form = mine.form or paper.default_form(variant)
    row = "throughput" + TRAINING if mine.metric.startswith("train") else "throughput"
    for first in timed:
        for second in timed:
            if (
                (first.subject, first.form, first.row) == (variant.name, form, row)
                and (second.subject, second.row) == (f"timm:{baseline.timm}", row)
                and (first.run, first.device, first.settings) == (second.run, second.device, second.settings)
            ):
                yield first, second


def _ratio_row(subject: str, baseline: str, mine: Reported, theirs: Reported, first: Figure, second: Figure) -> Row:
    row = replace(
        measured_row(f"{subject} / {baseline}", "", first),
        metric=f"{first.row}_ratio",
        title="Throughput ratio" + (", training" if first.row.endswith(TRAINING) else ""),
        unit=TIMES,
        source=mine.source if mine.source == theirs.source else f"{mine.source}; {theirs.source}",
        notes=(f"reported on {mine.device}",),
    )
    found = statistics.ratio(statistics.combine(second.times), statistics.combine(first.times))
    a, b = Printed.parse(mine.value or ""), Printed.parse(theirs.value or "")
    if a is None or b is None or a.value <= 0 or b.value <= 0:
        return replace(row, verdict="not comparable", detail="a reported figure is not a positive number")
    judgement = judge_ratio(a, b, found)
    text = f"{show(found.value, 2, 3)}{TIMES}"
    if found.low is not None and found.high is not None:
        text += f" [{show(found.low, 2, 3)}, {show(found.high, 2, 3)}]"
    return replace(
        row,
        reported=f"{show(a.value / b.value, 2, 3)}{TIMES} ({mine.value} / {theirs.value})",
        measured=text,
        value=found.value,
        low=found.low,
        high=found.high,
        verdict=judgement.verdict,
        detail=judgement.detail,
        relative=judgement.relative,
    )


def judge_ratio(first: Printed, second: Printed, found: statistics.Ratio) -> Judgement:
    """Return the verdict on a measured ratio: both printed figures may be off by half of their last digit."""
    (a_low, a_high), (b_low, b_high) = first.bounds(), second.bounds()
    bounds = a_low / b_high, a_high / b_low
    value = Decimal(found.value)
    low, high = (None if bound is None else Decimal(bound) for bound in (found.low, found.high))
    rounds = bounds[0] <= value <= bounds[1]
    return judge_bounds(first.value / second.value, bounds, rounds, value, low, high, better="higher")
