"""The points of the plots: one a model and configuration, each figure marked as measured or as reported.

A measured point is one configuration of times, memory and energy, with the counts and scores of the same model, which
no machine changes. If a score was not measured the reported one stands in and is marked as such. A reported point holds
the figures that a source states for a model, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from typing import Any

from claimbench.bench import tasks
from claimbench.bench.core.grouping import grouped
from claimbench.bench.core.quantities import TRAINING, sampled
from claimbench.bench.core.rounding import Printed
from claimbench.bench.papers.spec import InputSpec, Paper, Reported
from claimbench.bench.publish.site.gather import PaperResults
from claimbench.bench.publish.site.sanitising import words
from claimbench.bench.report import metrics
from claimbench.bench.report.figures import Figure

IMAGENET = {"top1": "imagenet1k_top1", "top5": "imagenet1k_top5"}
"""The axis on which a measured score of 1,000 classes stands; others have axes of their own."""

_TIMED = ("time", "memory", "energy")


@dataclass(frozen=True)
class Axis:
    """A quantity that a plot can show: its key in a point, title, unit, better direction and kind."""

    key: str
    title: str
    unit: str
    better: str
    kind: str


@dataclass
class Point:
    """A model in one configuration.

    Attributes:
        paper, task, model, form: the model, and the paper and task that it belongs to.
        evidence: ``measured`` or ``reported``.
        own: whether it is the paper's own model, and not one that the paper compares itself with.
        pretraining, token_labels, distilled: as its variant states; empty if that is not known.
        device, precision, batch, mode: of its runs; empty if they play no part or are not stated.
        size: the input, as its task prints it.
        values: (value, low, high, ``m`` or ``r``) by axis, in the axis's unit.
        run, time: of the newest figure in it.
        quick: whether it was measured with less effort.
    """

    paper: str
    task: str
    model: str
    form: str
    evidence: str
    own: bool = True
    pretraining: str = ""
    token_labels: str = ""
    distilled: str = ""
    device: str = ""
    precision: str = ""
    batch: str = ""
    mode: str = ""
    size: str = ""
    values: dict[str, tuple[float, float | None, float | None, str]] = field(default_factory=dict)
    run: str = ""
    time: str = ""
    quick: bool = False


def points(results: Iterable[PaperResults]) -> tuple[list[Point], dict[str, Axis]]:
    """Return the points of several papers and the axes that they have values on, in the order of tables."""
    axes: dict[str, Axis] = {}
    found: list[Point] = []
    for result in results:
        found += _measured(result, axes)
        found += _reported(result.paper, axes)
    kept = [point for point in found if point.values]
    return kept, dict(sorted(axes.items(), key=lambda item: _order(item[1])))


def _order(axis: Axis) -> tuple[int, int, str]:
    kinds = ("quality", "count", "time", "memory", "energy", "parity")
    first = axis.key not in IMAGENET.values() if axis.kind == "quality" else False
    return (len(kinds) if first else kinds.index(axis.kind), metrics.rank(axis.key), axis.key)


def _measured(result: PaperResults, axes: dict[str, Axis]) -> Iterator[Point]:
    listed = {variant.name for variant in result.paper.variants}
    shown = [
        figure
        for figure in result.figures
        if figure.value is not None
        and metrics.row(figure.row).kind != "parity"
        and (figure.subject in listed or figure.subject.startswith("timm:"))
    ]
    for (subject, form), figures in grouped(shown, lambda figure: (figure.subject, figure.form)).items():
        still = [figure for figure in figures if metrics.row(figure.row).kind not in _TIMED]
        times = [figure for figure in figures if metrics.row(figure.row).kind in _TIMED]
        for timed in list(grouped(times, _configuration).values()) or [[]]:
            yield _point(result, subject, form, timed, still, axes)


def _has_forms(paper: Paper, subject: str) -> bool:
    """Whether a variant comes in several forms, so that its name alone does not identify a model."""
    variant = next((variant for variant in paper.variants if variant.name == subject), None)
    return variant is not None and len(variant.forms or paper.forms) > 1


def _configuration(figure: Figure) -> tuple[object, ...]:
    settings = figure.settings
    return (
        figure.device, figure.batch, settings.precision, settings.mode, settings.channels_last, settings.threads,
        settings.quick, figure.sample_shape, settings.weights,
    )  # fmt: skip


def _point(
    result: PaperResults, subject: str, form: str, timed: list[Figure], still: list[Figure], axes: dict[str, Axis]
) -> Point:
    paper = result.paper
    first = (timed or still)[0]
    settings = first.settings
    several = len({figure.form for figure in result.figures if figure.subject == subject}) > 1
    shown = form if several or _has_forms(paper, subject) else ""
    name = result.report.baselines.get(subject, subject)
    point = Point(
        paper.id, _task_of(paper, subject), words(name), words(shown), "measured", **_training(paper, subject)
    )
    point.size = tasks.shown(first.options.task).size(first.sample_shape)
    if timed:
        point.device, point.precision, point.batch = first.device, words(settings.precision), str(first.batch or "")
        mode = [words(settings.mode), "channels last" if settings.channels_last else ""]
        mode += [f"{settings.threads} threads" if settings.threads else ""]
        point.mode = ", ".join(part for part in mode if part)
        point.quick = bool(settings.quick)
    same_size = [figure for figure in still if figure.sample_shape == first.sample_shape]
    for figure in (*same_size, *timed):
        axis = _axis_of(paper, figure)
        axes.setdefault(axis.key, axis)
        scale = metrics.row(figure.row).scale
        assert figure.value is not None
        value, low, high = (
            None if v is None else float(Decimal(v) / scale) for v in (figure.value, figure.low, figure.high)
        )
        assert value is not None
        point.values[axis.key] = (value, low, high, "m")
        point.run, point.time = max((point.run, point.time), (figure.run, figure.time))
    for score in _scores(paper, subject, form):
        _add(paper, point, score, axes)
    return point


def _training(paper: Paper, subject: str) -> dict[str, Any]:
    """Return what is known of the training of a model, as fields of its points."""
    variant = next((variant for variant in paper.variants if variant.name == subject), None)
    if variant is None:
        return {"own": False}
    said = {True: "yes", False: "no", None: ""}
    return {
        "pretraining": words(variant.pretraining),
        "token_labels": said[variant.token_labels],
        "distilled": said[variant.distilled],
    }


def _task_of(paper: Paper, subject: str) -> str:
    """Return the task of a variant, or that of the paper for any other model."""
    variant = next((variant for variant in paper.variants if variant.name == subject), None)
    return paper.task if variant is None else paper.task_of(variant)


def _axis_of(paper: Paper, figure: Figure) -> Axis:
    """Return the axis of a measured figure. Only a score of 1,000 classes may stand where ImageNet's stand."""
    row = metrics.row(figure.row)
    base = figure.row.removesuffix(TRAINING)
    if base in IMAGENET:
        classes = figure.detail.classes or (1000 if figure.row == "top5" else None)
        if classes == 1000 and not figure.settings.quick:
            return _reported_axis(paper, IMAGENET[base])
        what = f"{classes} classes" if classes != 1000 else "1,000 images"
        return Axis(words(f"{figure.row} {what}"), words(f"{row.title} ({what})"), row.unit, row.better, "quality")
    return _axis_of_row(figure.row, tasks.shown(figure.options.task).sample)


def _axis_of_row(name: str, sample: str) -> Axis:
    """Return the axis of a measured row. Rates of other inputs than pictures have axes of their own."""
    row = metrics.row(name)
    unit = sampled(row.unit, sample)
    key = words(name) if unit == row.unit else words(f"{name} {unit}")
    return Axis(key, words(row.title), words(unit), row.better, row.kind)


def _scores(paper: Paper, subject: str, form: str) -> list[Reported]:
    """Return the scores that a source reports for a measured model; they stand in for scores that were not measured."""
    reported: Iterable[Reported] = ()
    for variant in paper.variants:
        if variant.name == subject:
            default, sizes = paper.default_form(variant), (None, variant.input.size)
            reported = [r for r in variant.reported if (r.form or default) == form and r.input_size in sizes]
    for baseline in paper.baselines:
        if baseline.timm and f"timm:{baseline.timm}" == subject:
            reported = baseline.reported
    return [one for one in reported if metrics.quantity(one.metric).kind == "quality"]


def _reported(paper: Paper, axes: dict[str, Axis]) -> Iterator[Point]:
    """Yield the points of reported figures: counts and scores with each reported speed, or alone."""
    named: list[tuple[str, tuple[Reported, ...], InputSpec | None, str]] = [
        *((v.name, v.reported, v.input, paper.default_form(v)) for v in paper.variants),
        *((b.model, b.reported, None, "") for b in paper.baselines),
    ]
    for model, reported, given, default in named:
        size = given.size if given is not None and given.shape is None else 0
        shown = _has_forms(paper, model)
        for form in dict.fromkeys(r.form or default for r in reported):
            mine = [r for r in reported if (r.form or default) == form and r.value is not None]
            still = [r for r in mine if metrics.quantity(r.metric).kind not in _TIMED]
            times = [r for r in mine if metrics.quantity(r.metric).kind in _TIMED]
            found = grouped(times, partial(_conditions, size=size))
            for timed in list(found.values()) or [[]]:
                task = _task_of(paper, model)
                point = Point(paper.id, task, model, form if shown else "", "reported", **_training(paper, model))
                if timed:
                    point.device, point.precision = words(timed[0].device), words(timed[0].precision)
                    point.batch = str(timed[0].batch or "")
                pixels = (timed[0].input_size if timed else None) or size
                point.size = _size(task, given, pixels)
                for one in (*still, *timed):
                    if (one.input_size or size) == pixels:
                        _add(paper, point, one, axes)
                yield point


def _conditions(one: Reported, size: int) -> tuple[object, ...]:
    return one.device, one.precision, one.batch, one.input_size or size


def _size(task: str, given: InputSpec | None, pixels: int) -> str:
    """Return the input of a reported figure: the side that it states, or else the variant's own."""
    shape = (3, pixels, pixels) if pixels else given.sample_shape() if given is not None else ()
    return tasks.shown(task).size(shape)


def _add(paper: Paper, point: Point, one: Reported, axes: dict[str, Axis]) -> None:
    value = _value(one)
    if value is None:
        return
    quantity = metrics.quantity(one.metric)
    axis = _reported_axis(paper, one.metric)
    axes.setdefault(axis.key, axis)
    if quantity.answers and (quantity.kind != "quality" or axis.key in metrics.ROWS):
        # Printed in another unit than tables show: 22,000 (k) is 22 M.
        answer = quantity.answers[0]
        value = float(Decimal(repr(value)) * answer.scale / metrics.row(answer.row).scale)
    point.values.setdefault(axis.key, (value, None, None, "r"))


def _reported_axis(paper: Paper, name: str) -> Axis:
    """Return the axis of a reported metric: that of the measured row that answers it, unless other rows share that.

    A score of another task's models means something else: a head on a frozen backbone reaches ImageNet's top-1 at none
    of the backbone's cost. It stands on an axis of its own.
    """
    quantity, task = metrics.quantity(name), tasks.shown(paper.task)
    if quantity.answers and quantity.answers[0].row not in IMAGENET:
        return _axis_of_row(quantity.answers[0].row, task.sample)
    owners = {one.name for one in tasks.known().values() if name in one.quantities}
    if owners and task.name not in owners:
        title = f"{quantity.title}, {task.title.lower()}"
        return Axis(words(f"{name} {task.name}"), words(title), quantity.unit, quantity.better, quantity.kind)
    return Axis(name, quantity.title, quantity.unit, quantity.better, quantity.kind)


def _value(one: Reported) -> float | None:
    printed = Printed.parse(one.value or "")
    return float(printed.value) if printed is not None else None
