"""Local block attention: its definition, its native backend, its registration and its errors."""

from __future__ import annotations

import pytest
import torch

from claimbench.kernels import backend, find_operator
from claimbench.kernels.local_block_attention import cost, local_block_attention
from tests.kernels import operators

NAME = "local_block_attention"


def public(query, key, value, rows, columns, block, halo, scale):
    return local_block_attention(query, key, value, None if rows is None else (rows, columns), block, halo, scale)


def by_counting(query, key, value, rows, columns, block, halo, scale):
    """The definition, query by query."""
    height, width = key.shape[2:4]
    stride = height // query.shape[2]
    side = block + 2 * halo
    out = torch.zeros(*query.shape[:4], value.shape[4], dtype=query.dtype)
    for b, g, y, x in torch.cartesian_prod(*(torch.arange(n) for n in query.shape[:4])).tolist():
        q, per_block = query[b, g, y, x], block // stride
        i, j = y % per_block, x % per_block
        top, left = y // per_block * block - halo, x // per_block * block - halo
        scores, values = [], []
        for r in range(side):
            for c in range(side):
                inside = 0 <= top + r < height and 0 <= left + c < width
                k = key[b, g, top + r, left + c] if inside else torch.zeros_like(q)
                score = scale * (q @ k)
                if rows is not None:
                    score = score + q @ rows[r - i + side - 1] + q @ columns[c - j + side - 1]
                scores.append(score)
                values.append(value[b, g, top + r, left + c] if inside else torch.zeros_like(value[0, 0, 0, 0]))
        out[b, g, y, x] = torch.stack(scores).softmax(0) @ torch.stack(values)
    return out


@pytest.mark.processors
@pytest.mark.parametrize("number", [0, 1, 2, 4])
def test_the_reference_is_the_formula(number):
    args = [a.detach() if isinstance(a, torch.Tensor) else a for a in operators.arguments(NAME, number, torch.float64)]
    with backend.use("reference"):
        torch.testing.assert_close(public(*args), by_counting(*args))


@pytest.mark.processors
@operators.needs_native
def test_native_agrees_with_the_reference_in_every_dtype():
    operators.assert_native_is_right(NAME)


@pytest.mark.processors
@operators.needs_native
def test_native_gives_the_same_bits_on_any_number_of_threads():
    operators.assert_same_on_every_thread_count(NAME, operators.load_cases(NAME, "CHECK")[0])


@operators.needs_native
def test_native_computes_only_the_gradients_that_are_asked_for():
    args = find_operator(NAME).arguments(*operators.load_cases(NAME, "CHECK")[0].arguments(torch.float32, "cpu"))
    module = find_operator(NAME).load("native")
    saved = list(module.forward(args))
    found = module.backward(saved[0], saved, args, needs=(True, False, True, False, True))
    assert [g is not None for g in found] == [True, False, True, False, True]


@pytest.mark.parametrize("number", [1, 2, 4])
def test_registration(number):
    operators.assert_registered_well(NAME, (number,))


def test_compiles_without_a_graph_break():
    operators.assert_compiles(NAME, public, 2)


def test_the_output_lies_in_channels_last_memory():
    for name in (None, "reference"):
        args = operators.load_cases(NAME, "CHECK")[1].arguments(torch.float32, "cpu")
        with backend.use(name), torch.no_grad():
            out, _ = torch.ops.claimbench.local_block_attention(*args)
        assert out.permute(0, 2, 3, 1, 4).is_contiguous()


def test_an_empty_batch_gives_an_empty_result():
    empty = torch.ones(0, 2, 4, 4, 8, requires_grad=True)
    out = local_block_attention(empty, empty, empty, None, 2, 1)
    out.sum().backward()
    assert out.shape == empty.shape


def test_under_autocast_tensors_follow_the_query():
    args = list(operators.arguments(NAME))
    args[0] = args[0].detach().bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        assert public(*args).dtype == torch.bfloat16
    with pytest.raises(TypeError, match="all tensors must have one dtype"):
        public(*args)


MAP = (1, 1, 8, 8, 4)


@pytest.mark.parametrize(
    ("query", "key", "value", "table", "block", "halo", "message"),
    [
        (MAP, (1, 1, 8, 8), MAP, None, 4, 1, r"must be \(B, G, H, W, channels\)"),
        (MAP, MAP, (1, 1, 8, 4, 4), None, 4, 1, "must lie on one map"),
        ((1, 1, 8, 8, 3), MAP, MAP, None, 4, 1, "must agree in all but H and W"),
        (MAP, MAP, MAP, None, 3, 1, "cannot be cut into blocks of 3"),
        ((1, 1, 3, 3, 4), MAP, MAP, None, 4, 1, "over a stride that divides block_size = 4"),
        ((1, 1, 8, 4, 4), MAP, MAP, None, 4, 1, "over a stride that divides block_size = 4"),
        (MAP, MAP, MAP, (10, 4), 4, 1, r"each table must be \(2 window - 1, D\) = \(11, 4\), got \(10, 4\)"),
        (MAP, MAP, MAP, None, 0, 1, "block_size must be positive"),
        (MAP, MAP, MAP, None, 4, -1, "halo_size not negative"),
    ],
)
def test_bad_input_is_named(query, key, value, table, block, halo, message):
    tables = None if table is None else (torch.ones(table), torch.ones(table))
    with pytest.raises(ValueError, match=message):
        local_block_attention(torch.ones(query), torch.ones(key), torch.ones(value), tables, block, halo)


def test_costs_count_every_query_and_key_of_a_window():
    args = operators.shaped(NAME, (2, 3, 4, 4, 16), (2, 3, 8, 8, 16), (2, 3, 8, 8, 24), (27, 16), (27, 16), 8, 3, 0.25)
    queries, window = 2 * 3 * 4 * 4, 14
    assert cost.forward_flops(args) == 2 * queries * (window**2 * (16 + 24) + 2 * window * 16)
    assert cost.backward_flops(args) == 2 * cost.forward_flops(args)
    untabled = args._replace(row_table=None, column_table=None)
    assert cost.forward_flops(untabled) == 2 * queries * window**2 * (16 + 24)
    assert cost.forward_bytes(untabled) == 4 * (queries * (16 + 24) + 2 * 3 * 64 * (16 + 24))
    assert cost.backward_bytes(untabled) == 4 * (queries * (2 * 16 + 24) + 2 * 2 * 3 * 64 * (16 + 24))
