"""Varied-size window attention: its definition, its native backend, its registration and its errors."""

from __future__ import annotations

from math import floor

import pytest
import torch
import torch.nn.functional as F

from claimbench.kernels import backend, find_operator
from claimbench.kernels.varied_window_attention import cost, varied_window_attention
from tests.kernels import operators

NAME = "varied_window_attention"


def interpolated(x, row, column):
    """The map x (H, W, D) at a place between positions, zero outside."""
    total = torch.zeros_like(x[0, 0])
    for y in (floor(row), floor(row) + 1):
        for z in (floor(column), floor(column) + 1):
            if 0 <= y < x.shape[0] and 0 <= z < x.shape[1]:
                total = total + (1 - abs(row - y)) * (1 - abs(column - z)) * x[y, z]
    return total


def by_counting(query, key, value, offset, stretch, bias, w, scale):
    """The definition, query by query."""
    batch, groups, height, width = query.shape[:4]
    out, middle = torch.zeros(*query.shape[:4], value.shape[4], dtype=query.dtype), (w - 1) / 2
    for b, g, y, x in torch.cartesian_prod(*(torch.arange(n) for n in (batch, groups, *offset.shape[3:]))).tolist():
        (dx, dy), (sx, sy) = offset[b, g, :, y, x].tolist(), stretch[b, g, :, y, x].tolist()
        places = [
            (w * y + middle + dy + sy * (r - middle), w * x + middle + dx + sx * (c - middle))
            for r in range(w)
            for c in range(w)
        ]
        k, v = (torch.stack([interpolated(m[b, g], *at) for at in places]) for m in (key, value))
        for i in range(min(w, height - w * y)):
            for j in range(min(w, width - w * x)):
                scores = scale * (k @ query[b, g, w * y + i, w * x + j])
                if bias is not None:
                    scores = scores + bias[g, i * w + j]
                out[b, g, w * y + i, w * x + j] = scores.softmax(0) @ v
    return out


@pytest.mark.processors
@pytest.mark.parametrize("number", [0, 1, 2, 3])
def test_the_reference_is_the_formula(number):
    args = [a.detach() if isinstance(a, torch.Tensor) else a for a in operators.arguments(NAME, number, torch.float64)]
    with backend.use("reference"):
        torch.testing.assert_close(varied_window_attention(*args), by_counting(*args))


@pytest.mark.parametrize("name", ["reference", pytest.param("native", marks=operators.needs_native)])
def test_windows_that_stay_are_plain_window_attention(name):
    query, key, value, offset, stretch, bias, w, scale = operators.arguments(NAME, 0, torch.float64)

    def windows(x):
        return x.unflatten(3, (2, w)).unflatten(2, (2, w)).transpose(3, 4).flatten(4, 5)

    expected = F.scaled_dot_product_attention(
        windows(query), windows(key), windows(value), bias[:, None, None], scale=scale
    )
    with backend.use(name):
        found = varied_window_attention(
            query, key, value, torch.zeros_like(offset), torch.ones_like(stretch), bias, w, scale
        )
    torch.testing.assert_close(windows(found), expected)


@pytest.mark.processors
@operators.needs_native
def test_native_agrees_with_the_reference_in_every_dtype():
    operators.assert_native_is_right(NAME)


@pytest.mark.processors
@operators.needs_native
def test_native_has_the_gradients_of_its_values():
    generator = torch.Generator().manual_seed(3)
    query, key, value = (torch.randn(1, 1, 5, 4, 2, generator=generator, dtype=torch.float64) for _ in range(3))
    offset = torch.rand(1, 1, 2, 2, 2, generator=generator, dtype=torch.float64)
    args = [query, key, value, offset, 0.8 + offset.flip(0) / 3, torch.zeros(1, 9, 9, dtype=torch.float64)]
    with backend.use("native"):
        assert torch.autograd.gradcheck(lambda *a: varied_window_attention(*a, 3), [a.requires_grad_() for a in args])


@pytest.mark.processors
@operators.needs_native
def test_native_gives_the_same_bits_on_any_number_of_threads():
    operators.assert_same_on_every_thread_count(NAME, operators.load_cases(NAME, "CHECK")[0])


@operators.needs_native
def test_native_computes_only_the_gradients_that_are_asked_for():
    args = find_operator(NAME).arguments(*operators.load_cases(NAME, "CHECK")[0].arguments(torch.float32, "cpu"))
    module = find_operator(NAME).load("native")
    saved = list(module.forward(args))
    needs = (True, False, True, False, True, False)
    found = module.backward(saved[0], saved, args, needs=needs)
    assert tuple(g is not None for g in found) == needs


@operators.needs_native
def test_windows_far_off_the_map_see_zeros():
    query, key, value, offset, stretch, _, w, scale = operators.arguments(NAME, 0)
    for far in (1e9, -1e9):
        out = varied_window_attention(query, key, value, offset + far, stretch, None, w, scale)
        assert torch.equal(out, torch.zeros_like(out))


@pytest.mark.parametrize("number", [1, 2])
def test_registration(number):
    operators.assert_registered_well(NAME, (number,))


def test_compiles_without_a_graph_break():
    operators.assert_compiles(NAME, varied_window_attention, 1)


def test_the_output_lies_in_channels_last_memory():
    for name in (None, "reference"):
        args = operators.load_cases(NAME, "CHECK")[1].arguments(torch.float32, "cpu")
        with backend.use(name), torch.no_grad():
            out, _ = torch.ops.claimbench.varied_window_attention(*args)
        assert out.permute(0, 2, 3, 1, 4).is_contiguous()


def test_under_autocast_tensors_follow_the_query():
    args = list(operators.arguments(NAME))
    args[0] = args[0].detach().bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        assert varied_window_attention(*args).dtype == torch.bfloat16
    with pytest.raises(TypeError, match="all tensors must have one dtype"):
        varied_window_attention(*args)


MAP = (1, 2, 4, 5, 8)


@pytest.mark.parametrize(
    ("query", "key", "value", "offset", "bias", "w", "message"),
    [
        ((1, 2, 4, 5), MAP, MAP, (1, 2, 2, 2, 2), None, 3, r"must both be \(B, G, H, W, D\)"),
        (MAP, (1, 2, 4, 5, 7), MAP, (1, 2, 2, 2, 2), None, 3, r"must both be \(B, G, H, W, D\)"),
        (MAP, MAP, (1, 2, 5, 4, 8), (1, 2, 2, 2, 2), None, 3, "must lie on one map"),
        (MAP, MAP, MAP, (1, 2, 2, 1, 1), None, 3, r"offset must be \(B, G, 2, windows\) = \(1, 2, 2, 2, 2\)"),
        (MAP, MAP, MAP, (1, 2, 2, 2, 2), (2, 3, 3), 3, r"bias must be \(2, 9, 9\), got shape \(2, 3, 3\)"),
        (MAP, MAP, MAP, (1, 2, 2, 2, 2), None, 0, "window_size must be positive, got 0"),
    ],
)
def test_bad_input_is_named(query, key, value, offset, bias, w, message):
    made = [torch.ones(shape) for shape in (query, key, value, offset, offset)]
    with pytest.raises(ValueError, match=message):
        varied_window_attention(*made, None if bias is None else torch.ones(bias), w)


def test_costs_count_samples_and_products():
    args = operators.shaped(
        NAME, (2, 3, 7, 7, 8), (2, 3, 7, 7, 8), (2, 3, 7, 7, 16), (2, 3, 2, 2, 2), (2, 3, 2, 2, 2), (3, 16, 16), 4, 0.5
    )
    keys = 2 * 3 * 4 * 16
    assert cost.forward_flops(args) == 2 * keys * (8 + 16) * (4 + 16)
    assert cost.backward_flops(args) == 2 * cost.forward_flops(args)
    numbers = 2 * 3 * 49 * (8 + 8 + 16) + 2 * 2 * 3 * 2 * 4 + 3 * 256
    assert cost.forward_bytes(args) == 4 * (numbers + 2 * 3 * 49 * 16)
    assert cost.backward_bytes(args) == 4 * (2 * numbers + 2 * 3 * 49 * 16)
