"""What stands on which axis: reported and measured apart, and nothing under a name that is not its own."""

import pytest

from claimbench.bench.core.records import Settings
from claimbench.bench.papers import registry
from claimbench.bench.papers.spec import Paper
from claimbench.bench.publish.site.gather import gather
from claimbench.bench.publish.site.points import points
from claimbench.bench.store.store import Store
from tests.bench.publish.site.site_examples import MODELS, demo_paper, fill
from tests.bench.record_examples import record


def of(store, paper):
    found, axes = points(gather(store, [paper]).papers)
    return found, axes


def only(found, **wanted):
    return [point for point in found if all(getattr(point, name) == value for name, value in wanted.items())]


def test_a_measured_point_joins_times_with_counts_and_borrows_the_reported_score(tmp_path):
    fill(Store(tmp_path))
    found, axes = of(Store(tmp_path), demo_paper())
    (point,) = only(found, model="demo_t", evidence="measured")
    assert (point.device, point.batch, point.precision, point.mode) == ("box", "8", "fp32", "eager, 2 threads")
    assert point.values["params"] == (10.0, None, None, "m")
    assert point.values["macs"] == (2.0, None, None, "m")
    value, low, high, basis = point.values["throughput"]
    assert value == pytest.approx(101, rel=1e-3)
    assert low < value < high
    assert basis == "m"
    assert point.values["imagenet1k_top1"] == (80.0, None, None, "r")
    assert axes["throughput"].better == "higher"


def test_a_reported_point_holds_what_the_source_says(tmp_path):
    fill(Store(tmp_path))
    found, _ = of(Store(tmp_path), demo_paper())
    (point,) = only(found, model="demo_t", evidence="reported")
    assert point.values == {
        "params": (10.0, None, None, "r"), "macs": (2.5, None, None, "r"), "imagenet1k_top1": (80.0, None, None, "r"),
    }  # fmt: skip


def test_reported_figures_come_in_the_units_of_the_axes(tmp_path):
    reported = [
        {"metric": metric, "value": value, "source": "a"}
        for metric, value in (("params_k", "22000"), ("macs", "1.5e9"))
    ]
    paper = Paper.model_validate(
        {"id": "demo", "title": "D", "task": "t", "variants": [{"name": "demo_t", "reported": reported}]}
    )
    (point,), _ = of(Store(tmp_path), paper)
    assert point.values["params"][0] == pytest.approx(22)
    assert point.values["macs"][0] == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("metric", "detail", "settings", "axis"),
    [
        ("top1", {"classes": 1000}, {}, "imagenet1k_top1"),
        ("top1", {"classes": 10}, {}, "top1 10 classes"),
        ("top1", {"classes": 1000}, {"quick": True}, "top1 1,000 images"),
        ("top1", {}, {}, "top1 None classes"),
        ("study_top1", {"classes": 1000}, {}, "study_top1"),
    ],
)
def test_only_a_full_score_of_1000_classes_stands_where_imagenet_stands(tmp_path, metric, detail, settings, axis):
    store = Store(tmp_path)
    store.append(
        record(metric, 81.0, subject="demo_t", form="model", unit="%", detail=detail, settings=Settings(**settings)),
        device="box",
    )
    found, axes = of(store, demo_paper())
    (point,) = only(found, evidence="measured")
    assert {key for key, value in point.values.items() if value[3] == "m"} == {axis}
    assert axes[axis].title


def test_speeds_on_two_machines_are_two_points(tmp_path):
    for device in ("box", "crate"):
        fill(Store(tmp_path), device=device)
    found, _ = of(Store(tmp_path), demo_paper())
    assert {point.device for point in only(found, model="demo_t", evidence="measured")} == {"box", "crate"}


def test_reported_speeds_keep_their_machine(tmp_path):
    reported = [
        {"metric": "throughput_img_s", "value": str(value), "source": "a", "device": device, "batch": 128}
        for value, device in ((1000, "A100"), (500, "V100"))
    ]
    reported.append({"metric": "params_m", "value": 5, "source": "a"})
    paper = Paper.model_validate(
        {"id": "demo", "title": "D", "task": "t", "variants": [{"name": "demo_t", "reported": reported}]}
    )
    found, _ = of(Store(tmp_path), paper)
    assert {(p.device, p.batch, p.values["throughput"][0], p.values["params"][0]) for p in found} == {
        ("A100", "128", 1000.0, 5.0),
        ("V100", "128", 500.0, 5.0),
    }


def test_other_inputs_than_pictures_keep_their_unit_and_their_size(tmp_path):
    figures = [("throughput_seq_s", "900"), ("params_m", "2.0")]
    reported = [{"metric": metric, "value": value, "source": "a", "device": "box"} for metric, value in figures]
    variant = {"name": "small", "input": {"shape": [50]}, "reported": reported}
    paper = Paper.model_validate(
        {"id": "words", "title": "Words", "task": "sequential-recommendation", "variants": [variant]}
    )
    options = {"task": "sequential-recommendation", "sample_shape": [50]}
    store = Store(tmp_path)
    environment = store.add_environment({"device": "box"})
    same = {"run": "20260101T000000Z-000001", "environment": environment, "form": "model", "options": options}
    store.append(record("throughput", 800.0, paper="words", subject="small", unit="seq/s", **same), device="box")
    found, axes = of(store, paper)
    for evidence in ("measured", "reported"):
        (point,) = only(found, model="small", evidence=evidence)
        assert point.size == "50 items"
        assert "throughput" not in point.values
        assert point.values["throughput seq/s"][0] > 0
    assert axes["throughput seq/s"].unit == "seq/s"


def test_official_copies_and_networks_around_backbones_are_no_models_of_the_list(tmp_path):
    fill(Store(tmp_path), runs=1)
    for subject in ("official_demo.py:build", "demo_t_detector", "timm:resnet18"):
        Store(tmp_path).append(record("params", 5e6, subject=subject, run="20260101T000000Z-000000"), device="box")
    found, _ = of(Store(tmp_path), demo_paper())
    assert {point.model for point in found} == {*MODELS, "timm:resnet18"}
    assert {point.model for point in found if not point.own} == {"timm:resnet18"}


@pytest.mark.parametrize(
    ("task", "axis"),
    [
        ("image-classification", "imagenet1k_top1"),
        ("representation-probing", "imagenet1k_top1 representation-probing"),
    ],
)
def test_a_head_on_a_frozen_backbone_does_not_stand_among_whole_models(tmp_path, task, axis):
    reported = [{"metric": "imagenet1k_top1", "value": 75, "source": "a"}]
    paper = Paper.model_validate(
        {"id": "demo", "title": "D", "task": task, "variants": [{"name": "demo_t", "reported": reported}]}
    )
    (point,), axes = of(Store(tmp_path), paper)
    assert set(point.values) == set(axes) == {axis}


def test_points_carry_what_is_known_of_the_training(tmp_path):
    reported = [{"metric": "imagenet1k_top1", "value": 75, "source": "a"}]
    variants = [
        {"name": "demo_t", "reported": reported, "pretraining": "ImageNet-22K", "token_labels": True},
        {"name": "demo_s", "reported": reported, "distilled": False},
    ]
    paper = Paper.model_validate({"id": "demo", "title": "D", "task": "image-classification", "variants": variants})
    found, _ = of(Store(tmp_path), paper)
    assert [(p.pretraining, p.token_labels, p.distilled) for p in found] == [
        ("ImageNet-22K", "yes", ""),
        ("", "", "no"),
    ]


def test_axes_have_the_words_of_people_and_none_twice(tmp_path):
    papers = [registry.paper(name) for name, entry in registry.entries().items() if not entry.problem]
    _, axes = points(gather(Store(tmp_path), papers).papers)
    titles = [(axis.title, axis.unit) for axis in axes.values()]
    assert len(set(titles)) == len(titles)
    assert [title for title, _ in titles if "_" in title or (title[0].islower() and not title.startswith("mIoU"))] == []
