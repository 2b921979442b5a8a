"""Things are put together in the order in which they come."""

from claimbench.bench.core.grouping import grouped


def test_keys_and_things_keep_their_order():
    found = grouped(["bb", "a", "cc", "d"], len)
    assert list(found.items()) == [(2, ["bb", "cc"]), (1, ["a", "d"])]
    assert 3 not in found
    assert grouped([], len) == {}
