"""Rows of a comparison, and the text of a measured figure in one."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from claimbench.bench import tasks
from claimbench.bench.core.quantities import Answer, sampled
from claimbench.bench.core.rounding import Printed, scaled, show
from claimbench.bench.report import metrics
from claimbench.bench.report.figures import Figure
from claimbench.bench.report.verdicts import AGREES, Degree, Judgement, Verdict, missing

NOISY = 0.05
"""Rounds whose medians lie further apart than this are pointed out."""

WIDE = 0.5
"""An interval that reaches further than this from its figure, relative, is shown by its ends."""


@dataclass(frozen=True)
class Row:
    """One line of a comparison.

    Attributes:
        subject, form: the model; ``form`` is empty if there is only one.
        built: the name of the form in any case, where it is known.
        metric: the reported metric's name, or the measured row's if nothing is reported.
        title, unit: of the metric, as tables print them.
        conditions: of the measurement or, if there is none, of the report.
        reported, source: the figure as printed, and its place; empty if there is none.
        measured: the measured figure as text, with its spread; empty if there is none.
        value, low, high: the same as numbers, in ``unit``.
        verdict, detail: the verdict; and the difference, the reason, or the missing part.
        relative: measured over reported, minus one.
        notes: explanations of the row.
        figure: the measured configuration, with its evidence; None if there is none.
        explained: whether a stated convention or a deviation of known size accounts for the difference.
        task: the name of the model's task; empty for a figure on another task, which nothing here runs.
    """

    subject: str
    form: str
    metric: str
    title: str
    unit: str
    conditions: str
    reported: str
    source: str
    measured: str
    value: float | int | None
    low: float | None
    high: float | None
    verdict: Verdict
    detail: str = ""
    relative: float | None = None
    notes: tuple[str, ...] = ()
    figure: Figure | None = None
    explained: bool = False
    built: str = ""
    task: str = ""

    @property
    def degree(self) -> Degree:
        """The answer that this row gives."""
        if self.verdict in AGREES:
            return "holds"
        if self.verdict == "differs":
            return "explained" if self.explained else "off"
        return "not reported" if self.verdict == "not reported" else "open"

    @property
    def is_parity(self) -> bool:
        """Whether the row is about the official code; nobody reports such a figure."""
        return self.metric == "parity"


def answer_of(row: Row) -> Answer:
    """Return the name of the measurement that answers a row, and its scale: measured over scale is as printed."""
    answers = metrics.quantity(row.metric).answers if is_named_as_reported(row) else ()
    return answers[0] if answers else Answer(row.metric)


def reported_number(row: Row) -> Decimal | None:
    """Return the reported figure in the unit of the measurement; None if there is none, or it is no number."""
    printed = Printed.parse(row.reported.split()[0].removesuffix(row.unit)) if row.reported.strip() else None
    return None if printed is None else printed.value * answer_of(row).scale


def is_named_as_reported(row: Row) -> bool:
    """Whether the row is named as ``paper.yaml`` names the metric; others bear the name of a measurement."""
    return bool(row.reported) or row.figure is None


def kind_of(row: Row) -> str:
    """Return the kind of a row's metric: that of its measurement, or else of the reported figure."""
    return metrics.row(row.figure.row).kind if row.figure is not None else metrics.quantity(row.metric).kind


def measured_row(subject: str, form: str, figure: Figure, source: str = "") -> Row:
    """Return the row of a figure that nobody reports; ``source`` is the place in which a report was looked for."""
    row = metrics.row(figure.row)
    unit = sampled(row.unit, tasks.shown(figure.options.task).sample)
    judgement = Judgement("not reported") if figure.value is not None else Judgement("not measured", missing(figure))
    if row.kind == "parity" and figure.value is not None:
        judgement, source = _parity(figure), "the official code, by the golden records"
    return Row(
        subject=subject,
        form=form,
        metric=figure.row,
        title=row.title,
        conditions=conditions(figure),
        reported="0" if row.kind == "parity" and figure.value is not None else "",
        source=source,
        verdict=judgement.verdict,
        detail=judgement.detail,
        notes=measured_notes(figure),
        figure=figure,
        built=figure.form,
        task=figure.options.task,
        **measured_as(figure, unit, row.scale, None),
    )


def _parity(figure: Figure) -> Judgement:
    """Return the verdict on the difference from the official code, for which a difference of zero is claimed."""
    if figure.detail.passed:
        return Judgement("exact" if figure.value == 0 else "within rounding")
    return Judgement("differs", "more than the golden records allow")


def conditions(figure: Figure) -> str:
    """Return the conditions of a measured figure that matter for its kind."""
    settings, kind = figure.settings, metrics.row(figure.row).kind
    parts = [input_size(figure)]
    if kind in ("time", "memory", "energy"):
        parts += [f"batch {figure.batch}" if figure.batch else "", settings.precision, settings.mode]
        parts += ["channels last" if settings.channels_last else ""]
        parts += [f"{settings.threads} threads" if settings.threads else ""]
    if kind == "parity":
        parts += [golden.file.removesuffix(".json") for golden in figure.detail.goldens]
    if kind == "quality":
        images = figure.detail.images
        learnt = figure.detail.trained_on
        parts += [
            f"trained on {learnt}" if learnt else f"{settings.weights} weights",
            settings.precision,
            f"{images} images" if images else "",
        ]
    parts += ["quick" if settings.quick else ""]
    return ", ".join(part for part in parts if part)


def input_size(figure: Figure) -> str:
    """Return the size of a figure's input in words; empty for parity, whose golden records have their own."""
    if metrics.row(figure.row).kind == "parity":
        return ""
    # Scores may rest on other inputs than those that are timed.
    return tasks.shown(figure.options.task).size(tuple(figure.detail.sample_shape or figure.sample_shape))


def measured_as(figure: Figure, unit: str, scale: Decimal, printed: Printed | None) -> dict[str, Any]:
    """Return a figure's fields of a row, in ``unit`` and with a digit more than was printed."""
    if figure.value is None:
        return {"unit": unit, "measured": "", "value": None, "low": None, "high": None}
    value, low, high = (None if v is None else scaled(v, scale) for v in (figure.value, figure.low, figure.high))
    assert value is not None
    decimals = printed.decimals + 1 if printed and value != printed.value else printed.decimals if printed else 0
    if metrics.row(figure.row).kind == "count" and scale == 1 and value == value.to_integral_value():
        decimals = 0  # counts have no fractions
    text = with_unit(show(value, max(decimals, 0)), unit)
    if low is not None and high is not None and value:
        width = float(max(high - value, value - low) / abs(value))
        wide = f" [{show(low, max(decimals, 0))}, {show(high, max(decimals, 0))}]"  # of a small difference, say
        text += wide if width > WIDE else f" \N{PLUS-MINUS SIGN}{100 * width:.2g} %"
    if figure.samples:
        text += f" ({figure.rounds} x {figure.samples // figure.rounds})"
    number = int(value) if value == value.to_integral_value() else float(value)
    return {
        "unit": unit,
        "measured": text,
        "value": number,
        "low": None if low is None else float(low),
        "high": None if high is None else float(high),
    }


def with_unit(text: str, unit: str) -> str:
    """Return a figure with its unit behind it, if it has one."""
    return f"{text} {unit}" if text and unit else text


def measured_notes(figure: Figure) -> tuple[str, ...]:
    """Return the reasons that a figure is less certain than it looks."""
    notes = [figure.detail.note] if figure.detail.note else []
    for golden in figure.detail.goldens:
        if golden.tolerance and golden.float32_inside:
            name = golden.file.removesuffix(".json")
            notes.append(f"{name} allows {golden.tolerance:g}: {golden.float32_inside}")
    if figure.lost:
        notes.append(f"{figure.lost} of {figure.rounds + figure.lost} rounds failed")
    if figure.spread is not None and figure.spread > NOISY:
        notes.append(f"noisy: rounds lie {100 * figure.spread:.1f} % apart")
    elif figure.detail.noisy_reasons:
        notes.append(f"noisy: {figure.detail.noisy_reasons[0]}")
    return tuple(notes)
