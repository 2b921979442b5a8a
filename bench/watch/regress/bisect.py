"""``bench regress --bisect``: the first bad commit, found by measuring good and candidate in turns.

git chooses the commits, in a checkout of its own. Each is measured in turns with the good one, so that a machine that
drifts misleads neither, and judged by the same test as ``bench regress``; where that cannot tell, more rounds follow.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import expm1, log1p
from pathlib import Path
from typing import Literal

from claimbench.bench.core.errors import UserError
from claimbench.bench.core.listener import SILENT, Listener
from claimbench.bench.watch.regress.comparison import compare
from claimbench.bench.watch.regress.findings import Finding, RegressionReport
from claimbench.bench.watch.regress.probe import Probe, Unmeasurable
from claimbench.bench.watch.regress.worktree import describe, git, resolve, worktrees

Mark = Literal["good", "bad", "skip"]

ATTEMPTS = 4
"""The largest number of attempts at a commit: if its rounds are inconclusive, as many follow; then it is skipped."""

_FIRST_BAD = re.compile(r"^([0-9a-f]{40}) is the first bad commit", re.MULTILINE)
_LEFT = re.compile(r"^[0-9a-f]{40}$", re.MULTILINE)

Subject = tuple[str, str, str, str]


@dataclass(frozen=True)
class Bisection:
    """A range of commits to bisect, and the command that tells them apart.

    Attributes:
        repository: the user's.
        good, bad: names of commits.
        command: run in each checkout; see :mod:`claimbench.bench.watch.regress.probe`.
        build: a shell command that makes a checkout ready; empty for none.
        rounds: runs of the command on each side before the first judgement.
        timeout: seconds for one run.
    """

    repository: Path
    good: str
    bad: str
    command: tuple[str, ...]
    build: str = ""
    rounds: int = 3
    timeout: float = 3600.0


@dataclass(frozen=True)
class Step:
    """One commit that was tried: its verdict and the reason."""

    commit: str
    mark: Mark
    why: str


@dataclass(frozen=True)
class Bisected:
    """The result of a bisection.

    Attributes:
        first_bad: the commit; empty where skipped ones leave several.
        possible: the commits that it may be, if not that one.
        regression: the figures that got worse, one phrase each.
        steps: the commits tried, in order.
    """

    first_bad: str
    possible: tuple[str, ...]
    regression: tuple[str, ...]
    steps: tuple[Step, ...]


def bisect(task: Bisection, listener: Listener = SILENT) -> Bisected:
    """Return the first commit after ``task.good`` that is worse than it.

    Args:
        task: the range and the command.
        listener: told of each commit that has been tried.

    Raises:
        UserError: the names are no commits, good is no ancestor of bad, either cannot be measured, or bad is not worse.
    """
    good, bad = resolve(task.repository, task.good), resolve(task.repository, task.bad)
    if good == bad:
        raise UserError(f"{task.good} and {task.bad} are the same commit")
    if git(task.repository, "merge-base", good, bad, check=False).strip() != good:
        raise UserError(f"{task.good} is not an ancestor of {task.bad}: name a good commit that bad was built on")
    with worktrees(task.repository, {"good": good, "candidate": bad}) as folders:
        return _bisect(task, good, bad, folders, listener)


def _bisect(task: Bisection, good: str, bad: str, folders: dict[str, Path], listener: Listener) -> Bisected:
    scratch = folders["good"].parent / "measured"
    probe = Probe(good, folders["good"], scratch, task.command, task.timeout)
    try:
        probe.build(task.build)
        outcome = _measured(task, probe, Probe(bad, folders["candidate"], scratch, task.command, task.timeout), None)
    except Unmeasurable as error:
        raise UserError(f"{task.good} or {task.bad} cannot be measured: {error}") from error
    worse = {_subject(finding): finding for finding in outcome.regressions}
    if not worse:
        raise UserError(f"{task.bad} is not worse than {task.good}: {outcome.sentence()}")
    regression = tuple(_phrase(finding) for finding in worse.values())
    for phrase in regression:
        listener.say(f"{task.bad} against {task.good}: {phrase}")
    steps: list[Step] = []
    folder = folders["candidate"]
    git(folder, "checkout", "--force", "--detach", "HEAD")
    answer = git(folder, "bisect", "start", bad, good)
    while not (_FIRST_BAD.search(answer) or "only 'skip'ped commits left" in answer):
        commit = git(folder, "rev-parse", "HEAD").strip()
        git(folder, "clean", "-ffdxq", check=False)
        step = _tried(task, probe, Probe(commit, folder, scratch, task.command, task.timeout), worse)
        steps.append(step)
        listener.say(f"{step.mark}: {describe(task.repository, commit)} ({step.why})")
        git(folder, "checkout", "--force", "--detach", "HEAD", check=False)
        answer = git(folder, "bisect", step.mark, check=False)
        if not answer:
            raise UserError("git bisect did not go on: try again, or report this")
    found = _FIRST_BAD.search(answer)
    left = set() if found else set(_LEFT.findall(answer))
    order = git(folder, "rev-list", "--topo-order", "--reverse", f"{good}..{bad}").split()
    possible = tuple(commit for commit in order if commit in left)
    return Bisected(found.group(1) if found else "", possible, regression, tuple(steps))


def _tried(task: Bisection, good: Probe, candidate: Probe, worse: dict[Subject, Finding]) -> Step:
    """Measure one commit and return its verdict."""
    try:
        outcome = _measured(task, good, candidate, worse)
    except (Unmeasurable, UserError) as error:
        return Step(candidate.commit, "skip", str(error))
    mark = _mark(outcome, worse)
    if mark is None:
        return Step(candidate.commit, "skip", "the rounds do not tell whether it is good or bad")
    tracked = [finding for finding in outcome.findings if _subject(finding) in worse]
    deciding = [finding for finding in tracked if finding.regression] or tracked
    return Step(candidate.commit, mark, "; ".join(_phrase(finding) for finding in deciding[:3]))


def _measured(task: Bisection, good: Probe, candidate: Probe, worse: dict[Subject, Finding] | None) -> RegressionReport:
    """Build and measure a commit in turns with the good one, until it can be told what it is or patience ends.

    One run of each is enough if every figure is exact.
    """
    candidate.build(task.build)
    good.forget()
    for _ in range(ATTEMPTS):
        for turn in range(task.rounds):
            for probe in (good, candidate) if turn % 2 else (candidate, good):
                probe.measure()
            outcome = compare(good.source(), candidate.source())
            if not any(finding.matched.candidate.timed for finding in outcome.findings):
                return outcome
        if worse is None and outcome.regressions:
            return outcome
        if worse is not None and _mark(outcome, worse) is not None:
            return outcome
    return outcome


def _mark(outcome: RegressionReport, worse: dict[Subject, Finding]) -> Mark | None:
    """Return the verdict on a commit: bad if any figure that bad made worse is worse, good if none is.

    A time is not worse where even the upper end of its interval is less than half of what bad lost.
    """
    tracked = [finding for finding in outcome.findings if _subject(finding) in worse]
    if any(finding.regression for finding in tracked):
        return "bad"
    if len(tracked) == len(worse) and all(_harmless(finding, worse[_subject(finding)]) for finding in tracked):
        return "good"
    return None


def _harmless(finding: Finding, bad: Finding) -> bool:
    if finding.verdict != "cannot tell":
        return True
    if finding.high is None or bad.change is None or not finding.matched.candidate.timed:
        return False
    return finding.high < expm1(log1p(bad.change) / 2)


def _subject(finding: Finding) -> Subject:
    series = finding.matched.candidate
    return series.paper, series.subject, series.form, series.row


def _phrase(finding: Finding) -> str:
    from claimbench.bench.watch.regress.wording import cells

    model, metric, _, before, after, change, verdict, _ = cells(replace(finding, because=""))
    return f"{model} {metric.lower()} {verdict}: {before} → {after}" + (f", {change}" if change else "")


def as_json(found: Bisected) -> dict[str, object]:
    """Return the result, JSON-ready."""
    return {
        "first_bad": found.first_bad or None,
        "possible": list(found.possible),
        "regression": list(found.regression),
        "steps": [vars(step) for step in found.steps],
    }


def command_of(words: Sequence[str], paper: Sequence[str], metrics: Sequence[str]) -> tuple[str, ...]:
    """Return the command to run in each checkout: the user's, or ``bench run`` of some papers, one round at a time.

    Raises:
        UserError: there is neither, or both.
    """
    if bool(words) == bool(paper):
        raise UserError("say what to measure: either --paper, or a command after --")
    if words:
        return tuple(words)
    chosen = ["--metrics", ",".join(metrics)] if metrics else []
    return ("bench", "run", "--paper", ",".join(paper), "--rounds", "1", "--baseline", "none", *chosen)
