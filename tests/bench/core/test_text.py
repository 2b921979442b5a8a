"""Facts as texts."""

from claimbench.bench.core.text import flat


def test_nested_facts_have_dotted_names_and_empty_ones_are_left_out():
    facts = {"cpu": {"model": "X", "cores": 2, "level": None}, "flags": ["a", "b"], "gpu": {}, "os": "", "load": 0}
    assert flat(facts) == {"cpu.model": "X", "cpu.cores": "2", "flags": "a, b", "load": "0"}
