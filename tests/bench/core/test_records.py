"""What a job is told travels in one class: it is stored as before, and stored jobs of before are the same jobs."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from claimbench.bench.core.records import Options, Settings, read_job
from claimbench.bench.report.figures import figures
from claimbench.bench.store.store import Store
from tests.bench.record_examples import record

ROOT = Path(__file__).resolve().parents[3]
STORED = {
    "module": "reproductions.van",
    "config": {},
    "sample_shape": [3, 8, 8],
    "workers": 0,
    "goldens": [],
}


def stored(**changes):
    """A job as it was stored when its paper's package was an option."""
    body = {"paper": "van", "subject": "van_b0", "form": "model", "metric": "params", "round": 0}
    settings = {**vars(Settings()), "input_size": []}
    return {**body, "settings": settings, "options": {**STORED, **changes}}


def test_a_stored_job_comes_back_to_the_byte():
    job = read_job(stored())
    assert (job.options.config, job.options.sample_shape, job.options.goldens) == ({}, (3, 8, 8), ())
    assert (job.options.workers, job.options.data) == (0, None)
    assert json.loads(json.dumps(job.to_json())) == stored()
    assert read_job(json.loads(json.dumps(job.to_json()))) == job
    assert job.key() == "c3e5f817caacbce1"


def test_every_stored_job_of_this_repository_has_the_key_it_was_stored_with():
    folders = [ROOT / "results" / "records", ROOT / "results" / "studies" / "records"]
    lines = [line for folder in folders for file in sorted(folder.rglob("*.jsonl"))[:3] for line in file.open()]
    found = [json.loads(line) for line in lines]
    assert len(found) > 100
    assert [one["key"] for one in found] == [read_job({**one["job"], "round": one["round"]}).key() for one in found]


def test_what_was_not_given_is_not_stored():
    assert Options().to_json() == {}
    told = Options(config={"a": 1}, partial=True, second_opinion=False, devices=("cpu", "cpu"), workers=0, data="")
    assert told.to_json() == {
        "config": {"a": 1},
        "second_opinion": False,
        "data": "",
        "partial": True,
        "workers": 0,
        "devices": ["cpu", "cpu"],
    }
    assert Options.from_json(told.to_json()) == told


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("config", [1]),
        ("sample_shape", "wide"),
        ("sample_shape", [3.5]),
        ("partial", 1),
        ("workers", True),
        ("data", 5),
        ("budget_s", "1"),
        ("goldens", ["a", 2]),
    ],
)
def test_an_option_of_the_wrong_type_is_named(name, wrong):
    with pytest.raises(TypeError, match=f"the option {name} of a job is not of the type"):
        read_job(stored(**{name: wrong}))


def test_new_records_take_the_place_of_old_ones_of_the_same_work(tmp_path):
    """Old ones say where the paper's package lay, and spell out what is a default now."""
    store = Store(tmp_path)
    old = replace(record("params", 1, run="20260101T000000Z-aaaaaa"), job=read_job(stored(second_opinion=True)))
    new = record("params", 2, run="20260102T000000Z-aaaaaa")
    new = replace(new, job=replace(read_job(stored()), options=Options(sample_shape=(3, 8, 8), workers=4)))
    store.append(old, device="box")
    store.append(new, device="box")
    assert old.job.key() != new.job.key()
    assert [figure.value for figure in figures(store.query())] == [2]
