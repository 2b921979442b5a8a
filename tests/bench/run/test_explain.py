"""What a user asks to have explained, and models that are counted in processes of their own."""

import json
from dataclasses import replace
from decimal import Decimal

import pytest

from claimbench.bench.core.errors import UserError
from claimbench.bench.machine.process import Stop
from claimbench.bench.run.explain import counting, request
from claimbench.bench.store.counted import stored

pytest.importorskip("thop")

MODELS = """
from torch import nn

def build():
    return nn.Sequential(nn.Conv2d(3, 4, 1, bias=False))

def broken():
    raise ValueError("no weights here")

def dies():
    import os
    os._exit(3)
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "net.py"
    path.write_text(MODELS)
    return path


def only(model, shape="3x8x8", operations="", parameters=""):
    with Stop() as stop:
        return counting.only(request.of_own(str(model), shape, operations, parameters), stop)


@pytest.mark.parametrize(
    ("text", "value", "scale"),
    [
        ("4.5G", "4.5", 10**9),
        ("4.5 GFLOPs", "4.5", 10**9),
        ("4.50 gmacs", "4.50", 10**9),
        ("27.1M", "27.1", 10**6),
        ("1.2T", "1.2", 10**12),
        ("4.5e9", "4.5e9", 1),
        ("4540244736", "4540244736", 1),
    ],
)
def test_a_figure_as_people_type_it(text, value, scale):
    found = request.figure(text, "operations", "--reported")
    assert (found.printed.text, found.scale) == (value, Decimal(scale))


@pytest.mark.parametrize("text", ["", "many", "4,5G", "G", "-4.5G", "0", "nan", "1e999", "4.5 G images", "..", "4.5GG"])
def test_a_figure_that_is_no_number(text):
    with pytest.raises(UserError, match="--reported takes a figure as it is printed"):
        request.figure(text, "operations", "--reported")


@pytest.mark.parametrize("text", ["3xx3", "x", "3x224x224x", "3x-1", "0x3", "a", "3x999999999999"])
def test_an_input_that_is_no_shape(text):
    with pytest.raises(UserError, match="--input takes the shape of one sample"):
        request.of_own("a.py:b", text, "", "")


def test_a_model_of_the_users_own_is_explained(file):
    found = only(f"{file}:build", operations="1.5k", parameters="12")
    assert found.figures[0].sole.title == "two operations a multiply-add"
    assert found.figures[1].plain


@pytest.mark.parametrize(
    ("name", "shape", "sentence"),
    [
        ("broken", "3x8x8", "cannot be built: ValueError: no weights here"),
        ("dies", "3x8x8", "cannot be counted: the process ended with exit status 3"),
        ("build", "1x8x8", "does not run on an input of 1x8x8"),
        ("nothing", "3x8x8", "unknown factory in"),
    ],
)
def test_a_model_that_cannot_be_counted_is_one_sentence(file, name, shape, sentence):
    with pytest.raises(UserError, match=sentence):
        only(f"{file}:{name}", shape)


def test_figures_of_a_paper_are_counted_in_the_form_and_at_the_input_that_they_describe():
    (model,) = request.of_paper("overlock", ["overlock_xt"])
    assert [job.form for job in model.jobs] == ["merged"]
    assert {job.form for job in model.others} == {"training", "plain", "merged_aux"}
    assert model.paper == "overlock"
    larger = [job for found in request.of_paper("focalnet") for job in found.jobs if job.settings.input_size]
    assert {job.settings.input_size for job in larger} == {(384, 384)}
    (baseline,) = request.of_paper("overlock", ["ConvNeXt-T"])
    assert baseline.jobs[0].subject == "timm:convnext_tiny"


def test_names_that_do_not_exist_or_have_nothing_to_explain():
    with pytest.raises(UserError, match="unknown variant 'rmt_z'"):
        request.of_paper("rmt", ["rmt_z"])
    with pytest.raises(UserError, match="--variant rmt_s needs its paper"):
        request.of_papers("all", ["rmt_s"])


def test_counts_are_stored_and_a_crash_loses_that_model_only(fake_papers, environment, monkeypatch, tmp_path):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    (good,) = request.of_paper("fake", ["fake_s"])
    options = replace(good.jobs[0].options, config={"width": 4, "do": "abort"})
    dying = replace(good, title="fake_abort", jobs=(replace(good.jobs[0], options=options),), figures=())
    with Stop() as stop:
        found = list(counting.explained([good, dying, good], stop, results=tmp_path))
    assert [bool(one.problem) for one in found] == [False, True, False]
    assert "SIGABRT" in found[1].problem
    kept = stored(tmp_path, "fake")
    assert list(kept) == ["fake_s"]
    assert kept["fake_s"] == found[2].model
    assert len((tmp_path / "explained" / "fake.jsonl").read_text().splitlines()) == 2
    json.dumps([one.to_json() for one in found])
