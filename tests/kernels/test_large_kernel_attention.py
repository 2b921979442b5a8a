"""Large kernel attention: right on every backend, in every memory format, and clear about bad input."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from claimbench.kernels import backend
from claimbench.kernels.large_kernel_attention import cost, large_kernel_attention
from claimbench.kernels.large_kernel_attention.cases import CHECK
from tests.kernels import operators

NAME = "large_kernel_attention"


@pytest.mark.processors
@operators.needs_native
def test_native_agrees_with_the_reference():
    operators.assert_native_is_right(NAME)


def test_triton_agrees_with_the_reference():
    operators.assert_triton_is_right(NAME, ["float32"])


@pytest.mark.parametrize("name", [None, "reference"])
def test_the_gate_is_the_decomposed_convolution(name):
    u, local, local_bias, dilated, dilated_bias, pointwise, pointwise_bias, dilation = operators.arguments(
        NAME, 0, torch.float64
    )
    assert dilation == 3
    near = F.conv2d(u, local, local_bias, padding=2, groups=8)
    far = F.conv2d(near, dilated, dilated_bias, padding=9, dilation=3, groups=8)
    gate = torch.einsum("oi,bihw->bohw", pointwise[:, :, 0, 0], far) + pointwise_bias[:, None, None]
    with backend.use(name):
        found = large_kernel_attention(u, local, local_bias, dilated, dilated_bias, pointwise, pointwise_bias, dilation)
    torch.testing.assert_close(found, u * gate)


def test_registration():
    operators.assert_registered_well(NAME, (0, 3, 4))


def test_compiles_without_a_graph_break():
    operators.assert_compiles(NAME, large_kernel_attention)


@pytest.mark.processors
@operators.needs_native
@pytest.mark.parametrize("number", [0, 3])
def test_results_do_not_depend_on_the_number_of_threads(number):
    operators.assert_same_on_every_thread_count(NAME, CHECK[number])


@operators.needs_native
@pytest.mark.parametrize("wanted", [(0,), (1,), (2, 4), (3, 6), (5,)])
def test_computes_only_the_gradients_that_are_asked_for(wanted):
    args = operators.arguments(NAME, 2, torch.float64)
    full = operators.gradients(NAME, args)[1:]
    frozen = [a if i in wanted or not isinstance(a, torch.Tensor) else a.detach() for i, a in enumerate(args)]
    out = large_kernel_attention(*frozen)
    grad = torch.randn(out.shape, generator=torch.Generator().manual_seed(2)).double()
    found = torch.autograd.grad(out, [args[i] for i in wanted], torch.empty_like(out).copy_(grad))
    for i, gradient in zip(wanted, found, strict=True):
        torch.testing.assert_close(gradient, full[i])


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_keeps_the_memory_format(layout):
    u, *rest = operators.arguments(NAME, 0)
    assert large_kernel_attention(u.to(memory_format=layout), *rest).is_contiguous(memory_format=layout)


def test_under_autocast_the_parameters_follow_u():
    u, *rest = operators.arguments(NAME, 0)
    with torch.autocast("cpu", torch.bfloat16):
        assert large_kernel_attention(u, *rest).dtype == torch.float32
        assert large_kernel_attention(u.bfloat16(), *rest).dtype == torch.bfloat16
    with pytest.raises(TypeError, match="all tensors must have one dtype"):
        large_kernel_attention(u.bfloat16(), *rest)


def test_autocast_does_not_round_a_float32_map():
    args = operators.arguments(NAME, 0)
    with torch.autocast("cpu", torch.bfloat16):
        found = large_kernel_attention(*args)
    torch.testing.assert_close(found, large_kernel_attention(*args))


def test_an_empty_batch_passes_through():
    u, *rest = operators.arguments(NAME, 0)
    large_kernel_attention(u[:0], *rest).sum().backward()
    assert torch.equal(rest[0].grad, torch.zeros_like(rest[0]))


def arguments_with(index, shape):
    args = list(operators.arguments(NAME, 0))
    args[index] = torch.ones(shape) if isinstance(shape, tuple) else shape
    return args


@pytest.mark.parametrize(
    ("index", "shape", "message"),
    [
        (0, (8, 5, 5), r"u must be \(B, C, H, W\)"),
        (1, (8, 1, 4, 4), r"local_weight must be \(8, 1, k, k\) with odd k"),
        (2, (4,), r"local_bias must be \(8,\)"),
        (3, (8, 1, 7, 5), "dilated_weight must be"),
        (5, (8, 4, 1, 1), r"pointwise_weight must be \(8, 8, 1, 1\)"),
        (6, (4,), r"pointwise_bias must be \(8,\)"),
        (7, 0, "dilation must be at least 1"),
    ],
)
def test_bad_input_is_named(index, shape, message):
    with pytest.raises(ValueError, match=message):
        large_kernel_attention(*arguments_with(index, shape))


def test_cost_counts_three_convolutions():
    args = operators.shaped(NAME, (8, 64, 56, 56), (64, 1, 5, 5), (64,), (64, 1, 7, 7), (64,), (64, 64, 1, 1), (64,), 3)
    each = 2 * 8 * 64 * 56 * 56
    assert cost.forward_flops(args) == each * (25 + 49 + 64)
    assert cost.backward_flops(args) == 2 * cost.forward_flops(args)
    assert cost.backward_flops(args, (False,) * 5 + (True,) * 2) == each * 64
    assert cost.backward_flops(args, (False, True) + (False,) * 5) == each * (25 + 49 + 64)
    assert cost.forward_bytes(args) == 4 * (2 * 8 * 64 * 56 * 56 + 64 * (25 + 49 + 64 + 3))
