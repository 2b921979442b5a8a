"""Measured against reported: the verdicts, on answers that are known."""

from dataclasses import replace

import pytest

from claimbench.bench.core.records import Settings
from claimbench.bench.papers.spec import Paper
from claimbench.bench.report.compare import compare
from claimbench.bench.report.figures import figures
from claimbench.bench.report.rows import with_unit
from claimbench.bench.report.verdicts import same_device
from tests.bench.record_examples import record

A100 = Settings(device="cuda", batch=64, input_size=(3, 224, 224), precision="fp16")


def paper(*reported, **changes):
    """A paper with one variant, reported as given; strings are YAML-like: metric=value."""
    entries = [
        {"source": "Table 1", **(r if isinstance(r, dict) else {"metric": r[0], "value": r[1]})} for r in reported
    ]
    return Paper.model_validate(
        {
            "id": "demo",
            "title": "A Demo",
            "task": "image-classification",
            "forms": [{"name": "plain", "note": "as trained"}, {"name": "merged", "note": "merged", "default": True}],
            "variants": [{"name": "demo_t", "reported": entries}],
            **changes,
        }
    )


def only(rows, **wanted):
    found = [row for row in rows if all(getattr(row, name) == value for name, value in wanted.items())]
    assert len(found) == 1, [(row.subject, row.form, row.metric, row.verdict) for row in rows]
    return found[0]


@pytest.mark.parametrize(
    ("metric", "printed", "row", "unit", "value", "verdict", "detail"),
    [
        ("params_m", "33", "params", "params", 33_467_040, "within rounding", ""),
        ("params_m", "33", "params", "params", 33_000_000, "exact", ""),
        ("params_m", "33", "params", "params", 33_500_000, "differs", "+1.5 %"),
        ("params_m", "33.0", "params", "params", 33_467_040, "differs", "+1.4 %"),
        ("params_exact", "33467040", "params", "params", 33_467_040, "exact", ""),
        ("params_exact", "33467041", "params", "params", 33_467_040, "differs", "-3e-06 %"),
        ("params_k", "206.9", "params", "params", 206_850, "within rounding", ""),
        ("flops_g", "5.5", "macs", "MAC", 5_619_503_832, "differs", "+2.2 %"),
        ("flops_g", "5.6", "macs", "MAC", 5_619_503_832, "within rounding", ""),
        ("flops_g", "6", "macs", "MAC", 5_619_503_832, "within rounding", ""),
        ("flops_g", "9.7", "macs", "MAC", 9_640_000_000, "differs", "-0.62 %"),
        ("macs", "74642767872", "macs", "MAC", 74_642_767_872, "exact", ""),
        ("imagenet1k_top1", "84.2", "top1", "%", 84.16, "within rounding", ""),
        ("imagenet1k_top1", "84.2", "top1", "%", 84.9, "better", "+0.83 %"),
        ("imagenet1k_top1", "84.2", "top1", "%", 80.0, "differs", "-5.0 %"),
        ("latency_ms", "12", "latency", "s", 0.0118, "not comparable", "the source does not say on which device"),
    ],
)
def test_the_verdict_on_one_figure(metric, printed, row, unit, value, verdict, detail):
    rows = compare(paper((metric, printed)), [record(row, value, unit=unit)])
    found = only(rows, metric=metric)
    assert (found.verdict, found.detail) == (verdict, detail)
    assert found.reported.startswith(printed)
    assert found.source == "Table 1"


def test_an_interval_that_reaches_the_reported_figure_is_agreement():
    top1 = {"unit": "%", "low": 83.74, "high": 84.38}
    assert (
        only(compare(paper(("imagenet1k_top1", "84.2")), [record("top1", 84.06, **top1)])).verdict == "within interval"
    )
    assert only(compare(paper(("imagenet1k_top1", "84.5")), [record("top1", 84.06, **top1)])).verdict == "differs"
    assert only(compare(paper(("imagenet1k_top1", "84.43")), [record("top1", 84.06, **top1)])).verdict == "differs"
    better = only(compare(paper(("imagenet1k_top1", "83.0")), [record("top1", 84.06, **top1)]))
    assert (better.verdict, better.detail) == ("better", "+1.3 %")


def test_fewer_parameters_than_reported_differ_and_are_not_better():
    assert only(compare(paper(("params_m", "33")), [record(value=30_000_000)])).verdict == "differs"


def test_a_score_on_another_data_set_answers_nothing():
    row = only(compare(paper(("imagenet1k_top1", "84.2")), [record("top1", 84.2, unit="%", detail={"classes": 10})]))
    assert (row.verdict, row.detail) == ("not comparable", "reported on 1000 classes, measured on 10")


def test_a_figure_is_compared_with_its_own_form_and_other_forms_are_not_reported():
    rows = compare(
        paper(("params_m", "33"), {"metric": "flops_g", "value": "6.0", "form": "plain"}),
        [
            record(value=33_467_040),
            record(value=34_990_472, form="plain"),
            record("macs", 5_997_028_056, unit="MAC", form="plain"),
            record("macs", 5_619_503_832, unit="MAC"),
        ],
    )
    assert only(rows, metric="params_m").form == "merged"
    assert only(rows, metric="params_m").verdict == "within rounding"
    assert only(rows, metric="params", form="plain").verdict == "not reported"
    assert only(rows, metric="flops_g", form="plain").verdict == "within rounding"
    assert only(rows, metric="macs", form="merged").verdict == "not reported"


def test_a_figure_measured_in_another_form_only_is_not_measured():
    row = only(compare(paper(("params_m", "33")), [record(form="plain")]), metric="params_m")
    assert (row.verdict, row.detail) == ("not measured", "measured in the form plain only")


def test_every_reported_figure_is_a_row_measured_or_not():
    rows = compare(
        paper(
            ("params_m", "33"),
            ("imagenet1k_top1", "84.2"),
            ("imagenet_real_top1", "89.0"),
            ("sparkle_factor", "7"),
            {"metric": "throughput_img_s", "value": None, "source": "not found"},
            baselines=[{"model": "Other-B", "reported": [{"metric": "params_m", "value": 89, "source": "README"}]}],
            downstream=[
                {
                    "metric": "coco_box_ap",
                    "value": "48.3",
                    "model": "demo_t",
                    "head": "Mask R-CNN",
                    "dataset": "COCO 2017",
                },
                {
                    "model": "demo_t",
                    "dataset": "ADE20K",
                    "schedule": "160k",
                    "batch": 16,
                    "ade20k_miou": 50.3,
                    "flops_g": 33.7,
                },
            ],
        ),
        [record("top1", None, unit="%", reason="needs the data set")],
    )
    why = {(row.subject, row.metric): (row.verdict, row.detail) for row in rows}
    assert why == {
        ("demo_t", "params_m"): ("not measured", "not part of what was run"),
        ("demo_t", "imagenet1k_top1"): ("not measured", "needs the data set"),
        ("demo_t", "imagenet_real_top1"): (
            "not measured",
            "needs the data set and trained weights: --metrics accuracy --dataset imagenet-real",
        ),
        ("demo_t", "sparkle_factor"): ("not measured", "nothing in this suite measures it"),
        ("demo_t", "throughput_img_s"): ("not reported", ""),
        ("Other-B", "params_m"): ("not measured", "timm does not have this model"),
        ("demo_t", "coco_box_ap"): ("not measured", "needs COCO 2017 and Mask R-CNN"),
        ("demo_t", "ade20k_miou"): ("not measured", "needs ADE20K"),
        ("demo_t", "flops_g"): ("not measured", "needs ADE20K"),
    }


def test_a_row_of_what_was_not_measured_says_how_it_was_reported():
    reported = {"metric": "throughput_img_s", "value": "1100", "note": "on a warm day", "approximate": True}
    conditions = {"device": "V100", "batch": 64, "precision": "amp", "input_size": 384}
    row = only(compare(paper({**reported, **conditions}), []))
    assert row.conditions == "384 px, V100, batch 64, amp"
    assert (row.title, row.unit, row.reported, row.source) == ("Throughput", "img/s", "1100 img/s", "Table 1")
    assert row.notes == ("the reported figure is approximate", "on a warm day")
    assert (row.form, row.measured, row.value, row.low, row.high) == ("", "", None, None, None)
    assert only(compare(paper(reported), [])).conditions == ""
    silent = only(compare(paper({**reported, **conditions, "value": None}), []))
    assert (silent.verdict, silent.reported, silent.conditions) == ("not reported", "", row.conditions)


def test_a_figure_that_no_source_gives_is_the_measured_row_with_the_place_where_it_was_looked_for():
    silent = {"metric": "params_m", "value": None, "source": "not in Table 3"}
    row = only(compare(paper(silent), [record()]))
    assert (row.metric, row.verdict, row.source, row.measured) == (
        "params",
        "not reported",
        "not in Table 3",
        "33.47 M",
    )
    rows = compare(paper(silent), [record(form="plain")])
    assert [(row.metric, row.form, row.source) for row in rows] == [
        ("params_m", "merged", "not in Table 3"),
        ("params", "plain", "not in Table 3"),
    ]
    assert only(compare(paper(), [record()])).source == ""


def test_subjects_come_in_the_papers_order_and_their_rows_in_that_of_tables():
    records = [
        record(subject="timm:third", form=""),
        record("macs", 7, unit="MAC"),
        record("latency", 0.1, unit="s"),
        record(),
        record(subject="timm:other", form=""),
        record("macs", 7, unit="MAC", form="plain"),
        record("macs", 7, unit="MAC", form="a"),
        record(form="plain"),
    ]
    baselines = [
        {"model": "Nowhere-B", "reported": [{"metric": "params_m", "value": 5, "source": "README"}]},
        {"model": "Other-B", "timm": "other", "reported": []},
    ]
    rows = compare(paper(("params_m", "33"), baselines=baselines, downstream=[{"metric": "x", "value": 1}]), records)
    assert [(row.subject, row.metric, row.form) for row in rows] == [
        ("demo_t", "params_m", "merged"),
        ("demo_t", "macs", "merged"),
        ("demo_t", "latency", "merged"),
        ("demo_t", "macs", "a"),
        ("demo_t", "params", "plain"),
        ("demo_t", "macs", "plain"),
        ("Nowhere-B", "params_m", ""),
        ("Other-B", "params", ""),
        ("timm:third", "params", ""),
        ("demo", "x", ""),
    ]


def test_a_baseline_is_compared_with_what_is_reported_of_it_in_the_form_that_it_has():
    baselines = [{"model": "B", "timm": "b", "reported": [{"metric": "params_m", "value": "33", "source": "README"}]}]
    row = only(compare(paper(baselines=baselines), [record(subject="timm:b", form="as it is")]), subject="B")
    assert (row.verdict, row.form, row.source) == ("within rounding", "", "README")


def test_another_task_is_a_row_for_each_of_its_numbers_with_its_setting():
    entry = {
        "model": "demo_t", "framework": "MMSeg", "head": "UPerNet", "schedule": "160k", "dataset": "ADE20K",
        "source": "Table 5", "approximate": True, "ade20k_miou": 50.3, "crop": "512x512", "pretrained": True,
        "batch": 16, "epochs": 127, "input_size": 512, "resolution": 512, "seed": 0, "size": 512,
    }  # fmt: skip
    row = only(compare(paper(downstream=[entry]), []))
    assert (row.subject, row.metric, row.title) == ("demo_t", "ade20k_miou", "ADE20K val, mIoU")
    assert row.conditions == "MMSeg, UPerNet, 160k, ADE20K"
    assert row.reported == with_unit("50.3", row.unit)
    assert (row.verdict, row.detail, row.source) == ("not measured", "needs ADE20K and UPerNet", "Table 5")
    assert row.notes == ("the reported figure is approximate",)


@pytest.mark.parametrize(
    ("entry", "verdict", "detail"),
    [
        ({"metric": "ade20k_miou", "value": None, "dataset": "ADE20K"}, "not reported", "needs ADE20K"),
        ({"metric": "some_miou", "value": 50}, "not measured", "needs a segmenter trained on the data set"),
        ({"metric": "flops_g", "value": 50}, "not measured", "other tasks are not run here"),
    ],
)
def test_a_figure_on_another_task_says_what_it_would_take(entry, verdict, detail):
    row = only(compare(paper(downstream=[entry]), []))
    assert (row.subject, row.verdict, row.detail, row.source, row.notes) == ("demo", verdict, detail, "", ())
    assert row.reported == ("" if entry["value"] is None else with_unit("50", row.unit))


def test_a_failed_measurement_is_a_row_that_says_why():
    dead = record("params", None, status="failed", reason="killed by signal 9")
    row = only(compare(paper(("params_m", "33")), [dead]))
    assert (row.verdict, row.detail, row.reported) == ("not measured", "failed: killed by signal 9", "33 M")
    row = only(compare(paper(), [dead]))
    assert (row.verdict, row.detail, row.reported) == ("not measured", "failed: killed by signal 9", "")


def timed(value, times=((0.1,) * 20,) * 3, subject="demo_t", form="merged", settings=A100, run=None, **more):
    """Records of a throughput in several rounds, each image taking the given times."""
    return [
        record(
            "throughput",
            1 / sorted(seconds)[len(seconds) // 2],
            unit="img/s",
            subject=subject,
            form=form,
            settings=settings,
            round=number,
            samples=tuple(s * 64 for s in seconds),
            **({"run": run} if run else {}),
            **more,
        )
        for number, seconds in enumerate(times)
    ]


REPORTED_A100 = {"metric": "throughput_img_s", "value": "10", "device": "A100", "batch": 64, "precision": "float16"}


@pytest.mark.parametrize(
    ("changes", "settings", "verdict", "detail"),
    [
        ({}, {}, "exact", ""),
        ({"value": "8"}, {}, "better", "+25.0 %"),
        ({"value": "20"}, {}, "differs", "-50.0 %"),
        (
            {"device": "V100"},
            {},
            "not comparable",
            "reported on V100; absolute figures are not compared across devices",
        ),
        ({"device": ""}, {}, "not comparable", "the source does not say on which device"),
        ({"batch": 128}, {}, "not comparable", "reported with batch 128, measured with 64"),
        ({"precision": "amp"}, {}, "not comparable", "reported in amp, measured in fp16"),
        ({"input_size": 384}, {}, "not comparable", "reported at 384 px, measured at 224 px"),
        ({"batch": None}, {"batch": 32}, "exact", ""),
    ],
)
def test_times_are_compared_under_the_same_conditions_only(changes, settings, verdict, detail):
    records = [
        replace(r, job=replace(r.job, settings=replace(A100, device="nvidia-a100-sxm4-80gb", **settings)))
        for r in timed(10)
    ]
    row = only(compare(paper({**REPORTED_A100, **changes}), records))
    assert (row.verdict, row.detail) == (verdict, detail)


@pytest.mark.parametrize(
    ("printed", "measured", "same"),
    [
        ("A100", "nvidia-a100-sxm4-80gb", True),
        ("NVIDIA Tesla V100 GPU", "nvidia-v100-sxm2-16gb", True),
        ("1x RTX 3090, PyTorch 1.13", "nvidia-geforce-rtx-3090", True),
        ("RTX 3090", "nvidia-geforce-rtx-3090-ti", False),
        ("RTX 4090", "nvidia-geforce-rtx-4090-laptop-gpu", False),
        ("A100 40GB", "nvidia-a100-sxm4-80gb", False),
        ("8 V100", "nvidia-v100-sxm2-16gb", False),
        ("H100", "nvidia-h200", False),
        ("CPU", "cpu-amd-epyc-7b13-2c", False),
        ("GPU", "nvidia-h200", False),
        ("Intel i9-10940X", "cpu-intel-core-i9-10940x-14c", True),
    ],
)
def test_devices_are_recognised_by_every_printed_word(printed, measured, same):
    assert same_device(printed, measured) is same


def test_of_several_configurations_those_that_compare_are_judged():
    cuda = replace(A100, device="a100")
    rows = compare(paper(REPORTED_A100), [*timed(10, settings=cuda), *timed(10, settings=replace(cuda, batch=1))])
    assert only(rows, verdict="exact").conditions == "224x224 px, batch 64, fp16, eager"
    assert only(rows, verdict="not reported").conditions == "224x224 px, batch 1, fp16, eager"


def test_figures_that_do_not_compare_appear_once():
    rows = compare(
        paper({**REPORTED_A100, "device": "V100"}), [*timed(10), *timed(10, settings=replace(A100, batch=1))]
    )
    assert sorted(row.verdict for row in rows) == ["not comparable", "not reported"]


def test_training_times_never_answer_figures_about_inference():
    rows = compare(
        paper({**REPORTED_A100, "device": "a100"}),
        timed(10, settings=replace(A100, device="a100", training=True)),
    )
    assert only(rows, metric="throughput_img_s").verdict == "not measured"
    assert only(rows, metric="throughput_training").title == "Throughput, training"


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        ({}, ()),
        ({"batch": None}, ("the source does not state the batch",)),
        ({"precision": ""}, ("the source does not state the precision",)),
        ({"batch": None, "precision": ""}, ("the source does not state the batch and precision",)),
        ({"batch": None, "device": "V100"}, ()),
    ],
)
def test_what_a_source_leaves_open_about_a_time_is_noted_where_it_is_compared(changes, note):
    records = timed(10, settings=replace(A100, device="a100"))
    assert only(compare(paper({**REPORTED_A100, **changes}), records)).notes == note


@pytest.mark.parametrize(
    ("names", "relative", "macs", "explained"),
    [
        (["flops_g"], [0.0, 0.2], 6_000_000_000, True),
        (["macs"], [0.2, 0.3], 6_000_000_000, True),
        (["flops_g"], [0.1, 0.2], 5_750_000_000, True),
        (["flops_g"], [0.22, 0.3], 6_000_000_000, False),
        (["flops_g"], [-0.3, 0.19], 6_000_000_000, False),
        (["flops_g"], None, 6_000_000_000, True),
        (["params_m"], [0.0, 0.1], 6_000_000_000, None),
    ],
)
def test_a_deviation_explains_what_lies_in_its_range(names, relative, macs, explained):
    known = {"text": "known", "source": "x", "metrics": names, **({"relative": relative} if relative else {})}
    row = only(compare(paper(("flops_g", "5.0"), deviations=[known]), [record("macs", macs, unit="MAC")]))
    assert row.verdict == "differs"
    if explained is None:
        assert row.notes == ()
    else:
        assert row.notes[-1] == "known"
        assert len(row.notes) == (1 if explained else 2)


def test_several_deviations_are_named_with_the_widest_range_that_they_give():
    known = [
        {"text": "one", "source": "x", "metrics": ["flops_g"], "relative": [-0.05, 0.01]},
        {"text": "two", "source": "x", "metrics": ["macs"], "relative": [0, 0.1]},
        {"text": "three", "source": "x", "metrics": ["macs"]},
    ]
    row = only(compare(paper(("flops_g", "5.0"), deviations=known), [record("macs", 6_000_000_000, unit="MAC")]))
    assert row.notes == (
        "known deviations move it by -5.0 % to +10.0 % and do not explain this", "one", "two", "three"
    )  # fmt: skip
    inside = only(compare(paper(("flops_g", "5.0"), deviations=known), [record("macs", 5_400_000_000, unit="MAC")]))
    assert inside.notes == ("two", "one", "three")  # the one whose size accounts for it comes first
    assert (row.degree, inside.degree) == ("off", "explained")


def test_a_deviation_of_unknown_size_explains_nothing_and_a_convention_does():
    silent = {"text": "silent", "source": "x", "metrics": ["macs"]}
    records = [record("macs", 6_000_000_000, unit="MAC"), record("macs_fvcore", 5_040_000_000, unit="MAC")]
    assert only(compare(paper(("flops_g", "5.5"), deviations=[silent]), records[:1])).degree == "off"
    assert only(compare(paper(("flops_g", "5.0")), records), metric="flops_g").degree == "explained"
    assert only(compare(paper(("flops_g", "5.1")), records), metric="flops_g").degree == "off"


def test_a_figure_that_was_rounded_twice_holds():
    assert only(compare(paper(("params_m", "5.56")), [record(value=5_554_600)])).verdict == "within rounding"
    assert only(compare(paper(("params_m", "5.56")), [record(value=5_554_400)])).verdict == "differs"


def test_deviations_are_the_variants_and_not_the_baselines():
    known = {"text": "known", "source": "x", "metrics": ["params_m"]}
    baselines = [{"model": "B", "timm": "b", "reported": [{"metric": "params_m", "value": "5", "source": "README"}]}]
    row = only(
        compare(paper(deviations=[known], baselines=baselines), [record(subject="timm:b", form="")]), subject="B"
    )
    assert (row.verdict, row.notes) == ("differs", ())


def test_deviations_explain_differences_and_only_those():
    known = {
        "text": "the counter leaves out norms",
        "source": "issue 49",
        "metrics": ["flops_g"],
        "relative": [0, 0.03],
    }
    near = compare(paper(("flops_g", "5.5"), deviations=[known]), [record("macs", 5_619_503_832, unit="MAC")])
    assert only(near).notes == ("the counter leaves out norms",)
    right = compare(paper(("flops_g", "5.6"), deviations=[known]), [record("macs", 5_619_503_832, unit="MAC")])
    assert only(right).notes == ()
    far = compare(paper(("flops_g", "5.0"), deviations=[known]), [record("macs", 5_619_503_832, unit="MAC")])
    assert only(far).notes == (
        "known deviations move it by +0.00 % to +3.0 % and do not explain this",
        "the counter leaves out norms",
    )


def test_another_way_of_counting_that_gives_the_figure_is_named():
    macs = record("macs", 5_000_000_000, unit="MAC")
    fvcore, flops = record("macs_fvcore", 5_300_000_000, unit="MAC"), record("flops", 10_000_000_000, unit="FLOP")
    as_fvcore = compare(paper(("flops_g", "5.3")), [macs, fvcore, flops])
    assert only(as_fvcore, metric="flops_g").notes == (
        "it is 5.3 G counted as fvcore does, with norms, pooling and resizing",
    )
    twice = compare(paper(("flops_g", "10.0")), [macs, fvcore, flops])
    assert only(twice, metric="flops_g").notes == ("it is 10.0 G counting a multiply-add as two",)
    for odd in ({"form": "plain"}, {"settings": Settings(input_size=(64,))}, {"value": 5_400_000_000}):
        other = record("macs_fvcore", **{"value": 5_300_000_000, "unit": "MAC", **odd})
        assert only(compare(paper(("flops_g", "5.3")), [macs, other]), metric="flops_g").notes == ()
    failed = record("macs_fvcore", None, unit="MAC", status="failed", reason="died")
    assert only(compare(paper(("flops_g", "5.3")), [macs, failed]), metric="flops_g").notes == ()
    exact = compare(paper(("macs", "5300000000")), [macs, fvcore])
    assert only(exact, metric="macs").notes == (
        "it is 5300000000 counted as fvcore does, with norms, pooling and resizing",
    )
    cut_off = compare(paper(("params_m", "14.13")), [record(value=14_139_579)])
    assert only(cut_off).notes == ("it is the printed figure when further digits are dropped instead of rounded",)
    assert only(compare(paper(("params_m", "14.12")), [record(value=14_139_579)])).notes == ()


def test_rounds_are_combined_into_one_figure():
    rounds = timed(10, times=((0.1,) * 20, (0.104,) * 20, (0.102,) * 20))
    [figure] = figures(rounds)
    assert figure.value == pytest.approx(1 / 0.102)
    assert (figure.low, figure.high) == (pytest.approx(1 / 0.104), pytest.approx(1 / 0.1))
    assert (figure.rounds, figure.samples) == (3, 60)
    assert only(compare(paper(), rounds)).measured == "9.804 img/s ±2 % (3 x 20)"


def test_an_interval_far_wider_than_its_figure_is_shown_by_its_ends():
    apart = timed(10, times=((0.1,) * 20, (0.4,) * 20, (0.1,) * 20))
    assert only(compare(paper(), apart)).measured == "10 img/s [2.500, 10] (3 x 20)"


@pytest.mark.parametrize(("size", "shown"), [((), "224x224 px"), ((96,), "96x96 px"), ((96, 64), "96x64 px")])
def test_the_size_that_was_measured_is_shown(size, shown):
    settings = Settings(batch=1, input_size=size)
    found = compare(
        paper(), [record("latency", 0.1, unit="s", settings=settings, options={"sample_shape": [3, 224, 224]})]
    )
    assert only(found, metric="latency").conditions.startswith(shown)


def test_the_newest_run_of_a_configuration_counts_and_its_last_word_in_a_round():
    old, new = "20250101T000000Z-000000", "20260101T000000Z-000000"
    records = [record(value=3, run=new), record(value=2, run=new), record(value=1, run=old)]
    assert [figure.value for figure in figures(records)] == [2]
    assert [figure.value for figure in figures(reversed(records))] == [3]
    [figure] = figures([*timed(10, run=new)[:2], *timed(20, times=((0.05,) * 20,) * 5, run=old)])
    assert figure.rounds == 2


def test_a_round_that_failed_is_pointed_out_and_the_others_count():
    records = [
        *timed(10)[:2],
        record("throughput", None, status="failed", reason="died", settings=A100, round=2, unit="img/s"),
    ]
    row = only(compare(paper(), records))
    assert row.value == pytest.approx(10)
    assert row.notes == ("1 of 3 rounds failed",)


def test_times_without_samples_are_combined_from_their_values():
    bare = [replace(r, measurement=replace(r.measurement, samples=())) for r in timed(10)]
    row = only(compare(paper(), bare))
    assert row.value == pytest.approx(10)
    assert row.low is None


def test_noise_is_a_note():
    rounds = timed(10, times=((0.1,) * 20, (0.12,) * 20), detail={"noisy_reasons": ["other processes ran"]})
    assert only(compare(paper(), rounds)).notes == ("noisy: rounds lie 18.2 % apart",)


def test_an_approximate_figure_may_be_off_by_its_last_digit():
    off_chart = {"metric": "imagenet1k_top1", "value": "84.2", "approximate": True}
    row = only(compare(paper(off_chart), [record("top1", 84.29, unit="%")]))
    assert (row.verdict, row.notes) == ("within rounding", ("the reported figure is approximate",))
    assert only(compare(paper(off_chart), [record("top1", 84.0, unit="%")])).verdict == "differs"


def test_a_user_s_own_model_is_listed_beside_the_paper_s():
    rows = compare(paper(), [record(subject="mine.py:build", paper="", form="")])
    assert only(rows, subject="mine.py:build").verdict == "not reported"


def test_subjects_can_be_chosen():
    reported = ("params_m", "33")
    baselines = [{"model": "B", "timm": "b", "reported": [{"metric": "params_m", "value": "5", "source": "README"}]}]
    demo = paper(reported, baselines=baselines, downstream=[{"metric": "x", "value": 1}])
    assert compare(demo, [], subjects=()) == []
    for name in ("B", "timm:b"):
        assert [row.subject for row in compare(demo, [record(), record(subject="timm:b")], subjects=[name])] == ["B"]
    assert [row.subject for row in compare(demo, [record()], subjects=["demo_t"])] == ["demo_t"]
    assert [row.subject for row in compare(demo, [record()])] == ["demo_t", "B", "demo"]


@pytest.mark.parametrize(
    ("value", "passed", "verdict"), [(0.0, True, "exact"), (3e-14, True, "within rounding"), (2e-3, False, "differs")]
)
def test_parity_is_judged_by_the_golden_records(value, passed, verdict):
    detail = {"passed": passed, "goldens": [{"file": "demo/demo_t@64x96.json"}]}
    row = only(compare(paper(), [record("parity", value, unit="rel", detail=detail)]))
    assert (row.verdict, row.reported) == (verdict, "0")
    assert "demo_t@64x96" in row.conditions
    assert "golden" in row.source


def test_a_parity_row_says_which_record_allows_more_and_why():
    goldens = [{"file": "a.json", "tolerance": 1e-9}, {"file": "b.json", "tolerance": 1e-6, "float32_inside": "sines"}]
    row = only(compare(paper(), [record("parity", 1e-8, unit="rel", detail={"passed": True, "goldens": goldens})]))
    assert (row.verdict, row.notes) == ("within rounding", ("b allows 1e-06: sines",))


def test_a_newer_run_replaces_one_that_gathered_less_evidence():
    old = record("parity", None, options={"goldens": []}, unit="rel")
    new = record(
        "parity", 1e-14, options={"goldens": ["a"]}, unit="rel", run="20270101T000000Z-aaaaaa", detail={"passed": True}
    )
    assert only(compare(paper(), [old, new])).verdict == "within rounding"
