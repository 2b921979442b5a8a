"""What ``bench kernels list`` shows."""

from __future__ import annotations

from claimbench.bench.measure.operators.list import list_operators
from claimbench.kernels import find_operator, operator_names


def test_every_operator_is_listed_with_its_summary_and_every_backend():
    rows = list_operators()
    assert [row.operator for row in rows] == operator_names()
    (conv,) = [row for row in rows if row.operator == "depthwise_conv2d"]
    assert conv.summary == "Convolve every channel with a kernel of its own."
    assert conv.signature == "depthwise_conv2d(x, weight, bias, dilation)"
    assert [b.backend for b in conv.backends] == ["reference", "native", "triton"]
    assert conv.backends[0].available
    assert conv.backends[1].preferred_on == ("cpu",)


def test_a_backend_that_cannot_run_says_why(monkeypatch):
    monkeypatch.setitem(find_operator("depthwise_conv2d")._loaded, "native", "no compiler was found")
    (conv,) = [row for row in list_operators() if row.operator == "depthwise_conv2d"]
    native = conv.backends[1]
    assert (native.available, native.reason) == (False, "no compiler was found")
