"""Global response normalisation: right on every backend, in every memory format, and clear about bad input."""

from __future__ import annotations

import pytest
import torch

from claimbench.kernels import backend
from claimbench.kernels.global_response_norm import cost, global_response_norm
from tests.kernels import operators

NAME = "global_response_norm"


@pytest.mark.processors
@operators.needs_native
def test_native_agrees_with_the_reference():
    operators.assert_native_is_right(NAME)


def test_triton_agrees_with_the_reference():
    operators.assert_triton_is_right(NAME, ["float32", "bfloat16"])


def test_a_channel_is_scaled_by_its_norm_over_the_mean_norm():
    x = torch.zeros(1, 2, 2, 2)
    x[0, 0], x[0, 1, 0, 0] = 1.0, 6.0  # norms 2 and 6, mean 4
    out = global_response_norm(x, torch.tensor([1.0, 2.0]), torch.tensor([0.0, 0.5]), eps=0.0)
    torch.testing.assert_close(out[0, 0], torch.full((2, 2), 1 + 0.5))
    torch.testing.assert_close(out[0, 1], torch.tensor([[6 * (1 + 2 * 1.5) + 0.5, 0.5], [0.5, 0.5]]))


def test_registration():
    operators.assert_registered_well(NAME, (0, 3, 4))


def test_compiles_without_a_graph_break():
    operators.assert_compiles(NAME, global_response_norm)


@pytest.mark.processors
@operators.needs_native
@pytest.mark.parametrize("number", [0, 1, 3])
def test_results_do_not_depend_on_the_number_of_threads(number):
    from claimbench.kernels.global_response_norm.cases import CHECK

    operators.assert_same_on_every_thread_count(NAME, CHECK[number])


@operators.needs_native
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_silent_channel_has_a_finite_gradient(layout):
    x = torch.randn(2, 4, 3, 3)
    x[:, 1] = 0
    x = x.to(memory_format=layout).requires_grad_()
    ones = torch.ones(4)
    with backend.use("native"):
        found = torch.autograd.grad(global_response_norm(x, ones, ones).square().sum(), x)[0]
    with backend.use("reference"):
        expected = torch.autograd.grad(global_response_norm(x, ones, ones).square().sum(), x)[0]
    torch.testing.assert_close(found, expected)
    assert found.is_contiguous(memory_format=layout)


def test_parameters_may_be_vectors_or_maps():
    x, gamma, beta, eps = operators.arguments(NAME)
    column = global_response_norm(x, gamma.view(1, -1, 1, 1), beta.view(1, -1, 1, 1), eps)
    assert torch.equal(column, global_response_norm(x, gamma, beta, eps))


def test_under_autocast_the_parameters_follow_x():
    x, gamma = torch.randn(1, 8, 5, 5).bfloat16(), torch.randn(8)
    with torch.autocast("cpu", torch.bfloat16):
        assert global_response_norm(x, gamma, gamma).dtype == torch.bfloat16
    with pytest.raises(TypeError, match="all tensors must have one dtype"):
        global_response_norm(x, gamma, gamma)


@pytest.mark.parametrize(
    ("x", "gamma", "eps", "message"),
    [
        ((8, 5, 5), (8,), 1e-6, r"x must be \(B, C, H, W\)"),
        ((1, 8, 5, 5), (4,), 1e-6, r"gamma must be \(8,\) or \(1, 8, 1, 1\)"),
        ((1, 8, 5, 5), (8, 1, 1), 1e-6, r"gamma must be \(8,\) or \(1, 8, 1, 1\)"),
        ((1, 8, 5, 5), (8,), -1.0, "eps must not be negative"),
    ],
)
def test_bad_input_is_named(x, gamma, eps, message):
    with pytest.raises(ValueError, match=message):
        global_response_norm(torch.ones(x), torch.ones(gamma), torch.ones(8), eps)


def test_a_normalisation_counts_bytes_but_no_flops():
    args = operators.shaped(NAME, (8, 64, 7, 7), (64,), (64,), 1e-6, dtype=torch.float16)
    assert cost.forward_flops(args) == cost.backward_flops(args) == 0
    assert cost.forward_bytes(args) == 2 * (2 * 8 * 64 * 49 + 128)
    assert cost.backward_bytes(args) == 2 * (3 * 8 * 64 * 49 + 192)
