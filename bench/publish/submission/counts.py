"""Parameters and operations: exact, the same on every machine, and so counted again here."""

from __future__ import annotations

from collections.abc import Iterator

from claimbench.bench.core.errors import UserError
from claimbench.bench.measure.flops import AGREEMENT
from claimbench.bench.publish.submission.case import Case
from claimbench.bench.publish.submission.document import Entry
from claimbench.bench.publish.submission.models import Facts
from claimbench.bench.publish.submission.reasons import Doubt, rule
from claimbench.bench.store.evidence import FvcoreEvidence, MacsEvidence, TrainingPeakEvidence, read

FVCORE = (0.5, 2.0)
"""fvcore's MACs over ours: it counts norms and pooling too, and does not know every operator."""


def facts_of(case: Case, entry: Entry) -> Facts | None:
    """Return the facts of an entry's model; None if there are none, which is noted unless the model is unknown."""
    job = entry.record.job
    try:
        facts = case.models.facts(job)
    except UserError:
        return None  # the rule unknown-variant says so
    if isinstance(facts, str):
        case.note(f"{job.subject} {job.form} cannot be built here, its counts are not checked: {facts}")
        return None
    return facts


@rule("not-the-models-parameters", "Parameters are those of the model, counted again here.")
def _parameters(case: Case) -> Iterator[Doubt]:
    for entry, value in case.rows("params", "params_trainable"):
        facts = facts_of(case, entry)
        if facts is None:
            continue
        expected = facts.params if entry.record.measurement.metric == "params" else facts.trainable
        if value != expected:
            yield entry, f"{_number(value)} parameters are stated, and the model has {expected:,}"


@rule("not-the-models-flops", "MACs and FLOPs are those of the model on its input, counted again here.")
def _flops(case: Case) -> Iterator[Doubt]:
    for entry, value in case.rows("macs", "flops", "macs_fvcore"):
        facts = facts_of(case, entry)
        if facts is None:
            continue
        row, name = entry.record.measurement, f"{entry.record.job.subject} {entry.record.job.form}".strip()
        if facts.flops is None:
            case.note(f"the FLOPs of {name} cannot be counted here ({facts.problem}): they are not checked")
        elif row.metric == "macs_fvcore":
            low, high = (bound * facts.flops / 2 for bound in FVCORE)
            if not low <= value <= high:
                yield entry, f"fvcore's {_number(value)} MACs are far from the {facts.flops / 2:,.0f} counted here"
        else:
            expected = facts.flops if row.metric == "flops" else facts.flops / 2
            if value != expected:
                yield entry, f"{_number(value)} {row.unit}s are stated, and the model takes {expected:,.0f}"


@rule("second-opinion", "fvcore's count is the sum of its operators', and the second opinion is what follows from it.")
def _second_opinion(case: Case) -> Iterator[Doubt]:
    products: dict[str, int] = {}
    for entry, value in case.rows("macs_fvcore"):
        evidence = read(entry.record.measurement)
        if isinstance(evidence, FvcoreEvidence):
            products[entry.record.key] = evidence.products
            if sum(evidence.by_operator.values()) != value:
                yield (
                    entry,
                    f"it is {_number(value)}, and its operators add up to {sum(evidence.by_operator.values()):,}",
                )
    for entry, value in case.rows("macs"):
        evidence = read(entry.record.measurement)
        opinion = evidence.second_opinion if isinstance(evidence, MacsEvidence) else None
        if opinion is None or value <= 0:
            continue
        difference = opinion.macs / value - 1
        if opinion.macs != products.get(entry.record.key, opinion.macs):
            yield entry, "the second opinion is not the products that fvcore counted"
        elif abs(difference - opinion.relative_difference) > 1e-12:
            yield entry, "the second opinion's difference is not that of its count"
        elif opinion.agrees != (abs(difference) <= AGREEMENT):
            yield entry, f"the second opinion differs by {difference:.1%} and says {'yes' if opinion.agrees else 'no'}"


@rule("not-the-models-weights", "The bytes of the weights are those of the model in its precision, calculated here.")
def _weights(case: Case) -> Iterator[Doubt]:
    for entry, value in case.rows("memory_weights", "memory_training"):
        facts, row = facts_of(case, entry), entry.record.measurement
        evidence = read(row)
        stated = evidence.weights_b if isinstance(evidence, TrainingPeakEvidence) else value
        expected = facts and facts.weights_b.get(entry.record.job.settings.precision)
        if expected and (row.metric == "memory_weights" or evidence) and stated != expected:
            yield entry, f"{_number(stated)} bytes of weights are stated, and the model has {expected:,}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:,}"
