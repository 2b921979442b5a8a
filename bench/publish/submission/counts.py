"""Parameters and operations: exact, the same on every machine, and so counted again here."""

from __future__ import annotations

from collections.abc import Iterator

from claimbench.bench.measure.flops import AGREEMENT
from claimbench.bench.publish.submission.document import Entry
from claimbench.bench.publish.submission.rules import Case, Doubt, each, rule
from claimbench.bench.store.evidence.of_models import FvcoreEvidence, MacsEvidence, TrainingPeakEvidence

FVCORE = (0.5, 2.0)
"""fvcore's MACs over ours: it counts norms and pooling too, and does not know every operator."""


@rule("not-the-models-parameters", "Parameters are those of the model, counted again here.")
@each("params", "params_trainable")
def _parameters(case: Case, entry: Entry, value: float) -> Iterator[str]:
    facts = case.facts(entry)
    expected = facts and (facts.params if entry.row.metric == "params" else facts.trainable)
    if expected is not None and value != expected:
        yield f"{_number(value)} parameters are stated, and the model has {expected:,}"


@rule("not-the-models-flops", "MACs and FLOPs are those of the model on its input, counted again here.")
@each("macs", "flops", "macs_fvcore")
def _flops(case: Case, entry: Entry, value: float) -> Iterator[str]:
    facts, metric = case.facts(entry), entry.row.metric
    if facts is None:
        return
    if facts.flops is None:
        name = f"{entry.job.subject} {entry.job.form}".strip()
        case.note(f"the FLOPs of {name} cannot be counted here ({facts.problem}): they are not checked")
        return
    expected = facts.flops if metric == "flops" else facts.flops / 2
    if metric == "macs_fvcore":
        if not FVCORE[0] * expected <= value <= FVCORE[1] * expected:
            yield f"fvcore's {_number(value)} MACs are far from the {expected:,.0f} counted here"
    elif value != expected:
        yield f"{_number(value)} {entry.row.unit}s are stated, and the model takes {expected:,.0f}"


@rule("second-opinion", "fvcore's count is the sum of its operators', and the second opinion is what follows from it.")
def _second_opinion(case: Case) -> Iterator[Doubt]:
    products: dict[str, int] = {}
    for entry, counted in case.of(FvcoreEvidence):
        products[entry.record.key] = counted.products
        total = sum(counted.by_operator.values())
        if total != entry.row.value:
            yield entry, f"it is {_number(entry.row.value or 0)}, and its operators add up to {total:,}"
    for entry, evidence in case.of(MacsEvidence):
        opinion, value = evidence.second_opinion, entry.row.value or 0
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
@each("memory_weights", "memory_training")
def _weights(case: Case, entry: Entry, value: float) -> Iterator[str]:
    facts, evidence = case.facts(entry), entry.evidence
    stated = evidence.weights_b if isinstance(evidence, TrainingPeakEvidence) else value
    expected = facts and facts.weights_b.get(entry.job.settings.precision)
    if expected and (entry.row.metric == "memory_weights" or evidence) and stated != expected:
        yield f"{_number(stated)} bytes of weights are stated, and the model has {expected:,}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:,}"
