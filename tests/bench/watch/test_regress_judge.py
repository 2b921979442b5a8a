"""The verdict on each kind of figure at its edges, and what is named as the cause of a change."""

from dataclasses import replace
from math import inf, log

import pytest

from claimbench.bench.core.records import Settings
from claimbench.bench.watch.regress.judge import RESIDENT_PAGES, _time, judge
from claimbench.bench.watch.regress.noise import RoundPair
from claimbench.bench.watch.regress.pairing import Matched
from claimbench.bench.watch.regress.series import series
from claimbench.bench.watch.regress.shift import Shift
from claimbench.bench.watch.regress.surroundings import Change
from tests.bench.regress_worlds import exact, many, source, times

OLD, NEW = "a" * 40, "b" * 40
QUIET = (0.100, 0.1004, 0.0997)
GPU = Settings(device="cuda:0", batch=1)


def paired(before, after, *changes):
    """RoundPair the only series of some records with the only one of others."""
    [first], [second] = series(before), series(after)
    return Matched(first, second, changes)


def judged(*pairs):
    """The findings on pairs of records."""
    matched = [pair if isinstance(pair, Matched) else paired(*pair) for pair in pairs]
    before = [record for pair in matched for record in pair.baseline.rounds.values()]
    after = [record for pair in matched for record in pair.candidate.rounds.values()]
    return judge(matched, source(before), source(after))[0]


def verdict(row, before, after, **more):
    """The only finding on two figures that have no rounds."""
    [found] = judged(([exact(row, before, **more)], [exact(row, after, **more, commit=NEW)]))
    return found


@pytest.mark.parametrize(
    ("row", "before", "after", "settings", "expected"),
    [
        ("memory_peak", 10**9, 1_050_000_000, GPU, "same"),
        ("memory_peak", 10**9, 1_050_000_001, GPU, "more"),
        ("memory_peak", 10**9, 950_000_000, GPU, "same"),
        ("memory_peak", 10**9, 949_999_999, GPU, "less"),
        ("memory_peak", 1000, 2000, GPU, "more"),
        ("memory_peak", 1000, 1000 + 2**20, Settings(), "same"),
        ("memory_peak", 1000, 1001 + 2**20, Settings(), "more"),
        ("memory_peak", 1001 + 2**20, 1000, Settings(), "less"),
        ("memory_peak", 10**9, 10**9 + 2**21, Settings(), "same"),
        ("energy", 10.0, 11.0, GPU, "same"),
        ("energy", 1.0, 1.11, GPU, "more"),
        ("energy", 1.0, 0.89, GPU, "less"),
        ("energy", 1.0, 1.11, Settings(), "more"),
    ],
)
def test_figures_taken_once_move_beyond_their_tolerance_only(row, before, after, settings, expected):
    found = verdict(row, before, after, settings=settings)
    assert found.verdict == expected
    assert found.change == pytest.approx(after / before - 1)
    share = "10%" if row == "energy" else "5%"
    pages = " and 1 MiB" if row == "memory_peak" and settings.device == "cpu" else ""
    assert found.reason == f"taken once, so judged by a tolerance of {share}{pages}"
    assert RESIDENT_PAGES == 2**20


@pytest.mark.parametrize(("row", "said"), [("params", "200 became 150"), ("memory_weights", "200.0 became 150.0")])
def test_exact_figures_say_what_became_of_them(row, said):
    same, moved = verdict(row, 200, 200), verdict(row, 200, 150)
    assert (same.verdict, same.reason, same.change) == ("same", "exact", 0)
    assert (moved.verdict, moved.reason) == ("changed", f"{said}, and it may not move at all")
    assert moved.change == pytest.approx(-0.25)
    assert verdict(row, 0, 3).change is None


def score(value, low=None, high=None, **more):
    return exact("top1", value, unit="%", job_metric="accuracy", low=low, high=high, **more)


@pytest.mark.parametrize(
    ("before", "after", "expected", "reason"),
    [
        ((80.0, 79.0, 81.0), (80.0, 79.0, 81.0), "same", "the same score"),
        ((80.0, 79.0, 81.0), (77.9, 76.9, 78.9), "worse", "the scores' intervals are apart"),
        ((80.0, 79.0, 81.0), (82.1, 81.1, 83.1), "better", "the scores' intervals are apart"),
        ((80.0, 79.0, 81.0), (78.0, 77.0, 79.0), "cannot tell", "the scores differ, and their intervals overlap"),
        ((80.0, 79.0, 81.0), (82.0, 81.0, 83.0), "cannot tell", "the scores differ, and their intervals overlap"),
        ((80.0, 79.0, 81.0), (10.0,), "cannot tell", "a score without an interval"),
        ((80.0,), (10.0, 9.0, 11.0), "cannot tell", "a score without an interval"),
        ((80.0, 79.0, None), (10.0, 9.0, 11.0), "cannot tell", "a score without an interval"),
        ((80.0, None, 81.0), (10.0, 9.0, 11.0), "cannot tell", "a score without an interval"),
        ((80.0, 79.0, 81.0), (10.0, 9.0, None), "cannot tell", "a score without an interval"),
        ((80.0, 79.0, 81.0), (10.0, None, 11.0), "cannot tell", "a score without an interval"),
        ((80.0,), (80.0,), "same", "the same score"),
    ],
)
def test_scores_are_told_apart_by_their_intervals(before, after, expected, reason):
    [found] = judged(([score(*before)], [score(*after, commit=NEW)]))
    assert (found.verdict, found.reason) == (expected, reason)
    assert found.change == pytest.approx(after[0] - before[0])


@pytest.mark.parametrize(
    ("before", "after", "expected", "reason"),
    [
        (True, True, "same", "holds as before"),
        (False, False, "same", "does not hold, as before"),
        (True, False, "broken", "it held, and now differs from the official code by 2.0e-03"),
        (False, True, "mended", "it did not hold, and now does"),
        (None, True, "cannot tell", "one side does not say whether it holds"),
        (True, None, "cannot tell", "one side does not say whether it holds"),
    ],
)
def test_parity_holds_or_does_not(before, after, expected, reason):
    def parity(passed, **more):
        return exact("parity", 2e-3, unit="rel", detail={} if passed is None else {"passed": passed}, **more)

    [found] = judged(([parity(before)], [parity(after, commit=NEW)]))
    assert (found.verdict, found.reason) == (expected, reason)
    assert (found.change, found.low, found.high) == (None, None, None)


def test_what_fails_on_one_side_is_said_with_its_reason():
    worked, died = exact("params", 1), exact("params", None, status="failed", reason="out of memory")
    [failed] = judged(([worked], [died]))
    assert (failed.verdict, failed.reason) == ("failed", "measured before, now not: out of memory")
    [mended] = judged(([died], [worked]))
    assert (mended.verdict, mended.reason) == ("mended", "failed before: out of memory")
    assert (failed.change, mended.change) == (None, None)


def shift(size, raw=None, *, apart=True, p_value=0.001, low=None, high=None, needed=3, deviation=0.01):
    return Shift(size if raw is None else raw, size, deviation, 0.005, inf, p_value, apart, low, high, needed)


def told(found, machine=None, rounds=(3, 4), before=None, after=None):
    """The finding on a time that moved as ``found`` says."""
    matched = paired(times("m", QUIET, detail=before or {}), times("m", QUIET, commit=NEW, detail=after or {}))
    first, second = ({(name, index): 0.0 for index in range(count)} for name, count in zip("ab", rounds, strict=True))
    return _time(matched, RoundPair(first, second), found, machine)


def test_a_settled_shift_is_slower_or_faster_with_its_interval_in_per_cent():
    slower = told(shift(log(1.1), low=log(1.05), high=log(1.15)))
    assert slower.verdict == "slower"
    assert (slower.change, slower.low, slower.high) == pytest.approx((0.1, 0.05, 0.15))
    assert slower.reason == "3 and 4 rounds, standard deviation between rounds 1.0%"
    assert slower.needed == 0
    faster = told(shift(log(0.9)))
    assert (faster.verdict, faster.low, faster.high) == ("faster", None, None)
    assert faster.change == pytest.approx(-0.1)


def test_an_excluded_shift_is_the_same():
    found = told(shift(0.001, apart=False, low=-0.01, high=0.012))
    assert (found.verdict, found.needed) == ("same", 0)
    assert found.reason == "3 and 4 rounds, standard deviation between rounds 1.0%"


@pytest.mark.parametrize(
    ("needed", "more", "said"),
    [
        (4, 1, "1 more round a side needed"),
        (3, 1, "1 more round a side needed"),
        (5, 2, "2 more rounds a side needed"),
        (103, 100, "100 more rounds a side needed"),
        (104, 101, "the machine is too noisy, more than 100 more rounds a side would be needed"),
    ],
)
def test_what_is_open_says_how_many_more_rounds_would_tell(needed, more, said):
    found = told(shift(0.03, apart=False, needed=needed))
    assert (found.verdict, found.needed) == ("cannot tell", more)
    assert found.reason == f"standard deviation between rounds 1.0%: {said}"


@pytest.mark.parametrize(
    ("machine", "raw", "said"),
    [
        (shift(0.05, apart=False), log(1.1), "; +5.1% of it is the whole machine's and not counted"),
        (shift(0.05, apart=False), log(1.1) - 0.046, ""),  # less than half a per cent was taken off
        (shift(0.05), log(1.1), ""),  # a machine that is slower beyond doubt is counted
        (None, log(1.1), ""),
    ],
)
def test_what_the_machine_moved_by_is_said_where_it_is_taken_off(machine, raw, said):
    found = told(shift(log(1.1) - 0.05, raw, apart=False, needed=5), machine)
    assert found.reason == f"standard deviation between rounds 1.0%: 2 more rounds a side needed{said}"
    settled = told(shift(log(1.1) - 0.05, raw), machine)
    assert settled.reason == f"3 and 4 rounds, standard deviation between rounds 1.0%{said}"
    same = told(shift(log(1.1) - 0.05, raw, apart=False, low=0.0, high=0.01), machine)
    assert same.reason == f"3 and 4 rounds, standard deviation between rounds 1.0%{said}"


def busy(others):
    state = {"gpu": None}
    return {"machine": {"before": state, "after": state, "others_cores": others, "stolen": 0.0, "seconds": 1.0}}


def test_the_slower_side_on_a_busier_machine_tells_nothing_whichever_it_is():
    said = "the machine was busier while it was slower: other processes used 0.9 cores, and 0.0 on the other side"
    slower = told(shift(log(1.1), needed=9, low=0.0, high=0.2), before=busy(0.0), after=busy(0.9))
    assert (slower.verdict, slower.reason, slower.needed) == ("cannot tell", said, 9)
    assert (slower.change, slower.low) == pytest.approx((0.1, 0.0))
    faster = told(shift(log(0.9), needed=1), before=busy(0.9), after=busy(0.0))
    assert (faster.verdict, faster.reason, faster.needed) == ("cannot tell", said, 3)
    assert told(shift(log(1.1)), before=busy(0.9), after=busy(0.0)).verdict == "slower"
    assert told(shift(log(0.9)), before=busy(0.0), after=busy(0.9)).verdict == "faster"


def slower_by(by, **more):
    """Times of one model before and after."""
    return times("m", QUIET), times("m", tuple(value * by for value in QUIET), **{"commit": NEW, **more})


TORCH = Change("versions", "torch", "2.8.0", "2.9.0")


def test_findings_come_in_the_order_of_the_pairs_and_times_among_them_in_their_own():
    found = judged(
        ([exact("params", 1)], [exact("params", 2, commit=NEW)]),
        slower_by(1.3),
        ([exact("macs", 5)], [exact("macs", 5, commit=NEW)]),
        (times("n", QUIET), times("n", QUIET, commit=NEW)),
    )
    assert [finding.verdict for finding in found] == ["changed", "slower", "same", "same"]
    assert [finding.cause for finding in found] == ["code", "code", "", ""]


@pytest.mark.parametrize(
    ("commits", "changes", "cause", "because"),
    [
        ((OLD, NEW), (), "code", f"commit {OLD[:10]} → {NEW[:10]}"),
        ((OLD, NEW), (TORCH,), "code or environment", f"commit {OLD[:10]} → {NEW[:10]}; torch 2.8.0 → 2.9.0"),
        ((OLD, OLD), (TORCH,), "environment", "torch 2.8.0 → 2.9.0"),
        ((OLD, OLD), (), "unknown", "neither the commit nor anything recorded of the machine changed"),
        ((OLD + "+dirty",) * 2, (), "code", f"commit {OLD[:10]}+dirty → {OLD[:10]}+dirty"),
        (("", ""), (), "code", "commit unknown → unknown"),
    ],
)
def test_the_cause_is_whatever_is_not_as_it_was(commits, changes, cause, because):
    [found] = judged(paired([exact("params", 1, commit=commits[0])], [exact("params", 2, commit=commits[1])], *changes))
    assert (found.cause, found.because) == (cause, because)


def test_nothing_that_stayed_or_is_open_has_a_cause():
    found = judged(
        paired([exact("params", 1)], [exact("params", 1, commit=NEW)], TORCH),
        paired(times("m", [0.1]), times("m", [0.2], commit=NEW), TORCH),
    )
    assert [(finding.verdict, finding.cause, finding.because) for finding in found] == [
        ("same", "", ""),
        ("cannot tell", "", ""),
    ]


def control(by, name="timm:control", **more):
    pair = (
        times(name, QUIET, **{"paper": "", **more}),
        times(name, tuple(v * by for v in QUIET), **{"paper": "", **more}),
    )
    return pair[0], [replace(record, commit=NEW) for record in pair[1]]


def test_a_model_that_no_commit_changes_was_slowed_by_the_machine():
    [found] = judged(paired(*control(1.3), TORCH))
    assert found.cause == "environment"
    assert found.because == "torch 2.8.0 → 2.9.0; no commit of ours changes this model, so the machine did"
    for other in (control(0.7), control(1.3, paper="demo"), control(1.3, name="mine.py:build")):
        [found] = judged(other)
        assert found.cause == "code"


def shifted(by, controls):
    """Eight models that all move by a factor, and controls that do too."""
    before = [[log(value) for value in QUIET]] * 8
    after = [[value + log(by) for value in row] for row in before]
    old, new = series(many(before)), series(many(after, commit=NEW))
    return judged(
        *(Matched(a, b, (TORCH,)) for a, b in zip(old, new, strict=True)), *(control(by, n) for n in controls)
    )


def test_models_that_slowed_down_with_a_control_were_slowed_by_the_machine():
    found = shifted(1.2, ["timm:second", "timm:first"])
    assert {finding.verdict for finding in found} == {"slower"}
    assert {finding.cause for finding in found} == {"environment"}
    because = "torch 2.8.0 → 2.9.0; timm:first, which no commit of ours changes, is slower too"
    assert [finding.because for finding in found[:8]] == [because] * 8
    assert {finding.cause for finding in shifted(1.2, [])} == {"code or environment"}
    faster = shifted(0.8, ["timm:first"])
    assert {finding.verdict for finding in faster} == {"faster"}
    assert [finding.cause for finding in faster[:8]] == ["code or environment"] * 8


def test_a_control_that_slowed_down_acquits_no_other_model_where_the_machine_as_a_whole_did_not():
    steady = [(times(f"s{n}", QUIET), times(f"s{n}", QUIET, commit=NEW)) for n in range(8)]
    [found, *_] = judged(slower_by(1.3), control(1.3), *steady)
    assert (found.verdict, found.cause) == ("slower", "code")
