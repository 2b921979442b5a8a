"""Neighbourhood aggregation: its definition, its native backend, its registration and its errors."""

from __future__ import annotations

import pytest
import torch

from claimbench.bench.measure.operators.check import DTYPES, check_operator, load_cases
from claimbench.kernels import backend, native
from claimbench.kernels.neighborhood_aggregate import OPERATOR, cost, neighborhood_aggregate
from claimbench.kernels.neighborhood_aggregate.reference import window_index
from tests.kernels import operators

CHECK = load_cases("neighborhood_aggregate", "CHECK")
needs_native = pytest.mark.skipif(native.unavailable() is not None, reason=str(native.unavailable()))


def arguments(index=0, dtype=torch.float32):
    made = CHECK[index].arguments(dtype, "cpu")
    return tuple(a.detach().requires_grad_() if isinstance(a, torch.Tensor) else a for a in made)


def window_by_counting(position, length, k, d):
    """Return the k members of the position's residue class that are nearest to being centred on it."""
    members = [i for i in range(length) if i % d == position % d]
    centre = members.index(position)
    first = next(s for s in sorted(range(len(members) - k + 1), key=lambda s: abs(s + k // 2 - centre)))
    return members[first : first + k]


@pytest.mark.parametrize(("length", "k", "d"), [(7, 7, 1), (9, 5, 1), (8, 3, 2), (11, 3, 3), (17, 5, 3), (4, 1, 4)])
def test_windows_are_centred_and_shifted_inwards_within_their_residue_class(length, k, d):
    found = window_index(length, k, d).tolist()
    assert found == [window_by_counting(i, length, k, d) for i in range(length)]


@pytest.mark.processors
@pytest.mark.parametrize("index", [0, 6])
def test_the_reference_is_the_sum_over_the_window(index):
    weights, value, k, d = arguments(index, torch.float64)
    expected = torch.zeros_like(value)
    height, width = value.shape[2:4]
    for y in range(height):
        for x in range(width):
            rows, columns = window_by_counting(y, height, k, d), window_by_counting(x, width, k, d)
            for i, row in enumerate(rows):
                for j, column in enumerate(columns):
                    weight = weights[:, :, y, x, i * k + j, None]
                    expected[:, :, y, x] = expected[:, :, y, x] + weight * value[:, :, row, column]
    with backend.use("reference"):
        torch.testing.assert_close(neighborhood_aggregate(weights, value, k, d), expected)


@pytest.mark.processors
def test_the_reference_has_the_gradients_of_its_values():
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(1, 2, 4, 5, 9, generator=generator, dtype=torch.float64, requires_grad=True)
    value = torch.randn(1, 2, 4, 5, 2, generator=generator, dtype=torch.float64, requires_grad=True)
    with backend.use("reference"):
        assert torch.autograd.gradcheck(lambda w, v: neighborhood_aggregate(w, v, 3), (weights, value))


@pytest.mark.processors
@needs_native
def test_native_agrees_with_the_reference_in_every_dtype():
    rows = list(check_operator(OPERATOR, CHECK, "native", DTYPES))
    assert len(rows) == len(CHECK) * len(DTYPES)
    assert [(row.case, row.dtype, row.reason) for row in rows if row.status != "passed"] == []


@pytest.mark.processors
@needs_native
def test_native_gives_the_same_bits_on_any_number_of_threads():
    args = OPERATOR.arguments(*CHECK[-1].arguments(torch.float32, "cpu"))  # high enough to be cut into bands
    module, threads, results = OPERATOR.load("native"), torch.get_num_threads(), []
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            out = module.forward(args)
            results.append([out, *module.backward(out, [], args, needs=(True, True))])
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


@needs_native
def test_native_computes_only_the_gradients_that_are_asked_for():
    args = OPERATOR.arguments(*CHECK[0].arguments(torch.float32, "cpu"))
    both = OPERATOR.load("native").backward(args.value, [], args, needs=(True, True))
    first = OPERATOR.load("native").backward(args.value, [], args, needs=(True, False))
    second = OPERATOR.load("native").backward(args.value, [], args, needs=(False, True))
    assert first[1] is None
    assert second[0] is None
    assert torch.equal(first[0], both[0])
    assert torch.equal(second[1], both[1])


@pytest.mark.parametrize("index", [0, 5, 6])
def test_the_operator_is_registered_as_torch_expects(index):
    torch.library.opcheck(torch.ops.claimbench.neighborhood_aggregate.default, arguments(index))


def test_it_compiles_into_one_graph_with_the_same_gradients():
    weights, value, k, d = arguments(1)

    def loss(weights, value):
        return neighborhood_aggregate(weights, value, k, d).square().sum()

    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    expected = torch.autograd.grad(loss(weights, value), (weights, value))
    found = torch.autograd.grad(compiled(weights, value), (weights, value))
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("name", [None, "reference"])
def test_the_output_has_the_strides_of_the_value(name):
    for index in (1, 5, 6):
        weights, value, k, d = arguments(index)
        with torch.no_grad(), backend.use(name):
            out = torch.ops.claimbench.neighborhood_aggregate(weights, value, k, d)
        assert out.stride() == torch.empty_like(value).stride()


def test_autocast_follows_the_weights():
    weights, value, k, d = arguments(0)
    with torch.autocast("cpu", torch.bfloat16):
        out = neighborhood_aggregate(weights.bfloat16(), value, k, d)
    assert out.dtype == torch.bfloat16
    with pytest.raises(TypeError, match="one dtype outside autocast"):
        neighborhood_aggregate(weights.bfloat16(), value, k, d)


def test_an_empty_batch_gives_an_empty_result():
    weights, value = torch.ones(0, 2, 5, 5, 9, requires_grad=True), torch.ones(0, 2, 5, 5, 4, requires_grad=True)
    out = neighborhood_aggregate(weights, value, 3)
    assert out.shape == value.shape
    out.sum().backward()
    assert weights.grad.shape == weights.shape


@pytest.mark.parametrize(
    ("weights", "value", "k", "d", "message"),
    [
        ((1, 1, 5, 5, 9), (1, 5, 5, 4), 3, 1, r"value must be \(B, G, H, W, D\), got shape \(1, 5, 5, 4\)"),
        ((1, 1, 5, 5, 8), (1, 1, 5, 5, 4), 3, 1, r"weights must be \(1, 1, 5, 5, 9\), got shape \(1, 1, 5, 5, 8\)"),
        ((1, 1, 5, 5, 16), (1, 1, 5, 5, 4), 4, 1, "kernel_size must be odd and positive, got 4"),
        ((1, 1, 5, 5, 9), (1, 1, 5, 5, 4), 3, 0, "dilation must be at least 1, got 0"),
        ((1, 1, 5, 5, 9), (1, 1, 5, 5, 4), 3, 2, r"a 5x5 map is smaller than kernel_size \* dilation = 3 \* 2"),
    ],
)
def test_bad_input_is_named(weights, value, k, d, message):
    with pytest.raises(ValueError, match=message):
        neighborhood_aggregate(torch.ones(weights), torch.ones(value), k, d)


def test_costs_count_each_weight_and_channel_once():
    args = operators.shaped("neighborhood_aggregate", (2, 3, 7, 9, 25), (2, 3, 7, 9, 16), 5, 1)
    assert cost.forward_flops(args) == 2 * 2 * 3 * 7 * 9 * 25 * 16
    assert cost.backward_flops(args) == 2 * cost.forward_flops(args)
    assert cost.backward_flops(args, (True, False)) == cost.forward_flops(args)
    assert cost.forward_bytes(args) == 4 * 2 * 3 * 7 * 9 * (25 + 2 * 16)
    assert cost.backward_bytes(args) == 4 * 2 * 3 * 7 * 9 * (2 * 25 + 3 * 16)
