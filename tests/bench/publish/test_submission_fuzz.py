"""Whatever a file holds, judging it ends with reasons, never with an error of ours."""

import json
import zlib
from copy import deepcopy
from datetime import UTC, datetime

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from claimbench.bench.publish.submission.check import UNJUDGED, Checker
from claimbench.bench.publish.submission.models import Models
from claimbench.bench.report.render import clean
from tests.bench.bad_submissions import COUNTS, GPU, MEMORY, TIMES
from tests.bench.submission_draft import read, reseal

NOW = datetime(2027, 1, 1, tzinfo=UTC)
FILES = {path.name: path.read_bytes() for path in (COUNTS, TIMES, MEMORY, GPU)}
QUICKLY = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**25), 10**25)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from([0, -1, 1e308, 5e-324, 2**53 + 1, "", "cpu", "cuda", "van", "\x1b[2J", "1e999", "9" * 400])
)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)


class Known(Models):
    """Models whose facts are known beforehand, so that nothing is built."""

    def facts(self, job):
        from claimbench.bench.publish.submission.models import Facts

        self.own(job)
        return Facts(4_105_800, 4_105_800, dict.fromkeys(("fp32", "bf16"), 16_453_136), 1_728_448_000.0)


MODELS = Known()


def judge(data):
    verdict = Checker(now=NOW, models=MODELS).check_bytes(data)
    for reason in verdict.reasons:
        assert clean(str(reason)) == str(reason)
        assert UNJUDGED not in reason.message
        assert reason.rule
    return verdict


def places(value, path=()):
    """Yield the way to every place in nested data."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, entry in inner:
        yield from places(entry, (*path, name))


LINES = {name: [json.loads(line) for line in data.splitlines()] for name, data in FILES.items()}
PLACES = [
    (name, number, path)
    for name, found in LINES.items()
    for number, line in enumerate(found)
    for path in places(line)
    if path
]


def put(lines, number, path, value):
    """Return the lines with another value at one place."""
    changed = deepcopy(lines)
    at = changed[number]
    for name in path[:-1]:
        at = at[name]
    at[path[-1]] = value
    return changed


def sealed(lines):
    return reseal(b"".join(json.dumps(line).encode("utf-8", "surrogatepass") + b"\n" for line in lines))


@QUICKLY
@given(st.sampled_from(PLACES), ANYTHING)
def test_any_value_at_any_place(place, value):
    name, number, path = place
    lines = put(LINES[name], number, path, value)
    if isinstance(lines[0], dict) and isinstance(lines[0].get("header"), dict):
        judge(sealed(lines))
    judge(b"".join(json.dumps(line).encode("utf-8", "surrogatepass") + b"\n" for line in lines))


@QUICKLY
@given(st.sampled_from(PLACES), ANYTHING)
def test_any_value_with_digests_that_fit(place, value):
    name, number, path = place
    lines = put(LINES[name], number, path, value)
    try:
        data = read_lines(lines).seal()
    except Exception:  # what cannot be sealed is tried unsealed above
        return
    judge(data)


def read_lines(lines):
    from tests.bench.submission_draft import Draft

    return Draft.read(b"".join(json.dumps(line).encode() + b"\n" for line in lines))


@QUICKLY
@given(st.sampled_from(PLACES))
def test_anything_may_be_missing(place):
    name, number, path = place
    lines = deepcopy(LINES[name])
    at = lines[number]
    for step in path[:-1]:
        at = at[step]
    del at[path[-1]]
    if lines[0].get("header") is not None:
        judge(sealed(lines))


@QUICKLY
@given(
    st.sampled_from(sorted(FILES)),
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=6),
)
def test_flipped_bytes(name, flips):
    data = bytearray(FILES[name])
    for position, value in flips:
        data[position % len(data)] = value
    assert judge(bytes(data)).reasons or bytes(data) == FILES[name]


@QUICKLY
@given(st.sampled_from(sorted(FILES)), st.integers(0, 10**6), st.integers(0, 10**6))
def test_pieces_of_a_file(name, start, end):
    data = FILES[name]
    start, end = sorted((start % len(data), end % len(data)))
    judge(data[start:end])
    judge(data[:start] + data[end:])


@QUICKLY
@given(st.binary(max_size=400))
def test_bytes(data):
    assert not judge(data).good
    assert not judge(b"\x1f\x8b" + data).good
    assert not judge(zlib.compress(data, wbits=31)).good


@QUICKLY
@given(
    st.lists(
        st.builds(
            lambda kind, value: {kind: value},
            st.sampled_from(["header", "environment", "plan", "record", "samples", "x"]),
            ANYTHING,
        )
        | ANYTHING,
        max_size=5,
    )
)
def test_lines_of_json(lines):
    assert not judge(b"".join(json.dumps(line).encode("utf-8", "surrogatepass") + b"\n" for line in lines)).good


@QUICKLY
@given(st.randoms(use_true_random=False), st.sampled_from(sorted(FILES)))
def test_lines_in_any_order_twice_or_left_out(numbers, name):
    head, *rest = LINES[name]
    judge(sealed([head, *numbers.choices(rest, k=len(rest))]))


def test_what_is_judged_is_good_unchanged():
    for data in FILES.values():
        assert judge(data).good


def test_a_draft_keeps_the_file():
    assert read(COUNTS).seal() == FILES[COUNTS.name]


def test_a_file_of_nothing_but_wrong_lines_is_not_read_to_its_end():
    head = FILES[COUNTS.name].splitlines()[0]
    verdict = judge(head + 50_000 * b'\n{"record":{}}' + b"\n")
    assert any("1000 lines are wrong" in reason.message for reason in verdict.reasons)
    assert any(
        "longer than 2 MiB" in str(reason) for reason in judge(head + b'\n{"x":"' + bytes(2**22) + b'"}\n').reasons
    )
