import json
import math
import re

from hypothesis import given
from hypothesis import strategies as st

from claimbench.bench.publish.site.sanitising import link, page_names, script, tidy

JSONISH = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**50), 2**50) | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(JSONISH)
def test_a_script_holds_its_data_and_nothing_that_a_page_obeys(data):
    text = script("rows", data)
    assert re.fullmatch(r'claimbench\.put\("rows", "(?:[^"\\]|\\.)*"\);\n', text)
    assert text.isascii()
    assert not set("<>&\u2028\u2029") & set(text)
    body = text.removeprefix('claimbench.put("rows", ').removesuffix(");\n")
    assert json.loads(json.loads(body)) == json.loads(json.dumps(tidy(data)))


def test_numbers_that_are_not_finite_become_nothing():
    assert tidy({"a": math.nan, "b": [math.inf, 1.5]}) == {"a": None, "b": [None, 1.5]}


def test_control_characters_and_changes_of_direction_become_visible():
    assert tidy("a\u202eb\x1b[31m\u2028c\nd") == "a\\u202eb\\x1b[31m\\u2028c d"


def test_only_web_addresses_are_links():
    assert link("https://example.org/a?b=c") == "https://example.org/a?b=c"
    for bad in (
        "javascript:alert(1)",
        "data:text/html,x",
        "//host/x",
        "http:",
        "https://a b",
        "ftp://x",
        "https://[",
        "JAVASCRIPT:x",
        "",
    ):
        assert link(bad) == ""
    assert link("https://x/\u202egnp") == ""


@given(st.lists(st.text(max_size=100), max_size=30))
def test_page_names_are_plain_distinct_and_stable(names):
    found = page_names(names)
    assert found.keys() == set(names)
    assert len(set(found.values())) == len(found)
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9-]{0,90}", name) for name in found.values())
    assert page_names(reversed(names)) == found


def test_a_plain_name_stays_readable():
    assert page_names(["overlock", "NVIDIA H200"]) == {"overlock": "overlock", "NVIDIA H200": "nvidia-h200"}
