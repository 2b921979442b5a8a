"""A comparison in words, shared by the terminal, Markdown and JSON."""

from __future__ import annotations

from collections.abc import Iterable
from math import expm1
from typing import Any

from claimbench.bench.core.rounding import scaled, show, show_relative
from claimbench.bench.report import metrics
from claimbench.bench.report.render import clean
from claimbench.bench.watch.regress.findings import IMPROVEMENTS, Finding, RegressionReport
from claimbench.bench.watch.regress.series import Series
from claimbench.bench.watch.regress.shift import ALPHA, MATTERS, TO_FIND

TITLES = ("Model", "Metric", "Conditions", "Baseline", "Candidate", "Change", "Verdict", "Why")

RULES = (
    f"Times: at most {ALPHA:.0%} of comparisons of equal sides call anything slower, and as few faster, however many "
    f"configurations they hold; less than {expm1(MATTERS):.1%} is never called so; same rules {expm1(TO_FIND):.0%} "
    "out. A change is of the time, so that + is slower; its interval holds for all comparisons together and "
    "leaves out what the whole machine moved by. Exact figures may not move at all."
)


def sections(outcome: RegressionReport) -> list[tuple[str, list[Finding]]]:
    """Return the findings under their headings, the worst first; those that are the same are only counted."""
    worst = sorted(outcome.regressions, key=lambda finding: -abs(finding.change or 1.0))
    better = [finding for finding in outcome.findings if finding.verdict in IMPROVEMENTS]
    found = [("Regressions", worst), ("Improvements", better), ("Cannot tell", outcome.unsettled)]
    return [(title, findings) for title, findings in found if findings]


def cells(finding: Finding) -> tuple[str, ...]:
    """Return a finding as a row under :data:`TITLES`; nothing in it controls a terminal, but it is not escaped."""
    before, after = finding.matched.baseline, finding.matched.candidate
    why = finding.reason
    if finding.because:
        why = f"{why}; cause: {finding.cause} ({finding.because})"
    return tuple(
        clean(text)
        for text in (
            " ".join(part for part in (after.subject, after.form) if part),
            metrics.row(after.row).title,
            conditions(after),
            figure(before),
            figure(after),
            change(finding),
            finding.verdict,
            why,
        )
    )


def conditions(series: Series) -> str:
    """Return the settings that are not the usual ones, in words."""
    settings = series.settings
    parts = [
        series.device if series.kind != "count" else "",
        f"batch {series.batch}" if series.batch else "",
        settings.precision if settings.precision != "fp32" else "",
        settings.mode if settings.mode != "eager" else "",
        "channels last" if settings.channels_last else "",
        f"{settings.threads} threads" if settings.threads else "",
        "quick" if settings.quick else "",
        f"weights {settings.weights}" if settings.weights != "random" else "",
    ]
    return ", ".join(part for part in parts if part)


def figure(series: Series) -> str:
    """Return a series' figure with its unit."""
    value = series.value
    if value is None:
        return series.status
    row = metrics.row(series.row)
    digits = 9 if row.kind == "count" else 4
    return f"{show(scaled(value, row.scale), digits=digits)} {row.unit}".rstrip()


def change(finding: Finding) -> str:
    """Return the change with its interval: of the time for times, in points for scores."""
    if finding.change is None:
        return ""
    if finding.matched.candidate.kind == "quality":
        return f"{finding.change:+.2f} points"
    text = show_relative(finding.change)
    if finding.low is None or finding.high is None:
        return text
    return f"{text} [{100 * finding.low:+.1f} to {100 * finding.high:+.1f}]"


def machine(outcome: RegressionReport) -> str:
    """Return a phrase on the shift of the whole machine; empty if there is none."""
    shift = outcome.machine
    if shift is None or abs(shift.size) < TO_FIND / 10:
        return ""
    if shift.settled:
        return (
            f"Times as a whole moved by {expm1(shift.size):+.1%}: the median of all configurations, and beyond doubt."
        )
    return (
        f"Times as a whole moved by {expm1(shift.size):+.1%}, which these rounds do not tell from the machine's moods: "
        "it is taken off."
    )


def causes(outcome: RegressionReport) -> list[str]:
    """Return a phrase on the changes of the code and of its surroundings."""
    before, after = (", ".join(commits) for commits in outcome.commits)
    said = [f"Code: commit {before} → {after}" if before != after else f"Code: the same commit, {before}"]
    changed = [str(found) for found in outcome.changes]
    said.append(
        f"Environment: {'; '.join(changed)}" if changed else "Environment: the same wherever times are compared"
    )
    return [clean(line) for line in said]


def unmatched(outcome: RegressionReport) -> list[str]:
    """Return the series that were not comparable, one line a reason."""
    reasons: dict[str, list[str]] = {}
    options: dict[str, tuple[str, ...]] = {}
    for one in outcome.unmatched:
        series = one.series
        name = " ".join(part for part in (series.subject, series.form, series.row) if part)
        reasons.setdefault(one.reason, []).append(name)
        options[one.reason] = one.across
    return [clean(_reason(reason, names, options[reason])) for reason, names in reasons.items()]


def _reason(reason: str, names: list[str], across: Iterable[str]) -> str:
    listed = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
    options = " ".join(f"--across {name}" for name in across)
    return f"{reason}: {listed}" + (f" ({options} compares all the same)" if options else "")


def as_json(outcome: RegressionReport) -> dict[str, Any]:
    """Return a comparison, JSON-ready."""
    return {
        "baseline": outcome.baseline,
        "candidate": outcome.candidate,
        "status": outcome.status(),
        "summary": outcome.sentence(),
        "commits": {"baseline": list(outcome.commits[0]), "candidate": list(outcome.commits[1])},
        "environment_changes": [vars(found) for found in outcome.changes],
        "machine": None
        if outcome.machine is None
        else {"change": expm1(outcome.machine.size), "settled": outcome.machine.settled},
        "findings": [_finding(finding) for finding in outcome.findings],
        "not_comparable": [
            {**_subject(one.series), "reason": one.reason, "across": list(one.across)} for one in outcome.unmatched
        ],
        "problems": list(outcome.problems),
    }


def _subject(series: Series) -> dict[str, Any]:
    return {
        "paper": series.paper,
        "subject": series.subject,
        "form": series.form,
        "row": series.row,
        "device": series.device,
        "batch": series.batch,
        "settings": {**vars(series.settings), "input_size": list(series.settings.input_size)},
    }


def _finding(finding: Finding) -> dict[str, Any]:
    before, after = finding.matched.baseline, finding.matched.candidate
    return {
        **_subject(after),
        "verdict": finding.verdict,
        "regression": finding.regression,
        "baseline": before.value,
        "candidate": after.value,
        "rounds": [len(before.rounds), len(after.rounds)],
        "change": finding.change,
        "low": finding.low,
        "high": finding.high,
        "needed": finding.needed,
        "reason": finding.reason,
        "cause": finding.cause,
        "because": finding.because,
    }
