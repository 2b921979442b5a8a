"""Local block attention on a GPU: a program takes the queries of one block and walks its window row by row.

Scores stay on the chip. Each query's products with the position tables, two short vectors, are made beforehand by one
matrix product, and their gradients are turned into those of queries and tables by others. The gradients of keys and
values gather from the blocks whose windows reach them, so that no pass uses atomics and every run gives the same bits.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from claimbench.kernels import triton_support as support
from claimbench.kernels.triton_support import unavailable

__all__ = ["backward", "forward", "refuses", "unavailable"]

_SMALLEST_DOT = 16  # the least extent of a tensor core's operands


@triton.jit
def _load_rows(pointer, offsets, channel_stride, channels, inside, BLOCK_C: tl.constexpr, ACC: tl.constexpr):
    """Return the vectors at these offsets, zero where they do not exist: (rows, BLOCK_C)."""
    channel = tl.arange(0, BLOCK_C)
    mask = inside[:, None] & (channel < channels)[None, :]
    return tl.load(pointer + offsets[:, None] + channel[None, :] * channel_stride, mask=mask, other=0).to(ACC)


@triton.jit
def _dot(a, b, ACC: tl.constexpr):
    return tl.dot(a, b, input_precision="ieee", out_dtype=ACC)


@triton.jit
def _scores(
    query, keys, positions, key_row, key_column, i, j, scale,
    SIDE: tl.constexpr, QUERIES: tl.constexpr, TABLES: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """Return the scores of queries at places (i, j) of their block and of the keys of one row of their window.

    ``positions`` points at each query's products with the row table, followed by those with the column table.
    """
    score = _dot(query, tl.trans(keys), ACC) * scale
    if TABLES:
        entries = SIDE + QUERIES - 1
        query_inside = i < QUERIES
        row = tl.load(positions + key_row - i + QUERIES - 1, mask=query_inside, other=0)
        inside = query_inside[:, None] & (key_column < SIDE)[None, :] & (key_column >= 0)[None, :]
        at = positions[:, None] + entries + key_column[None, :] - j[:, None] + QUERIES - 1
        score += row[:, None] + tl.load(at, mask=inside, other=0)
    return score


@triton.jit
def _block_of_queries(groups, down, across, QUERIES: tl.constexpr, BLOCK_M: tl.constexpr):
    """Return the map and block of this program, and each query's place in the block; row QUERIES is no query."""
    program = tl.program_id(0)
    index = program // (down * across)
    block = program % (down * across)
    m = tl.arange(0, BLOCK_M)
    return (
        (index // groups).to(tl.int64), (index % groups).to(tl.int64), block // across, block % across,
        m // QUERIES, m % QUERIES,
    )  # fmt: skip


@triton.jit
def _forward_kernel(
    query, qb, qg, qh, qw, qc, key, kb, kg, kh, kw, kc, value, vb, vg, vh, vw, vc, positions,
    out, ob, og, oh, ow, oc, logarithm,
    groups, height, width, depth, values, scale,
    BLOCK: tl.constexpr, HALO: tl.constexpr, SIDE: tl.constexpr, QUERIES: tl.constexpr, TABLES: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_E: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    down, across = height // BLOCK, width // BLOCK
    batch, group, y, x, i, j = _block_of_queries(groups, down, across, QUERIES, BLOCK_M)
    queried = i < QUERIES
    row, column = y * QUERIES + i, x * QUERIES + j
    flat = ((batch * groups + group) * down * QUERIES + row) * across * QUERIES + column
    q = _load_rows(query + batch * qb + group * qg, row * qh + column * qw, qc, depth, queried, BLOCK_D, ACC)
    at = positions + tl.where(queried, flat, 0) * (2 * (SIDE + QUERIES - 1))
    top = tl.full((BLOCK_M,), float("-inf"), dtype=ACC)
    total = tl.zeros((BLOCK_M,), dtype=ACC)
    result = tl.zeros((BLOCK_M, BLOCK_E), dtype=ACC)
    n = tl.arange(0, BLOCK_N)
    key_column = x * BLOCK - HALO + n
    for r in range(SIDE):
        key_row = y * BLOCK - HALO + r + tl.zeros_like(n)
        inside = (n < SIDE) & (key_row >= 0) & (key_row < height) & (key_column >= 0) & (key_column < width)
        k = _load_rows(key + batch * kb + group * kg, key_row * kh + key_column * kw, kc, depth, inside, BLOCK_D, ACC)
        v = _load_rows(
            value + batch * vb + group * vg, key_row * vh + key_column * vw, vc, values, inside, BLOCK_E, ACC
        )
        score = _scores(q, k, at, r, n, i, j, scale, SIDE, QUERIES, TABLES, ACC)
        score = tl.where((n < SIDE)[None, :], score, float("-inf"))
        higher = tl.maximum(top, tl.max(score, axis=1))
        weight = tl.exp(score - higher[:, None])
        shrink = tl.exp(top - higher)
        total = total * shrink + tl.sum(weight, axis=1)
        result = result * shrink[:, None] + _dot(weight, v, ACC)
        top = higher
    channel = tl.arange(0, BLOCK_E)
    out_at = out + batch * ob + group * og + (row * oh + column * ow)[:, None] + channel[None, :] * oc
    stored = queried[:, None] & (channel < values)[None, :]
    tl.store(out_at, (result / total[:, None]).to(out.dtype.element_ty), mask=stored)
    tl.store(logarithm + flat, top + tl.log(total), mask=queried)


@triton.jit
def _query_kernel(
    query, qb, qg, qh, qw, qc, key, kb, kg, kh, kw, kc, value, vb, vg, vh, vw, vc, positions,
    grad, gb, gg, gh, gw, gc, logarithm, delta, out, position_grads,
    groups, height, width, depth, values, scale,
    BLOCK: tl.constexpr, HALO: tl.constexpr, SIDE: tl.constexpr, QUERIES: tl.constexpr, TABLES: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_E: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """Compute the gradients of the queries (through the keys alone) and of their products with the position tables."""
    down, across = height // BLOCK, width // BLOCK
    batch, group, y, x, i, j = _block_of_queries(groups, down, across, QUERIES, BLOCK_M)
    queried = i < QUERIES
    row, column = y * QUERIES + i, x * QUERIES + j
    flat = ((batch * groups + group) * down * QUERIES + row) * across * QUERIES + column
    q = _load_rows(query + batch * qb + group * qg, row * qh + column * qw, qc, depth, queried, BLOCK_D, ACC)
    g = _load_rows(grad + batch * gb + group * gg, row * gh + column * gw, gc, values, queried, BLOCK_E, ACC)
    log = tl.load(logarithm + flat, mask=queried, other=0)
    mean = tl.load(delta + flat, mask=queried, other=0)
    entries = SIDE + QUERIES - 1
    at = positions + tl.where(queried, flat, 0) * (2 * entries)
    grads_at = position_grads + tl.where(queried, flat, 0) * (2 * entries)
    result = tl.zeros((BLOCK_M, BLOCK_D), dtype=ACC)
    columns = tl.zeros((BLOCK_M, BLOCK_N), dtype=ACC)
    n = tl.arange(0, BLOCK_N)
    key_column = x * BLOCK - HALO + n
    for r in range(SIDE):
        key_row = y * BLOCK - HALO + r + tl.zeros_like(n)
        inside = (n < SIDE) & (key_row >= 0) & (key_row < height) & (key_column >= 0) & (key_column < width)
        k = _load_rows(key + batch * kb + group * kg, key_row * kh + key_column * kw, kc, depth, inside, BLOCK_D, ACC)
        v = _load_rows(
            value + batch * vb + group * vg, key_row * vh + key_column * vw, vc, values, inside, BLOCK_E, ACC
        )
        score = _scores(q, k, at, r, n, i, j, scale, SIDE, QUERIES, TABLES, ACC)
        weight = tl.where((n < SIDE)[None, :] & queried[:, None], tl.exp(score - log[:, None]), 0.0)
        flow = weight * (_dot(g, tl.trans(v), ACC) - mean[:, None])
        result += _dot(flow, k, ACC)
        columns += flow
        if TABLES:
            tl.store(grads_at + r - i + QUERIES - 1, tl.sum(flow, axis=1), mask=queried)
    if TABLES:
        mask = queried[:, None] & (n < SIDE)[None, :]
        tl.store(grads_at[:, None] + entries + n[None, :] - j[:, None] + QUERIES - 1, columns, mask=mask)
    channel = tl.arange(0, BLOCK_D)
    mask = queried[:, None] & (channel < depth)[None, :]
    tl.store(out + flat[:, None] * depth + channel[None, :], result * scale, mask=mask)


@triton.jit
def _key_kernel(
    query, qb, qg, qh, qw, qc, key, kb, kg, kh, kw, kc, value, vb, vg, vh, vw, vc, positions,
    grad, gb, gg, gh, gw, gc, logarithm, delta, grad_key, ab, ag, ah, aw, ac, grad_value, eb, eg, eh, ew, ec,
    groups, height, width, depth, values, scale,
    BLOCK: tl.constexpr, HALO: tl.constexpr, SIDE: tl.constexpr, QUERIES: tl.constexpr, TABLES: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_E: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """Compute the gradients of the keys and values of a block's row, from all blocks whose windows hold them."""
    down, across = height // BLOCK, width // BLOCK
    program = tl.program_id(0)
    index = program // (height * across)
    batch, group = (index // groups).to(tl.int64), (index % groups).to(tl.int64)
    key_row = program // across % height
    x = program % across
    n = tl.arange(0, BLOCK_N)
    key_column = x * BLOCK + n
    inside = n < BLOCK
    k = _load_rows(key + batch * kb + group * kg, key_row * kh + key_column * kw, kc, depth, inside, BLOCK_D, ACC)
    v = _load_rows(value + batch * vb + group * vg, key_row * vh + key_column * vw, vc, values, inside, BLOCK_E, ACC)
    m = tl.arange(0, BLOCK_M)
    i, j = m // QUERIES, m % QUERIES
    total_k = tl.zeros((BLOCK_N, BLOCK_D), dtype=ACC)
    total_v = tl.zeros((BLOCK_N, BLOCK_E), dtype=ACC)
    REACH: tl.constexpr = (HALO + BLOCK - 1) // BLOCK
    for dy in range(-REACH, REACH + 1):
        for dx in range(-REACH, REACH + 1):
            by, bx = key_row // BLOCK + dy + tl.zeros_like(m), x + dx + tl.zeros_like(m)
            r = key_row - by * BLOCK + HALO
            c = key_column - (x + dx) * BLOCK + HALO
            queried = (i < QUERIES) & (by >= 0) & (by < down) & (bx >= 0) & (bx < across) & (r >= 0) & (r < SIDE)
            row, column = by * QUERIES + i, bx * QUERIES + j
            flat = ((batch * groups + group) * down * QUERIES + row) * across * QUERIES + column
            q = _load_rows(query + batch * qb + group * qg, row * qh + column * qw, qc, depth, queried, BLOCK_D, ACC)
            g = _load_rows(grad + batch * gb + group * gg, row * gh + column * gw, gc, values, queried, BLOCK_E, ACC)
            log = tl.load(logarithm + flat, mask=queried, other=0)
            mean = tl.load(delta + flat, mask=queried, other=0)
            at = positions + tl.where(queried, flat, 0) * (2 * (SIDE + QUERIES - 1))
            place = tl.where(queried, i, QUERIES)
            score = _scores(q, k, at, r, c, place, j, scale, SIDE, QUERIES, TABLES, ACC)
            pairs = queried[:, None] & (inside & (c >= 0) & (c < SIDE))[None, :]
            weight = tl.where(pairs, tl.exp(tl.where(pairs, score - log[:, None], 0.0)), 0.0)
            flow = weight * (_dot(g, tl.trans(v), ACC) - mean[:, None])
            total_v += _dot(tl.trans(weight), g, ACC)
            total_k += _dot(tl.trans(flow), q, ACC)
    channel = tl.arange(0, BLOCK_D)
    to = grad_key + batch * ab + group * ag + (key_row * ah + key_column * aw)[:, None] + channel[None, :] * ac
    mask = inside[:, None] & (channel < depth)[None, :]
    tl.store(to, (total_k * scale).to(grad_key.dtype.element_ty), mask=mask)
    channel = tl.arange(0, BLOCK_E)
    to = grad_value + batch * eb + group * eg + (key_row * eh + key_column * ew)[:, None] + channel[None, :] * ec
    mask = inside[:, None] & (channel < values)[None, :]
    tl.store(to, total_v.to(grad_value.dtype.element_ty), mask=mask)


def _sizes(args):
    """Return the launch parameters that all kernels share."""
    query, key, block_size, halo_size = args.query, args.key, args.block_size, args.halo_size
    queries = block_size * query.shape[2] // key.shape[2]
    side = block_size + 2 * halo_size
    wide = [max(_SMALLEST_DOT, support.block_of(n)) for n in (queries**2, side, key.shape[4], args.value.shape[4])]
    return {
        "BLOCK": block_size, "HALO": halo_size, "SIDE": side, "QUERIES": queries, "TABLES": args.row_table is not None,
        "BLOCK_M": wide[0], "BLOCK_N": wide[1], "BLOCK_D": wide[2], "BLOCK_E": wide[3],
        "ACC": support.accumulator(query),
    }  # fmt: skip


def _used(table, args):
    """Return the entries of a position table that some query and key meet, in the dtype to calculate in."""
    queries = args.block_size * args.query.shape[2] // args.key.shape[2]
    return table[args.block_size + 2 * args.halo_size - queries :].to(support.storage(args.query))


def _positions(args):
    """Return every query's products with both tables, (B, G, H, W, 2 * entries)."""
    if args.row_table is None or args.column_table is None:
        return args.query.new_empty(1, dtype=support.storage(args.query))
    tables = torch.cat([_used(table, args) for table in (args.row_table, args.column_table)])
    return (args.query.to(tables.dtype) @ tables.mT).contiguous()


def refuses(args):
    """Return why these arguments cannot be taken, as a sentence, or None if they can."""
    return support.refuses(args, args.query, args.key, args.value)


def forward(args):
    """Return the output and the logarithm of every query's sum of exponentials."""
    query, key, value, _, _, block_size, _, scale = args
    batch, groups, height, width, depth = query.shape
    out = query.new_empty((batch, height, width, groups, value.shape[-1])).permute(0, 3, 1, 2, 4)
    logarithm = query.new_empty((batch, groups, height, width), dtype=support.storage(query))
    if out.numel() == 0:
        return out, logarithm
    with support.launching(out):
        positions = _positions(args)
        blocks = key.shape[2] // block_size * (key.shape[3] // block_size)
        _forward_kernel[(batch * groups * blocks,)](
            query, *query.stride(), key, *key.stride(), value, *value.stride(), positions, out, *out.stride(),
            logarithm, groups, *key.shape[2:4], depth, value.shape[-1], scale,
            **_sizes(args),
        )  # fmt: skip
    return out, logarithm


def backward(grad, saved, args, needs):
    """Return the gradients of query, key, value and the tables, None where ``needs`` is False."""
    query, key, value, row_table, column_table, block_size, _, scale = args
    out, logarithm = saved
    arguments = (query, key, value, row_table, column_table)
    grads = [None if each is None else torch.empty_like(each) for each in arguments]
    if out.numel() == 0:
        return [None if g is None else g.zero_() for g in grads]
    precise = support.storage(query)
    with support.launching(out):
        delta = (grad.to(precise) * out.to(precise)).sum(-1).contiguous()
        positions = _positions(args)
        grad_positions = torch.zeros_like(positions)
        grad_query = torch.empty(query.shape, dtype=precise, device=query.device)
        shared = (
            query, *query.stride(), key, *key.stride(), value, *value.stride(), positions, grad, *grad.stride(),
            logarithm, delta,
        )  # fmt: skip
        rest = (query.shape[1], *key.shape[2:4], query.shape[-1], value.shape[-1], scale)
        sizes = _sizes(args)
        maps, across = query.shape[0] * query.shape[1], key.shape[3] // block_size
        _query_kernel[(maps * (key.shape[2] // block_size) * across,)](
            *shared, grad_query, grad_positions, *rest, **sizes
        )
        _key_kernel[(maps * key.shape[2] * across,)](
            *shared, grads[1], *grads[1].stride(), grads[2], *grads[2].stride(), *rest,
            **sizes | {"BLOCK_N": max(_SMALLEST_DOT, support.block_of(block_size))},
        )  # fmt: skip
        if row_table is not None:
            halves = grad_positions.chunk(2, dim=-1)
            for table, each, into in zip((row_table, column_table), halves, grads[3:], strict=True):
                used = _used(table, args)
                grad_query += each @ used
                share = torch.einsum("bghwt,bghwd->td", each, query.to(precise))
                into.zero_()[len(table) - len(used) :] = share.to(into.dtype)
        grads[0].copy_(grad_query)
    return [g if need else None for g, need in zip(grads, needs, strict=True)]
