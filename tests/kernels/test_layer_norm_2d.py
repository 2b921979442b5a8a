"""LayerNorm over channels: right in every memory format, PyTorch's own on the CPU, and clear about bad input."""

from __future__ import annotations

import pytest
import torch

from claimbench.kernels import backend, find_operator
from claimbench.kernels.layer_norm_2d import cost, layer_norm_2d
from tests.kernels import operators

NAME = "layer_norm_2d"


def test_triton_agrees_with_the_reference():
    operators.assert_triton_is_right(NAME, ["float32", "bfloat16"])


@pytest.mark.processors
def test_the_reference_is_the_formula():
    x, weight, bias, eps = operators.arguments(NAME, 1, torch.float64)
    centred = x - x.mean(1, keepdim=True)
    scale = weight[:, None, None] / (centred.square().mean(1, keepdim=True) + eps).sqrt()
    torch.testing.assert_close(layer_norm_2d(x, weight, bias, eps), centred * scale + bias[:, None, None])


def test_the_cpu_runs_pytorchs_own_and_says_why():
    args = operators.arguments(NAME)
    reason = find_operator(NAME).refusal("native", args)
    assert "PyTorch's own layer_norm is as fast" in str(reason)
    for name in (None, "native", "reference"):
        with backend.use(name):
            assert layer_norm_2d(*args).grad_fn.name() == "PermuteBackward0"


def test_registration():
    operators.assert_registered_well(NAME, (0, 1, 3))


def test_compiles_without_a_graph_break():
    operators.assert_compiles(NAME, layer_norm_2d)


def test_channels_last_memory_stays():
    x = torch.randn(2, 8, 5, 6).to(memory_format=torch.channels_last)
    assert layer_norm_2d(x, torch.ones(8), torch.zeros(8)).is_contiguous(memory_format=torch.channels_last)


def test_under_autocast_the_parameters_follow_x():
    x, weight = torch.randn(1, 8, 5, 5).bfloat16(), torch.randn(8)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer_norm_2d(x, weight, weight).dtype == torch.bfloat16
    with pytest.raises(TypeError, match="all tensors must have one dtype"):
        layer_norm_2d(x, weight, weight)


@pytest.mark.parametrize(
    ("x", "weight", "eps", "message"),
    [
        ((8, 5, 5), (8,), 1e-6, r"x must be \(B, C, H, W\)"),
        ((1, 8, 5, 5), (4,), 1e-6, r"weight must be \(8,\)"),
        ((1, 8, 5, 5), (8,), -1.0, "eps must not be negative"),
    ],
)
def test_bad_input_is_named(x, weight, eps, message):
    with pytest.raises(ValueError, match=message):
        layer_norm_2d(torch.ones(x), torch.ones(weight), torch.ones(8), eps)


def test_a_normalisation_counts_bytes_but_no_flops():
    args = operators.shaped(NAME, (8, 64, 7, 7), (64,), (64,), 1e-6)
    assert cost.forward_flops(args) == cost.backward_flops(args) == 0
    assert cost.forward_bytes(args) == 4 * (2 * 8 * 64 * 49 + 128)
    assert cost.backward_bytes(args) == 4 * (3 * 8 * 64 * 49 + 192)
