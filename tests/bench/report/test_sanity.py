"""Results that cannot be are pointed out; ordinary ones are not."""

from dataclasses import replace

import pytest

from claimbench.bench.core.records import Job, Measurement, Record, Settings
from claimbench.bench.report import metrics, sanity

H200 = {"device": "nvidia-h200", "gpu": {"name": "NVIDIA H200"}, "cpu": {}}
CPU = {"device": "cpu", "gpu": None, "cpu": {"architecture": "x86_64", "level": "x86_64_v3", "usable_cores": 2}}


def record(metric, value, subject="a", form="plain", job_metric=None, environment="env", settings=None, **detail):
    job = Job("p", subject, form, job_metric or metric, settings or Settings())
    measurement = Measurement(metric, value, "", "x", detail=detail)
    return Record("run", job, measurement, environment, "", "2026-01-01T00:00:00Z")


def rules(*records, environments=None):
    return [finding.rule for finding in sanity.check(records, environments)]


def test_ordinary_results_are_silent():
    ordinary = [
        record("params", 5_000_000),
        record("macs", 10**9, second_opinion={"agrees": True}),
        record("flops", 2 * 10**9),
        record("throughput", 100.0),
        record("top1", 80.0, job_metric="accuracy", classes=1000, images=50_000, correct=40_000),
        record("top5", 95.0, job_metric="accuracy"),
        record("parity", 0.0, passed=True),
        record("params_trainable", 0),
    ]
    assert rules(*ordinary, environments={"env": H200}) == []


def test_missing_rows_are_not_judged():
    job = Job("p", "a", "", "flops", Settings())
    missing = Record("r", job, Measurement.missing("macs", "MAC", "why", failed=True), "env", "", "t")
    assert sanity.check([missing]) == []


@pytest.mark.parametrize("metric", ["macs", "throughput", "memory_peak", "top1"])
def test_nothing_is_zero(metric):
    assert rules(record(metric, 0)) == ["not-positive"]


@pytest.mark.parametrize("unit", ["points", "bits", ""])
def test_a_score_that_is_no_share_may_be_nothing_or_less(unit):
    gain = record("probe_gain", -1.2, job_metric="accuracy")
    assert rules(replace(gain, measurement=replace(gain.measurement, unit=unit))) == []
    assert rules(replace(gain, measurement=replace(gain.measurement, unit="%"))) == ["not-positive"]


@pytest.mark.parametrize(
    ("metric", "value", "bound"),
    [
        ("games_hit@10", -0.1, "at least 0"),
        ("games_full_ndcg@10", 1.01, "at most 1"),
        ("psnr_set5_x4", -3, "at least 0"),
        ("ssim_set5_x4", -1.5, "at least -1"),
        ("elpv_probe_gain", -101, "at least -100"),
        ("voc12_miou", 100.5, "at most 100"),
        ("coco_box_ap", 101, "at most 100"),
        ("imagenetv2_top1", 140, "at most 100"),
    ],
)
def test_a_score_lies_where_its_row_can_be(metric, value, bound):
    odd = record(metric, value, job_metric="accuracy")
    odd = replace(odd, measurement=replace(odd.measurement, unit=metrics.row(metric).unit))
    found = sanity.check([odd])
    assert [finding.rule for finding in found] == ["out-of-range"]
    assert found[0].message.endswith(f"and can be {bound}")
    edge = float(bound.split()[-1])
    if edge:
        assert sanity.check([replace(odd, measurement=replace(odd.measurement, value=edge))]) == []


def test_chance_is_pointed_out():
    found = sanity.check([record("top1", 0.12, classes=1000)])
    assert found[0].rule == "chance"
    assert "0.12 %" in found[0].message
    assert rules(record("top1", 0.5, classes=1000)) == []


def test_two_models_with_the_same_score_are_likely_one():
    score = {"images": 50_000, "correct": 40_000}
    found = sanity.check([record("top1", 80.0, "a", **score), record("top1", 80.0, "b", **score)])
    assert [f.rule for f in found] == ["same-score"]
    assert found[0].message == "a and b have exactly the same top1"
    assert len(found[0].jobs) == 2
    assert rules(record("top1", 80.0, "a", **score), record("top1", 80.0, "a", "merged", **score)) == []
    few = {"images": 10, "correct": 8}
    assert rules(record("top1", 80.0, "a", **few), record("top1", 80.0, "b", **few)) == []


def test_two_models_of_the_same_size_are_likely_one():
    a = [record("params", 5, "a"), record("macs", 7, "a")]
    b = [record("params", 5, "b"), record("macs", 7, "b")]
    assert rules(*a, *b) == ["same-size"]
    assert rules(*a, record("params", 5, "b"), record("macs", 8, "b")) == []


def test_top5_is_at_least_top1():
    rows = [record("top1", 80.0, job_metric="accuracy"), record("top5", 70.0, job_metric="accuracy")]
    assert rules(*rows) == ["top5-below-top1"]


def test_counters_that_disagree_are_shown():
    opinion = {"agrees": False, "macs": 1100, "relative_difference": 0.1}
    found = sanity.check([record("macs", 1000, second_opinion=opinion)])
    assert found[0].message == "a (plain): 1,000 MACs by our count and 1,100 by fvcore (+10.0%)"


def test_broken_parity_is_shown():
    assert rules(record("parity", 1e-3, passed=False)) == ["parity-broken"]


def test_no_model_beats_its_device():
    work, speed = record("flops", 10**10), record("throughput", 10_000.0)
    found = sanity.check([work, speed], {"env": H200})
    assert found[0].rule == "above-peak"
    assert "100.0 TFLOP/s, more than the 67.0 of nvidia-h200" in found[0].message
    halves = Settings(precision="bf16")
    assert rules(work, record("throughput", 10_000.0, settings=halves), environments={"env": H200}) == []
    assert rules(work, speed) == [], "an unknown device has no known peak"


def test_peaks():
    assert sanity.peak_flops(H200, "bf16") == 990e12
    assert sanity.peak_flops({"gpu": {"name": "NVIDIA A100-SXM4-80GB"}}, "tf32") == 156e12
    assert sanity.peak_flops({"gpu": {"name": "Some Accelerator"}}, "fp32") is None
    assert sanity.peak_flops(CPU, "fp32") == 2 * 6e9 * 32
    assert sanity.peak_flops({"cpu": {"architecture": "aarch64", "level": "baseline"}}, "fp32") is None
