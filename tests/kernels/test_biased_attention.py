"""Biased attention: its definition, its bias forms, its native backend, its registration and its errors."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from claimbench.bench.measure.operators.check import load_cases
from claimbench.kernels import backend
from claimbench.kernels.biased_attention import biased_attention, cost, manhattan_decay, quadratic, relative_position
from claimbench.kernels.biased_attention.reference import pair_bias
from tests.kernels import operators
from tests.kernels.operators import needs_native

NAME = "biased_attention"


def maps(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(3)]


def offsets(height, width):
    """Every pair of positions, as rows and columns from query to key: two (H W, H W) tables."""
    y, x = (i.flatten() for i in torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij"))
    return y[None, :] - y[:, None], x[None, :] - x[:, None]


@pytest.mark.processors
@pytest.mark.parametrize(("height", "width"), [(3, 4), (1, 5), (4, 1)])
@pytest.mark.parametrize("gated", [False, True])
def test_the_reference_is_the_sum_over_all_pairs(height, width, gated):
    query, key, value = maps(2, 3, height, width, 4)
    table = torch.randn(3, 2 * height - 1, 2 * width - 1, dtype=torch.float64)
    gate = torch.rand(3, dtype=torch.float64) if gated else None
    expected = torch.empty_like(value)
    at = [(y, x) for y in range(height) for x in range(width)]
    for b in range(2):
        for g in range(3):
            for h, w in at:
                scores = torch.stack([query[b, g, h, w] @ key[b, g, y, x] * 0.3 for y, x in at])
                bias = torch.stack([table[g, y - h + height - 1, x - w + width - 1] for y, x in at])
                weights = (scores + bias).softmax(0)
                if gate is not None:
                    weights = (1 - gate[g]) * scores.softmax(0) + gate[g] * bias.softmax(0)
                expected[b, g, h, w] = sum(p * value[b, g, y, x] for p, (y, x) in zip(weights, at, strict=True))
    for name in ("reference", None):
        with backend.use(name):
            torch.testing.assert_close(biased_attention(query, key, value, table, gate, scale=0.3), expected)


@pytest.mark.parametrize("axis", ["width", "height"])
def test_one_axis_attends_within_each_line(axis):
    query, key, value = maps(2, 3, 4, 5, 6)
    across, along = (2, 3) if axis == "width" else (3, 2)
    sizes = (1, 5) if axis == "width" else (4, 1)
    table = torch.randn(3, *(2 * s - 1 for s in sizes), dtype=torch.float64)
    expected = torch.empty_like(value)
    for line in range(value.shape[across]):
        part = [x.select(across, line).unsqueeze(across) for x in (query, key, value)]
        expected.select(across, line).copy_(biased_attention(*part, table).select(across, 0))
    assert expected.shape[along] == value.shape[along]
    torch.testing.assert_close(biased_attention(query, key, value, table, axis=axis), expected)


def test_the_default_scale_and_no_bias_are_ordinary_attention():
    query, key, value = maps(2, 3, 4, 5, 6)
    found = biased_attention(query, key, value, torch.zeros(3, 7, 9, dtype=torch.float64))
    expected = F.scaled_dot_product_attention(*(x.flatten(2, 3) for x in (query, key, value)))
    torch.testing.assert_close(found.flatten(2, 3), expected)


def test_a_closed_gate_leaves_the_content_and_an_open_one_the_positions():
    query, key, value = maps(1, 2, 3, 4, 5)
    table = torch.randn(2, 5, 7, dtype=torch.float64)
    closed = biased_attention(query, key, value, table, torch.zeros(2, dtype=torch.float64))
    torch.testing.assert_close(closed, biased_attention(query, key, value, 0 * table))
    opened = biased_attention(query, key, value, table, torch.ones(2, dtype=torch.float64))
    torch.testing.assert_close(opened, biased_attention(0 * query, key, value, table))


def test_manhattan_decay_grows_with_the_distance():
    rates = torch.tensor([-0.5, -2.0], dtype=torch.float64)
    dy, dx = offsets(3, 4)
    expected = rates[:, None, None] * (dy.abs() + dx.abs())
    torch.testing.assert_close(pair_bias(manhattan_decay(rates, 3, 4), 3, 4), expected)


@pytest.mark.parametrize("with_bias", [False, True])
def test_quadratic_is_a_linear_form_of_offsets_and_their_squares(with_bias):
    weight, bias = torch.randn(2, 3, dtype=torch.float64), torch.randn(2, dtype=torch.float64)
    dy, dx = offsets(3, 4)
    features = torch.stack((dx, dy, dx**2 + dy**2), dim=-1).double()
    expected = F.linear(features, weight, bias if with_bias else None).movedim(-1, 0)
    table = quadratic(weight, bias if with_bias else None, 3, 4)
    torch.testing.assert_close(pair_bias(table, 3, 4), expected)


def test_relative_position_reads_windows_tables():
    parameter = torch.randn(5 * 7, 2, dtype=torch.float64)
    dy, dx = offsets(3, 4)
    index = (2 - dy) * 7 + 3 - dx  # by query minus key, as windows count
    expected = parameter[index.flatten()].unflatten(0, index.shape).permute(2, 0, 1)
    torch.testing.assert_close(pair_bias(relative_position(parameter, 3, 4), 3, 4), expected)


@pytest.mark.processors
def test_the_reference_has_the_gradients_of_its_values():
    inputs = [x.requires_grad_() for x in maps(1, 2, 2, 3, 2)]
    inputs += [torch.randn(2, 3, 5, dtype=torch.float64, requires_grad=True)]
    inputs += [torch.rand(2, dtype=torch.float64, requires_grad=True)]
    with backend.use("reference"):
        assert torch.autograd.gradcheck(biased_attention, inputs)
        assert torch.autograd.gradcheck(biased_attention, inputs[:4])


@pytest.mark.processors
@needs_native
def test_native_agrees_with_the_reference_in_every_dtype():
    operators.assert_native_is_right(NAME)


@pytest.mark.processors
@needs_native
@pytest.mark.parametrize("number", [1, 3])
def test_native_gives_the_same_bits_on_any_number_of_threads(number):
    operators.assert_same_on_every_thread_count(NAME, load_cases(NAME, "CHECK")[number])


@needs_native
@pytest.mark.parametrize("gated", [False, True])
def test_native_survives_biases_that_leave_a_single_key(gated):
    query, key, value = (x.float() for x in maps(1, 1, 3, 3, 4))
    table = torch.full((1, 5, 5), -300.0)
    table[0, 0, 0] = 300.0  # the key two rows above and two columns to the left, which only one query has
    gate = torch.ones(1) if gated else None
    with backend.use("native"):
        found = biased_attention(query, key, value, table, gate)
    with backend.use("reference"):
        expected = biased_attention(query, key, value, table, gate)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


def test_it_is_registered_as_torch_expects():
    operators.assert_registered_well(NAME, [0, 1, 2, 4])


def test_it_compiles_into_one_graph_with_the_same_gradients():
    def one_grid(query, key, value, *rest):
        return biased_attention(query.squeeze(1), key.squeeze(1), value.squeeze(1), *rest)

    operators.assert_compiles(NAME, one_grid)


@pytest.mark.parametrize("name", [None, "reference"])
def test_the_output_lies_as_the_value_does(name):
    qkv = torch.randn(2, 5, 7, 3, 4, 8)
    query, key, value = qkv.permute(3, 0, 4, 1, 2, 5).unbind(0)
    for axis, sides in (("both", (9, 13)), ("width", (1, 13)), ("height", (9, 1))):
        with backend.use(name):
            out = biased_attention(query, key, value, torch.randn(4, *sides), axis=axis)
        if name is None:
            assert out.permute(0, 2, 3, 1, 4).is_contiguous()
        assert out.shape == value.shape


def test_autocast_follows_the_query():
    query, key, value = (x.float() for x in maps(1, 2, 3, 3, 4))
    table = torch.zeros(2, 5, 5)
    with torch.autocast("cpu", torch.bfloat16):
        out = biased_attention(query.bfloat16(), key, value, table)
    assert out.dtype == torch.bfloat16
    with pytest.raises(TypeError, match="one dtype outside autocast"):
        biased_attention(query.bfloat16(), key, value, table)


def test_an_empty_batch_gives_an_empty_result():
    query = torch.ones(0, 2, 3, 3, 4, requires_grad=True)
    table = torch.ones(2, 5, 5, requires_grad=True)
    out = biased_attention(query, query, query, table)
    out.sum().backward()
    assert out.shape == query.shape
    assert table.grad.eq(0).all()


@pytest.mark.parametrize(
    ("query", "key", "value", "table", "options", "message"),
    [
        ((2, 3, 4, 5), (2, 3, 4, 5), (2, 3, 4, 5), (3, 7, 9), {}, r"query must be \(B, G, H, W, d\)"),
        ((1, 3, 4, 5, 2), (1, 3, 4, 5, 3), (1, 3, 4, 5, 2), (3, 7, 9), {}, "key must have query's shape"),
        ((1, 3, 4, 5, 2), (1, 3, 4, 5, 2), (1, 3, 5, 4, 2), (3, 7, 9), {}, r"value must be \(1, 3, 4, 5\) and D"),
        ((1, 3, 4, 5, 2), (1, 3, 4, 5, 2), (1, 3, 4, 5, 0), (3, 7, 9), {}, "must be at least 1"),
        ((1, 3, 4, 5, 2),) * 3 + ((3, 9, 7), {}, r"table must be \(3, 7, 9\) for axis both"),
        ((1, 3, 4, 5, 2),) * 3 + ((3, 7, 9), {"axis": "width"}, r"table must be \(3, 1, 9\) for axis width"),
        ((1, 3, 4, 5, 2),) * 3 + ((3, 7, 9), {"axis": "depth"}, "axis must be both, width or height, got 'depth'"),
        ((1, 3, 4, 5, 2),) * 3 + ((3, 7, 9), {"gate": torch.ones(2)}, r"gate must be \(3,\), got shape \(2,\)"),
    ],
)
def test_bad_input_is_named(query, key, value, table, options, message):
    with pytest.raises(ValueError, match=message):
        biased_attention(torch.ones(query), torch.ones(key), torch.ones(value), torch.ones(table), **options)


def test_costs_count_each_pair_and_channel_twice():
    args = operators.shaped(NAME, (2, 5, 3, 4, 7, 8), (2, 5, 3, 4, 7, 8), (2, 5, 3, 4, 7, 6), (3, 7, 13), None, 1.0)
    assert cost.forward_flops(args) == 2 * 2 * 5 * 3 * 28 * 28 * (8 + 6)
    assert cost.backward_flops(args) == 2 * cost.forward_flops(args)
    elements = 2 * 5 * 3 * 28
    assert cost.forward_bytes(args) == 4 * (elements * (8 + 8 + 6 + 6) + 3 * 7 * 13)
    assert cost.backward_bytes(args) == 4 * (2 * (elements * (8 + 8 + 6) + 3 * 7 * 13) + elements * 6)
