"""The depthwise convolution: right on every backend, in every memory format, and clear about bad input."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from claimbench.kernels import backend, find_operator
from claimbench.kernels.depthwise_conv2d import cost, depthwise_conv2d, native
from tests.kernels import operators

NAME = "depthwise_conv2d"


@pytest.mark.processors
@operators.needs_native
def test_native_agrees_with_the_reference():
    operators.assert_native_is_right(NAME)


def test_triton_agrees_with_the_reference():
    operators.assert_triton_is_right(NAME, ["float32"])


@pytest.mark.processors
def test_the_reference_is_the_formula():
    x, weight, bias, dilation = operators.arguments(NAME, 8, torch.float64)
    assert (bias, dilation) == (None, 2)
    padded = F.pad(x, (2, 2, 6, 6))
    expected = sum(
        weight[:, :, i, j, None] * padded[:, :, 2 * i : 2 * i + x.shape[2], 2 * j : 2 * j + x.shape[3]]
        for i in range(7)
        for j in range(3)
    )
    with backend.use("reference"):
        torch.testing.assert_close(depthwise_conv2d(x, weight, None, 2), expected)


def test_registration():
    operators.assert_registered_well(NAME, (0, 1, 6, 8))


def test_compiles_without_a_graph_break():
    operators.assert_compiles(NAME, depthwise_conv2d)


@pytest.mark.processors
@operators.needs_native
@pytest.mark.parametrize("number", [0, 3, 5, 6, 7])
def test_results_do_not_depend_on_the_number_of_threads(number):
    from claimbench.kernels.depthwise_conv2d.cases import CHECK

    operators.assert_same_on_every_thread_count(NAME, CHECK[number])


@pytest.mark.processors
@operators.needs_native
@pytest.mark.parametrize(
    ("channels", "height", "width"), [(8, 1, 1), (9, 2, 3), (17, 3, 8), (40, 9, 9), (23, 5, 16), (24, 4, 33)]
)
@pytest.mark.parametrize(("kernel", "dilation"), [(3, 1), (5, 1), (9, 1), (5, 4)])
@pytest.mark.parametrize("like_out", [True, False], ids=["", "contiguous gradient"])
def test_borders_and_the_last_channels(channels, height, width, kernel, dilation, like_out):
    generator = torch.Generator().manual_seed(channels + kernel)
    x = torch.randn((2, channels, height, width), generator=generator, dtype=torch.float64)
    x = x.to(memory_format=torch.channels_last).requires_grad_()
    weight = torch.randn((channels, 1, kernel, kernel), generator=generator, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(channels, generator=generator, dtype=torch.float64, requires_grad=True)
    args = (x, weight, bias, dilation)
    with backend.use("native"):
        found = operators.gradients(NAME, args, None, like_out)
    for a, b in zip(found, operators.gradients(NAME, args, find_operator(NAME).inline), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-11)


@operators.needs_native
def test_pytorch_runs_where_it_is_faster(monkeypatch):
    x = torch.randn(1, 16, 9, 9)
    weight = torch.randn(16, 1, 3, 3)
    calls = []
    monkeypatch.setattr(native.reference, NAME, lambda args: calls.append(args) or F.conv2d(*args[:3], 1, 1, 1, 16))
    with backend.use("native"):
        depthwise_conv2d(x, weight)
        assert len(calls) == 1
        depthwise_conv2d(x.to(memory_format=torch.channels_last), weight)
        assert len(calls) == 1


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_keeps_the_memory_format(layout):
    x = torch.randn(2, 8, 5, 6).to(memory_format=layout)
    for size in (3, 9):
        assert depthwise_conv2d(x, torch.randn(8, 1, size, size)).is_contiguous(memory_format=layout)


def test_under_autocast_the_weight_follows_x():
    x, weight = torch.randn(1, 8, 5, 5).bfloat16(), torch.randn(8, 1, 3, 3)
    with torch.autocast("cpu", torch.bfloat16):
        assert depthwise_conv2d(x, weight).dtype == torch.bfloat16
    with pytest.raises(TypeError, match="all tensors must have one dtype"):
        depthwise_conv2d(x, weight)


def test_an_empty_batch_passes_through():
    x = torch.randn(0, 8, 5, 5, requires_grad=True)
    weight = torch.randn(8, 1, 3, 3, requires_grad=True)
    depthwise_conv2d(x, weight).sum().backward()
    assert torch.equal(weight.grad, torch.zeros_like(weight))


@pytest.mark.parametrize(
    ("x", "weight", "bias", "dilation", "message"),
    [
        ((8, 5, 5), (8, 1, 3, 3), None, 1, r"x must be \(B, C, H, W\)"),
        ((1, 8, 5, 5), (4, 1, 3, 3), None, 1, r"weight must be \(8, 1, kh, kw\)"),
        ((1, 8, 5, 5), (8, 2, 3, 3), None, 1, r"weight must be \(8, 1, kh, kw\)"),
        ((1, 8, 5, 5), (8, 1, 3, 4), None, 1, "must be odd, got 3x4"),
        ((1, 8, 5, 5), (8, 1, 3, 3), (4,), 1, r"bias must be \(8,\)"),
        ((1, 8, 5, 5), (8, 1, 3, 3), None, 0, "dilation must be at least 1"),
    ],
)
def test_bad_input_is_named(x, weight, bias, dilation, message):
    with pytest.raises(ValueError, match=message):
        depthwise_conv2d(torch.ones(x), torch.ones(weight), None if bias is None else torch.ones(bias), dilation)


def test_cost_counts_every_tap_once_forward_and_twice_backward():
    args = operators.shaped(NAME, (8, 64, 56, 56), (64, 1, 17, 17), (64,), 1)
    assert cost.forward_flops(args) == 2 * 8 * 64 * 56 * 56 * 17 * 17
    assert cost.backward_flops(args) == 2 * cost.forward_flops(args)
    assert cost.backward_flops(args, (False, True, True)) == cost.forward_flops(args)
    assert cost.forward_bytes(args) == 4 * (2 * 8 * 64 * 56 * 56 + 64 * 17 * 17 + 64)


def test_the_flop_counter_sees_the_operator():
    from torch.utils.flop_counter import FlopCounterMode

    x, weight = torch.empty(2, 8, 5, 5, device="meta"), torch.empty(8, 1, 3, 3, device="meta", requires_grad=True)
    with FlopCounterMode(display=False) as counter:
        depthwise_conv2d(x, weight).sum().backward()
    assert counter.get_total_flops() == 2 * (2 * 2 * 8 * 5 * 5 * 9)
