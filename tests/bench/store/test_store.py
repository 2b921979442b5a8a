"""The store: what goes in comes out, what is damaged is reported and skipped, and queries never miss or invent."""

import gc
import json
import math
from dataclasses import replace
from datetime import UTC, datetime
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from claimbench.bench.core.errors import UserError
from claimbench.bench.core.records import SCHEMA_VERSION, Settings
from claimbench.bench.store.encoding import Decoder, encode
from claimbench.bench.store.store import Store, environment_file, new_run, slug, when
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


def test_samples_of_its_own_come_before_stored_ones_and_a_record_of_no_store_has_no_others(store):
    store.append(record("latency", 0.2, samples=(0.1, 0.3)), device="cpu")
    [found] = store.query()
    assert store.samples(replace(found, measurement=replace(found.measurement, samples=(0.5,)))) == (0.5,)
    assert store.samples(record("latency", 0.2)) == ()
    assert not store.problems


def test_a_record_without_samples_leaves_no_file_for_them(store):
    store.append(record(), device="cpu")
    assert not (store.root / "samples").exists()


def test_the_samples_of_a_run_are_read_once(store):
    for value in (0.2, 0.4):
        store.append(record("latency", value, subject=f"m{value}", samples=(value,)), device="cpu")
    first, second = store.query()
    assert store.samples(first) == (0.2,)
    (store.root / "samples" / "cpu" / f"{RUN}.jsonl").unlink()
    assert store.samples(second) == (0.4,)


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


@pytest.mark.parametrize("rest", [b"}", b',"samples":7}', b',"samples":["a"]}', b',"samples":[0]}', b',"samples":[0.1'])
def test_samples_that_are_none_are_a_problem_with_its_place(store, rest):
    store.append(record("latency", 0.2, samples=(0.1, 0.3)), device="cpu")
    path = store.root / "samples" / "cpu" / f"{RUN}.jsonl"
    path.write_bytes(path.read_bytes()[:25] + rest + b"\n")
    [found] = store.query()
    assert store.samples(found) == ()
    assert (str(path), f"the samples {found.samples_key} are missing or damaged") in store.problems


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


@pytest.mark.parametrize("kind", ["half a line", "binary", "another object", "not an object"])
def test_a_line_that_looks_like_no_whole_record_is_reported_whatever_is_asked_for(store, kind):
    store.append(record(), device="cpu")
    line = record_file(store).read_bytes().strip()
    record_file(store).write_bytes(DAMAGE[kind](line) + b"\n")
    assert store.query(paper="other", subject="nobody") == []
    [problem] = store.problems
    assert problem.place == f"{record_file(store)}:1"


def test_empty_lines_are_passed_over_and_counted(store):
    store.append(record(), device="cpu")
    line = record_file(store).read_bytes()
    record_file(store).write_bytes(b"\n" + line + b"\n\n" + b"x\n")
    assert len(store.query()) == 1
    assert [problem.place for problem in store.problems] == [f"{record_file(store)}:5"]


def test_a_file_that_cannot_be_read_is_a_problem_and_the_others_are_read(store):
    store.append(record(), device="cpu")
    folder = record_file(store, run="20250101T000000Z-ffffff")
    folder.mkdir()
    assert len(store.query()) == 1
    assert store.problems == [(str(folder), "it cannot be read (Is a directory)")]


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


def test_what_another_run_has_done_is_not_done(store):
    first, second = record("macs", job_metric="flops"), record("flops", job_metric="flops")
    store.append(first, second, device="cpu")
    other = "20270101T000000Z-aaaaaa"
    store.append(record(run=other), device="cpu")
    assert store.done_keys(other) == {record().job.key()}
    assert store.done_keys(RUN) == {first.job.key()}


def test_resuming_an_unknown_run_suggests_a_known_one(store):
    store.append(record(), device="cpu")
    wrong = RUN[:-1] + "b"
    with pytest.raises(UserError, match=f"unknown run '{wrong}'.*{RUN}"):
        store.done_keys(wrong)


def test_runs_are_listed_oldest_first_and_the_latest_holds_the_paper(store):
    old, new = "20250101T000000Z-ffffff", "20260101T000000Z-000000"
    store.append(record(run=new, paper="other"), device="b")
    store.append(record(run=old), device="a")
    assert store.runs() == [old, new]
    assert store.runs(device="A") == [old]
    assert store.latest() == new
    assert store.latest(paper="demo") == old
    assert store.latest(paper="nobody") is None
    assert store.latest(device="a") == old
    assert store.latest(device="a", paper="other") is None
    assert store.devices() == ["a", "b"]


def test_the_papers_of_a_run_are_named_however_their_lines_are_spelled(store):
    for made, how in (
        (record(paper="plain"), ""),
        (record(paper=""), ""),
        (record(paper='a"b'), ""),
        (record(paper="a"), "escaped"),
        (record(paper="spaced"), "spaced"),
        (record(paper="elsewhere", run="20270101T000000Z-aaaaaa"), ""),
    ):
        path = record_file(store, made.run)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(respelled(encode(made, 1)[0], how) + b"\n")
    with record_file(store).open("ab") as file:
        file.write(b'{"damaged\n' + encode(record(paper="latin"), 1)[0].replace(b"latin", b"lat\xedn") + b"\n")
    assert store.papers(RUN) == {"plain", "", 'a"b', "a", "spaced", "lat\ufffdn"}
    assert store.papers("nothing") == set()
    assert store.problems == []


def test_records_come_run_by_run_and_then_by_device(store):
    old, new = "20250101T000000Z-ffffff", "20260101T000000Z-000000"
    for run, device in ((new, "a"), (old, "b"), (new, "b"), (old, "a")):
        store.append(record(run=run), device=device)
    ordered = [(old, "a"), (old, "b"), (new, "a"), (new, "b")]
    assert [(found.run, found.device) for found in store.query()] == ordered
    assert [(found.run, found.device) for found in store.query(device="B")] == [(old, "b"), (new, "b")]
    assert [(found.run, found.device) for found in store.query(run=old)] == [(old, "a"), (old, "b")]
    assert [(found.run, found.device) for found in store.query(newest=True)] == [(new, "a"), (new, "b")]


def test_a_query_takes_each_of_its_words_for_itself(store):
    papers, subjects, metrics = ("", "a", "ab"), ("a", "ü", 'x"y'), ("params", "a")
    for paper, subject, metric in product(papers, subjects, metrics):
        store.append(record(metric, paper=paper, subject=subject), device="cpu")
    for paper, subject, metric in product((None, *papers), (None, *subjects), (None, *metrics)):
        found = {
            (r.job.paper, r.job.subject, r.measurement.metric)
            for r in store.query(paper=paper, subject=subject, metric=metric)
        }
        assert found == set(
            product(
                [paper] if paper is not None else papers,
                [subject] if subject else subjects,
                [metric] if metric else metrics,
            )
        )


def test_the_newest_of_a_job_and_row_is_the_last_of_the_last_run(store):
    old, new = "20250101T000000Z-ffffff", "20260101T000000Z-000000"
    store.append(record(value=1, run=old), record("macs", 1, run=old), device="cpu")
    store.append(record(value=2, run=new), device="cpu")
    store.append(record(value=3, run=new), record(value=4, run=new, round=1), device="cpu")
    with record_file(store, new).open("ab") as file:
        file.write(respelled(encode(record(value=5, run=new, round=1), 1)[0], "spaced") + b"\n")
    found = [(r.measurement.metric, r.job.round, r.measurement.value) for r in store.query(newest=True)]
    assert found == [("macs", 0, 1), ("params", 0, 3), ("params", 1, 5)]


@pytest.fixture
def decoded(monkeypatch):
    """The lines that were decoded so far, and whether garbage was collected meanwhile."""
    found = []
    decode = Decoder.decode

    def watched(self, line, device):
        found.append((line, gc.isenabled()))
        return decode(self, line, device)

    monkeypatch.setattr(Decoder, "decode", watched)
    return found


@pytest.mark.parametrize(
    ("query", "lines"),
    [
        ({}, 12),
        ({"paper": "a"}, 6),
        ({"paper": "b", "subject": "m"}, 3),
        ({"metric": "macs"}, 4),
        ({"paper": "a", "subject": "n", "metric": "macs"}, 1),
        ({"paper": ""}, 0),
        ({"subject": "ü"}, 12),  # it may be spelled with escapes
    ],
)
def test_only_lines_that_can_match_are_decoded(store, decoded, query, lines):
    for paper, subject, metric in product("ab", "mn", ("params", "macs", "flops")):
        store.append(record(metric, paper=paper, subject=subject), device="cpu")
    store.query(**query)
    assert len(decoded) == lines


def test_of_a_row_that_was_seen_no_older_line_is_decoded(store, decoded):
    for run in ("r1", "r2", "r3"):
        store.append(record(run=run), record("params_trainable", run=run), device="cpu")
        store.append(record(run=run), device="gpu")
    assert len(store.query(newest=True)) == 3
    assert len(decoded) == 3


@pytest.mark.parametrize("enabled", [True, False])
def test_garbage_is_not_collected_during_a_query_and_is_afterwards_if_it_was(store, decoded, enabled):
    store.append(record(), device="cpu")
    try:
        (gc.enable if enabled else gc.disable)()
        store.query()
        assert gc.isenabled() is enabled
    finally:
        gc.enable()
    assert [collecting for _, collecting in decoded] == [False]


def test_environments_are_stored_once_and_damage_is_a_problem(store):
    digest = store.add_environment({"torch": "2.8", "cpu": "a"})
    assert digest == store.add_environment({"cpu": "a", "torch": "2.8"})
    assert Store(store.root).environment(digest) == {"torch": "2.8", "cpu": "a"}
    (store.root / "environments" / f"{digest}.json").write_text("{")
    reader = Store(store.root)
    (store.root / "environments" / "folder").mkdir()
    (store.root / "secrets.json").write_text('{"key": 1}')
    for name in (digest, "../secrets", "folder/../../secrets", "0" * 16):
        assert reader.environment(name) == {}
    why = "the environment is missing or damaged"
    assert reader.problems == [
        (str(store.root / "environments" / f"{name}.json"), why)
        for name in (digest, "../secrets", "folder/../../secrets", "0" * 16)
    ]


def test_an_environment_is_kept_as_it_was_first_written_and_read_once(store):
    digest, body = environment_file({"torch": "2.8", "cpu": {"path": Path("a")}})
    assert body == b'{\n  "cpu": {\n    "path": "a"\n  },\n  "torch": "2.8"\n}\n'
    assert digest == "4acff2455bd27c29"
    assert store.add_environment({"cpu": {"path": "a"}, "torch": "2.8"}) == digest
    path = store.root / "environments" / f"{digest}.json"
    assert path.read_bytes() == body
    before = path.stat().st_ino
    store.add_environment({"cpu": {"path": "a"}, "torch": "2.8"})
    assert path.stat().st_ino == before
    assert store.environment(digest) is store.environment(digest)


@pytest.mark.parametrize(
    "text", ["", "yesterday", "2026-12-02T03:04:05", "2026-12-02T03:04:05+01:00", "0001-01-01T00:00Z"]
)
def test_what_is_no_time_in_utc_is_none(text):
    assert when(text) is None


def test_the_start_of_a_runs_id_is_its_time():
    now = datetime(2026, 12, 2, 3, 4, 5, tzinfo=UTC)
    assert when(new_run(now).partition("-")[0]) == when("2026-12-02T03:04:05+00:00") == now


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


def test_a_long_name_is_cut_and_the_folder_has_that_name_too():
    assert slug("x" * 81) == "x" * 80
    cut = slug("-".join("x" * 60))
    assert cut == "-".join("x" * 40)
    assert slug(cut) == cut


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
