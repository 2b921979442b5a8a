"""Query attention: its definition, its backends, its registration, its cost and its errors."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from claimbench.bench.measure.operators.check import DTYPES, check_all
from claimbench.kernels import backend, find_operator
from claimbench.kernels.query_attention import cost, query_attention
from tests.kernels import operators

NAME = "query_attention"


def by_loops(query, key, value, offsets, scale):
    """The definition, image by image, head by head and query by query."""
    batch, queries, heads = len(offsets) - 1, query.shape[1], query.shape[2]
    values = value.new_zeros(batch, queries, heads, value.shape[2])
    scores = key.new_zeros(len(key), queries)
    for b in range(batch):
        own = range(int(offsets[b]), int(offsets[b + 1]))
        for q in range(queries):
            for h in range(heads):
                raw = torch.stack([scale * (query[b % len(query), q, h] * key[n, h]).sum() for n in own])
                values[b, q, h] = sum(w * value[n, h] for w, n in zip(raw.softmax(0), own, strict=True))
                scores[own.start : own.stop, q] += raw / heads
    return values, scores


@pytest.mark.processors
@pytest.mark.parametrize("number", [0, 2])
@pytest.mark.parametrize("name", [None, "reference"])
def test_is_the_definition(name, number):
    args = [a.detach() if isinstance(a, torch.Tensor) else a for a in operators.arguments(NAME, number, torch.float64)]
    with backend.use(name):
        torch.testing.assert_close(query_attention(*args), by_loops(*args))


def test_images_of_one_length_are_multi_head_attention():
    query, key, value = torch.randn(2, 6, 3, 5), torch.randn(18, 3, 5), torch.randn(18, 3, 4)
    values, scores = query_attention(query, key, value, torch.tensor([0, 9, 18]))
    heads = [t.unflatten(0, (2, 9)).transpose(1, 2) for t in (key, value)]
    expected = F.scaled_dot_product_attention(query.transpose(1, 2), *heads)
    torch.testing.assert_close(values, expected.transpose(1, 2))
    # The mean of the scores of the heads is one product over all of their channels.
    whole = key.flatten(1).unflatten(0, (2, 9)) @ query.flatten(2).transpose(1, 2) / (3 * 5**0.5)
    torch.testing.assert_close(scores, whole.flatten(0, 1))


@pytest.mark.parametrize("name", [None, "reference"])
def test_an_image_without_tokens_has_no_values_and_no_gradient(name):
    query = torch.randn(2, 3, 2, 4, requires_grad=True)
    key = torch.randn(5, 2, 4)
    with backend.use(name):
        values, _ = query_attention(query, key, key, torch.tensor([0, 0, 5]))
        values.sum().backward()
    assert not values[0].any()
    assert values[1].all()
    assert not query.grad[0].any()


@pytest.mark.parametrize("name", [None, "reference"])
def test_large_scores_do_not_overflow_and_nan_stays_in_its_image(name):
    key = torch.tensor([1000.0, -1000.0, 999.0, torch.nan, 1.0])[:, None, None]
    with backend.use(name):
        values, scores = query_attention(
            torch.ones(1, 1, 1), key, torch.arange(5.0)[:, None, None], torch.tensor([0, 3, 5])
        )
    torch.testing.assert_close(values[0].flatten(), torch.tensor([0.2689414 * 2]))
    assert values[1].isnan().all()
    torch.testing.assert_close(scores, key[:, 0], equal_nan=True)


@pytest.mark.processors
@operators.needs_native
def test_native_agrees_with_the_reference_in_every_dtype():
    operators.assert_native_is_right(NAME)


@pytest.mark.parametrize("case", ["17+17", "5+0+12"])
def test_triton_agrees_with_the_reference(case):
    pytest.importorskip("triton")
    rows = check_all([NAME], ["triton"], ["float32"], "cuda" if torch.cuda.is_available() else "cpu", case=case)
    assert [(row.status, row.reason) for row in rows] == [("passed", "")]


@operators.needs_gpu
@pytest.mark.gpu
def test_triton_agrees_with_the_reference_in_every_dtype():
    operators.assert_triton_is_right(NAME, list(DTYPES))


def test_is_registered_well():
    operators.assert_registered_well(NAME, [0, 3])


def test_compiles_and_runs_under_autocast():
    operators.assert_compiles(NAME, query_attention)
    query, key = torch.randn(1, 3, 2, 8), torch.randn(5, 2, 8)
    offsets = torch.tensor([0, 5])
    exact = query_attention(query, key, key, offsets)
    with torch.autocast("cpu", torch.bfloat16):
        found = query_attention(query.bfloat16(), key, key, offsets)
    for each, expected in zip(found, exact, strict=True):
        assert each.dtype == torch.bfloat16
        torch.testing.assert_close(each.float(), expected, rtol=0.05, atol=0.05)


def test_only_the_gradients_that_are_needed_are_computed():
    args = list(operators.arguments(NAME, 0))
    args[1] = args[1].detach()
    values, scores = query_attention(*args)
    (values.sum() + scores.sum()).backward()
    assert args[0].grad is not None
    assert args[1].grad is None


def test_cost_is_that_of_the_products():
    args = operators.shaped(NAME, (2, 7, 3, 4), (20, 3, 4), (20, 3, 5), (3,), 0.5)
    assert cost.forward_flops(args) == 2 * 7 * 20 * 3 * (4 + 5)
    assert cost.backward_flops(args) == 2 * 7 * 20 * 3 * (5 + 2 * 4 + 5)
    assert cost.backward_flops(args, (False, False, True, False)) == 2 * 7 * 20 * 3 * 5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"query": torch.zeros(2, 3, 2, 5)}, r"query must be \(Q, 2, 4\) or \(2, Q, 2, 4\)"),
        ({"query": torch.zeros(3, 3, 2, 4)}, r"query must be \(Q, 2, 4\) or \(2, Q, 2, 4\)"),
        ({"key": torch.zeros(5, 8)}, r"key must be \(T, heads, d\)"),
        ({"value": torch.zeros(6, 2, 4)}, r"value must be \(5, 2, e\)"),
        ({"offsets": torch.tensor([0, 3])}, "offsets must rise from 0 to the 5 tokens"),
        ({"offsets": torch.tensor([0, 6, 5])}, "offsets must rise from 0 to the 5 tokens"),
        ({"offsets": torch.tensor([-1, 3, 5])}, "offsets must rise from 0 to the 5 tokens"),
        ({"offsets": torch.tensor([0.0, 3.0, 5.0])}, "in int32 or int64"),
    ],
)
def test_wrong_arguments_are_refused(changes, message):
    args = {
        "query": torch.zeros(2, 3, 2, 4),
        "key": torch.zeros(5, 2, 4),
        "value": torch.zeros(5, 2, 4),
        "offsets": torch.tensor([0, 3, 5]),
    } | changes
    with pytest.raises(ValueError, match=message):
        query_attention(**args)
    with pytest.raises(ValueError, match=message):
        torch.ops.claimbench.query_attention(*args.values(), 0.5)


def test_another_dtype_is_refused():
    query, key = torch.zeros(1, 1, 4), torch.zeros(5, 1, 4)
    with pytest.raises(TypeError, match="one dtype"):
        query_attention(query.double(), key, key, torch.tensor([0, 5]))
    with pytest.raises(ValueError, match="key must be floating point and like query"):
        find_operator(NAME)._op(query[None].double(), key, key, torch.tensor([0, 5]), 0.5)
