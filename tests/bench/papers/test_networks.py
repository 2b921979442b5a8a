"""Networks around a paper's models: planned, refused and compared like its variants, without being among them."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from claimbench.bench import tasks
from claimbench.bench.core.errors import UserError
from claimbench.bench.papers.openmmlab import install
from claimbench.bench.papers.spec import Paper
from claimbench.bench.report.compare import compare
from claimbench.bench.run.plan import plan
from claimbench.bench.run.request import RunRequest, resolve

FACTS: dict[str, Any] = {
    "id": "made_up",
    "title": "Made up",
    "task": "image-classification",
    "variants": [{"name": "small"}],
    "backbone": {"source": "here"},
    "networks": [
        {
            "name": "small_upernet",
            "task": "semantic-segmentation",
            "config": {"backbone": "small", "network": "UPerNet"},
            "input": {"shape": [3, 512, 512], "counted": [3, 512, 2048]},
            "reported": [{"metric": "ade20k_miou", "value": "50.3", "source": "table 3"}],
        }
    ],
}


def test_a_network_is_counted_at_one_size_and_timed_at_another_without_baselines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(install, "OPENMMLAB", ())
    jobs = plan(resolve(RunRequest(papers=("van",), variants=("van_b0_upernet",), device="cpu")))
    shapes = {job.metric: job.options.sample_shape for job in jobs}
    assert shapes["params"] == shapes["flops"] == (3, 512, 2048)
    assert shapes["throughput"] == shapes["memory"] == (3, 512, 512)
    assert {job.subject for job in jobs} == {"van_b0_upernet"}
    assert all(job.options.around and job.options.task == "semantic-segmentation" for job in jobs)
    assert {job.settings.batch for job in jobs if job.metric == "throughput"} == {1}
    assert {job.settings.batch for job in jobs if job.metric == "memory"} == {2}


def test_only_a_run_for_its_task_or_by_its_name_chooses_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install, "OPENMMLAB", ())

    def chosen(**options: Any) -> list[str]:
        return [v.name for _, found in resolve(RunRequest(papers=("van",), **options)).papers for v in found]

    assert not any("upernet" in name for name in chosen(variants=("all",)))
    assert chosen(task="semantic-segmentation") == ["van_b0_upernet"]
    assert chosen(variants=("van_b2_mask_rcnn",)) == ["van_b2_mask_rcnn"]


def test_several_sizes_are_looked_at_where_asked_and_by_segmenters_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install, "OPENMMLAB", ())
    names = ("van_b0_upernet", "van_b2_mask_rcnn")
    for asked in (False, True):
        request = RunRequest(papers=("van",), variants=names, metrics=("accuracy",), multi_scale=asked)
        told = {job.subject: job.options.multi_scale for job in plan(resolve(request))}
        assert told == {"van_b0_upernet": asked, "van_b2_mask_rcnn": False}


def test_figures_over_several_sizes_are_answered_by_their_own_row() -> None:
    task = tasks.get("semantic-segmentation")
    quantity = task.quantities["ade20k_miou_ms"]
    assert [answer.row for answer in quantity.answers] == ["ade20k_miou_ms"]
    assert ("ade20k_miou_ms", "%") in task.expected("ade20k")
    assert quantity.needs.endswith("--metrics accuracy --dataset ade20k --multi-scale")


def test_without_the_packages_one_sentence_says_how_to_install_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install, "OPENMMLAB", ("no_such_package",))
    with pytest.raises(UserError, match=r"no_such_package missing.*pip install -e '\.\[openmmlab\]'"):
        resolve(RunRequest(papers=("overlock",), task="semantic-segmentation"))


def test_reported_figures_of_a_network_stand_in_the_table_unmeasured() -> None:
    (row,) = [row for row in compare(Paper.model_validate(FACTS), []) if row.subject == "small_upernet"]
    assert (row.metric, row.reported, row.verdict) == ("ade20k_miou", "50.3 %", "not measured")
    assert row.detail == "needs the data set and trained weights: --metrics accuracy --dataset ade20k"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task": "image-classification"}, "needs a `task` of its own"),
        ({"config": {"backbone": "large", "network": "UPerNet"}}, "backbone: a variant"),
        ({"config": {"backbone": "small"}}, "network: a name"),
        ({"name": "small"}, "must be unique"),
    ],
)
def test_a_network_that_stands_on_nothing_is_refused(change: dict[str, Any], message: str) -> None:
    facts = {**FACTS, "networks": [{**FACTS["networks"][0], **change}]}
    with pytest.raises(ValidationError, match=message):
        Paper.model_validate(facts)
