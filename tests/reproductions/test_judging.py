"""The rule that makes one verdict of a claim's parts, on made-up evidence."""

import pytest

from claimbench.bench.papers.claims import Evidence
from claimbench.reproductions.judging import concluded, grown, judge, linear, measured, quadratic, said


@pytest.mark.parametrize(
    ("parts", "main", "verdict"),
    [
        ({"a": True, "b": True}, (), "holds"),
        ({"a": True, "b": None}, (), "partly"),
        ({"a": True, "b": False}, (), "partly"),
        ({"a": True, "b": False}, ("b",), "fails"),
        ({"a": True, "b": None}, ("b",), "partly"),
        ({"a": False, "b": None}, (), "fails"),
        ({"a": False, "b": False}, (), "fails"),
        ({"a": None, "b": None}, ("a",), "untested"),
        ({}, (), "untested"),
    ],
)
def test_a_claim_holds_only_if_every_part_was_tested_and_holds(parts, main, verdict):
    assert judge(parts, main) == verdict


@pytest.mark.parametrize(
    ("parts", "verdict"),
    [
        ({"a": True}, "partly"),
        ({"a": True, "b": None}, "partly"),
        ({"a": False}, "untested"),
        ({"a": None}, "untested"),
    ],
)
def test_a_stand_in_shows_a_part_at_most_and_refutes_nothing(parts, verdict):
    result = concluded(parts, (), "Details.", stand_in="on a CPU")
    assert result.verdict == verdict
    assert result.limits.startswith("on a CPU: ")


def test_the_phrase_names_what_holds_what_does_not_and_what_is_open():
    parts = {"0.37x parameters": True, "0.36x MACs": True, "speed": False, "accuracy": None}
    assert said(parts) == "0.37x parameters, 0.36x MACs hold; speed does not; accuracy not checked"
    assert said({"a": True}) == "a holds"


def test_limits_begin_with_the_phrase_unless_the_claim_holds():
    evidence = [Evidence("a", 1.0)]
    assert concluded({"a": True, "b": None}, evidence, "Details.").limits == "a holds; b not checked. Details."
    whole = concluded({"a": True}, evidence, "Details.")
    assert (whole.verdict, whole.limits, whole.evidence) == ("holds", "Details.", tuple(evidence))


def test_a_ratio_that_was_not_measured_leaves_its_part_open():
    assert measured(None, "speed", lambda ratio: True) == {"speed": None}
    assert measured(1.234, "speed", lambda ratio: ratio > 1) == {"1.23x speed": True}
    assert measured(0.0, "speed", lambda ratio: ratio > 1) == {"0.00x speed": False}


@pytest.mark.parametrize(
    ("time", "holds"), [(1.0, True), (1.19, True), (1.3, False), (0.6, None), (-0.64, None), (None, None)]
)
def test_a_time_is_linear_near_one_and_undecided_below(time, holds):
    assert linear({"time": time}) == {"time": holds}


def test_counts_are_linear_near_one_only():
    assert linear({"MACs": 1.01, "memory": 0.9}) == {"MACs": True, "memory": False}


def test_quadratic_costs_are_named_by_their_owner():
    powers = {"MACs": 1.95, "memory": 1.0, "time": None}
    assert quadratic(powers, "attention's") == {
        "attention's MACs": True,
        "attention's memory": False,
        "attention's time": None,
    }


def test_a_claim_on_time_and_memory_does_not_hold_on_counts_alone():
    assert concluded(linear({"MACs": 1.0, "memory": 1.0, "time": -0.64}), (), "").verdict == "partly"
    assert concluded(linear({"MACs": 1.0, "memory": 1.0, "time": 1.05}), (), "").verdict == "holds"


def test_evidence_of_growth_names_the_layer_and_the_cost():
    first, second = grown("a layer", {"MACs": 1.0, "time": None})
    assert (first.value, second.value) == (1.0, None)
    assert first.name.startswith("a layer: MACs")
