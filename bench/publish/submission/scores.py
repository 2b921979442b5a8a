"""Scores and parity: shares of the pictures that are stated, and differences within the goldens' tolerances."""

from __future__ import annotations

from collections.abc import Iterator

from claimbench.bench.core.bits import unpacked
from claimbench.bench.core.records import Job
from claimbench.bench.core.statistics import wilson
from claimbench.bench.measure.golden import TOLERANCE, load_golden
from claimbench.bench.papers import golden_files, registry
from claimbench.bench.publish.submission.case import Case
from claimbench.bench.publish.submission.document import Entry
from claimbench.bench.publish.submission.reasons import Doubt, rule
from claimbench.bench.report import sanity
from claimbench.bench.store.evidence import (
    CorruptionAccuracyEvidence,
    FirstHitsEvidence,
    GoldenEvidence,
    HitsEvidence,
    OutputEvidence,
    ParityEvidence,
    PictureEvidence,
    WholeEvidence,
    read,
)

REFUSED = ("chance", "top5-below-top1")
"""Rules of :mod:`claimbench.bench.report.sanity` that refuse a submission; findings of its others are noted."""

EXACT = 1e-9


def _on_pictures(case: Case) -> Iterator[tuple[Entry, float, PictureEvidence]]:
    """Yield the possible scores on pictures, each with its value and evidence."""
    for entry in case.measured:
        value, evidence = entry.record.measurement.value, read(entry.record.measurement)
        if isinstance(evidence, PictureEvidence) and value is not None and not sanity.out_of_range(entry.record):
            yield entry, value, evidence


@rule(
    "impossible-score",
    "A score is of pictures of its set; one that counts them is their share, with its Wilson interval.",
)
def _share(case: Case) -> Iterator[Doubt]:
    for entry, value, evidence in _on_pictures(case):
        if isinstance(evidence, WholeEvidence) and evidence.images > evidence.images_in_set:
            yield entry, f"it is of {evidence.images} pictures, and the set has {evidence.images_in_set}"
        elif isinstance(evidence, HitsEvidence):
            mean = isinstance(evidence, CorruptionAccuracyEvidence)
            problem = _answers_problem(evidence) or ("" if mean else _share_problem(entry, evidence, value))
            if problem:
                yield entry, problem


def _share_problem(entry: Entry, evidence: HitsEvidence, value: float) -> str:
    row, share = entry.record.measurement, 100 * evidence.correct / evidence.images
    if abs(share - value) > EXACT:
        return f"it is {value:g} %, and {evidence.correct} of {evidence.images} pictures are {share:g} %"
    low, high = (100 * bound for bound in wilson(evidence.correct, evidence.images))
    if row.low is None or row.high is None or abs(row.low - low) > 1e-6 or abs(row.high - high) > 1e-6:
        return f"its interval is not Wilson's, from {low:.4g} to {high:.4g} %"
    return ""


def _answers_problem(evidence: HitsEvidence) -> str:
    """Hold the number of right pictures against all of them, and against each if the answers are there."""
    if evidence.correct > evidence.images:
        return f"{evidence.correct} of {evidence.images} pictures are right"
    if not isinstance(evidence, FirstHitsEvidence):
        return ""
    found = list(_counts(evidence))
    if any(images != evidence.images for images, _ in found):
        return f"it is of {evidence.images} pictures, and has answers to others"
    right = next((right for _, right in found if right != evidence.correct), evidence.correct)
    return (
        f"{right} of its predictions are right, and it states {evidence.correct}" if right != evidence.correct else ""
    )


def _counts(evidence: FirstHitsEvidence) -> Iterator[tuple[int, int]]:
    """Yield the number of pictures and the number of right ones, for each form in which the evidence states them."""
    if evidence.right is not None:
        try:
            yield evidence.images, int(unpacked(evidence.right, evidence.images).sum())
        except ValueError:
            yield 0, 0
    if evidence.per_class is not None:
        yield sum(evidence.per_class.images), sum(evidence.per_class.correct)
    labels, predictions = evidence.labels or [], evidence.predictions or []
    if labels or predictions:
        right = sum(label == found for label, found in zip(labels, predictions, strict=False))
        yield len(labels) if len(labels) == len(predictions) else 0, right


@rule("random-weights", "A score needs trained weights.")
def _random(case: Case) -> Iterator[Doubt]:
    for entry, _, _ in _on_pictures(case):
        if entry.record.job.settings.weights == "random":
            yield entry, "it was measured with random weights"


@rule("unlikely-score", "No score is at chance, and the first five classes hold the first.")
def _sane(case: Case) -> Iterator[Doubt]:
    good = [entry for entry, value, evidence in _on_pictures(case) if isinstance(evidence, HitsEvidence) and value >= 0]
    others = [e for e in case.measured if e.record.measurement.metric in ("params", "macs", "parity")]
    for finding in sanity.check([entry.record for entry in (*good, *others)]):
        places = [e for e in good if e.record.job.key() in finding.jobs]
        if finding.rule in REFUSED:
            yield from ((entry, finding.message) for entry in places)
        elif finding.rule not in ("not-positive", "out-of-range"):
            case.note(finding.message)


@rule(
    "parity-not-passed",
    "Parity passes where every output is within the tolerance of its golden, and the worst is the figure.",
)
def _parity(case: Case) -> Iterator[Doubt]:
    for entry, value in case.rows("parity"):
        evidence = read(entry.record.measurement)
        if not isinstance(evidence, ParityEvidence):
            continue
        job = entry.record.job
        problems = [problem for golden in evidence.goldens if (problem := _golden_problem(job, golden))]
        worst = max(_worst(golden) for golden in evidence.goldens)
        if problems:
            yield entry, problems[0]
        elif evidence.passed != all(golden.passed for golden in evidence.goldens):
            yield entry, "it is called passed, and one of its goldens did not pass"
        elif abs(value - worst) > EXACT * max(worst, 1e-300):
            yield entry, f"it is {value:.3g}, and the worst of its outputs is off by {worst:.3g}"


def _golden_problem(job: Job, golden: GoldenEvidence) -> str:
    usual, allowed = TOLERANCE.get(golden.dtype), golden.tolerance
    if allowed != usual:
        stated = _stated(job, golden)
        if stated is None:
            return f"the tolerance of {golden.file} is {allowed:g}, and in {golden.dtype} it is {usual}"
        if allowed != stated:
            return f"the tolerance of {golden.file} is {allowed:g}, and its record states {stated:g}"
    worst = _worst(golden)
    if golden.passed and worst > allowed:
        return f"{golden.file} is called passed, and is off by {worst:.3g} where {allowed:g} is allowed"
    if not golden.passed and worst <= allowed:
        return f"{golden.file} is called not passed, and is within {allowed:g}"
    return ""


def _stated(job: Job, golden: GoldenEvidence) -> float | None:
    """Return the tolerance that the golden's record states; None if it states none, or is not among those here."""
    name = f"{job.paper}/{golden.file}"
    entry = registry.entries().get(job.paper)
    if entry is None or name not in golden_files.names(job.paper, job.subject, entry.variants):
        return None
    record = load_golden(golden_files.path(name))
    return record.tolerance if record.float32_inside else None


def _worst(golden: GoldenEvidence) -> float:
    found = golden.outputs.values()
    if any(not isinstance(output, OutputEvidence) for output in found):
        return float("inf")
    return max(max(o.max_rel, o.l2_rel, o.mean_rel) for o in found if isinstance(o, OutputEvidence))
