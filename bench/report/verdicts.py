"""The verdict on one figure: measured against printed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from claimbench.bench.core.quantities import Answer, Quantity
from claimbench.bench.core.rounding import Printed, relative, scaled, show_relative
from claimbench.bench.papers.spec import Reported
from claimbench.bench.report.figures import Figure

Verdict = Literal[
    "exact",
    "within rounding",
    "within interval",
    "better",
    "differs",
    "not comparable",
    "not measured",
    "not reported",
]

AGREES: frozenset[Verdict] = frozenset(("exact", "within rounding", "within interval", "better"))
"""The verdicts under which a reported figure stands."""

Degree = Literal["holds", "explained", "off", "open", "not reported"]
"""The answer that a row gives: the reported figure holds; a stated convention or deviation accounts for the difference;
it is off; it was not compared; or there is none."""

_SAME_PRECISION = {"float32": "fp32", "float16": "fp16", "half": "fp16", "bfloat16": "bf16"}
_FILLER = frozenset(("nvidia", "tesla", "geforce", "gpu", "cpu", "single", "one", "a", "the", "card", "1", "1x", "x"))
_OTHER_MODEL = frozenset(("ti", "super", "laptop", "max", "mobile", "d"))


@dataclass(frozen=True)
class Judgement:
    """A verdict with its difference (``relative``, a signed fraction of the reported figure) or reason (``detail``)."""

    verdict: Verdict
    detail: str = ""
    relative: float | None = None


def judge(
    printed: Printed,
    value: Decimal,
    low: Decimal | None,
    high: Decimal | None,
    *,
    better: str,
    approximate: bool = False,
) -> Judgement:
    """Return the verdict on a measured value with its interval, all in the printed unit.

    Args:
        printed: the figure as printed.
        value: the measured value.
        low: the lower end of its 95 % interval, if it has one.
        high: the upper end.
        better: ``higher`` or ``lower``, or empty for figures that are right or wrong.
        approximate: whether the printed figure was read off a chart: then it may be off by one unit of its last digit.
    """
    if value == printed.value:
        return Judgement("exact", relative=0.0)
    rounds = printed.is_rounded(value) or printed.is_rounded_twice(value)
    rounds |= approximate and abs(value - printed.value) <= printed.step
    return judge_bounds(printed.value, printed.bounds(), rounds, value, low, high, better=better)


def judge_bounds(
    reported: Decimal,
    bounds: tuple[Decimal, Decimal],
    rounds: bool,
    value: Decimal,
    low: Decimal | None,
    high: Decimal | None,
    *,
    better: str,
) -> Judgement:
    """Return the verdict if a report stands for any value within ``bounds``; ``rounds``: ``value`` is."""
    off = relative(value, reported)
    if rounds:
        return Judgement("within rounding", relative=off)
    if low is not None and high is not None and low <= bounds[1] and high >= bounds[0]:
        return Judgement("within interval", relative=off)
    detail = show_relative(off) if off is not None else f"{value - reported:+.4g}"
    if (better == "higher" and value > reported) or (better == "lower" and value < reported):
        return Judgement("better", detail, off)
    return Judgement("differs", detail, off)


def judge_figure(reported: Reported, quantity: Quantity, answer: Answer, figure: Figure) -> Judgement:
    """Return the verdict on a measured figure that answers a reported one."""
    if figure.value is None:
        return Judgement("not measured", missing(figure))
    printed = Printed.parse(reported.value or "")
    if printed is None:
        return Judgement("not comparable", "the reported figure is not a finite number")
    why = incomparable(reported, quantity, figure)
    if why:
        return Judgement("not comparable", why)
    low, high = (None if bound is None else scaled(bound, answer.scale) for bound in (figure.low, figure.high))
    value = scaled(figure.value, answer.scale)
    better = "" if quantity.kind == "count" else quantity.better
    return judge(printed, value, low, high, better=better, approximate=reported.approximate)


def missing(figure: Figure) -> str:
    """Return the reason that a figure has no value."""
    return f"failed: {figure.reason}" if figure.status == "failed" else figure.reason


def incomparable(reported: Reported, quantity: Quantity, figure: Figure) -> str:
    """Return the reason that the two figures are not comparable; empty if they are."""
    size = figure.sample_shape[-1] if figure.sample_shape else None
    if reported.input_size is not None and size is not None and reported.input_size != size:
        return f"reported at {reported.input_size} px, measured at {size} px"
    classes = figure.detail.classes
    if quantity.classes and classes and quantity.classes != classes:
        return f"reported on {quantity.classes} classes, measured on {classes}"
    if figure.detail.partial:
        return "measured on a part of the data set"
    if quantity.kind in ("time", "memory", "energy"):
        return _other_conditions(reported, figure)
    return ""


def _other_conditions(reported: Reported, figure: Figure) -> str:
    if not reported.device:
        return "the source does not say on which device"
    if not same_device(reported.device, figure.device):
        return f"reported on {reported.device}; absolute figures are not compared across devices"
    if reported.batch is not None and figure.batch is not None and reported.batch != figure.batch:
        return f"reported with batch {reported.batch}, measured with {figure.batch}"
    precision = precision_of(reported.precision)
    if precision and precision != figure.settings.precision:
        return f"reported in {reported.precision}, measured in {figure.settings.precision}"
    return ""


def precision_of(text: str) -> str:
    """Return a precision as printed ("float32, torch.compile") as settings spell it."""
    name = text.split(",")[0].strip().lower()
    return _SAME_PRECISION.get(name, name)


def same_device(reported: str, measured: str) -> bool:
    """Whether a device as printed ("1x A100, PyTorch 1.13") is the measured one ("nvidia-a100-sxm4-80gb").

    Every word that was printed must be there, and none may tell another model of the same series ("Ti", "Laptop").
    """
    printed = set(re.findall(r"[a-z0-9]+", reported.split(",")[0].lower())) - _FILLER
    actual = set(re.findall(r"[a-z0-9]+", measured.lower())) - _FILLER
    return bool(printed) and printed <= actual and not (actual - printed) & _OTHER_MODEL
