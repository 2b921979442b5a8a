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


def test_a_value_beside_a_failure_is_not_judged():
    dead = record("macs", 0)
    dead = replace(dead, measurement=replace(dead.measurement, status="failed", reason="died"))
    assert rules(dead) == []


@pytest.mark.parametrize("metric", ["macs", "throughput", "memory_peak", "top1"])
def test_nothing_is_zero(metric):
    assert rules(record(metric, 0)) == ["not-positive"]
    [found] = sanity.check([record(metric, -2.5, form="")])
    assert (found.message, found.jobs) == (f"{metric} of a is -2.5", (record(metric, 1, form="").job.key(),))


def test_parity_and_what_is_trained_may_be_nothing_but_no_less():
    for metric in ("parity", "params_trainable"):
        assert rules(record(metric, 0)) == []
        assert rules(record(metric, -1)) == ["not-positive"]


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


@pytest.mark.parametrize(
    ("metric", "value", "classes", "expected"),
    [
        ("top1", 0.3, 1000, ["chance"]),  # three times chance is still chance
        ("top1", 0.301, 1000, []),
        ("imagenet_real_top1", 0.2, 1000, ["chance"]),
        ("top1", 30, 10, ["chance"]),
        ("top1", 30.1, 10, []),
        ("top1", 0.1, None, []),
        ("top1", 0.1, True, []),
        ("top1", 0.1, "1000", []),
        ("voc12_miou", 0.1, 1000, []),
    ],
)
def test_a_score_up_to_three_times_chance_is_chance(metric, value, classes, expected):
    assert rules(record(metric, value, classes=classes)) == expected


def test_two_models_with_the_same_score_are_likely_one():
    score = {"images": 50_000, "correct": 40_000}
    found = sanity.check([record("top1", 80.0, "a", **score), record("top1", 80.0, "b", **score)])
    assert [f.rule for f in found] == ["same-score"]
    assert found[0].message == "a and b have exactly the same top1"
    assert len(found[0].jobs) == 2
    assert rules(record("top1", 80.0, "a", **score), record("top1", 80.0, "a", "merged", **score)) == []
    assert rules(record("top1", 80.0, "a", **score), record("top1", 80.0, "b", **score | {"correct": 40_001})) == []
    assert rules(record("top1", 80.0, "a", **score), record("top1", 80.0, "b", **score | {"images": 50_001})) == []
    assert rules(record("top1", 80.0, "a", **score), record("real_top1", 80.0, "b", **score)) == []
    assert rules(record("top5", 80.0, "a", **score), record("top5", 80.0, "b", **score)) == []


@pytest.mark.parametrize(("images", "expected"), [(10, []), (199, []), (200, ["same-score"]), (None, []), ("200", [])])
def test_two_models_agree_by_accident_on_a_few_images_only(images, expected):
    score = {"images": images, "correct": 8}
    assert rules(record("top1", 80.0, "a", **score), record("top1", 80.0, "b", **score)) == expected


def test_two_models_of_the_same_size_are_likely_one():
    a = [record("params", 5, "a"), record("macs", 7, "a")]
    b = [record("params", 5, "b"), record("macs", 7, "b")]
    assert rules(*a, *b) == ["same-size"]
    assert rules(*a, record("params", 5, "b"), record("macs", 8, "b")) == []
    assert rules(*a, record("params", 6, "b"), record("macs", 7, "b")) == []
    assert rules(*a, record("macs", 7, "a", "merged"), record("params", 5, "a", "merged")) == [], "forms may agree"
    assert rules(*a, record("macs", 7, "b")) == [], "its parameters are not known"
    training = record("macs", 7, "b", settings=Settings(training=True))
    assert rules(*a, record("params", 5, "b"), training) == []
    [found] = sanity.check([*a, *b])
    assert found.message == "a and b have exactly the same parameters and MACs"
    assert found.jobs == (a[1].job.key(), b[1].job.key())


def test_top5_is_at_least_top1():
    rows = [record("top1", 80.0, job_metric="accuracy"), record("top5", 70.0, job_metric="accuracy")]
    [found] = sanity.check(rows)
    assert (found.rule, found.message) == ("top5-below-top1", "top5 of a (plain) is below its top1")
    assert found.jobs == (rows[0].job.key(),)
    equal = [record("top1", 80.0, job_metric="accuracy"), record("top5", 80.0, job_metric="accuracy")]
    assert rules(*equal) == []
    assert rules(rows[0], record("top5", 70.0, "b", job_metric="accuracy")) == [], "another model's"
    assert rules(rows[0], record("voc12_miou", 70.0, job_metric="accuracy")) == []


def test_counters_that_disagree_are_shown():
    opinion = {"counter": "fvcore", "agrees": False, "macs": 1100, "relative_difference": 0.1}
    found = sanity.check([record("macs", 1000, second_opinion=opinion)])
    assert found[0].message == "a (plain): 1,000 MACs by our count and 1,100 by fvcore (+10.0%)"
    assert found[0].jobs == (record("macs", 1000).job.key(),)
    for broken in ({"agrees": True}, {"agrees": None}, {"macs": "many"}, {"relative_difference": None}):
        assert rules(record("macs", 1000, second_opinion={**opinion, **broken})) == []
    assert rules(record("macs", 1000, second_opinion="it disagrees")) == []


def test_broken_parity_is_shown():
    [found] = sanity.check([record("parity", 1e-3, passed=False)])
    assert (found.rule, found.jobs) == ("parity-broken", (record("parity", 1e-3).job.key(),))
    assert found.message == "a (plain) differs from the official implementation by 1.0e-03"
    assert rules(record("parity", 1e-3, passed=True)) == rules(record("parity", 1e-3)) == []
    assert rules(record("macs", 10, passed=False)) == []


def test_no_model_beats_its_device():
    work, speed = record("flops", 10**10), record("throughput", 10_000.0)
    found = sanity.check([work, speed], {"env": H200})
    assert found[0].rule == "above-peak"
    assert "100.0 TFLOP/s, more than the 67.0 of nvidia-h200" in found[0].message
    halves = Settings(precision="bf16")
    assert rules(work, record("throughput", 10_000.0, settings=halves), environments={"env": H200}) == []
    assert rules(work, speed) == [], "an unknown device has no known peak"


def test_only_times_are_held_against_a_device_and_only_with_work_counted_under_the_same_conditions():
    work, speed = record("flops", 10**10), record("throughput", 10_000.0)
    environments = {"env": H200}
    assert rules(work, speed, environments=environments) == ["above-peak"]
    assert rules(work, record("throughput", 6_700.0), environments=environments) == [], "its peak and no more"
    assert rules(work, record("latency", 10_000.0), environments=environments) == []
    assert rules(record("macs", 10**10), speed, environments=environments) == []
    for other in (Settings(input_size=(64,)), Settings(training=True)):
        assert rules(work, record("throughput", 10_000.0, settings=other), environments=environments) == []
    assert rules(work, record("throughput", 10_000.0, "b"), environments=environments) == []
    assert rules(work, record("throughput", 10_000.0, form="merged"), environments=environments) == []
    assert rules(work, record("throughput", 10_000.0, environment="other"), environments=environments) == []
    found = sanity.check([work, speed], {"env": {"gpu": {"name": "H200"}}})
    assert found[0].message.endswith("more than the 67.0 of this device")
    assert found[0].jobs == (speed.job.key(),)


@pytest.mark.parametrize(
    ("name", "teraflops"),
    [  # fp32, tf32, bf16, fp16 as the data sheets round them, dense
        ("NVIDIA B200", (80, 1250, 2500, 2500)),
        ("NVIDIA H200", (67, 495, 990, 990)),
        ("NVIDIA H100 80GB HBM3", (67, 495, 990, 990)),
        ("NVIDIA A100-SXM4-80GB", (19.5, 156, 312, 312)),
        ("NVIDIA L40S", (91.6, 183, 366, 366)),
        ("Tesla V100-SXM2-16GB", (15.7, None, None, 125)),
        ("Tesla T4", (8.1, None, None, 65)),
        ("NVIDIA GeForce RTX 4090", (82.6, 82.6, 330, 330)),
        ("NVIDIA GeForce RTX 3090", (35.6, 35.6, 142, 142)),
        ("Some Accelerator", (None, None, None, None)),
        ("NVIDIA A1000", (None, None, None, None)),
    ],
)
def test_peaks_of_gpus_are_those_of_the_data_sheets(name, teraflops):
    found = [sanity.peak_flops({"gpu": {"name": name}}, precision) for precision in ("fp32", "tf32", "bf16", "fp16")]
    assert found == [None if known is None else known * 1e12 for known in teraflops]


@pytest.mark.parametrize(("level", "lanes"), [("x86_64_v4", 16), ("x86_64_v3", 8), ("baseline", 4)])
def test_a_core_does_no_more_than_two_fused_multiply_adds_of_all_lanes_a_cycle(level, lanes):
    environment = {"cpu": {**CPU["cpu"], "level": level, "usable_cores": 3}}
    single = 3 * 6e9 * 2 * lanes * 2
    assert sanity.peak_flops(environment, "fp32") == single
    assert sanity.peak_flops(environment, "tf32") == single
    assert sanity.peak_flops(environment, "bf16") == sanity.peak_flops(environment, "fp16") == 32 * single


@pytest.mark.parametrize(
    "changes",
    [{"architecture": "aarch64"}, {"level": "x86_64_v9"}, {"usable_cores": None}, {"usable_cores": True}],
)
def test_a_processor_that_is_not_known_has_no_peak(changes):
    assert sanity.peak_flops({"cpu": {**CPU["cpu"], **changes}}, "fp32") is None


@pytest.mark.parametrize("broken", [{"gpu": "H200"}, {"gpu": ["H200"]}, {"cpu": "x86_64"}, {"gpu": {"name": None}}, {}])
def test_an_environment_that_somebody_broke_has_no_peak(broken):
    assert sanity.peak_flops(broken, "fp32") is None
