"""Verdicts on what was paired: times by their rounds, exact figures exactly, the rest by a tolerance that is stated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import expm1

from claimbench.bench.store.evidence.reading import shown
from claimbench.bench.watch.regress.findings import Cause, Finding, Verdict
from claimbench.bench.watch.regress.noise import RoundPair
from claimbench.bench.watch.regress.pairing import Matched
from claimbench.bench.watch.regress.series import CONTROL, Series
from claimbench.bench.watch.regress.shift import Shift, Shifts, shifts
from claimbench.bench.watch.regress.sides import RecordSet
from claimbench.bench.watch.regress.surroundings import busier, clock_change, state

TOLERANCE = {"memory": 0.05, "energy": 0.10}
"""Figures that are taken once, not in rounds, count as moved where they differ by more than this share."""

RESIDENT_PAGES = float(2**20)
"""Bytes by which a process's memory on a CPU differs from one start to the next, whatever is measured."""

EXACT = ("memory_weights",)
"""Rows that are exact though their kind is not."""

LARGEST_NEED = 100
"""More rounds than this are no advice: the machine is too noisy."""

_MOVED: dict[str, tuple[Verdict, Verdict]] = {
    "memory": ("more", "less"),
    "energy": ("more", "less"),
    "quality": ("worse", "better"),
}


def judge(matched: Sequence[Matched], baseline: RecordSet, candidate: RecordSet) -> tuple[list[Finding], Shift | None]:
    """Return a finding for each pair, in order, and the shift that all times share."""
    timed = [m for m in matched if m.baseline.timed and m.baseline.rounds and m.candidate.rounds]
    pairs = [_rounds(m, baseline, candidate) for m in timed]
    kept = [index for index, pair in enumerate(pairs) if pair.baseline and pair.candidate]
    measured = shifts([pairs[index] for index in kept]) if kept else Shifts((), None)
    times = {id(timed[index]): (pairs[index], shift) for index, shift in zip(kept, measured.each, strict=True)}
    found = []
    for pair in matched:
        if id(pair) in times:
            finding = _time(pair, *times[id(pair)], measured.machine)
        else:
            finding = _figure(pair)
        found.append(finding)
    controls = [f.matched.candidate.subject for f in found if f.regression and _control(f.matched.candidate)]
    return [_explained(finding, sorted(set(controls)), measured.machine) for finding in found], measured.machine


def _rounds(matched: Matched, baseline: RecordSet, candidate: RecordSet) -> RoundPair:
    within = max(matched.baseline.within(baseline.samples), matched.candidate.within(candidate.samples))
    return RoundPair(matched.baseline.logs(baseline.samples), matched.candidate.logs(candidate.samples), within)


def _time(matched: Matched, pair: RoundPair, shift: Shift, machine: Shift | None) -> Finding:
    """Return the verdict on a time."""
    low = None if shift.low is None else expm1(shift.low)
    high = None if shift.high is None else expm1(shift.high)
    change = expm1(shift.raw)
    rounds = f"{pair.rounds[0]} and {pair.rounds[1]} rounds"
    noise = f"standard deviation between rounds {shift.deviation:.1%}"
    beside = ""
    if machine is not None and not machine.settled and abs(shift.raw - shift.size) > 0.005:
        beside = f"; {expm1(machine.raw):+.1%} of it is the whole machine's and not counted"
    if shift.settled:
        verdict: Verdict = "slower" if shift.size > 0 else "faster"
        sides = (matched.baseline, matched.candidate) if shift.size > 0 else (matched.candidate, matched.baseline)
        disturbed = busier(state(sides[0].rounds.values()), state(sides[1].rounds.values()))
        if not disturbed:
            return Finding(matched, verdict, f"{rounds}, {noise}{beside}", change, low, high)
        reason = f"the machine was busier while it was slower: {disturbed}"
        return Finding(matched, "cannot tell", reason, change, low, high, needed=max(3, shift.needed))
    if shift.excluded:
        return Finding(matched, "same", f"{rounds}, {noise}{beside}", change, low, high)
    more = max(1, shift.needed - min(pair.rounds))
    if more > LARGEST_NEED:
        reason = f"{noise}: the machine is too noisy, more than {LARGEST_NEED} more rounds a side would be needed"
    else:
        reason = f"{noise}: {more} more round{'s' if more > 1 else ''} a side needed"
    return Finding(matched, "cannot tell", reason + beside, change, low, high, needed=more)


def _figure(matched: Matched) -> Finding:
    """Return the verdict on anything but two times that were measured."""
    before, after = matched.baseline, matched.candidate
    if not after.rounds:
        return Finding(matched, "failed", f"measured before, now not: {after.last.measurement.reason}")
    if not before.rounds:
        return Finding(matched, "mended", f"failed before: {before.last.measurement.reason}")
    if after.kind == "parity":
        return _parity(matched)
    old, new = before.value, after.value
    if old is None or new is None:
        return Finding(matched, "cannot tell", "a time that is not positive")
    change = (float(new) - float(old)) / abs(float(old)) if old else None
    if after.kind == "count" or after.row in EXACT:
        same = old == new
        reason = "exact" if same else f"{old} became {new}, and it may not move at all"
        return Finding(matched, "same" if same else "changed", reason, change)
    return _tolerated(matched, float(old), float(new), change)


def _parity(matched: Matched) -> Finding:
    """Compare whether our model equals the official code; the last digits of the difference may vary."""
    before, after = (shown(side.last.measurement).passed for side in (matched.baseline, matched.candidate))
    if before == after:
        return Finding(matched, "same", "holds as before" if after else "does not hold, as before")
    if after is False:
        worst = matched.candidate.value
        reason = f"it held, and now differs from the official code by {worst:.1e}"
        return Finding(matched, "broken", reason)
    if before is False:
        return Finding(matched, "mended", "it did not hold, and now does")
    return Finding(matched, "cannot tell", "one side does not say whether it holds")


def _tolerated(matched: Matched, old: float, new: float, change: float | None) -> Finding:
    """Compare figures that are taken once: by their intervals where they have one, else by a tolerance."""
    worse, better = _MOVED.get(matched.candidate.kind, ("changed", "changed"))
    if matched.candidate.kind == "quality":
        return _quality(matched, old, new, worse, better)
    share = TOLERANCE.get(matched.candidate.kind, 0.0)
    beyond = abs(new - old) > share * abs(old)
    rule = f"taken once, so judged by a tolerance of {share:.0%}"
    if matched.candidate.kind == "memory" and not matched.candidate.last.job.settings.device.startswith("cuda"):
        beyond = beyond and abs(new - old) > RESIDENT_PAGES
        rule += " and 1 MiB"
    verdict: Verdict = "same" if not beyond else worse if new > old else better
    return Finding(matched, verdict, rule, change)


def _quality(matched: Matched, old: float, new: float, worse: Verdict, better: Verdict) -> Finding:
    """Compare scores by their intervals: a sure change has intervals that are apart."""
    before, after = matched.baseline.last.measurement, matched.candidate.last.measurement
    change = new - old
    if old == new:
        return Finding(matched, "same", "the same score", 0.0)
    bounds = [bound for row in (before, after) for bound in (row.low, row.high) if bound is not None]
    if len(bounds) < 4:
        return Finding(matched, "cannot tell", "a score without an interval", change)
    if bounds[3] < bounds[0] or bounds[2] > bounds[1]:
        return Finding(matched, worse if new < old else better, "the scores' intervals are apart", change)
    return Finding(matched, "cannot tell", "the scores differ, and their intervals overlap", change)


def _explained(finding: Finding, controls: Sequence[str], machine: Shift | None) -> Finding:
    """Return a finding with its possible causes, if anything moved."""
    if finding.verdict in ("same", "cannot tell"):
        return finding
    before, after = finding.matched.baseline, finding.matched.candidate
    clock = clock_change(state(before.rounds.values()), state(after.rounds.values()))
    around = [*map(str, finding.matched.changes), *([str(clock)] if clock else [])]
    if finding.verdict == "slower" and _control(after):
        around.append("no commit of ours changes this model, so the machine did")
        return replace(finding, cause="environment", because="; ".join(around))
    if finding.verdict == "slower" and machine is not None and machine.settled and machine.size > 0 and controls:
        around.append(f"{controls[0]}, which no commit of ours changes, is slower too")
        return replace(finding, cause="environment", because="; ".join(around))
    code = _code_change(before, after)
    cause: Cause = (
        "code or environment" if code and around else "code" if code else "environment" if around else "unknown"
    )
    nothing = "neither the commit nor anything recorded of the machine changed"
    return replace(finding, cause=cause, because="; ".join([*([code] if code else []), *around]) or nothing)


def _code_change(before: Series, after: Series) -> str:
    """Return a phrase on the change of the code; empty if it is known not to have changed."""
    if before.commit == after.commit and before.commit and not before.commit.endswith("+dirty"):
        return ""
    return f"commit {_short(before.commit)} → {_short(after.commit)}"


def _short(commit: str) -> str:
    head, plus, dirty = commit.partition("+")
    return f"{head[:10]}{plus}{dirty}" if head else "unknown"


def _control(series: Series) -> bool:
    return not series.paper and series.subject.startswith(CONTROL)
