"""Neighbourhood attention: its definition, its native backend, its registration and its errors."""

from __future__ import annotations

import pytest
import torch

from claimbench.bench.measure.operators.check import load_cases
from claimbench.kernels import backend
from claimbench.kernels.cases import Case
from claimbench.kernels.neighborhood_aggregate.reference import window_index
from claimbench.kernels.neighborhood_attention import OPERATOR, cost, neighborhood_attention
from tests.kernels import operators
from tests.kernels.operators import needs_native

NAME = "neighborhood_attention"
CHECK = load_cases(NAME, "CHECK")


def by_loop(query, key, value, bias, kernel_size, dilation, scale):
    """Attend position by position, as the formula says."""
    out = torch.zeros_like(value)
    height, width = query.shape[2:4]
    rows = window_index(height, kernel_size[0], dilation[0]).tolist()
    columns = window_index(width, kernel_size[1], dilation[1]).tolist()
    for h in range(height):
        for w in range(width):
            window = [(y, x) for y in rows[h] for x in columns[w]]
            scores = []
            for y, x in window:
                score = scale * (query[:, :, h, w] * key[:, :, y, x]).sum(-1)
                if bias is not None:
                    down, right = (y - h) // dilation[0], (x - w) // dilation[1]
                    score = score + bias[:, down + kernel_size[0] - 1, right + kernel_size[1] - 1]
                scores.append(score)
            weights = torch.stack(scores, -1).softmax(-1)
            values = torch.stack([value[:, :, y, x] for y, x in window], -2)
            out[:, :, h, w] = (weights.unsqueeze(-1) * values).sum(-2)
    return out


@pytest.mark.processors
@pytest.mark.parametrize("number", [0, 3, 4, 5])
def test_the_reference_is_the_softmax_over_the_window(number):
    args = CHECK[number].arguments(torch.float64, "cpu")
    with backend.use("reference"):
        torch.testing.assert_close(OPERATOR(*args), by_loop(*args))


@pytest.mark.processors
def test_the_reference_has_the_gradients_of_its_values():
    generator = torch.Generator().manual_seed(0)
    heads = [torch.randn(1, 2, 4, 5, 3, generator=generator, dtype=torch.float64) for _ in range(3)]
    bias = torch.randn(2, 5, 5, generator=generator, dtype=torch.float64)
    with backend.use("reference"):
        assert torch.autograd.gradcheck(
            lambda *tensors: neighborhood_attention(*tensors, kernel_size=3),
            [t.requires_grad_() for t in (*heads, bias)],
        )


def test_a_window_as_large_as_the_map_is_full_attention():
    q, k, v = (torch.randn(2, 3, 5, 7, 4) for _ in range(3))
    expected = torch.nn.functional.scaled_dot_product_attention(*(t.flatten(2, 3) for t in (q, k, v)))
    found = neighborhood_attention(q, k, v, kernel_size=(5, 7))
    torch.testing.assert_close(found.flatten(2, 3), expected)


def test_a_sequence_is_a_map_of_one_row():
    q, k, v = (torch.randn(2, 3, 11, 4) for _ in range(3))
    bias = torch.randn(3, 5)
    found = neighborhood_attention(q, k, v, bias, kernel_size=3, dilation=2)
    rows = [t.unsqueeze(2) for t in (q, k, v)]
    with backend.use("reference"):
        expected = neighborhood_attention(*rows, bias.unsqueeze(1), kernel_size=(1, 3), dilation=(1, 2))
    torch.testing.assert_close(found, expected.squeeze(2))


@pytest.mark.processors
@needs_native
def test_native_agrees_with_the_reference_in_every_dtype():
    operators.assert_native_is_right(NAME)


@pytest.mark.processors
@needs_native
def test_native_gives_the_same_bits_on_any_number_of_threads():
    def make(generator):
        packed = torch.randn(1, 33, 19, 3, 2, 8, generator=generator, dtype=torch.float64)
        bias = torch.randn(2, 9, 9, generator=generator, dtype=torch.float64)
        return *packed.permute(3, 0, 4, 1, 2, 5).unbind(0), bias, [5, 5], [1, 1], 0.3

    operators.assert_same_on_every_thread_count(NAME, Case("in bands", make))


@needs_native
def test_native_sees_no_key_outside_the_window():
    q, k, v = (torch.randn(1, 1, 9, 12, 8) for _ in range(3))
    k[..., 6:, 8:, :] = v[..., 6:, 8:, :] = float("nan")
    with backend.use("native"):
        out = neighborhood_attention(q, k, v, kernel_size=5)
    seen = (window_index(9, 5)[:, -1] >= 6)[:, None] & (window_index(12, 5)[:, -1] >= 8)[None, :]
    assert torch.equal(out.isnan().any(-1)[0, 0], seen)


@needs_native
def test_native_is_exact_for_scores_of_any_size():
    q, k, v = (torch.randn(1, 2, 7, 8, 4, dtype=torch.float64) for _ in range(3))
    with backend.use("reference"):
        expected = neighborhood_attention(100 * q, k, v, kernel_size=3)
    with backend.use("native"):
        torch.testing.assert_close(neighborhood_attention(100 * q, k, v, kernel_size=3), expected)


@needs_native
def test_native_computes_only_the_gradients_that_are_asked_for():
    args = OPERATOR.arguments(*CHECK[0].arguments(torch.float32, "cpu"))
    module = OPERATOR.load("native")
    out = module.forward(args)
    every = module.backward(out, [], args, needs=(True, True, True, True))
    some = module.backward(out, [], args, needs=(True, False, False, True))
    assert some[1] is None
    assert some[2] is None
    assert torch.equal(some[0], every[0])
    assert torch.equal(some[3], every[3])


def test_the_operator_is_registered_as_torch_expects():
    operators.assert_registered_well(NAME, [0, 3, 4])


def test_it_compiles_into_one_graph_with_the_same_gradients():
    def call(query, key, value, bias, kernel_size, dilation, scale):
        return neighborhood_attention(query, key, value, bias, kernel_size=kernel_size, dilation=dilation, scale=scale)

    operators.assert_compiles(NAME, call, 0)


@pytest.mark.parametrize("name", [None, "reference"])
def test_heads_of_one_projection_give_a_map_without_a_copy(name):
    query, key, value, bias, *rest = CHECK[0].arguments(torch.float32, "cpu")
    with torch.no_grad(), backend.use(name):
        out = torch.ops.claimbench.neighborhood_attention(query, key, value, bias, *rest)
    assert out.permute(0, 2, 3, 1, 4).is_contiguous()


def test_autocast_follows_the_query():
    query, key, value, bias, *rest = CHECK[0].arguments(torch.float32, "cpu")
    halves = [t.bfloat16() for t in (query, key, value)]
    with torch.autocast("cpu", torch.bfloat16):
        assert OPERATOR(*halves, bias, *rest).dtype == torch.bfloat16
    with pytest.raises(TypeError, match="one dtype outside autocast"):
        OPERATOR(*halves, bias, *rest)


def test_an_empty_batch_gives_an_empty_result():
    q, k, v = (torch.ones(0, 2, 5, 5, 4, requires_grad=True) for _ in range(3))
    bias = torch.ones(2, 5, 5, requires_grad=True)
    out = neighborhood_attention(q, k, v, bias, kernel_size=3)
    assert out.shape == v.shape
    out.sum().backward()
    assert torch.equal(bias.grad, torch.zeros(2, 5, 5))


@pytest.mark.parametrize(
    ("shapes", "window", "message"),
    [
        (((1, 5, 4),), {}, r"query must be \(B, G, H, W, D\) or \(B, G, L, D\), got shape \(1, 5, 4\)"),
        (((1, 1, 5, 5, 4), (1, 1, 5, 6, 4)), {}, r"key must be query's shape = \(1, 1, 5, 5, 4\)"),
        (((1, 1, 5, 5, 4), (1, 1, 5, 5, 4), (1, 2, 5, 5, 4)), {}, "value must be"),
        (((1, 1, 5, 5, 4),), {"kernel_size": 4}, "kernel_size must be odd and positive, got 4"),
        (((1, 1, 5, 5, 4),), {"kernel_size": (3, 3, 3)}, r"kernel_size must be one number or 2, got \[3, 3, 3\]"),
        (((1, 1, 5, 5, 4),), {"dilation": 0}, "dilation must be at least 1, got 0"),
        (((1, 1, 5, 9, 4),), {"dilation": (2, 1)}, r"an axis of 5 positions is shorter than .* = 3 \* 2"),
        (((1, 1, 5, 4),), {"dilation": 2}, r"an axis of 5 positions is shorter than .* = 3 \* 2"),
    ],
)
def test_bad_input_is_named(shapes, window, message):
    shapes = [*shapes, *[shapes[0]] * (3 - len(shapes))]
    with pytest.raises(ValueError, match=message):
        neighborhood_attention(*(torch.ones(s) for s in shapes), **({"kernel_size": 3} | window))


@pytest.mark.parametrize(("shape", "bias"), [((1, 2, 5, 5, 4), (2, 5, 4)), ((1, 2, 5, 4), (2, 4))])
def test_a_bias_of_another_shape_is_named(shape, bias):
    with pytest.raises(ValueError, match=r"bias must be \(G, "):
        neighborhood_attention(*(torch.ones(shape) for _ in range(3)), torch.ones(bias), kernel_size=3)


def test_costs_count_the_two_products_whatever_the_dilation():
    q, v, bias = (2, 3, 7, 9, 4), (2, 3, 7, 9, 6), (3, 5, 9)
    args = operators.shaped(NAME, q, q, v, bias, (3, 5), (1, 1), 0.5)
    positions = 2 * 3 * 7 * 9
    assert cost.forward_flops(args) == 2 * positions * 15 * (4 + 6)
    assert cost.forward_flops(args._replace(bias=None, dilation=(2, 1))) == cost.forward_flops(args)
    assert cost.backward_flops(args) == 2 * positions * 15 * (3 * 4 + 2 * 6)
    assert cost.backward_flops(args, (False, False, True, False)) == cost.forward_flops(args)
    assert cost.forward_bytes(args) == 4 * (positions * (2 * 4 + 2 * 6) + 3 * 5 * 9)
    assert cost.backward_bytes(args) == 4 * (positions * (4 * 4 + 3 * 6) + 2 * 3 * 5 * 9)
