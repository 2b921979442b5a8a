"""Token reorganisation: its definition, its backends, its registration, its cost and its errors."""

from __future__ import annotations

import pytest
import torch

from claimbench.bench.measure.operators.check import DTYPES, check_all
from claimbench.kernels import backend, find_operator
from claimbench.kernels.token_reorganize import cost, most_attentive, token_reorganize
from claimbench.kernels.token_reorganize.cases import CHECK
from claimbench.kernels.token_reorganize.reference import Arguments
from tests.kernels import operators

NAME = "token_reorganize"


@pytest.mark.parametrize("name", [None, "reference"])
def test_it_keeps_the_best_and_fuses_the_rest(name):
    tokens = torch.arange(12.0).view(1, 6, 2)
    scores = torch.tensor([[0.1, 0.4, 0.05, 0.3, 0.15]])
    with backend.use(name):
        out = token_reorganize(tokens, scores, keep=2)
        unfused = token_reorganize(tokens, scores, keep=2, fuse=False)
    fused = 0.1 * tokens[0, 1] + 0.05 * tokens[0, 3] + 0.15 * tokens[0, 5]
    torch.testing.assert_close(out[0], torch.stack((tokens[0, 0], tokens[0, 2], tokens[0, 4], fused)))
    assert torch.equal(unfused, out[:, :-1])
    assert most_attentive(scores, 2).tolist() == [[1, 3]]


@pytest.mark.parametrize("name", [None, "reference"])
def test_of_equal_scores_the_earlier_token_comes_first(name):
    tokens, scores = torch.arange(8.0).view(1, 8, 1), torch.tensor([[1.0, 2.0, 1.0, 2.0, 1.0, 2.0, 1.0]])
    with backend.use(name):
        assert token_reorganize(tokens, scores, 5, fuse=False).flatten().tolist() == [0, 2, 4, 6, 1, 3]


@pytest.mark.parametrize("name", [None, "reference"])
def test_scores_learn_through_the_fused_token_alone(name):
    tokens, scores = torch.randn(1, 5, 3, requires_grad=True), torch.tensor([[0.1, 0.4, 0.2, 0.3]], requires_grad=True)
    with backend.use(name):
        out = token_reorganize(tokens, scores, 2)
        (whole,) = torch.autograd.grad(out[:, :-1].sum(), scores, retain_graph=True, materialize_grads=True)
        (fused,) = torch.autograd.grad(out[:, -1].sum(), scores)
    assert not whole.any()
    dropped = torch.tensor([[1, 0, 1, 0]])
    torch.testing.assert_close(fused, tokens.detach()[:, 1:].sum(-1) * dropped)


def test_all_kept_leaves_an_empty_fused_token():
    tokens, scores = torch.randn(2, 4, 3), torch.rand(2, 3)
    assert not token_reorganize(tokens, scores, 3)[:, -1].any()


@pytest.mark.processors
@operators.needs_native
def test_native_agrees_with_the_reference_in_every_dtype():
    operators.assert_native_is_right(NAME)


@pytest.mark.parametrize("case", ["1x40x33", "2x9x7", "2x9x24"])
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
    operators.assert_same_on_every_thread_count(NAME, CHECK[2])


@operators.needs_native
def test_native_ranks_what_is_no_number_like_the_reference():
    tokens, scores = torch.randn(1, 5, 3), torch.tensor([[0.5, float("nan"), 0.7, 0.1]])
    found = find_operator(NAME).load("native").forward(Arguments(tokens, scores, 2, False))[0]
    with backend.use("reference"):
        assert torch.equal(found, token_reorganize(tokens, scores, 2, fuse=False))


def test_registration():
    operators.assert_registered_well(NAME, (0, 3, 4))


def test_compiles_without_a_graph_break():
    operators.assert_compiles(NAME, token_reorganize)


def test_under_autocast_the_scores_follow_the_tokens():
    tokens, scores, *rest = operators.arguments(NAME)
    with torch.autocast("cpu", torch.bfloat16):
        assert token_reorganize(tokens.bfloat16(), scores, *rest).dtype == torch.bfloat16
    with pytest.raises(TypeError, match="all tensors must have one dtype"):
        token_reorganize(tokens.bfloat16(), scores, *rest)


def test_an_empty_batch_gives_an_empty_result():
    tokens = torch.ones(0, 5, 4, requires_grad=True)
    out = token_reorganize(tokens, torch.ones(0, 4), 2)
    out.sum().backward()
    assert out.shape == (0, 4, 4)
    assert tokens.grad.shape == tokens.shape


@pytest.mark.parametrize(
    ("tokens", "scores", "keep", "message"),
    [
        ((5, 4), (4,), 2, r"tokens must be \(B, N, C\), got shape \(5, 4\)"),
        ((1, 5, 4), (1, 5), 2, r"scores must be \(1, 4\), got shape \(1, 5\)"),
        ((1, 5, 4), (1, 4), 0, "keep must be from 1 to N - 1 = 4, got 0"),
        ((1, 5, 4), (1, 4), 5, "keep must be from 1 to N - 1 = 4, got 5"),
    ],
)
def test_bad_input_is_named(tokens, scores, keep, message):
    with pytest.raises(ValueError, match=message):
        token_reorganize(torch.ones(tokens), torch.ones(scores), keep)


def test_costs_count_the_dropped_tokens():
    args = operators.shaped(NAME, (2, 11, 16), (2, 10), 4, True)
    assert cost.forward_flops(args) == cost.backward_flops(args) == 2 * 2 * 6 * 16
    assert cost.backward_flops(args, (True, False)) == cost.forward_flops(args._replace(fuse=False)) == 0
    assert cost.forward_bytes(args) == 4 * (2 * 11 * 16 + 2 * 10 + 2 * 6 * 16)
    assert cost.forward_bytes(args._replace(fuse=False)) == 4 * (2 * 2 * 5 * 16 + 2 * 10)
    assert cost.backward_bytes(args) == 4 * (2 * 6 * 16 + 2 * 6 * 16 + 2 * 11 * 16 + 2 * 2 * 10)
