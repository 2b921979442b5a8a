"""Wave aggregation: right on every backend, exact where channels tie, and clear about bad input."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from claimbench.kernels import backend
from claimbench.kernels.wave_aggregate import cost, wave_aggregate
from claimbench.kernels.wave_aggregate.cases import CHECK
from tests.kernels import operators

NAME = "wave_aggregate"


@pytest.mark.processors
@operators.needs_native
def test_native_agrees_with_the_reference():
    operators.assert_native_is_right(NAME)


def test_triton_agrees_with_the_reference():
    operators.assert_triton_is_right(NAME, ["float32"])


@pytest.mark.parametrize("name", [None, "reference"])
def test_pairs_are_multiplied_as_complex_numbers(name):
    x, theta, weight, wave = operators.arguments(NAME, 0, torch.float64)
    gated = weight * F.gelu(theta)
    first = torch.tensor([[[max(range(8), key=lambda c: x[b, c, h, w].item()) for w in range(7)] for h in range(5)]
                          for b in range(2)])  # fmt: skip
    features = gated + gated.gather(1, first.unsqueeze(1))
    pairs = torch.complex(features[:, ::2], features[:, 1::2])
    turned = pairs * torch.complex(wave[:, 0], wave[:, 1])[:, None, None]
    with backend.use(name):
        out = wave_aggregate(x, theta, weight, wave)
    torch.testing.assert_close(out[:, ::2], turned.real)
    torch.testing.assert_close(out[:, 1::2], turned.imag)


@pytest.mark.parametrize("name", [None, "reference"])
@pytest.mark.parametrize(
    ("x", "chosen"),
    [([0, 1, 1, 0], 1), ([2, 2, 2, 2], 0), ([-5, -6, -4, -4], 2), ([0, float("nan"), 9, float("nan")], 1)],
)
def test_the_first_of_equally_strong_channels_is_chosen(name, x, chosen):
    weight = torch.tensor([1.0, 10.0, 100.0, 1000.0]).view(1, 4, 1, 1)
    x, theta, wave = torch.tensor(x).float().view(1, 4, 1, 1), torch.ones(1, 4, 1, 1), torch.tensor([[1.0, 0.0]] * 2)
    with backend.use(name):
        out = wave_aggregate(x, theta, weight, wave)
    torch.testing.assert_close(out, (weight + weight[:, chosen]) * F.gelu(torch.ones(())))


@pytest.mark.processors
def test_the_reference_has_the_gradients_of_its_values():
    x, *leaves = operators.arguments(NAME, 2, torch.float64)
    with backend.use("reference"):
        assert torch.autograd.gradcheck(lambda *args: wave_aggregate(x, *args), leaves)


def test_the_choice_has_no_gradient():
    x, theta, weight, wave = operators.arguments(NAME, 0)
    wave_aggregate(x, theta, weight, wave).sum().backward()
    assert x.grad is None


@operators.needs_native
def test_gates_that_are_very_large_stay_finite():
    theta = torch.tensor([1e4, -1e4, 30.0, -30.0]).view(1, 4, 1, 1).requires_grad_()
    wave = torch.tensor([[1.0, 0.0]] * 2)
    out = wave_aggregate(torch.zeros(1, 1, 1, 1), theta, torch.ones(1, 4, 1, 1), wave)
    torch.testing.assert_close(out.flatten(), torch.tensor([2e4, 1e4, 1e4 + 30, 1e4]))
    (gradient,) = torch.autograd.grad(out.sum(), theta)
    torch.testing.assert_close(gradient.flatten(), torch.tensor([5.0, 0.0, 1.0, 0.0]))


def test_half_precision_is_turned_in_float32():
    args = operators.arguments(NAME, 0, torch.bfloat16)
    for name in (None, "reference"):
        with backend.use(name):
            assert wave_aggregate(*args).dtype == torch.float32


def test_under_autocast_the_others_follow_x():
    x, theta, weight, wave = operators.arguments(NAME, 0)
    with torch.autocast("cpu", torch.bfloat16):
        assert wave_aggregate(x, theta.bfloat16(), weight.bfloat16(), wave).dtype == torch.float32
    with pytest.raises(TypeError, match="all tensors must have one dtype"):
        wave_aggregate(x, theta.bfloat16(), weight.bfloat16(), wave)


def test_registration():
    operators.assert_registered_well(NAME, (0, 1, 3, 4))


def test_compiles_without_a_graph_break():
    x, *leaves = operators.arguments(NAME, 1)
    compiled = torch.compile(lambda *args: wave_aggregate(x, *args), fullgraph=True, backend="aot_eager")
    found = operators.gradients(NAME, leaves, compiled)
    expected = operators.gradients(NAME, leaves, lambda *args: wave_aggregate(x, *args))
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.processors
@operators.needs_native
@pytest.mark.parametrize("number", [0, 2, 3])
def test_results_do_not_depend_on_the_number_of_threads(number):
    operators.assert_same_on_every_thread_count(NAME, CHECK[number])


def test_an_empty_batch_passes_through():
    theta, wave = torch.randn(0, 8, 5, 5, requires_grad=True), torch.randn(4, 2, requires_grad=True)
    wave_aggregate(torch.randn(0, 4, 5, 5), theta, theta, wave).sum().backward()
    assert torch.equal(wave.grad, torch.zeros_like(wave))


@pytest.mark.parametrize(
    ("x", "theta", "weight", "wave", "message"),
    [
        ((4, 5, 5), (1, 8, 5, 5), (1, 8, 5, 5), (4, 2), r"x must be \(B, C, H, W\)"),
        ((1, 4, 5, 5), (1, 8, 5, 4), (1, 8, 5, 4), (4, 2), r"theta must be \(1, N, 5, 5\)"),
        ((1, 4, 5, 5), (1, 7, 5, 5), (1, 7, 5, 5), (4, 2), "N even and at least 4"),
        ((1, 4, 5, 5), (1, 2, 5, 5), (1, 2, 5, 5), (1, 2), "N even and at least 4"),
        ((1, 4, 5, 5), (1, 8, 5, 5), (1, 6, 5, 5), (4, 2), r"weight must be \(1, 8, 5, 5\)"),
        ((1, 4, 5, 5), (1, 8, 5, 5), (1, 8, 5, 5), (8, 2), r"wave must be \(4, 2\)"),
    ],
)
def test_bad_input_is_named(x, theta, weight, wave, message):
    with pytest.raises(ValueError, match=message):
        wave_aggregate(torch.ones(x), torch.ones(theta), torch.ones(weight), torch.ones(wave))


def test_it_counts_bytes_but_no_flops():
    shapes = ((8, 32, 64, 64), (8, 128, 64, 64), (8, 128, 64, 64), (64, 2))
    args, half = operators.shaped(NAME, *shapes), operators.shaped(NAME, *shapes, dtype=torch.float16)
    assert cost.forward_flops(args) == cost.backward_flops(args) == 0
    assert cost.forward_bytes(args) == 4 * (8 * 64 * 64 * (32 + 3 * 128) + 128)
    assert cost.forward_bytes(half) == 2 * (8 * 64 * 64 * (32 + 4 * 128) + 128)
    assert cost.backward_bytes(args) == 4 * (8 * 64 * 64 * (32 + 5 * 128) + 256)
