"""Outlook attention: its definition, its backends, its registration, its cost and its errors."""

from __future__ import annotations

import pytest
import torch

from claimbench.bench.measure.operators.check import DTYPES, check_all
from claimbench.kernels import backend, find_operator
from claimbench.kernels.outlook_attention import cost, outlook_attention
from claimbench.kernels.outlook_attention.cases import BENCH
from tests.kernels import operators

NAME = "outlook_attention"


def by_loops(scores, value, k, stride, padding, scale):
    """The definition, window by window."""
    weights, out = (scores * scale).softmax(-1), torch.zeros_like(value)
    height, width = value.shape[1:3]
    for wy in range(scores.shape[1]):
        for wx in range(scores.shape[2]):
            at = [(wy * stride - padding + i, wx * stride - padding + j) for i in range(k) for j in range(k)]
            inside = [(n, y, x) for n, (y, x) in enumerate(at) if 0 <= y < height and 0 <= x < width]
            for i, y, x in inside:
                for j, v, u in inside:
                    out[:, y, x] += weights[:, wy, wx, :, i, j, None] * value[:, v, u]
    return out


@pytest.mark.processors
@pytest.mark.parametrize("number", [0, 3, 5, 7])
def test_the_reference_adds_up_overlapping_windows(number):
    args = [a.detach() if isinstance(a, torch.Tensor) else a for a in operators.arguments(NAME, number, torch.float64)]
    with backend.use("reference"):
        torch.testing.assert_close(outlook_attention(*args), by_loops(*args))


@pytest.mark.processors
@operators.needs_native
def test_native_agrees_with_the_reference_in_every_dtype():
    operators.assert_native_is_right(NAME)


@pytest.mark.parametrize("case", ["1x6x4x1x16", "1x4x5x2x32", "1x8x7x1x7"])
def test_triton_agrees_with_the_reference(case):
    pytest.importorskip("triton")
    rows = check_all([NAME], ["triton"], ["float32"], "cuda" if torch.cuda.is_available() else "cpu", case=case)
    assert [(row.status, row.reason) for row in rows] == [("passed", "")]


@operators.needs_gpu
@pytest.mark.gpu
def test_triton_agrees_with_the_reference_in_every_dtype():
    operators.assert_triton_is_right(NAME, list(DTYPES))


@pytest.mark.processors
@operators.needs_native
def test_native_gives_the_same_bits_on_any_number_of_threads():
    operators.assert_same_on_every_thread_count(NAME, BENCH[2])


@operators.needs_native
def test_native_computes_only_what_is_asked_for():
    args = find_operator(NAME).arguments(*operators.arguments(NAME))
    module = find_operator(NAME).load("native")
    both = module.backward(args.value, [], args, needs=(True, True))
    one = module.backward(args.value, [], args, needs=(False, True))
    assert one[0] is None
    assert torch.equal(one[1], both[1])


def test_large_scores_do_not_overflow():
    scores, value, *rest = operators.arguments(NAME)
    out = outlook_attention(scores * 1e4, value, *rest)
    assert out.isfinite().all()


def test_registration():
    operators.assert_registered_well(NAME, (0, 2, 3))


def test_compiles_without_a_graph_break():
    operators.assert_compiles(NAME, outlook_attention)


def test_the_output_has_the_strides_of_the_value():
    for number in (1, 2, 3):
        args = operators.arguments(NAME, number)
        with torch.no_grad():
            assert outlook_attention(*args).stride() == torch.empty_like(args[1]).stride()


def test_under_autocast_the_value_follows_the_scores():
    scores, value, *rest = operators.arguments(NAME)
    with torch.autocast("cpu", torch.bfloat16):
        assert outlook_attention(scores.bfloat16(), value, *rest).dtype == torch.bfloat16
    with pytest.raises(TypeError, match="all tensors must have one dtype"):
        outlook_attention(scores.bfloat16(), value, *rest)


def test_an_empty_batch_gives_an_empty_result():
    scores, value = torch.ones(0, 3, 3, 2, 9, 9, requires_grad=True), torch.ones(0, 5, 5, 2, 4, requires_grad=True)
    out = outlook_attention(scores, value, 3, 2, 1)
    out.sum().backward()
    assert out.shape == value.shape == value.grad.shape


@pytest.mark.parametrize(
    ("scores", "value", "k", "stride", "padding", "message"),
    [
        ((1, 3, 3, 2, 9, 9), (1, 5, 5, 8), 3, 2, 1, r"value must be \(B, H, W, G, D\), got shape \(1, 5, 5, 8\)"),
        ((1, 3, 3, 2, 9, 9), (1, 6, 7, 2, 4), 3, 2, 1, r"scores must be \(1, 3, 4, 2, 9, 9\)"),
        ((1, 3, 3, 2, 9, 9), (1, 5, 5, 2, 4), 3, 0, 1, "kernel_size and stride must be positive, got 3 and 0"),
        ((1, 3, 3, 2, 9, 9), (1, 5, 5, 2, 4), 3, 2, 3, "padding must be from 0 to kernel_size - 1 = 2, got 3"),
        ((1, 3, 3, 2, 9, 9), (1, 2, 5, 2, 4), 3, 2, 0, "no 3x3 window fits a 2x5 map"),
    ],
)
def test_bad_input_is_named(scores, value, k, stride, padding, message):
    with pytest.raises(ValueError, match=message):
        outlook_attention(torch.ones(scores), torch.ones(value), k, stride, padding)


def test_costs_count_each_score_and_channel_once():
    args = operators.shaped(NAME, (2, 3, 4, 6, 9, 9), (2, 5, 7, 6, 8), 3, 2, 1, 0.5)
    assert cost.forward_flops(args) == 2 * 2 * 3 * 4 * 6 * 81 * 8
    assert cost.backward_flops(args) == 2 * cost.forward_flops(args)
    assert cost.backward_flops(args, (True, False)) == cost.forward_flops(args)
    assert cost.forward_bytes(args) == 4 * (2 * 3 * 4 * 6 * 81 + 2 * 2 * 5 * 7 * 6 * 8)
    assert cost.backward_bytes(args) == 4 * (2 * 2 * 3 * 4 * 6 * 81 + 3 * 2 * 5 * 7 * 6 * 8)
