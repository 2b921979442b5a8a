"""Focal modulation's context: right on every backend, for any number of levels, and clear about bad input."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from claimbench.kernels import backend
from claimbench.kernels.focal_modulation import cost, focal_modulation
from claimbench.kernels.focal_modulation.cases import CHECK
from tests.kernels import operators

NAME = "focal_modulation"


@pytest.mark.processors
@operators.needs_native
def test_native_agrees_with_the_reference():
    operators.assert_native_is_right(NAME)


def test_triton_agrees_with_the_reference():
    operators.assert_triton_is_right(NAME, ["float32"])


def call(context, gates, taps, kernel_sizes):
    """The public function on the operator's arguments."""
    parts = taps.split([k * k for k in kernel_sizes], dim=1) if kernel_sizes else []
    return focal_modulation(
        context, gates, [part.unflatten(1, (1, k, k)) for part, k in zip(parts, kernel_sizes, strict=True)]
    )


@pytest.mark.parametrize("name", [None, "reference"])
def test_each_level_reads_the_one_before_and_is_gated(name):
    context, gates, taps, kernel_sizes = operators.arguments(NAME, 0, torch.float64)
    assert kernel_sizes == [3, 5]
    near, far = taps[:, :9].reshape(16, 1, 3, 3), taps[:, 9:].reshape(16, 1, 5, 5)
    first = F.gelu(F.conv2d(context, near, padding=1, groups=16))
    second = F.gelu(F.conv2d(first, far, padding=2, groups=16))
    everywhere = F.gelu(second.flatten(2).mean(-1))[:, :, None, None]
    expected = gates[:, :1] * first + gates[:, 1:2] * second + gates[:, 2:] * everywhere
    with backend.use(name):
        torch.testing.assert_close(focal_modulation(context, gates, [near, far]), expected)


@pytest.mark.parametrize("name", [None, "reference"])
def test_without_levels_the_mean_is_left(name):
    context, gates = torch.randn(2, 3, 4, 5), torch.randn(2, 1, 4, 5)
    with backend.use(name):
        found = focal_modulation(context, gates, [])
    torch.testing.assert_close(found, F.gelu(context.mean((2, 3), keepdim=True)) * gates)


@pytest.mark.processors
def test_the_reference_has_the_gradients_of_its_values():
    args = operators.arguments(NAME, 3, torch.float64)
    with backend.use("reference"):
        assert torch.autograd.gradcheck(lambda *tensors: call(*tensors, args[-1]), args[:-1])


def test_registration():
    operators.assert_registered_well(NAME, (0, 3, 4, 6))


def test_compiles_without_a_graph_break():
    operators.assert_compiles(NAME, call)


@pytest.mark.processors
@operators.needs_native
@pytest.mark.parametrize("number", [0, 2, 3])
def test_results_do_not_depend_on_the_number_of_threads(number):
    operators.assert_same_on_every_thread_count(NAME, CHECK[number])


def test_under_autocast_the_others_follow_the_context():
    context, gates, weight = torch.randn(1, 8, 5, 5).bfloat16(), torch.randn(1, 2, 5, 5), torch.randn(8, 1, 3, 3)
    with torch.autocast("cpu", torch.bfloat16):
        assert focal_modulation(context, gates, [weight]).dtype == torch.bfloat16
    with pytest.raises(TypeError, match="all tensors must have one dtype"):
        focal_modulation(context, gates, [weight])


def test_an_empty_batch_passes_through():
    context, weight = torch.randn(0, 8, 5, 5, requires_grad=True), torch.randn(8, 1, 3, 3, requires_grad=True)
    focal_modulation(context, torch.randn(0, 2, 5, 5), [weight]).sum().backward()
    assert torch.equal(weight.grad, torch.zeros_like(weight))


@pytest.mark.parametrize(
    ("context", "gates", "weights", "message"),
    [
        ((8, 5, 5), (1, 1, 5, 5), [], r"context must be \(B, C, H, W\)"),
        ((1, 8, 0, 5), (1, 1, 0, 5), [], "not empty"),
        ((1, 8, 5, 5), (1, 1, 5, 5), [(8, 1, 3, 3)], r"gates must be \(1, 2, 5, 5\) for 1 levels"),
        ((1, 8, 5, 5), (1, 2, 5, 5), [(4, 1, 3, 3)], r"weights must be \(8, 1, k, k\)"),
        ((1, 8, 5, 5), (1, 2, 5, 5), [(8, 1, 4, 4)], "with odd k"),
    ],
)
def test_bad_input_is_named(context, gates, weights, message):
    with pytest.raises(ValueError, match=message):
        focal_modulation(torch.ones(context), torch.ones(gates), [torch.ones(shape) for shape in weights])


def test_cost_counts_every_tap_of_every_level():
    args = operators.shaped(NAME, (8, 96, 56, 56), (8, 3, 56, 56), (96, 34), [3, 5])
    each = 2 * 8 * 96 * 56 * 56
    assert cost.forward_flops(args) == each * 34
    assert cost.backward_flops(args) == each * 68
    assert cost.backward_flops(args, (False, False, True)) == each * (34 + 25)
    assert cost.backward_flops(args, (False, True, False)) == 0
    assert cost.forward_bytes(args) == 4 * (8 * 56 * 56 * (2 * 96 + 3) + 96 * 34)
