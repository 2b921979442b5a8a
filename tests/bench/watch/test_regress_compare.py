"""Whole comparisons: like with like, exact figures, what may have caused a change, what is not comparable."""

from dataclasses import replace

import numpy as np
import pytest

from claimbench.bench.core.errors import UserError
from claimbench.bench.core.records import Settings
from claimbench.bench.watch.regress import wording
from claimbench.bench.watch.regress.comparison import compare
from claimbench.bench.watch.regress.markdown import render
from tests.bench.regress_worlds import ENVIRONMENT, SLOWER, exact, many, source, times

OLD, NEW = "a" * 40, "b" * 40
QUIET = (0.100, 0.1004, 0.0997)


def verdicts(outcome):
    return {f.matched.candidate.subject + " " + f.matched.candidate.row: f.verdict for f in outcome.findings}


def slower(values, by=1.05):
    return tuple(value * by for value in values)


def one(outcome):
    [finding] = outcome.findings
    return finding


def test_a_planted_slowdown_is_named_alone():
    chance = np.random.default_rng(0)
    before = chance.normal(-2, 0.5, (20, 1)) + chance.normal(0, 0.005, (20, 3))
    after = before.mean(axis=1, keepdims=True) + chance.normal(0, 0.005, (20, 3))
    after[7] += SLOWER
    outcome = compare(source(many(before)), source(many(after, commit=NEW)))
    assert [finding.matched.candidate.subject for finding in outcome.regressions] == ["model_7"]
    [found] = outcome.regressions
    assert found.verdict == "slower"
    assert found.cause == "code"
    assert found.low is not None
    assert 0 < found.low < 0.05 < found.high < 0.12
    assert outcome.status() == 1
    assert "1 regression in 20 comparisons" in outcome.sentence()


def test_throughput_is_judged_by_its_time():
    before = times("m", QUIET, row="throughput")
    after = times("m", slower(QUIET, 1.1), row="throughput", commit=NEW)
    found = one(compare(source(before), source(after)))
    assert (found.verdict, round(found.change, 3)) == ("slower", 0.1)
    assert one(compare(source(after), source(before))).verdict == "faster"


@pytest.mark.parametrize("row", ["latency", "throughput"])
@pytest.mark.parametrize("edited", ["value", "samples"])
def test_a_figure_that_contradicts_its_samples_is_named_and_the_slower_counts(row, edited):
    before = times("m", QUIET, samples=9, row=row)
    slow = times("m", slower(QUIET), samples=9, row=row)
    after = [
        replace(old, measurement=replace(old.measurement, **{edited: getattr(new.measurement, edited)}))
        for old, new in zip(before, slow, strict=True)
    ]
    outcome = compare(source(before), source(after))
    assert one(outcome).verdict == "slower"
    assert "contradict their samples" in outcome.problems[0]
    assert compare(source(before), source(slow)).problems == ()


def test_one_round_is_not_enough_and_the_answer_says_how_many_are():
    found = one(compare(source(times("m", [0.1])), source(times("m", [0.2]))))
    assert found.verdict == "cannot tell"
    assert found.needed == 2
    assert "2 more rounds a side needed" in found.reason


def test_a_noisy_machine_is_told_how_many_more_rounds_it_takes():
    before = times("m", [0.100, 0.103, 0.099])
    found = one(compare(source(before), source(times("m", [0.101, 0.105, 0.100]))))
    assert found.verdict == "cannot tell"
    assert found.needed > 5
    assert f"{found.needed} more rounds a side needed" in found.reason
    hopeless = one(compare(source(times("m", [0.1, 0.2, 0.3])), source(times("m", [0.1, 0.25, 0.3]))))
    assert "too noisy" in hopeless.reason


@pytest.mark.parametrize("row", ["params", "params_trainable", "macs", "flops", "macs_fvcore", "memory_weights"])
def test_exact_figures_may_not_move_at_all(row):
    same = compare(source([exact(row, 10**9)]), source([exact(row, 10**9, commit=NEW)]))
    assert one(same).verdict == "same"
    for other in (10**9 + 1, 10**9 - 1):
        found = one(compare(source([exact(row, 10**9)]), source([exact(row, other, commit=NEW)])))
        assert found.verdict == "changed"
        assert found.regression
        assert "may not move at all" in found.reason


def test_exact_figures_are_compared_across_versions_and_configurations():
    other = {**ENVIRONMENT, "libraries": {"torch": "2.9.0"}}
    before = source([exact("params", 10, options={"config": {"depth": 2}})])
    after = source(
        [exact("params", 11, options={"config": {"depth": 3}}, environment="e2", device="gpu")],
        environments={"e2": other},
    )
    assert one(compare(before, after)).verdict == "changed"


def test_parity_may_be_lost_but_its_last_digits_may_vary():
    held = [exact("parity", 5e-14, unit="rel", detail={"passed": True})]
    varied = [exact("parity", 9e-14, unit="rel", detail={"passed": True}, commit=NEW)]
    lost = [exact("parity", 1e-3, unit="rel", detail={"passed": False}, commit=NEW)]
    assert one(compare(source(held), source(varied))).verdict == "same"
    assert one(compare(source(held), source(lost))).verdict == "broken"
    assert one(compare(source(lost), source(held))).verdict == "mended"


def test_what_fails_now_is_a_regression_and_what_is_merely_missing_is_not():
    before = source(times("m", QUIET))
    failed = times("m", QUIET)[:1]
    failed = [
        replace(r, measurement=replace(r.measurement, value=None, status="failed", reason="died")) for r in failed
    ]
    outcome = compare(before, source(failed))
    assert one(outcome).verdict == "failed"
    assert "died" in one(outcome).reason
    gone = [replace(r, measurement=replace(r.measurement, status="unavailable", reason="no GPU")) for r in failed]
    extra = exact("params", 1)
    outcome = compare(source([*before.records, extra]), source([*gone, extra]))
    assert outcome.status() == 0
    assert "no longer measured (no GPU)" in outcome.unmatched[0].reason


def test_memory_and_energy_are_judged_by_a_stated_tolerance():
    gpu = Settings(device="cuda", batch=1)
    for value, verdict in ((1_000_000_000, "same"), (1_040_000_000, "same"), (1_060_000_000, "more")):
        after = exact("memory_peak", value, unit="B", settings=gpu, commit=NEW)
        found = one(compare(source([exact("memory_peak", 1_000_000_000, unit="B", settings=gpu)]), source([after])))
        assert found.verdict == verdict
        assert "tolerance of 5%" in found.reason
    pages = [exact("memory_peak", value, unit="B") for value in (1_000_000, 1_300_000)]
    assert one(compare(source(pages[:1]), source(pages[1:]))).verdict == "same"
    joules = [exact("energy", value, unit="J/img") for value in (1.0, 1.2)]
    assert one(compare(source(joules[:1]), source(joules[1:]))).verdict == "more"


def test_other_settings_are_not_like_with_like_and_the_reason_names_them():
    before = source(times("m", QUIET, settings=Settings(batch=8)))
    after = source([*times("m", QUIET, settings=Settings(batch=4)), *times("new", QUIET)])
    with pytest.raises(UserError, match=r"batch 8 against 4.*--across batch"):
        compare(before, after)
    outcome = compare(before, after, across=["batch"])
    assert len(outcome.findings) == 1
    assert [one.reason for one in outcome.unmatched] == ["only in the candidate"]


@pytest.mark.parametrize(
    ("changes", "kind", "said"),
    [
        ({"libraries": {"torch": "2.9.0"}}, "versions", "torch 2.8.0 → 2.9.0"),
        ({"gpu": {"driver": "560"}}, "versions", "gpu driver none → 560"),
        ({"variables": {"OMP_NUM_THREADS": "1"}}, "versions", "OMP NUM THREADS none → 1"),
        ({"cpu": {"model": "Other", "usable_cores": 2}}, "machine", "cpu model Test → Other"),
    ],
)
def test_another_environment_is_not_like_with_like_and_is_the_cause_when_asked_for(changes, kind, said):
    environments = {"e1": ENVIRONMENT, "e2": {**ENVIRONMENT, **changes}}
    before = source([*times("m", QUIET), exact("params", 1)])
    after = source(
        [*times("m", slower(QUIET, 1.1), environment="e2"), exact("params", 1, environment="e2")],
        environments=environments,
    )
    outcome = compare(before, after)
    assert outcome.status() == 0
    assert outcome.unmatched[0].reason == said
    assert outcome.unmatched[0].across == (kind,)
    assert f"--across {kind}" in wording.unmatched(outcome)[0]
    [found] = compare(before, after, across=[kind]).regressions
    assert found.cause == "environment"
    assert said in found.because


def test_the_suites_own_version_is_code_and_no_change_of_environment():
    environments = {"e1": ENVIRONMENT, "e2": {**ENVIRONMENT, "libraries": {"torch": "2.8.0", "claimbench": "9"}}}
    after = source(times("m", slower(QUIET, 1.1), environment="e2", commit=NEW), environments=environments)
    [found] = compare(source(times("m", QUIET)), after).regressions
    assert found.cause == "code"


def test_code_and_environment_that_changed_together_are_both_suspected():
    environments = {"e1": ENVIRONMENT, "e2": {**ENVIRONMENT, "libraries": {"torch": "2.9.0"}}}
    after = source(times("m", slower(QUIET, 1.1), environment="e2", commit=NEW), environments=environments)
    [found] = compare(source(times("m", QUIET)), after, across=["versions"]).regressions
    assert found.cause == "code or environment"


def watched(clock=None, others=0.0):
    """What a time's evidence says of the machine."""
    state = {"gpu": None if clock is None else {"sm_mhz": clock}}
    return {"machine": {"before": state, "after": state, "others_cores": others, "stolen": 0.0, "seconds": 1.0}}


def test_clocks_are_part_of_the_environment():
    before = times("m", QUIET, detail=watched(clock=1980))
    after = times("m", slower(QUIET, 1.1), detail=watched(clock=1755))
    [found] = compare(source(before), source(after)).regressions
    assert found.cause == "environment"
    assert "1980 MHz → 1755 MHz" in found.because


def test_a_machine_that_was_busier_while_it_was_slower_is_no_regression():
    before = times("m", QUIET, detail=watched())
    after = times("m", slower(QUIET, 1.3), detail=watched(others=0.9))
    found = one(compare(source(before), source(after)))
    assert found.verdict == "cannot tell"
    assert "other processes used 0.9 cores" in found.reason
    alike = one(compare(source(times("m", QUIET, detail=watched(others=0.9))), source(after)))
    assert alike.verdict == "slower"


def test_a_baseline_of_others_that_slowed_down_too_acquits_the_code():
    chance = np.random.default_rng(0)
    before = chance.normal(-2, 0.003, (8, 3))
    control = {"paper": ""}
    old = [*many(before), *times("timm:control", QUIET, **control)]
    new = [*many(before + SLOWER, commit=NEW), *times("timm:control", slower(QUIET), commit=NEW, **control)]
    outcome = compare(source(old), source(new))
    assert len(outcome.regressions) == 9
    assert {finding.cause for finding in outcome.regressions} == {"environment"}
    assert any("timm:control, which no commit of ours changes" in f.because for f in outcome.regressions)


def test_only_the_newest_commit_of_a_configuration_counts_and_its_runs_are_pooled():
    old = times("m", slower(QUIET, 2), run="20260101T000000Z-aaaaaa")
    night_1 = times("m", QUIET, run="20260102T000000Z-aaaaaa", commit=NEW)
    night_2 = times("m", QUIET, run="20260103T000000Z-aaaaaa", commit=NEW)
    after = times("m", QUIET, run="20260104T000000Z-aaaaaa", commit=NEW)
    found = one(compare(source([*old, *night_1, *night_2]), source(after)))
    assert found.verdict == "same"
    assert len(found.matched.baseline.rounds) == 6


def test_a_comparison_with_itself_finds_nothing():
    records = [*times("m", QUIET), exact("params", 1), exact("memory_peak", 10.0, unit="B")]
    outcome = compare(source(records), source(records))
    assert set(verdicts(outcome).values()) == {"same"}


def test_nothing_in_common_is_an_error_that_says_so():
    with pytest.raises(UserError, match="nothing in common"):
        compare(source(times("m", QUIET)), source(times("other", QUIET)))


def test_hostile_names_are_inert_in_markdown_and_the_page_is_the_same_every_time():
    name = "<script>|`x`\x1b[31m"
    before, after = source(times(name, QUIET)), source(times(name, slower(QUIET, 1.2), commit=NEW))
    page = render(compare(before, after))
    assert page == render(compare(before, after))
    assert "<script>" not in page
    assert "\x1b" not in page
    assert "### Regressions" in page
    assert "slower" in page


def test_json_holds_every_finding():
    outcome = compare(
        source([*times("m", QUIET), exact("params", 1)]), source([*times("m", slower(QUIET, 1.2)), exact("params", 2)])
    )
    data = wording.as_json(outcome)
    assert data["status"] == 1
    assert {(f["row"], f["verdict"]) for f in data["findings"]} == {("latency", "slower"), ("params", "changed")}
