"""Attentive pooling: its definition, its backends, its registration, its cost and its errors."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from claimbench.bench.measure.operators.check import DTYPES, check_all
from claimbench.kernels import backend, find_operator
from claimbench.kernels.attentive_pool import attentive_pool, cost
from claimbench.kernels.attentive_pool.cases import CHECK
from tests.kernels import operators

NAME = "attentive_pool"


def by_loops(query, key, value, scale):
    """The definition, query by query."""
    query = query.expand(len(key), -1, -1)
    queries = query.shape[1]
    out = value.new_zeros(len(key), queries, value.shape[3])
    for b in range(len(key)):
        for q in range(queries):
            keys, values = (t[b, :, q * t.shape[2] // queries] for t in (key, value))
            weights = torch.stack([scale * (query[b, q] * k).sum() for k in keys]).softmax(0)
            out[b, q] = sum(w * v for w, v in zip(weights, values, strict=True))
    return out


@pytest.mark.processors
@pytest.mark.parametrize("number", [0, 3, 4, 8])
def test_the_reference_is_the_definition(number):
    args = [a.detach() if isinstance(a, torch.Tensor) else a for a in operators.arguments(NAME, number, torch.float64)]
    with backend.use("reference"):
        query = args[0] if args[0].shape[0] > 1 else args[0][0]
        torch.testing.assert_close(attentive_pool(query, *args[1:]), by_loops(*args))


def test_with_a_group_a_head_it_is_multi_head_attention():
    query, key, value = torch.randn(2, 6, 5), torch.randn(2, 9, 3, 5), torch.randn(2, 9, 3, 4)
    heads = [t.transpose(1, 2) for t in (key, value)]
    expected = F.scaled_dot_product_attention(query.unflatten(1, (3, 2)), *heads).flatten(1, 2)
    torch.testing.assert_close(attentive_pool(query, key, value), expected)


def test_pooling_tokens_first_and_projecting_then_is_the_same():
    x, queries, weight = torch.randn(2, 10, 12), torch.randn(4, 12), torch.randn(12, 12)
    values = (x @ weight.T).unflatten(-1, (4, 3))
    pooled = attentive_pool(queries, x[:, :, None], x[:, :, None])
    after = torch.einsum("bqc,qec->bqe", pooled, weight.unflatten(0, (4, 3)))
    torch.testing.assert_close(after, attentive_pool(queries, x[:, :, None], values), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", [None, "reference"])
def test_large_scores_do_not_overflow(name):
    key, value = torch.tensor([[[[1000.0]], [[-1000.0]], [[999.0]]]]), torch.eye(3)[None, :, None]
    with backend.use(name):
        found = attentive_pool(torch.ones(1, 1), key, value)
    torch.testing.assert_close(found[0, 0], torch.tensor([0.7310586, 0.0, 0.2689414]))


@pytest.mark.processors
@operators.needs_native
def test_native_agrees_with_the_reference_in_every_dtype():
    operators.assert_native_is_right(NAME)


@pytest.mark.parametrize("case", ["2x9 Q=4", "1x30 Q=12", "2x11 Q=16"])
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
    operators.assert_same_on_every_thread_count(NAME, CHECK[1])


@operators.needs_native
@pytest.mark.parametrize("needed", [0, 1, 2])
def test_native_makes_only_the_gradients_that_are_needed(needed):
    *tensors, scale = operators.arguments(NAME, 4, torch.float64)
    leaves = [t.detach().requires_grad_(i == needed) for i, t in enumerate(tensors)]
    everything = operators.gradients(NAME, [*tensors, scale])[1:]
    out = find_operator(NAME)(*leaves, scale)
    grad = torch.randn(out.shape, generator=torch.Generator().manual_seed(2)).double()
    (found,) = torch.autograd.grad(out, leaves[needed], grad)
    torch.testing.assert_close(found, everything[needed])


def test_registration():
    operators.assert_registered_well(NAME, (0, 3, 5))


def test_compiles_without_a_graph_break():
    def pool(query, key, value, scale):
        return attentive_pool(query[0], key, value, scale)

    operators.assert_compiles(NAME, pool)


def test_under_autocast_keys_and_values_follow_the_query():
    query, key, value, scale = operators.arguments(NAME)
    with torch.autocast("cpu", torch.bfloat16):
        assert attentive_pool(query[0].bfloat16(), key, value, scale).dtype == torch.bfloat16
    with pytest.raises(TypeError, match="all tensors must have one dtype"):
        attentive_pool(query[0].bfloat16(), key, value, scale)


@pytest.mark.parametrize("name", [None, "reference"])
def test_an_empty_batch_gives_an_empty_result(name):
    query, tokens = torch.ones(4, 6, requires_grad=True), torch.ones(0, 5, 1, 6)
    with backend.use(name):
        out = attentive_pool(query, tokens, tokens)
        out.sum().backward()
    assert out.shape == (0, 4, 6)
    assert not query.grad.any()


@pytest.mark.parametrize(
    ("query", "key", "value", "message"),
    [
        ((4, 6), (2, 5, 6), (2, 5, 1, 6), r"key must be \(B, N, G, d\) with at least one token, got shape \(2, 5, 6\)"),
        ((4, 6), (2, 0, 1, 6), (2, 0, 1, 6), "at least one token"),
        ((4, 6), (2, 5, 1, 6), (2, 4, 1, 6), r"value must be \(2, 5\) and V, e, got shape \(2, 4, 1, 6\)"),
        ((4, 7), (2, 5, 1, 6), (2, 5, 1, 6), r"query must be \(Q, 6\) or \(2, Q, 6\), got shape \(4, 7\)"),
        ((3, 4, 6), (2, 5, 1, 6), (2, 5, 1, 6), r"query must be for 2 images as the key is, got shape \(3, 4, 6\)"),
        ((4, 6), (2, 5, 3, 6), (2, 5, 1, 6), "the 4 queries do not divide among the 3 groups of key"),
        ((4, 6), (2, 5, 1, 6), (2, 5, 8, 6), "the 4 queries do not divide among the 8 groups of value"),
    ],
)
def test_bad_input_is_named(query, key, value, message):
    with pytest.raises(ValueError, match=message):
        attentive_pool(torch.ones(query), torch.ones(key), torch.ones(value))


def test_costs_count_each_pair_of_query_and_token():
    args = operators.shaped(NAME, (1, 4, 12), (2, 9, 1, 12), (2, 9, 4, 3), 1.0)
    pairs = 2 * 9 * 4
    assert cost.forward_flops(args) == 2 * pairs * (12 + 3)
    assert cost.backward_flops(args) == 2 * pairs * (3 + 2 * 12 + 3)
    assert cost.backward_flops(args, (True, False, False)) == 2 * pairs * (3 + 12)
    assert cost.backward_flops(args, (False, False, True)) == 2 * pairs * 3
    arguments = 4 * 12 + 2 * 9 * 12 + 2 * 9 * 12
    assert cost.forward_bytes(args) == 4 * (arguments + 2 * 4 * 3)
    assert cost.backward_bytes(args) == 4 * (2 * arguments + 2 * 4 * 3)
