"""The dynamic depthwise convolution: right on every backend, in every memory format, and clear about bad input."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from claimbench.kernels import backend, find_operator
from claimbench.kernels.depthwise_conv2d import depthwise_conv2d
from claimbench.kernels.dynamic_depthwise_conv2d import cost, dynamic_depthwise_conv2d
from tests.kernels import operators

NAME = "dynamic_depthwise_conv2d"


@pytest.mark.processors
@operators.needs_native
def test_native_agrees_with_the_reference():
    operators.assert_native_is_right(NAME)


def test_triton_agrees_with_the_reference():
    operators.assert_triton_is_right(NAME, ["float32"])


@pytest.mark.parametrize("name", [None, "reference"])
def test_each_sample_and_channel_has_its_own_kernel(name):
    x, kernel = operators.arguments(NAME, 6, torch.float64)
    with backend.use(name):
        out = dynamic_depthwise_conv2d(x, kernel)
    for b in range(x.shape[0]):
        for c in range(x.shape[1]):
            alone = F.conv2d(x[b : b + 1, c : c + 1], kernel[b : b + 1, c : c + 1], padding=(3, 1))
            torch.testing.assert_close(out[b, c], alone[0, 0])


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_one_kernel_for_all_samples_is_the_depthwise_convolution(layout):
    x, weight = torch.randn(3, 12, 9, 7).to(memory_format=layout), torch.randn(12, 1, 3, 3)
    found = dynamic_depthwise_conv2d(x, weight.view(1, 12, 3, 3).expand(3, -1, -1, -1))
    torch.testing.assert_close(found, depthwise_conv2d(x, weight))


def test_registration():
    operators.assert_registered_well(NAME, (0, 1, 5, 6))


def test_compiles_without_a_graph_break():
    operators.assert_compiles(NAME, dynamic_depthwise_conv2d)


@pytest.mark.processors
@operators.needs_native
@pytest.mark.parametrize("number", [0, 1, 5])
def test_results_do_not_depend_on_the_number_of_threads(number):
    from claimbench.kernels.dynamic_depthwise_conv2d.cases import CHECK

    operators.assert_same_on_every_thread_count(NAME, CHECK[number])


@pytest.mark.processors
@operators.needs_native
@pytest.mark.parametrize(("channels", "height", "width"), [(8, 1, 1), (9, 2, 3), (17, 3, 8), (23, 5, 16)])
@pytest.mark.parametrize("kernel", [3, 5, 9])
@pytest.mark.parametrize("like_out", [True, False], ids=["", "contiguous gradient"])
def test_borders_and_the_last_channels(channels, height, width, kernel, like_out):
    generator = torch.Generator().manual_seed(channels + kernel)
    x = torch.randn((2, channels, height, width), generator=generator, dtype=torch.float64)
    x = x.to(memory_format=torch.channels_last).requires_grad_()
    taps = torch.randn((2, channels, kernel, kernel), generator=generator, dtype=torch.float64, requires_grad=True)
    with backend.use("native"):
        found = operators.gradients(NAME, (x, taps), None, like_out)
    expected = operators.gradients(NAME, (x, taps), find_operator(NAME).inline)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_keeps_the_memory_format(layout):
    x = torch.randn(2, 8, 5, 6).to(memory_format=layout)
    assert dynamic_depthwise_conv2d(x, torch.randn(2, 8, 3, 3)).is_contiguous(memory_format=layout)


def test_under_autocast_the_kernel_follows_x():
    x, kernel = torch.randn(1, 8, 5, 5).bfloat16(), torch.randn(1, 8, 3, 3)
    with torch.autocast("cpu", torch.bfloat16):
        assert dynamic_depthwise_conv2d(x, kernel).dtype == torch.bfloat16
    with pytest.raises(TypeError, match="all tensors must have one dtype"):
        dynamic_depthwise_conv2d(x, kernel)


@pytest.mark.parametrize("name", [None, "reference"])
def test_an_empty_batch_passes_through(name):
    x, kernel = torch.randn(0, 8, 5, 5, requires_grad=True), torch.randn(0, 8, 3, 3, requires_grad=True)
    with backend.use(name):
        dynamic_depthwise_conv2d(x, kernel).sum().backward()
    assert kernel.grad.shape == kernel.shape


@pytest.mark.parametrize(
    ("x", "kernel", "message"),
    [
        ((8, 5, 5), (1, 8, 3, 3), r"x must be \(B, C, H, W\)"),
        ((2, 8, 5, 5), (1, 8, 3, 3), r"kernel must be \(2, 8, kh, kw\)"),
        ((2, 8, 5, 5), (2, 8, 9), r"kernel must be \(2, 8, kh, kw\)"),
        ((1, 8, 5, 5), (1, 8, 3, 4), "must be odd, got 3x4"),
    ],
)
def test_bad_input_is_named(x, kernel, message):
    with pytest.raises(ValueError, match=message):
        dynamic_depthwise_conv2d(torch.ones(x), torch.ones(kernel))


def test_cost_counts_every_tap_once_forward_and_twice_backward():
    args = operators.shaped(NAME, (8, 64, 56, 56), (8, 64, 3, 3))
    assert cost.forward_flops(args) == 2 * 8 * 64 * 56 * 56 * 9
    assert cost.backward_flops(args) == 2 * cost.forward_flops(args)
    assert cost.backward_flops(args, (False, True)) == cost.forward_flops(args)
    assert cost.forward_bytes(args) == 4 * 8 * 64 * (2 * 56 * 56 + 9)
    assert cost.backward_bytes(args) == 4 * 8 * 64 * (3 * 56 * 56 + 18)
