"""The store: what goes in comes out, what is damaged is reported and skipped, and queries never miss or invent."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from claimbench.bench.core.errors import UserError
from claimbench.bench.core.records import SCHEMA_VERSION, Settings
from claimbench.bench.store.encoding import Decoder, encode
from claimbench.bench.store.store import Store, new_run, slug
from tests.bench.record_examples import RUN, record


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "results")


def record_file(store, run=RUN, device="cpu"):
    return store.root / "records" / device / f"{run}.jsonl"


def plain(stored):
    """The fields that a stored record shares with the record it was made from."""
    return (stored.run, stored.job, stored.measurement, stored.environment, stored.commit, stored.time, stored.schema)


def test_a_record_comes_back_as_it_was(store):
    given = record(
        settings=Settings(device="cuda:0", batch=64, input_size=(3, 224, 224), precision="bf16", threads=2),
        options={"config": {"depth": [4, None], "é": "ü", "round": 3, "value": 1}},
        low=1.5,
        high=2.5,
        detail={"clocks": {"before": 1}, "note": 'quote " backslash \\ newline \n'},
        round=2,
    )
    store.append(given, device="NVIDIA H200")
    [found] = Store(store.root).query()
    assert plain(found) == plain(given)
    assert (found.device, found.key, found.rows) == ("nvidia-h200", given.job.key(), 1)


def test_samples_are_stored_apart_and_found_again(store):
    samples = (0.1, 0.2, 1 / 3)
    store.append(record("latency", 0.2, samples=samples), record("throughput", 5.0), device="cpu")
    assert b"0.3333" not in record_file(store).read_bytes()
    timed, other = store.query()
    assert timed.measurement.samples == ()
    assert store.samples(timed) == samples
    assert store.samples(other) == ()
    assert store.samples(record(samples=(1.0,))) == (1.0,)


def test_scores_may_be_nothing_or_less_and_times_may_not(store):
    samples = (-0.5, 0.0, 1.5)
    store.append(
        record("gain", 0.3, job_metric="accuracy", samples=samples),
        record("latency", 0.3, samples=(0.0, 0.3)),
        device="cpu",
    )
    gain, time = store.query()
    assert store.samples(gain) == samples
    assert not store.problems
    assert store.samples(time) == ()
    assert any("missing or damaged" in problem.text for problem in store.problems)


def test_missing_samples_are_a_problem_and_not_an_error(store):
    store.append(record("latency", 0.2, samples=(0.1, 0.3)), device="cpu")
    (store.root / "samples" / "cpu" / f"{RUN}.jsonl").write_bytes(b'{"key":"\xff\n')
    assert store.samples(store.query()[0]) == ()
    assert any("missing or damaged" in problem.text for problem in store.problems)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_no_number_is_stored_as_a_failure(store, value):
    store.append(record("latency", value, low=math.nan, samples=(1.0, math.nan)), device="cpu")
    [found] = store.query()
    assert (found.measurement.status, found.measurement.value) == ("failed", None)
    assert str(value) in found.measurement.reason
    assert math.isnan(store.samples(found)[1])


def test_what_json_cannot_hold_is_written_as_text_and_not_lost(store):
    hostile = record(
        value=None,
        reason="broken \udcff text",
        detail={"huge": 2**70, "set": {1}, "array": np.arange(2), 3: "key", "path": store.root, "nan": math.nan},
    )
    store.append(hostile, device="cpu")
    [found] = store.query()
    assert found.measurement.reason == "broken \\udcff text"
    assert found.measurement.detail["huge"] == str(2**70)
    assert store.problems == []


DAMAGE = {
    "half a line": lambda line: line[: len(line) // 2],
    "binary": lambda line: b"\x00\xff" * 40,
    "another object": lambda line: b'{"schema":1}',
    "not an object": lambda line: b"[1, 2]",
    "a missing field": lambda line: line.replace(b',"commit":"abc1234"', b""),
    "a wrong type": lambda line: line.replace(b'"value":33467040', b'"value":"33467040"'),
    "a status without value": lambda line: line.replace(b'"value":33467040', b'"value":null'),
    "an unknown status": lambda line: line.replace(b'"status":"measured"', b'"status":"guessed"'),
    "settings gone": lambda line: line.replace(b'"settings":{', b'"settings":{"x":1,'),
    "deep nesting": lambda line: b"[" * 100_000,
}


@pytest.mark.parametrize("kind", DAMAGE)
@pytest.mark.parametrize("query", [{}, {"paper": "demo"}, {"newest": True}])
def test_a_damaged_line_is_reported_with_its_place_and_skipped(store, kind, query):
    for index in range(3):
        store.append(record(subject=f"demo_{index}"), device="cpu")
    lines = record_file(store).read_bytes().splitlines()
    lines[1] = DAMAGE[kind](lines[1])
    assert lines[1] != record_file(store).read_bytes().splitlines()[1]
    record_file(store).write_bytes(b"\n".join(lines) + b"\n")
    found = store.query(**query)
    assert [r.job.subject for r in found] == ["demo_0", "demo_2"]
    [problem] = store.problems
    assert problem.place == f"{record_file(store)}:2"


def test_a_record_of_a_newer_version_is_skipped_with_a_sentence(store):
    store.append(record(), device="cpu")
    newer = record_file(store).read_bytes().replace(b'"schema":1', b'"schema":99')
    with record_file(store).open("ab") as file:
        file.write(newer)
    assert len(store.query()) == 1
    assert store.problems[0].place.endswith(":2")
    assert f"schema 99, this one reads up to {SCHEMA_VERSION}" in store.problems[0].text


def test_a_torn_last_line_is_ignored_then_healed(store):
    store.append(record(subject="demo_0"), device="cpu")
    store.append(record(subject="demo_1"), device="cpu")
    content = record_file(store).read_bytes()
    record_file(store).write_bytes(content[:-20])
    assert [r.job.subject for r in store.query()] == ["demo_0"]
    assert "incomplete" in store.problems[0].text
    store.append(record(subject="demo_2"), device="cpu")
    healed = Store(store.root)
    assert [r.job.subject for r in healed.query()] == ["demo_0", "demo_2"]
    assert healed.problems == []


def test_a_store_that_cannot_be_written_says_so_and_keeps_nothing(tmp_path):
    (tmp_path / "results").write_text("a file where the folder should be")
    store = Store(tmp_path / "results")
    with pytest.raises(UserError, match="cannot be written"):
        store.append(record(), device="cpu")
    with pytest.raises(UserError, match="cannot be written"):
        store.add_environment({"python": "3.11"})
    assert store.query() == []


@pytest.mark.parametrize("run", ["../escape", "a/b", "", ".hidden", "x" * 300, "nul\0"])
def test_a_run_cannot_name_a_file_elsewhere(store, run):
    with pytest.raises(UserError, match="not a run's id"):
        store.append(record(run=run), device="cpu")
    with pytest.raises(UserError, match="not a run's id"):
        store.done_keys(run)


def test_done_keys_are_those_of_jobs_stored_whole(store):
    whole = [record("params", job_metric="params"), record("params_trainable", job_metric="params")]
    half = [record("macs", job_metric="flops"), record("flops", job_metric="flops")]
    dead = record("latency", None, status="failed", reason="out of memory")
    store.append(*whole, device="cpu")
    store.append(dead, device="cuda")
    store.append(*half, device="cpu")
    content = record_file(store).read_bytes()
    record_file(store).write_bytes(content[: content.rindex(b"{", 0, content.rindex(b'"flops","value"'))])
    assert store.done_keys(RUN) == {whole[0].job.key(), dead.job.key()}
    assert store.done_keys(RUN, failed=False) == {whole[0].job.key()}
    store.append(*half, device="cpu")
    assert half[0].job.key() in store.done_keys(RUN)


def test_resuming_an_unknown_run_suggests_a_known_one(store):
    store.append(record(), device="cpu")
    with pytest.raises(UserError, match=RUN):
        store.done_keys(RUN[:-1] + "b")


def test_runs_are_listed_oldest_first_and_the_latest_holds_the_paper(store):
    old, new = "20250101T000000Z-ffffff", "20260101T000000Z-000000"
    store.append(record(run=new, paper="other"), device="b")
    store.append(record(run=old), device="a")
    assert store.runs() == [old, new]
    assert store.runs(device="A") == [old]
    assert store.latest() == new
    assert store.latest(paper="demo") == old
    assert store.latest(paper="nobody") is None


def test_environments_are_stored_once_and_damage_is_a_problem(store):
    digest = store.add_environment({"torch": "2.8", "cpu": "a"})
    assert digest == store.add_environment({"cpu": "a", "torch": "2.8"})
    assert Store(store.root).environment(digest) == {"torch": "2.8", "cpu": "a"}
    (store.root / "environments" / f"{digest}.json").write_text("{")
    reader = Store(store.root)
    assert reader.environment(digest) == {}
    assert reader.environment("../secrets") == {}
    assert len(reader.problems) == 2


def test_new_runs_sort_by_time_and_differ_within_a_second():
    runs = [new_run() for _ in range(50)]
    assert len(set(runs)) == 50
    assert runs[0][:8] == runs[-1][:8]


@pytest.mark.parametrize(
    ("device", "folder"),
    [("NVIDIA H200", "nvidia-h200"), ("AMD EPYC(TM) 7B13 @ 2.4", "amd-epyc-tm-7b13-2-4"), ("../", "unknown")],
)
def test_device_folders_are_safe_names(device, folder):
    assert slug(device) == folder


NAMES = st.sampled_from(["a", "b", "ab", 'a"b', "ü", "a\\b", "params", "macs"])
RECORDS = st.builds(
    record,
    metric=NAMES,
    subject=NAMES,
    paper=st.sampled_from(["", "a", "b", "ab"]),
    round=st.integers(0, 2),
    run=st.sampled_from(["r1", "r2"]),
    options=st.sampled_from([{}, {"round": 1, "value": 2, "golden": "x"}, {"round": 1, "value": 2, "golden": "y"}]),
    value=st.sampled_from([1, 2.5, None]),
)


def respelled(line, how):
    """The same record in another spelling of JSON, as an editor or another program may write it."""
    data = json.loads(line)
    if how == "spaced":
        return json.dumps(data, ensure_ascii=False, separators=(" , ", " : ")).encode()
    if how == "reordered":
        return json.dumps(dict(reversed(data.items()))).encode()
    if how == "escaped":
        return json.dumps(data).encode().replace(b'"a"', b'"\\u0061"')
    return line


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(RECORDS, st.sampled_from(["", "spaced", "reordered", "escaped"])), max_size=12),
    st.sampled_from([None, "", "a", "b"]),
    st.none() | NAMES,
    st.none() | NAMES,
)
def test_a_query_returns_exactly_what_matches_however_it_is_spelled(tmp_path_factory, written, paper, subject, metric):
    store = Store(tmp_path_factory.mktemp("results"))
    for made, how in written:
        path = record_file(store, made.run)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(respelled(encode(made, 1)[0], how) + b"\n")
    ordered = sorted((made for made, _ in written), key=lambda made: made.run)
    expected = [
        made
        for made in ordered
        if paper in (None, made.job.paper)
        and subject in (None, made.job.subject)
        and metric in (None, made.measurement.metric)
    ]
    query = {"paper": paper, "subject": subject, "metric": metric}
    assert [plain(found) for found in store.query(**query)] == [plain(made) for made in expected]

    newest = {(made.job.key(), made.measurement.metric): made for made in expected}
    found = {(f.key, f.measurement.metric): f for f in store.query(**query, newest=True)}
    assert {key: plain(f) for key, f in found.items()} == {key: plain(made) for key, made in newest.items()}
    assert len(store.query(**query, newest=True)) == len(newest)
    assert store.problems == []


def test_records_that_share_a_head_do_not_share_rounds():
    decoder = Decoder()
    lines = [encode(replace(record(round=number)), 1)[0] for number in (0, 1, 0)]
    assert [decoder.decode(line, "cpu").job.round for line in lines] == [0, 1, 0]
