"""Records that somebody broke on purpose: reports skip them and say so, and go on."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from claimbench.bench.papers import registry
from claimbench.bench.report import sanity
from claimbench.bench.report.render import render
from claimbench.bench.report.report import paper_records, report
from claimbench.bench.store.store import Store
from tests.bench.bad_submissions import COUNTS, TIMES
from tests.bench.publish.test_submission_fuzz import ANYTHING, places, put
from tests.bench.submission_draft import read

RUN = "20260102T030405Z-aaaaaa"
DEVICE = "cpu-x-2c"
FORMATS = ("terminal", "markdown", "csv", "latex", "json")
QUICKLY = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)


def stored():
    """Return the lines of records and of samples, and the environment, of a good submission."""
    lines = [json.loads(line) for path in (COUNTS, TIMES) for line in read(path).lines()]
    records = [line["record"] | {"run": RUN} for line in lines if "record" in line]
    return records, [line["samples"] for line in lines if "samples" in line], lines[0]["environment"]


RECORDS, SAMPLES, ENVIRONMENT = stored()
DIGEST = RECORDS[0]["environment"]


def write(root, records=RECORDS, samples=SAMPLES, environment=ENVIRONMENT):
    """Write a store's files as they might have been broken."""
    for kind, found in (("records", records), ("samples", samples)):
        path = root / kind / DEVICE / f"{RUN}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"".join(_dump(line) + b"\n" for line in found))
    path = root / "environments" / f"{DIGEST}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_dump(environment))


def _dump(value):
    return json.dumps(value, separators=(",", ":")).encode("utf-8", "surrogatepass")


def compare(root):
    """Do what ``bench compare`` and the end of ``bench run`` do with a store."""
    store = Store(root)
    paper = registry.paper("van")
    records = paper_records(store, paper)
    found = report(paper, records, samples=store.samples, environment=store.environment)
    for format in FORMATS:
        render(found, format)
    sanity.check(records, {record.environment: store.environment(record.environment) for record in records})
    store.done_keys(RUN)
    return store, found


def test_a_good_store_has_no_problems(tmp_path):
    write(tmp_path)
    store, found = compare(tmp_path)
    assert store.problems == []
    assert any(row.value for row in found.rows)


@QUICKLY
@given(st.data())
def test_any_value_at_any_place_of_a_record(tmp_path, data):
    number = data.draw(st.sampled_from(range(len(RECORDS))))
    path = data.draw(st.sampled_from([path for path in places(RECORDS[number]) if path]))
    write(tmp_path, records=put(RECORDS, number, path, data.draw(ANYTHING)))
    compare(tmp_path)


@QUICKLY
@given(st.data())
def test_any_value_at_any_place_of_the_environment(tmp_path, data):
    path = data.draw(st.sampled_from([path for path in places(ENVIRONMENT) if path]))
    (environment,) = put([ENVIRONMENT], 0, path, data.draw(ANYTHING))
    write(tmp_path, environment=environment)
    compare(tmp_path)


@QUICKLY
@given(st.data())
def test_any_value_at_any_place_of_samples(tmp_path, data):
    number = data.draw(st.sampled_from(range(len(SAMPLES))))
    path = data.draw(st.sampled_from([path for path in places(SAMPLES[number]) if path]))
    write(tmp_path, samples=put(SAMPLES, number, path, data.draw(ANYTHING)))
    compare(tmp_path)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("measurement", "value"), 0),
        (("measurement", "value"), -1.5),
        (("measurement", "detail", "batch"), "eight"),
        (("measurement", "detail", "noisy_reasons"), 5),
        (("job", "settings", "precision"), {"a": 1}),
        (("job", "settings", "threads"), "two"),
        (("job", "options", "sample_shape"), 224),
        (("job", "settings", "input_size"), ["224"]),
    ],
)
def test_a_record_that_cannot_be_is_skipped_and_said(tmp_path, place, value):
    number = next(i for i, record in enumerate(RECORDS) if record["measurement"]["metric"] == "throughput")
    write(tmp_path, records=put(RECORDS, number, place, value))
    store, _ = compare(tmp_path)
    assert len(store.query()) == len(RECORDS) - 1
    assert any(problem.place.endswith(f"{RUN}.jsonl:{number + 1}") for problem in store.problems)


@pytest.mark.parametrize("sample", [0, -0.1, "fast", True, [1]])
def test_samples_that_are_no_times_are_a_problem(tmp_path, sample):
    write(tmp_path, samples=put(SAMPLES, 0, ("samples", 0), sample))
    store, _ = compare(tmp_path)
    assert any("missing or damaged" in problem.text for problem in store.problems)
