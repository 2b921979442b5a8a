"""The causal convolution: its definition, its backends, its registration, its cost and its errors."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from claimbench.bench.measure.operators.check import DTYPES
from claimbench.kernels import backend
from claimbench.kernels.causal_conv1d import causal_conv1d, cost
from claimbench.kernels.causal_conv1d.cases import CHECK
from tests.kernels import operators

NAME = "causal_conv1d"
BACKENDS = [None, "reference"]


@pytest.mark.parametrize("name", BACKENDS)
def test_a_position_sees_itself_and_those_before_it(name):
    x, weight = torch.tensor([[[1.0, 2.0, 3.0, 4.0]]]), torch.tensor([[100.0, 10.0, 1.0]])
    with backend.use(name):
        assert causal_conv1d(x, weight).flatten().tolist() == [1, 12, 123, 234]
        assert causal_conv1d(x, weight, torch.tensor([0.5])).flatten().tolist() == [1.5, 12.5, 123.5, 234.5]


@pytest.mark.parametrize("name", BACKENDS)
def test_silu_follows_the_bias(name):
    x, weight, bias = torch.randn(2, 3, 70), torch.randn(3, 4), torch.randn(3)
    with backend.use(name):
        plain, fused = causal_conv1d(x, weight, bias), causal_conv1d(x, weight, bias, silu=True)
    torch.testing.assert_close(fused, F.silu(plain))


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("length", [1, 2, 63, 64, 65, 129])
def test_the_start_of_a_sequence_does_not_depend_on_its_end(name, length):
    x, weight = torch.randn(1, 2, 200), torch.randn(2, 4)
    with backend.use(name):
        assert torch.equal(causal_conv1d(x[..., :length], weight), causal_conv1d(x, weight)[..., :length])


@pytest.mark.parametrize("name", BACKENDS)
def test_nan_reaches_the_positions_that_see_it(name):
    x = torch.zeros(1, 2, 70)
    x[0, 1, 62] = torch.nan
    with backend.use(name):
        seen = causal_conv1d(x, torch.ones(2, 4), silu=True).isnan()
    assert seen.nonzero().tolist() == [[0, 1, position] for position in range(62, 66)]


@pytest.mark.processors
@operators.needs_native
def test_native_agrees_with_the_reference_in_every_dtype():
    operators.assert_native_is_right(NAME)


def test_triton_agrees_with_the_reference():
    operators.assert_triton_is_right(NAME, ["float32"])


@operators.needs_gpu
@pytest.mark.gpu
def test_triton_agrees_with_the_reference_in_every_dtype():
    operators.assert_triton_is_right(NAME, list(DTYPES))


@pytest.mark.processors
@operators.needs_native
def test_native_gives_the_same_bits_on_any_number_of_threads():
    operators.assert_same_on_every_thread_count(NAME, CHECK[5])


def test_registration():
    operators.assert_registered_well(NAME, (0, 1, 3))


def test_compiles_without_a_graph_break():
    operators.assert_compiles(NAME, causal_conv1d)


def test_under_autocast_the_filter_follows_the_input():
    x, weight = torch.randn(1, 2, 5).bfloat16(), torch.randn(2, 4)
    with torch.autocast("cpu", torch.bfloat16):
        assert causal_conv1d(x, weight).dtype == torch.bfloat16
    with pytest.raises(TypeError, match="all tensors must have one dtype"):
        causal_conv1d(x, weight)


@pytest.mark.parametrize(
    ("x", "weight", "bias", "message"),
    [
        ((2, 5), (2, 4), None, r"x must be \(B, D, L\) with D and L at least 1, got shape \(2, 5\)"),
        ((1, 2, 0), (2, 4), None, r"x must be \(B, D, L\) with D and L at least 1, got shape \(1, 2, 0\)"),
        ((1, 2, 5), (2, 5), None, r"weight must be \(2, W\) with W from 1 to 4, got shape \(2, 5\)"),
        ((1, 2, 5), (3, 4), None, r"weight must be \(2, W\) with W from 1 to 4, got shape \(3, 4\)"),
        ((1, 2, 5), (2, 1, 4), None, r"weight must be \(2, W\) with W from 1 to 4, got shape \(2, 1, 4\)"),
        ((1, 2, 5), (2, 4), (1,), r"bias must be \(2,\), got shape \(1,\)"),
    ],
)
def test_bad_input_is_named(x, weight, bias, message):
    args = torch.ones(x), torch.ones(weight), None if bias is None else torch.ones(bias)
    for call in (causal_conv1d, torch.ops.claimbench.causal_conv1d):
        with pytest.raises(ValueError, match=message):
            call(*args, False)


def test_costs_count_the_taps():
    args = operators.shaped(NAME, (2, 6, 37), (6, 4), (6,), True)
    assert cost.forward_flops(args) == 2 * 2 * 6 * 37 * 4
    assert cost.backward_flops(args) == 2 * cost.forward_flops(args)
    assert cost.backward_flops(args, (True, False, False)) == cost.forward_flops(args)
    assert cost.forward_bytes(args) == 4 * (2 * 2 * 6 * 37 + 6 * 4 + 6)
    assert cost.backward_bytes(args) == 4 * (3 * 2 * 6 * 37 + 2 * (6 * 4 + 6))
