"""Variable-length attention: its definition, its backends, its registration, its cost and its errors."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from claimbench.bench.measure.operators.check import DTYPES, check_all
from claimbench.kernels import backend, find_operator
from claimbench.kernels.varlen_attention import cost, rotate, varlen_attention
from claimbench.kernels.varlen_attention.cases import CHECK, offsets_of
from tests.kernels import operators

NAME = "varlen_attention"


def packed(lengths, heads=2, depth=6, channels=4):
    """Return packed queries, keys and values of these lengths, and their offsets."""
    tokens = sum(lengths)
    return (*(torch.randn(tokens, heads, width).double() for width in (depth, depth, channels)), offsets_of(lengths))


@pytest.mark.parametrize("name", [None, "reference"])
def test_each_sample_attends_to_itself_alone(name):
    query, key, value, offsets = packed((5, 1, 9))
    with backend.use(name):
        found = varlen_attention(query, key, value, offsets)
    for first, last in ((0, 5), (5, 6), (6, 15)):
        sample = (x[None, first:last].transpose(1, 2) for x in (query, key, value))
        expected = F.scaled_dot_product_attention(*sample)[0].transpose(0, 1)
        torch.testing.assert_close(found[first:last], expected)


@pytest.mark.parametrize("name", [None, "reference"])
def test_queries_and_keys_can_be_packed_apart(name):
    query, key, value, offsets = packed((3, 8))
    with backend.use(name):
        found = varlen_attention(query[:3], key, value, torch.tensor([0, 1, 3]), key_offsets=offsets, scale=0.3)
    weights = (0.3 * torch.einsum("hd,nhd->hn", query[0], key[:3])).softmax(-1)
    torch.testing.assert_close(found[0], torch.einsum("hn,nhe->he", weights, value[:3]))


def test_pairs_of_channels_turn_by_the_angle_of_their_token():
    x, angles = torch.randn(3, 2, 7).double(), torch.randn(3, 2).double()
    found = rotate(x, angles.cos(), angles.sin())
    numbers = torch.view_as_complex(x[..., :4].unflatten(-1, (2, 2)).contiguous())
    turned = numbers * torch.polar(torch.ones_like(angles), angles)[:, None]
    torch.testing.assert_close(found[..., :4], torch.view_as_real(turned).flatten(-2))
    assert torch.equal(found[..., 4:], x[..., 4:])


@pytest.mark.parametrize("name", [None, "reference"])
def test_a_table_turns_queries_and_keys(name):
    query, key, value, offsets = packed((4, 7))
    angles = torch.randn(11, 3).double()
    table = {"cos": angles.cos(), "sin": angles.sin()}
    turned = [rotate(x, **table) for x in (query, key)]
    with backend.use(name):
        found = varlen_attention(query, key, value, offsets, **table)
        torch.testing.assert_close(found, varlen_attention(*turned, value, offsets))


@pytest.mark.parametrize("name", [None, "reference"])
def test_a_table_keeps_its_precision_beside_half_precision(name):
    query, key, value, offsets = (x.bfloat16() if x.is_floating_point() else x for x in packed((40, 30)))
    angles = 60 * torch.rand(70, 3)
    exact = [rotate(x.double(), angles.double().cos(), angles.double().sin()) for x in (query, key)]
    expected = varlen_attention(*exact, value.double(), offsets)
    with backend.use(name):
        found = varlen_attention(query, key, value, offsets, cos=angles.cos(), sin=angles.sin())
    assert found.dtype == torch.bfloat16
    assert (found - expected).norm() < 0.01 * expected.norm()


@pytest.mark.parametrize("name", [None, "reference"])
def test_the_table_has_gradients(name):
    query, key, value, offsets = packed((2, 3))
    leaves = [x.requires_grad_() for x in (query, key, value, torch.randn(5, 3).double(), torch.randn(5, 3).double())]
    with backend.use(name):
        assert torch.autograd.gradcheck(
            lambda q, k, v, cos, sin: varlen_attention(q, k, v, offsets, cos=cos, sin=sin), leaves
        )


@pytest.mark.parametrize("name", [None, "reference"])
@pytest.mark.parametrize("offsets", [[0, 3], [0, 3, 3]])
def test_large_scores_do_not_overflow(name, offsets):
    query, key = torch.ones(3, 1, 3) / 3, torch.tensor([1000.0, -1000.0, 999.0]).view(3, 1, 1).expand(-1, -1, 3)
    with backend.use(name):
        found = varlen_attention(query, key, torch.eye(3)[:, None], torch.tensor(offsets), scale=1.0)
    torch.testing.assert_close(found[0, 0], torch.tensor([0.7310586, 0.0, 0.2689414]))


@pytest.mark.parametrize("name", [None, "reference"])
@pytest.mark.parametrize("which", [0, 1, 2])
@pytest.mark.parametrize("lengths", [(40, 3), (40, 40)])
def test_what_is_no_number_stays_in_its_sample(name, which, lengths):
    tensors = list(packed(lengths, channels=6))
    tensors[which][7, 1, 2] = float("nan")
    leaves = [x.float().requires_grad_() for x in tensors[:3]]
    with backend.use(name):
        out = varlen_attention(*leaves, tensors[3])
        grads = torch.autograd.grad(out.sum(), leaves)
    assert out[:40, 1].isnan().any()
    assert not out[:40, 0].isnan().any()
    assert not out[40:].isnan().any()
    assert not any(grad[40:].isnan().any() for grad in grads)


@pytest.mark.parametrize("name", [None, "reference"])
def test_no_tokens_give_an_empty_result(name):
    query = torch.ones(0, 2, 6, requires_grad=True)
    with backend.use(name):
        out = varlen_attention(query, query, query, torch.tensor([0, 0, 0]))
        out.sum().backward()
    assert out.shape == query.grad.shape == (0, 2, 6)


@pytest.mark.processors
@operators.needs_native
def test_native_agrees_with_the_reference_in_every_dtype():
    operators.assert_native_is_right(NAME)


@pytest.mark.parametrize("case", ["6+1+13", "5+0+9+1", "1+1+3 H=2"])
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
@pytest.mark.parametrize("needed", [0, 1, 2, 5, 6])
def test_native_makes_only_the_gradients_that_are_needed(needed):
    args = operators.arguments(NAME, 1, torch.float64)
    everything = operators.gradients(NAME, args)[1:]
    tensors = [i for i, each in enumerate(args) if isinstance(each, torch.Tensor) and each.is_floating_point()]
    leaves = [each.detach().requires_grad_(i == needed) if i in tensors else each for i, each in enumerate(args)]
    out = find_operator(NAME)(*leaves)
    grad = torch.randn(out.shape, generator=torch.Generator().manual_seed(2)).double()
    (found,) = torch.autograd.grad(out, leaves[needed], grad)
    torch.testing.assert_close(found, everything[tensors.index(needed)])


@operators.needs_native
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_native_takes_chunks_of_keys_whose_scores_rise_and_fall(dtype):
    """Scores of minus infinity in a first chunk of keys leave the next chunk whole."""
    query = torch.ones(300, 1, 1, dtype=dtype)
    key = torch.full((300, 1, 1), float("-inf"), dtype=dtype)
    key[200:] = torch.linspace(-900, 900, 100, dtype=dtype).view(-1, 1, 1)
    value = torch.arange(300, dtype=dtype).view(-1, 1, 1)
    found = varlen_attention(query, key, value, torch.tensor([0, 300, 300]))
    torch.testing.assert_close(found, torch.full_like(found, 299))


def test_registration():
    operators.assert_registered_well(NAME, (0, 1, 6))


def test_compiles_without_a_graph_break():
    def attend(query, key, value, offsets, key_offsets, cos, sin, scale):
        return varlen_attention(query, key, value, offsets, cos=cos, sin=sin, scale=scale)

    operators.assert_compiles(NAME, attend, number=1)


def test_under_autocast_keys_and_values_follow_the_query():
    query, key, value, offsets = packed((3, 2))
    with torch.autocast("cpu", torch.bfloat16):
        assert varlen_attention(query.bfloat16(), key, value, offsets).dtype == torch.bfloat16
    with pytest.raises(TypeError, match="all tensors must have one dtype"):
        varlen_attention(query.bfloat16(), key, value, offsets)


GOOD = {
    "query": torch.ones(5, 2, 6),
    "key": torch.ones(5, 2, 6),
    "value": torch.ones(5, 2, 4),
    "offsets": torch.tensor([0, 2, 5]),
}
BAD = [
    ({"query": torch.ones(5, 12)}, r"query must be \(tokens, heads, head_dim\), got shape \(5, 12\)"),
    ({"query": torch.ones(5, 2, 0), "key": torch.ones(5, 2, 0)}, "head_dim must be at least 1"),
    ({"key": torch.ones(5, 3, 6)}, r"key must be \(5, 2, 6\), got shape \(5, 3, 6\)"),
    ({"key": torch.ones(4, 2, 6), "value": torch.ones(4, 2, 4)}, r"key must be \(5, 2, 6\)"),
    ({"value": torch.ones(4, 2, 4)}, r"value must be \(5, 2\) and a width, got shape \(4, 2, 4\)"),
    ({"offsets": torch.tensor([[0, 5]])}, r"offsets must be \(B \+ 1,\)"),
    ({"offsets": torch.tensor([0.0, 5.0])}, "offsets must be int32 or int64, got torch.float32"),
    ({"offsets": torch.tensor([0, 2, 6])}, "offsets must go from 0 to the 5 tokens"),
    ({"offsets": torch.tensor([1, 2, 5])}, "offsets must go from 0 to the 5 tokens"),
    ({"offsets": torch.tensor([0, -2, 5])}, "offsets must not fall"),
    ({"offsets": torch.tensor([0, 7, 5])}, "offsets must not fall"),
    ({"key_offsets": torch.tensor([0, 5])}, "key_offsets must have 3 entries as offsets has, got 2"),
    ({"key_offsets": torch.tensor([0, 0, 5])}, "a sample with queries must have keys"),
    ({"cos": torch.ones(5, 3)}, "cos and sin belong together"),
    ({"cos": torch.ones(5, 4), "sin": torch.ones(5, 4)}, r"cos must be \(5, p\) with p <= 3, got shape \(5, 4\)"),
    ({"cos": torch.ones(4, 3), "sin": torch.ones(4, 3)}, r"cos must be \(5, p\)"),
    ({"cos": torch.ones(5, 3), "sin": torch.ones(5, 2)}, "cos and sin must be alike"),
]


@pytest.mark.parametrize(("change", "message"), BAD)
def test_bad_input_is_named_on_both_ways_in(change, message):
    given = {**GOOD, **change}
    with pytest.raises(ValueError, match=message):
        varlen_attention(**given)
    order = ("query", "key", "value", "offsets", "key_offsets", "cos", "sin")
    with pytest.raises(ValueError, match=message):
        torch.ops.claimbench.varlen_attention(*(given.get(name) for name in order), 0.5)


def test_costs_count_the_pairs_of_each_sample():
    args = operators.shaped(NAME, (20, 3, 16), (20, 3, 16), (20, 3, 8), (4,), None, (20, 8), (20, 8), 0.25)
    args = args._replace(offsets=offsets_of((6, 1, 13)))
    pairs = 3 * (36 + 1 + 169)
    assert cost.forward_flops(args) == 2 * pairs * (16 + 8)
    assert cost.backward_flops(args) == 2 * pairs * (8 + 2 * 16 + 8)
    assert cost.backward_flops(args, (False, False, True, False, False, False, False)) == 2 * pairs * 8
    arguments = 20 * 3 * (16 + 16 + 8) + 4 + 2 * 20 * 8
    assert cost.forward_bytes(args) == 4 * (arguments + 20 * 3 * 8)
    assert cost.backward_bytes(args) == 4 * (2 * arguments + 20 * 3 * 8)


def test_the_cost_is_counted_on_the_meta_device_from_offsets_on_the_cpu():
    tensors = [torch.ones(20, 3, width, device="meta", requires_grad=True) for width in (16, 16, 8)]
    with FlopCounterMode(display=False) as counter:
        varlen_attention(*tensors, offsets_of((6, 1, 13))).sum().backward()
    assert counter.get_total_flops() == 2 * 3 * (36 + 1 + 169) * (16 + 8 + 8 + 2 * 16 + 8)
    with pytest.raises(ValueError, match="keep them on the CPU"), FlopCounterMode(display=False):
        varlen_attention(*tensors, offsets_of((6, 1, 13)).to("meta"))
