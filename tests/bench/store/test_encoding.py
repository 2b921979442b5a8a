"""Lines of records: their bytes, what is read back, and what is no record."""

import json
import math
from collections import UserDict
from dataclasses import replace

import numpy as np
import pytest

from claimbench.bench.core.records import Options, Settings
from claimbench.bench.store.encoding import (
    Decoder,
    StoredRecord,
    Undecodable,
    decode_samples,
    encode,
    encode_samples,
    samples_key_of,
)
from tests.bench.record_examples import record

RECORD = record(
    "latency",
    0.2,
    unit="s",
    settings=Settings(device="cuda:0", batch=8, input_size=(3, 224, 224)),
    options={"round": 3},
    low=0.1,
    samples=(0.1, math.nan),
    detail={"batch": 8},
    round=2,
)
LINE = (
    b'{"schema":1,"job":{"paper":"demo","subject":"demo_t","form":"merged","metric":"latency","settings":'
    b'{"device":"cuda:0","batch":8,"input_size":[3,224,224],"precision":"fp32","mode":"eager","channels_last":false,'
    b'"threads":null,"weights":"random","quick":false,"training":false},"options":{"round":3}},"round":2,"measurement":'
    b'{"metric":"latency","value":0.2,"unit":"s","method":"counted","status":"measured","reason":"","low":0.1,'
    b'"high":null,"detail":{"batch":8}},"run":"20260102T030405Z-aaaaaa","time":"2026-01-02T03:04:05Z",'
    b'"environment":"0123456789abcdef","commit":"abc1234","key":"5d557e0fe8a9faa6","rows":2,'
    b'"samples_key":"c1fc2774d082ce69"}'
)
SAMPLES = b'{"key":"c1fc2774d082ce69","samples":[0.1,null]}'
WRONG = "a field is missing, unknown or of the wrong type"


def decode(line, device="gpu"):
    return Decoder().decode(line, device)


def changed(path, value):
    """The line with another value somewhere in it, in the layout in which lines are written."""
    whole = json.loads(LINE)
    *folders, name = path
    inner = whole
    for folder in folders:
        inner = inner[folder]
    inner[name] = value
    return json.dumps(whole, separators=(",", ":")).encode()


def test_the_bytes_of_a_record_are_those_that_stores_hold():
    assert encode(RECORD, 2) == (LINE, SAMPLES)
    bare = replace(RECORD, measurement=replace(RECORD.measurement, samples=()))
    assert encode(bare, 2) == (LINE.replace(b'"samples_key":"c1fc2774d082ce69"', b'"samples_key":""'), None)


def test_a_line_is_read_back_as_the_record_that_it_was():
    found = decode(LINE)
    assert isinstance(found, StoredRecord)
    assert found.job == RECORD.job
    assert found.measurement == replace(RECORD.measurement, samples=())
    assert (found.run, found.time, found.environment) == (RECORD.run, RECORD.time, RECORD.environment)
    assert (found.commit, found.schema, found.device) == ("abc1234", 1, "gpu")
    assert (found.key, found.rows, found.samples_key) == (RECORD.job.key(), 2, "c1fc2774d082ce69")
    assert found == StoredRecord(**vars(found)), "nothing is left out and nothing added"
    assert vars(found.measurement) == vars(replace(RECORD.measurement, samples=()))


def test_a_paper_from_elsewhere_brings_its_code_and_other_lines_do_not_speak_of_it():
    record = replace(RECORD, paper_sha256=64 * "a", paper_commit=f"{40 * 'b'}+dirty")
    line, _ = encode(record, 2)
    where = b'"commit":"abc1234",'
    assert line == LINE.replace(
        where, where + b'"paper_sha256":"%s","paper_commit":"%s+dirty",' % (64 * b"a", 40 * b"b")
    )
    decoder = Decoder()
    for one, expected in ((LINE, ("", "")), (line, (64 * "a", f"{40 * 'b'}+dirty")), (LINE, ("", ""))):
        found = decoder.decode(one, "gpu")
        assert (found.paper_sha256, found.paper_commit) == expected
        assert found == StoredRecord(**vars(found)) == decode(one)
    for wrong in (b'"paper_sha256":7', b'"paper_sha256":null'):
        with pytest.raises(Undecodable, match=WRONG):
            decoder.decode(line.replace(b'"paper_sha256":"%s"' % (64 * b"a"), wrong), "gpu")


def test_a_record_of_no_store_has_no_device_and_no_samples_elsewhere():
    found = StoredRecord(**vars(RECORD))
    assert (found.device, found.key, found.rows, found.samples_key) == ("", "", 1, "")


def test_a_decoder_that_has_seen_a_head_reads_on_as_one_that_has_not():
    decoder = Decoder()
    others = [encode(replace(RECORD, job=replace(RECORD.job, round=number)), 2)[0] for number in (0, 5, 2)]
    for line in (LINE, *others, changed(["measurement", "value"], 7), LINE):
        assert decoder.decode(line, "gpu") == decode(line)
    first, second = decoder.decode(LINE, "gpu"), decoder.decode(LINE, "gpu")
    assert first.job is second.job, "heads are decoded once"
    for broken in (LINE[:-1], changed(["rows"], "2"), changed(["measurement", "value"], "7"), changed(["more"], 1)):
        with pytest.raises(Undecodable):
            decoder.decode(broken, "gpu")


@pytest.mark.parametrize("line", [b"", b"{", b'{"schema":1,', LINE[:-1], LINE + b"}", b"\xff"])
def test_what_is_no_json_is_said_to_be_none(line):
    with pytest.raises(Undecodable, match="it is not valid JSON"):
        decode(line)


@pytest.mark.parametrize("line", [b"[]", b"7", b'"schema"', b"{}", b'{"schema":"1"}', b'{"schema":true}'])
def test_json_of_something_else_is_no_record(line):
    with pytest.raises(Undecodable, match="it is not a record"):
        decode(line)


def test_a_newer_schema_is_said_and_an_older_one_read():
    with pytest.raises(Undecodable, match=r"a newer version \(schema 2, this one reads up to 1\)"):
        decode(changed(["schema"], 2))
    assert decode(changed(["schema"], 0)).job == RECORD.job


def places():
    """Each place of the line where the reader knows the type of what stands there, with values of other types."""
    whole = json.loads(LINE)
    wrong = {
        str: (7, None),
        bool: (0, None, "yes"),
        int: (True, "7", 7.0),
        dict: ([], None, "x"),
        list: ({}, None, "x"),
    }
    maybe = {"batch": ("7", 7.0, True), "threads": ("7", 7.0, True)}
    numbers = {"value": ("0.2", True), "low": ("0.2", True), "high": ("0.2", True)}
    for name, value in whole.items():
        if name != "schema":
            yield from (([name], other) for other in wrong[type(value)])
    for name, value in whole["job"].items():
        yield from ((["job", name], other) for other in wrong[type(value)])
    for name, value in whole["job"]["settings"].items():
        yield from ((["job", "settings", name], other) for other in maybe.get(name) or wrong[type(value)])
    for name, value in whole["measurement"].items():
        yield from ((["measurement", name], other) for other in numbers.get(name) or wrong[type(value)])
    yield ["job", "settings", "input_size"], [3, "224"]
    yield ["job", "settings", "input_size"], [3.0]
    yield ["job", "options", "sample_shape"], [3, None]
    yield ["job", "options", "sample_shape"], 224
    yield ["job", "options", "sample_shape"], "3"


@pytest.mark.parametrize(("path", "value"), list(places()))
def test_a_field_of_the_wrong_type_is_refused(path, value):
    with pytest.raises(Undecodable, match=WRONG):
        decode(changed(path, value))


@pytest.mark.parametrize("folder", [[], ["job"], ["job", "settings"], ["measurement"]])
def test_a_field_too_many_or_too_few_is_refused(folder):
    with pytest.raises(Undecodable, match=WRONG):
        decode(changed([*folder, "more"], 1))
    whole = json.loads(LINE)
    inner = whole
    for name in folder:
        inner = inner[name]
    for name in [name for name in inner if name != "schema"]:
        less = {key: value for key, value in inner.items() if key != name}
        line = json.dumps(less).encode() if not folder else changed(folder, less)
        with pytest.raises(Undecodable, match=WRONG):
            decode(line)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["job", "settings", "batch"], None),
        (["job", "settings", "threads"], 4),
        (["job", "settings", "input_size"], []),
        (["job", "options"], {"sample_shape": []}),
        (["job", "options"], {"sample_shape": None}),
        (["job", "options"], {"sample_shape": [3, 224]}),
        (["measurement", "value"], 1),
        (["measurement", "low"], None),
        (["measurement", "high"], 1),
        (["measurement", "detail"], {}),
        (["measurement", "detail"], {"classes": 10, "goldens": [], "noisy_reasons": ["a"]}),
        (["measurement", "detail"], {"goldens": [{"file": "a.json", "passed": True}]}),
    ],
)
def test_what_may_stand_at_a_place_is_read(path, value):
    whole = json.loads(changed(path, value))
    found = decode(changed(path, value))
    assert json.loads(encode(found, 2)[0])["measurement"] == whole["measurement"]
    assert found.job.settings.input_size == tuple(whole["job"]["settings"]["input_size"])
    assert found.job.options.to_json() == whole["job"]["options"]


@pytest.mark.parametrize(
    "detail",
    [
        {"batch": "8"},
        {"batch": True},
        {"classes": 10.0},
        {"noisy_reasons": "a"},
        {"goldens": {}},
        {"goldens": ["a.json"]},
        {"goldens": [{"passed": True}]},
        {"goldens": [{"file": 7}]},
    ],
)
def test_evidence_of_another_type_than_reports_look_up_is_refused(detail):
    with pytest.raises(Undecodable, match="its detail does not hold what the row's evidence is"):
        decode(changed(["measurement", "detail"], detail))


@pytest.mark.parametrize(
    ("status", "value"),
    [("measured", None), ("failed", 0.2), ("unavailable", 0.2), ("guessed", 0.2), ("guessed", None)],
)
def test_a_status_and_a_value_that_contradict_each_other_are_refused(status, value):
    line = changed(["measurement", "status"], status)
    with pytest.raises(Undecodable, match="its status and its value contradict each other"):
        decode(line.replace(b'"value":0.2', b'"value":' + json.dumps(value).encode()))


@pytest.mark.parametrize("status", ["failed", "unavailable"])
def test_what_was_not_measured_has_no_value(status):
    line = changed(["measurement", "status"], status).replace(b'"value":0.2', b'"value":null')
    assert decode(line).measurement.status == status


@pytest.mark.parametrize(
    ("metric", "value", "may_be"),
    [
        ("latency", 0, False),
        ("throughput", 0.0, False),
        ("latency", -0.1, False),
        ("throughput", -1, False),
        ("throughput", 1e-300, True),
        ("params", 0, True),
        ("probe_gain", -1.5, True),
    ],
)
def test_a_time_is_more_than_nothing(metric, value, may_be):
    line = changed(["measurement", "metric"], metric)
    line = line.replace(b'"value":0.2', b'"value":' + json.dumps(value).encode())
    if may_be:
        assert decode(line).measurement.value == value
    else:
        with pytest.raises(Undecodable, match="it is a time that is not more than nothing"):
            decode(line)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ((0.2, None, None), ("measured", 0.2, None, None)),
        ((0.2, 0.1, 0.3), ("measured", 0.2, 0.1, 0.3)),
        ((0.2, math.nan, 0.3), ("measured", 0.2, None, 0.3)),
        ((0.2, 0.1, math.inf), ("measured", 0.2, 0.1, None)),
        ((math.nan, 0.1, 0.3), ("failed", None, None, None)),
        ((-math.inf, 0.1, 0.3), ("failed", None, None, None)),
    ],
)
def test_only_finite_numbers_are_written(given, kept):
    value, low, high = given
    found = decode(encode(record("macs", value, low=low, high=high), 1)[0]).measurement
    assert (found.status, found.value, found.low, found.high) == kept
    assert found.reason == ("" if kept[0] == "measured" else f"the result was {value}, not a finite number")
    gone = decode(encode(record("macs", None, low=low, high=high, reason="no"), 1)[0]).measurement
    assert (gone.status, gone.value, gone.reason) == ("unavailable", None, "no")


def test_what_json_cannot_hold_is_written_as_text_piece_by_piece():
    detail = {
        "texts": ["a\udcffb", "plain"],
        "integers": (2**63 - 1, -(2**63), 2**63, -(2**63) - 1, 2**70),
        "mapping": UserDict({1: {2}, "nothing": None, "yes": True, "share": np.float64(0.5), "frozen": frozenset({3})}),
    }
    found = decode(encode(record("macs", 1, detail=detail), 1)[0]).measurement.detail
    assert found == {
        "texts": ["a\\udcffb", "plain"],
        "integers": [2**63 - 1, -(2**63), str(2**63), str(-(2**63) - 1), str(2**70)],
        "mapping": {"1": [2], "nothing": None, "yes": True, "share": 0.5, "frozen": [3]},
    }
    whole = decode(encode(record("macs", 1, detail={"unsigned": 2**64 - 1, "set": {1}, 3: "three"}), 1)[0])
    assert whole.measurement.detail == {"unsigned": 2**64 - 1, "set": "{1}", "3": "three"}


def test_the_row_of_a_line_is_told_by_its_job_round_and_metric():
    decoder = Decoder()
    assert decoder.row(LINE) is None, "a new head"
    decoder.decode(LINE, "gpu")
    assert decoder.row(LINE) == LINE[: LINE.index(b'"value"')]
    assert decoder.row(changed(["rows"], 7)) == decoder.row(LINE)
    assert decoder.row(changed(["round"], 7)) == decoder.row(LINE).replace(b'"round":2', b'"round":7')
    assert decoder.row(changed(["measurement", "metric"], 'a"b')) is None, "a name with escapes has many spellings"
    assert decoder.row(changed(["job", "paper"], "other")) is None
    spaced = json.dumps(json.loads(LINE)).encode()
    decoder.decode(spaced, "gpu")
    assert decoder.row(spaced) is None, "another layout is decoded whole each time"


def test_an_option_that_looks_like_the_end_of_a_head_is_none():
    tricky = replace(RECORD, job=replace(RECORD.job, options=Options(extra={"a": 1, "round": 9})))
    line = encode(tricky, 2)[0]
    decoder = Decoder()
    for _ in range(2):
        assert decoder.decode(line, "gpu").job == tricky.job
        assert decoder.row(line) is None


def test_samples_have_a_key_that_is_read_without_them():
    key, line = encode_samples((0.1, math.nan))
    assert (key, line) == ("c1fc2774d082ce69", SAMPLES)
    assert samples_key_of(line) == key
    assert samples_key_of(b'{"key":"\xff') == "\ufffd"


@pytest.mark.parametrize(
    ("line", "times", "expected"),
    [
        (SAMPLES, True, [0.1, None]),
        (b'{"samples":[1,0.5]}', True, [1, 0.5]),
        (b'{"samples":[]}', True, []),
        (b'{"samples":[0,-1.5,null]}', False, [0, -1.5, None]),
        (b'{"samples":[0]}', True, ValueError),
        (b'{"samples":[-1.5]}', True, ValueError),
        (b'{"samples":["1"]}', False, ValueError),
        (b'{"samples":[true]}', False, ValueError),
        (b"{", True, ValueError),
        (b"{}", True, KeyError),
        (b"[]", True, TypeError),
        (b'{"samples":7}', True, TypeError),
    ],
)
def test_samples_are_numbers_and_times_more_than_nothing(line, times, expected):
    if isinstance(expected, list):
        found = decode_samples(line, times)
        assert [None if math.isnan(sample) else sample for sample in found] == expected
        assert isinstance(found, tuple)
    else:
        with pytest.raises(expected):
            decode_samples(line, times)


def test_samples_are_times_unless_said_otherwise():
    with pytest.raises(ValueError, match="a sample is no number, or no time"):
        decode_samples(b'{"samples":[0]}')
