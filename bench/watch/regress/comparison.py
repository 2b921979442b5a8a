"""``bench regress`` from two names to an outcome."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

from claimbench.bench.core.errors import UserError, unknown
from claimbench.bench.watch.regress import pairing, sides
from claimbench.bench.watch.regress.findings import RegressionReport
from claimbench.bench.watch.regress.judge import judge
from claimbench.bench.watch.regress.series import Series, contradicts, series
from claimbench.bench.watch.regress.sides import RecordSet


def compare_named(
    baseline: str, candidate: str, results: Path, across: Collection[str] = (), papers: Collection[str] = ()
) -> RegressionReport:
    """Compare what two names mean; see :func:`claimbench.bench.watch.regress.sides.find`.

    Raises:
        UserError: there is nothing of a name, or nothing of the two can be compared.
    """
    for name in across:
        if name not in pairing.ACROSS:
            raise unknown("thing to compare across", name, pairing.ACROSS)
    return compare(sides.find(baseline, results), sides.find(candidate, results), across, papers)


def compare(
    baseline: RecordSet, candidate: RecordSet, across: Collection[str] = (), papers: Collection[str] = ()
) -> RegressionReport:
    """Compare two sets of records like with like.

    Args:
        baseline, candidate: the two.
        across: names of :data:`claimbench.bench.watch.regress.pairing.ACROSS` that may differ.
        papers: compare only these papers; empty for all.

    Raises:
        UserError: nothing of the two can be compared.
    """
    first, second = (_chosen(series(source.records), papers, source.name) for source in (baseline, candidate))
    environments = (baseline.environment, candidate.environment)
    matched, unmatched = pairing.pair(first, second, environments, across)
    if not matched:
        raise UserError(_nothing(baseline.name, candidate.name, unmatched))
    findings, machine = judge(matched, baseline, candidate)
    unread = [f"{problem.place}: {problem.text}" for problem in (*baseline.problems, *candidate.problems)]
    return RegressionReport(
        baseline=baseline.name,
        candidate=candidate.name,
        commits=(_commits(m.baseline for m in matched), _commits(m.candidate for m in matched)),
        findings=tuple(findings),
        unmatched=tuple(unmatched),
        machine=machine,
        changes=tuple(dict.fromkeys(change for m in matched for change in m.changes)),
        problems=tuple(
            dict.fromkeys([*_contradictions(first, baseline), *_contradictions(second, candidate), *unread])
        ),
    )


def _chosen(found: list[Series], papers: Collection[str], name: str) -> list[Series]:
    if not papers:
        return found
    chosen = [one for one in found if one.paper in papers]
    if not chosen:
        raise UserError(f"{name} holds nothing of {', '.join(papers)}; it holds {_listed(one.paper for one in found)}")
    return chosen


def _nothing(baseline: str, candidate: str, unmatched: Collection[pairing.Unmatched]) -> str:
    """Return the reason that two sides have nothing in common."""
    reasons = [one for one in unmatched if one.across]
    if not reasons:
        return f"{baseline} and {candidate} have nothing in common: name two runs of the same papers"
    across = dict.fromkeys(name for one in reasons for name in one.across)
    option = " ".join(f"--across {name}" for name in across)
    why = reasons[0].reason
    return f"nothing of {baseline} and {candidate} is like with like ({why}): compare all the same with {option}"


def _contradictions(found: Iterable[Series], source: RecordSet) -> list[str]:
    """Name the series whose figures are not what their samples say."""
    return [
        f"{source.name}: the figures of {one.subject} {one.form} {one.row} contradict their samples; the slower count"
        for one in found
        if one.timed and any(contradicts(record, source.samples) for record in one.rounds.values())
    ]


def _commits(found: Iterable[Series]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one.commit[:12] or "unknown" for one in found))


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted({name for name in names if name})) or "none"
