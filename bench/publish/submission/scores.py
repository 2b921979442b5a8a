"""Scores and parity: shares of the pictures that are stated, and differences within the goldens' tolerances."""

from __future__ import annotations

from collections.abc import Iterator

from claimbench.bench.core.bits import unpacked
from claimbench.bench.core.records import Job
from claimbench.bench.core.statistics import wilson
from claimbench.bench.measure.golden import TOLERANCE, load_golden
from claimbench.bench.papers import golden_files, registry
from claimbench.bench.publish.submission.document import Entry
from claimbench.bench.publish.submission.rules import Case, Doubt, each, rule
from claimbench.bench.report import sanity
from claimbench.bench.store.evidence.of_models import GoldenEvidence, ParityEvidence
from claimbench.bench.store.evidence.of_scores import (
    CorruptionAccuracyEvidence,
    FirstHitsEvidence,
    HitsEvidence,
    PictureEvidence,
    WholeEvidence,
)

REFUSED = ("chance", "top5-below-top1")
"""Rules of :mod:`claimbench.bench.report.sanity` that refuse a submission; findings of its others are noted."""

EXACT = 1e-9


@rule(
    "impossible-score",
    "A score is of pictures of its set; one that counts them is their share, with its Wilson interval.",
)
@each(PictureEvidence)
def _share(case: Case, entry: Entry, evidence: PictureEvidence) -> Iterator[str]:
    images = evidence.images
    if sanity.out_of_range(entry.record):
        return
    if isinstance(evidence, WholeEvidence) and images > evidence.images_in_set:
        yield f"it is of {images} pictures, and the set has {evidence.images_in_set}"
    elif isinstance(evidence, HitsEvidence):
        if evidence.correct > images:
            yield f"{evidence.correct} of {images} pictures are right"
            return
        answers = list(_answers(evidence)) if isinstance(evidence, FirstHitsEvidence) else []
        others = [right for _, right in answers if right != evidence.correct]
        if any(count != images for count, _ in answers):
            yield f"it is of {images} pictures, and has answers to others"
        elif others:
            yield f"{others[0]} of its predictions are right, and it states {evidence.correct}"
        elif not isinstance(evidence, CorruptionAccuracyEvidence):
            yield from _share_problem(entry, evidence)


def _share_problem(entry: Entry, evidence: HitsEvidence) -> Iterator[str]:
    row, share = entry.row, 100 * evidence.correct / evidence.images
    low, high = (100 * bound for bound in wilson(evidence.correct, evidence.images))
    if abs(share - (row.value or 0)) > EXACT:
        yield f"it is {row.value:g} %, and {evidence.correct} of {evidence.images} pictures are {share:g} %"
    elif row.low is None or row.high is None or max(abs(row.low - low), abs(row.high - high)) > 1e-6:
        yield f"its interval is not Wilson's, from {low:.4g} to {high:.4g} %"


def _answers(evidence: FirstHitsEvidence) -> Iterator[tuple[int, int]]:
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
@each(PictureEvidence)
def _random(case: Case, entry: Entry, evidence: PictureEvidence) -> Iterator[str]:
    if entry.job.settings.weights == "random" and not sanity.out_of_range(entry.record):
        yield "it was measured with random weights"


@rule("unlikely-score", "No score is at chance, and the first five classes hold the first.")
def _sane(case: Case) -> Iterator[Doubt]:
    scores = [e for e, _ in case.of(HitsEvidence) if not sanity.out_of_range(e.record) and (e.row.value or 0) >= 0]
    others = [entry for entry, _ in case.rows("params", "macs", "parity")]
    for finding in sanity.check([entry.record for entry in (*scores, *others)]):
        if finding.rule in REFUSED:
            yield from ((entry, finding.message) for entry in scores if entry.job.key() in finding.jobs)
        elif finding.rule not in ("not-positive", "out-of-range"):
            case.note(finding.message)


@rule(
    "parity-not-passed",
    "Parity passes where every output is within the tolerance of its golden, and the worst is the figure.",
)
@each(ParityEvidence)
def _parity(case: Case, entry: Entry, evidence: ParityEvidence) -> Iterator[str]:
    value, goldens = entry.row.value or 0, evidence.goldens
    problem = next(filter(None, (_golden_problem(entry.job, golden) for golden in goldens)), "")
    worst = max(_worst(golden) for golden in goldens)
    if problem:
        yield problem
    elif evidence.passed != all(golden.passed for golden in goldens):
        yield "it is called passed, and one of its goldens did not pass"
    elif abs(value - worst) > EXACT * max(worst, 1e-300):
        yield f"it is {value:.3g}, and the worst of its outputs is off by {worst:.3g}"


def _golden_problem(job: Job, golden: GoldenEvidence) -> str:
    usual, allowed = TOLERANCE.get(golden.dtype), golden.tolerance
    stated, worst = usual if allowed == usual else _stated(job, golden), _worst(golden)
    if stated is None:
        return f"the tolerance of {golden.file} is {allowed:g}, and in {golden.dtype} it is {usual}"
    if allowed != stated:
        return f"the tolerance of {golden.file} is {allowed:g}, and its record states {stated:g}"
    if golden.passed and worst > allowed:
        return f"{golden.file} is called passed, and is off by {worst:.3g} where {allowed:g} is allowed"
    if not golden.passed and worst <= allowed:
        return f"{golden.file} is called not passed, and is within {allowed:g}"
    return ""


def _stated(job: Job, golden: GoldenEvidence) -> float | None:
    """Return the tolerance that the golden's record states; None if it states none, or is not among those here."""
    name, entry = f"{job.paper}/{golden.file}", registry.entries().get(job.paper)
    if entry is None or name not in golden_files.names(job.paper, job.subject, entry.variants):
        return None
    record = load_golden(golden_files.path(name))
    return record.tolerance if record.float32_inside else None


def _worst(golden: GoldenEvidence) -> float:
    """Return the largest relative difference of an output; infinity where one could not be compared."""
    found = golden.outputs.values()
    return max(float("inf") if isinstance(o, str) else max(o.max_rel, o.l2_rel, o.mean_rel) for o in found)
