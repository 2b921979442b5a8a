"""Measured against reported: one row for every figure that a paper reports and every figure that was measured."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from claimbench.bench.core.quantities import Quantity
from claimbench.bench.core.records import Record
from claimbench.bench.core.rounding import Printed, scaled, show_relative
from claimbench.bench.papers.spec import Deviation, Paper, Reported
from claimbench.bench.report import explain, metrics
from claimbench.bench.report.figures import Figure, ReadSamples, figures, own_samples
from claimbench.bench.report.paired import paired_rows
from claimbench.bench.report.rows import Row, measured_as, measured_notes, measured_row, with_unit
from claimbench.bench.report.speed import ratio_rows
from claimbench.bench.report.verdicts import judge_figure
from claimbench.bench.store.counted import CountedModel

_SETTINGS = frozenset(("batch", "epochs", "input_size", "resolution", "schedule", "seed", "size"))
"""Names with numbers that are conditions of a figure on another task, and no figures themselves."""


@dataclass(frozen=True)
class _Measurable:
    """The subject of the figures: ``measured`` is its name in records, empty if nothing here can measure it.

    ``counted`` is what ``bench explain`` has stored of it, ``why`` the reason that it cannot be measured.
    """

    title: str
    measured: str
    default_form: str
    reported: tuple[Reported, ...]
    deviations: tuple[Deviation, ...] = ()
    counted: CountedModel | None = None
    task: str = ""
    why: str = ""


def compare(
    paper: Paper,
    records: Iterable[Record],
    samples: ReadSamples = own_samples,
    *,
    subjects: Collection[str] | None = None,
) -> list[Row]:
    """Compare the figures that ``paper`` reports with the measured ones.

    Args:
        paper: the paper.
        records: of one run or of several; of each configuration the newest run counts.
        samples: gives a record's samples.
        subjects: only these variants and baselines (``timm:<name>``), and no other task; all by default.

    Returns:
        Rows in the paper's order: each variant, each network that cannot be built, each baseline, all other measured
        subjects, then its other tasks.
    """
    return compare_figures(paper, figures(records, samples), subjects=subjects)


def compare_figures(
    paper: Paper,
    found: Iterable[Figure],
    *,
    subjects: Collection[str] | None = None,
    counted: Mapping[str, CountedModel] | None = None,
) -> list[Row]:
    """Compare the figures that ``paper`` reports with measured ones; see :func:`compare`.

    ``counted`` are the stored counts of ``bench explain`` by model: a row that differs says which convention gives it.
    """
    by_subject: dict[str, list[Figure]] = {}
    for figure in found:
        by_subject.setdefault(figure.subject, []).append(figure)
    listed = [*_models(paper), *_baselines(paper)]
    named = {subject.measured for subject in listed}
    listed += [_Measurable(name, name, "", ()) for name in by_subject if name not in named]
    rows: list[Row] = []
    listed = [replace(subject, counted=(counted or {}).get(subject.title)) for subject in listed]
    for subject in listed:
        if subjects is None or subject.measured in subjects or subject.title in subjects:
            rows += _subject_rows(subject, by_subject.get(subject.measured, []))
    rows += ratio_rows(paper, [figure for group in by_subject.values() for figure in group])
    rows += paired_rows(figure for group in by_subject.values() for figure in group)
    if subjects is None:
        rows += _downstream(paper)
    return rows


def _models(paper: Paper) -> Iterator[_Measurable]:
    """Yield the paper's own models; the deviations are of its variants, not of networks around them."""
    for model in paper.models:
        deviations = paper.deviations if model in paper.variants else ()
        form, task = paper.default_form(model), paper.task_of(model)
        yield _Measurable(model.name, model.name, form, model.reported, deviations, task=task)
    for unbuilt in paper.unbuilt:
        yield _Measurable(
            unbuilt.name, "", "", unbuilt.reported, task=paper.task, why=f"cannot be built: {unbuilt.why}"
        )


def _baselines(paper: Paper) -> Iterator[_Measurable]:
    for baseline in paper.baselines:
        measured = f"timm:{baseline.timm}" if baseline.timm else ""
        yield _Measurable(baseline.model, measured, "", baseline.reported, task=paper.task)


def _subject_rows(subject: _Measurable, found: list[Figure]) -> Iterator[Row]:
    """Yield the rows of one subject: the reported figures first, then the other measured ones."""
    if not subject.default_form and found:
        subject = replace(subject, default_form=found[0].form)
    found = sorted(found, key=lambda f: (f.form != subject.default_form, f.form, metrics.rank(f.row)))
    answered: set[int] = set()
    several = len({f.form for f in found} | {r.form or subject.default_form for r in subject.reported}) > 1
    for reported in subject.reported:
        form = reported.form or subject.default_form
        shown = form if several else ""
        if reported.value is None:
            if not any(f.form == form and f.row in _answers(reported) for f in found):
                yield _unreported_row(subject, shown, reported)
            continue
        matching = _matching(reported, form, found)
        if not matching:
            yield _unmeasured_row(subject, shown, reported, found)
        for figure in matching:
            answered.add(id(figure))
            yield _compared_row(subject, shown, reported, figure, found)
    for figure in found:
        if id(figure) not in answered:
            silent = next((r for r in subject.reported if r.value is None and figure.row in _answers(r)), None)
            yield measured_row(subject.title, figure.form if several else "", figure, silent.source if silent else "")


def _answers(reported: Reported) -> tuple[str, ...]:
    """Return the row that answers a reported metric, if one does."""
    return tuple(answer.row for answer in metrics.quantity(reported.metric).answers[:1])


def _matching(reported: Reported, form: str, found: list[Figure]) -> list[Figure]:
    """Return the figures to judge ``reported`` by: all that can be compared with it, or else the first that cannot."""
    candidates = [f for f in found if f.form == form and f.row in _answers(reported)]
    quantity = metrics.quantity(reported.metric)
    comparable = [
        f
        for f in candidates
        if judge_figure(reported, quantity, quantity.answers[0], f).verdict not in ("not comparable", "not measured")
    ]
    return comparable or candidates[:1]


def _compared_row(
    subject: _Measurable,
    form: str,
    reported: Reported,
    figure: Figure,
    found: list[Figure],
) -> Row:
    quantity = metrics.quantity(reported.metric)
    answer = quantity.answers[0]
    judgement = judge_figure(reported, quantity, answer, figure)
    notes, explained = [], False
    if judgement.verdict == "differs":
        conventions = _conventions(reported, quantity, figure, found)
        conventions += explain.note(subject.counted, reported, subject.default_form)
        known = [d for d in subject.deviations if {reported.metric, answer.row} & set(d.metrics)]
        notes += conventions + _explanations(known, judgement.relative)
        explained = bool(conventions) or _accounts(known, judgement.relative)
    notes += _reported_notes(reported)
    if quantity.kind == "time" and judgement.verdict not in ("not comparable", "not measured"):
        silent = [name for name in ("batch", "precision") if not getattr(reported, name)]
        notes += [f"the source does not state the {' and '.join(silent)}"] if silent else []
    return replace(
        measured_row(subject.title, form, figure),
        metric=reported.metric,
        title=quantity.title,
        **measured_as(figure, quantity.unit, answer.scale, Printed.parse(reported.value or "")),
        reported=with_unit(reported.value or "", quantity.unit),
        source=reported.source,
        verdict=judgement.verdict,
        detail=judgement.detail,
        relative=judgement.relative,
        notes=(*notes, *measured_notes(figure)),
        explained=explained,
    )


def _unmeasured_row(subject: _Measurable, form: str, reported: Reported, found: list[Figure]) -> Row:
    quantity = metrics.quantity(reported.metric)
    elsewhere = sorted({f.form for f in found if f.row in _answers(reported)})
    if subject.why:
        why = subject.why
    elif quantity.needs:
        why = quantity.needs
    elif not subject.measured:
        why = "timm does not have this model"
    elif elsewhere:
        why = f"measured in the form {' and '.join(elsewhere)} only"
    else:
        why = "not part of what was run"
    row = _unreported_row(subject, form, reported)
    return replace(row, reported=with_unit(reported.value or "", quantity.unit), verdict="not measured", detail=why)


def _unreported_row(subject: _Measurable, form: str, reported: Reported) -> Row:
    """Return the row of a metric for which the source gives no figure, and none was measured."""
    quantity = metrics.quantity(reported.metric)
    parts = [
        f"{reported.input_size} px" if reported.input_size else "",
        reported.device,
        f"batch {reported.batch}" if reported.batch else "",
        reported.precision,
    ]
    return Row(
        subject=subject.title,
        form=form,
        metric=reported.metric,
        title=quantity.title,
        unit=quantity.unit,
        conditions=", ".join(part for part in parts if part),
        reported="",
        source=reported.source,
        measured="",
        value=None,
        low=None,
        high=None,
        verdict="not reported",
        notes=tuple(_reported_notes(reported)),
        built=reported.form or subject.default_form,
        task=subject.task,
    )


def _downstream(paper: Paper) -> Iterator[Row]:
    """Yield a row for each figure on another task: either ``metric`` and ``value``, or several names with numbers."""
    for entry in paper.downstream:
        named = {str(entry["metric"]): entry.get("value")} if "metric" in entry else _numbers(entry)
        setting = [str(entry[key]) for key in ("framework", "head", "schedule", "dataset") if entry.get(key)]
        subject = _Measurable(str(entry.get("model", paper.id)), "", "", ())
        for name, value in named.items():
            quantity = metrics.quantity(name)
            source = str(entry.get("source", ""))
            row = _unreported_row(subject, "", Reported(metric="x", value=None, source=source))
            needs = " and ".join(str(entry[key]) for key in ("dataset", "head") if entry.get(key))
            yield replace(
                row,
                metric=name,
                title=quantity.title,
                unit=quantity.unit,
                conditions=", ".join(setting),
                reported=with_unit("" if value is None else str(value), quantity.unit),
                verdict="not reported" if value is None else "not measured",
                detail=f"needs {needs}" if needs else quantity.needs or "other tasks are not run here",
                notes=("the reported figure is approximate",) if entry.get("approximate") else (),
            )


def _numbers(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entries that are figures, by name."""
    return {
        name: value
        for name, value in entry.items()
        if name not in _SETTINGS and not isinstance(value, bool) and Printed.parse(str(value)) is not None
    }


def _conventions(reported: Reported, quantity: Quantity, figure: Figure, found: list[Figure]) -> list[str]:
    """Return notes on other conventions of counting or printing that give the reported figure."""
    printed = Printed.parse(reported.value or "")
    if printed is None or figure.value is None:
        return []
    notes = []
    for answer in quantity.answers[1:]:
        for other in found:
            if (other.row, other.form, other.settings) != (answer.row, figure.form, figure.settings):
                continue
            if other.value is not None and printed.is_rounded(scaled(other.value, answer.scale)):
                notes.append(f"it is {printed.text} {quantity.unit} {answer.convention}".replace("  ", " "))
    if printed.is_cut_off(scaled(figure.value, quantity.answers[0].scale)):
        notes.append("it is the printed figure when further digits are dropped instead of rounded")
    return notes


def _accounts(known: Sequence[Deviation], off: float | None) -> bool:
    """Whether one of the deviations states by how much it moves the figure, and ``off`` is within that."""
    return off is not None and any(d.relative and d.relative[0] <= off <= d.relative[1] for d in known)


def _explanations(known: Sequence[Deviation], off: float | None) -> list[str]:
    """Return the texts of deviations, those that account for the difference first, and a remark if none does."""
    notes = [deviation.text for deviation in sorted(known, key=lambda d: not _accounts([d], off))]
    ranges = [deviation.relative for deviation in known if deviation.relative]
    if ranges and off is not None and not _accounts(known, off):
        widest = show_relative(min(least for least, _ in ranges)), show_relative(max(most for _, most in ranges))
        notes.insert(0, f"known deviations move it by {widest[0]} to {widest[1]} and do not explain this")
    return notes


def _reported_notes(reported: Reported) -> list[str]:
    return [
        *(["the reported figure is approximate"] if reported.approximate else []),
        *([reported.note] if reported.note else []),
    ]
