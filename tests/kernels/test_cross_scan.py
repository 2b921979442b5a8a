"""The cross-scan and the cross-merge: definitions, backends, registration, cost and errors."""

from __future__ import annotations

import pytest
import torch

from claimbench.bench.measure.operators.check import DTYPES
from claimbench.kernels import backend
from claimbench.kernels.cross_merge import cost as merge_cost
from claimbench.kernels.cross_merge import cross_merge
from claimbench.kernels.cross_scan import cost as scan_cost
from claimbench.kernels.cross_scan import cross_scan
from claimbench.kernels.cross_scan.cases import CHECK
from tests.kernels import operators

NAMES = ["cross_scan", "cross_merge"]
BACKENDS = [None, "reference"]
ORDERS = {
    "cross2d": ([0, 1, 2, 3, 4, 5], [0, 3, 1, 4, 2, 5], [5, 4, 3, 2, 1, 0], [5, 2, 4, 1, 3, 0]),
    "unidi": ([0, 1, 2, 3, 4, 5],) * 4,
    "bidi": ([0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 5], [5, 4, 3, 2, 1, 0], [5, 4, 3, 2, 1, 0]),
}


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("scans", ORDERS)
def test_each_direction_has_its_order(name, scans):
    x = torch.arange(6.0).view(1, 1, 2, 3)
    with backend.use(name):
        assert cross_scan(x, scans)[0, :, 0].tolist() == list(ORDERS[scans])
        last = cross_scan(x.permute(0, 2, 3, 1), scans, channels_last=True)
        assert last[0, :, :, 0].T.tolist() == list(ORDERS[scans])


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("scans", ORDERS)
@pytest.mark.parametrize("channels_last", [False, True])
def test_merging_is_the_adjoint_of_scanning(name, scans, channels_last):
    shape = (2, 5, 18, 3) if channels_last else (2, 3, 5, 18)
    x = torch.randn(shape, dtype=torch.float64)
    with backend.use(name):
        sequences = cross_scan(x, scans, channels_last)
        y = torch.randn_like(sequences)
        merged = cross_merge(y, 5, 18, scans, channels_last)
        assert torch.equal(cross_merge(sequences, 5, 18, scans, channels_last), 4 * x)
    assert merged.shape == x.shape
    torch.testing.assert_close((merged * x).sum(), (sequences * y).sum())


@pytest.mark.parametrize("name", BACKENDS)
def test_scanning_moves_every_value_as_it_is(name):
    x = torch.tensor([torch.nan, torch.inf, -0.0, 1e-45]).view(1, 1, 2, 2)
    with backend.use(name):
        for dtype in (torch.float32, torch.float64):
            found = cross_scan(x.to(dtype))
            assert torch.equal(found[0, 0, 0].view(torch.uint8), x.to(dtype).flatten().view(torch.uint8))


@pytest.mark.processors
@operators.needs_native
@pytest.mark.parametrize("name", NAMES)
def test_native_agrees_with_the_reference_in_every_dtype(name):
    operators.assert_native_is_right(name)


@pytest.mark.parametrize("name", NAMES)
def test_triton_agrees_with_the_reference(name):
    operators.assert_triton_is_right(name, ["float32"])


@operators.needs_gpu
@pytest.mark.gpu
@pytest.mark.parametrize("name", NAMES)
def test_triton_agrees_with_the_reference_in_every_dtype(name):
    operators.assert_triton_is_right(name, list(DTYPES))


@pytest.mark.processors
@operators.needs_native
def test_native_gives_the_same_bits_on_any_number_of_threads():
    for number in (1, 2):
        operators.assert_same_on_every_thread_count("cross_scan", CHECK[number])


@pytest.mark.parametrize("name", NAMES)
def test_registration(name):
    operators.assert_registered_well(name, (0, 2, 3))


@pytest.mark.parametrize(("name", "number"), [("cross_scan", 2), ("cross_merge", 0)])
def test_compiles_without_a_graph_break(name, number):
    calls = {
        "cross_scan": lambda x, scans, last: cross_scan(x, "cross2d", last),
        "cross_merge": lambda y, height, width, scans, last: cross_merge(y, height, width, "cross2d", last),
    }
    operators.assert_compiles(name, calls[name], number)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="scans must be one of cross2d, unidi, bidi, got 'cascade2d'"):
        cross_scan(torch.ones(1, 2, 3, 4), "cascade2d")
    for call in (cross_scan, lambda x: torch.ops.claimbench.cross_scan(x, 0, False)):
        with pytest.raises(
            ValueError, match=r"x must be \(B, C, H, W\) with no axis but B empty, got shape \(2, 3, 4\)"
        ):
            call(torch.ones(2, 3, 4))
        with pytest.raises(ValueError, match=r"x must be floating point, got torch\.int64"):
            call(torch.ones(1, 2, 3, 4, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"x must be \(B, H, W, C\)"):
        cross_scan(torch.ones(1, 0, 3, 4), channels_last=True)
    with pytest.raises(ValueError, match="scans must be from 0 to 2, got 3"):
        torch.ops.claimbench.cross_scan(torch.ones(1, 2, 3, 4), 3, False)
    merge = torch.ops.claimbench.cross_merge
    for call in (cross_merge, lambda y, height, width: merge(y, height, width, 0, False)):
        with pytest.raises(ValueError, match=r"y must be \(B, 4, C, 12\) with C at least 1, got shape \(1, 4, 2, 11\)"):
            call(torch.ones(1, 4, 2, 11), 3, 4)
        with pytest.raises(ValueError, match=r"y must be \(B, 4, C, 12\) with C at least 1, got shape \(1, 3, 2, 12\)"):
            call(torch.ones(1, 3, 2, 12), 3, 4)
        with pytest.raises(ValueError, match="height and width must be at least 1, got -3 and -4"):
            call(torch.ones(1, 4, 2, 12), -3, -4)
    with pytest.raises(ValueError, match=r"y must be \(B, 12, 4, C\) with C at least 1, got shape \(1, 4, 2, 12\)"):
        cross_merge(torch.ones(1, 4, 2, 12), 3, 4, channels_last=True)


def test_costs_count_five_maps():
    scan = operators.shaped("cross_scan", (2, 3, 5, 7), 0, False)
    merge = operators.shaped("cross_merge", (2, 4, 3, 35), 5, 7, 0, False)
    size = 2 * 3 * 35
    assert scan_cost.forward_flops(scan) == merge_cost.backward_flops(merge) == 0
    assert scan_cost.backward_flops(scan) == merge_cost.forward_flops(merge) == 3 * size
    assert scan_cost.backward_flops(scan, [False]) == 0
    moved = [scan_cost.forward_bytes(scan), scan_cost.backward_bytes(scan)]
    assert [*moved, merge_cost.forward_bytes(merge), merge_cost.backward_bytes(merge)] == [4 * 5 * size] * 4
