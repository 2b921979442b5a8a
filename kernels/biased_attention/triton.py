"""Biased attention on a GPU: queries in tiles, keys passing by under a running softmax, biases looked up by offset.

The backward pass makes the weights once more. No pass uses atomics: the gradient of a query comes from a walk over the
keys, that of a key and a value from a walk over the queries, that of the table from sums over pairs of rows of one
distance, so every result has the same bits on each run.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from claimbench.kernels import triton_support as support
from claimbench.kernels.triton_support import unavailable

__all__ = ["backward", "forward", "refuses", "unavailable"]

_PROGRAMS = 2048
"""The largest number of programs that share the sums of the table's gradient; each leaves one block of sums."""


@triton.jit
def _grid_of(program, lines, heads):
    """Return the image, the line and the head (64 bits wide, for large tensors) of the program's grid."""
    return (
        (program // heads // lines).to(tl.int64),
        (program // heads % lines).to(tl.int64),
        (program % heads).to(tl.int64),
    )


@triton.jit
def _positions_from(first, positions, width, BLOCK: tl.constexpr):
    """Return the rows, the columns and the existence of BLOCK positions from ``first`` on; others stand at (0, 0)."""
    index = first + tl.arange(0, BLOCK)
    inside = index < positions
    index = tl.where(inside, index, 0)
    return index // width, index % width, inside


@triton.jit
def _vectors(at, sh, sw, sc, h, w, inside, channels, BLOCK_C: tl.constexpr):
    """Return the vectors of some positions, (positions, BLOCK_C), zero outside."""
    channel = tl.arange(0, BLOCK_C)
    mask = inside[:, None] & (channel < channels)[None, :]
    return tl.load(at + (h * sh + w * sw)[:, None] + channel[None, :] * sc, mask=mask, other=0)


@triton.jit
def _store_vectors(at, sh, sw, sc, h, w, inside, channels, x, BLOCK_C: tl.constexpr):
    """Write the vectors of some positions."""
    channel = tl.arange(0, BLOCK_C)
    mask = inside[:, None] & (channel < channels)[None, :]
    where = at + (h * sh + w * sw)[:, None] + channel[None, :] * sc
    tl.store(where, x.to(at.dtype.element_ty), mask=mask)


@triton.jit
def _product(a, b, FACTOR: tl.constexpr, ACC: tl.constexpr):
    """Return the matrix product of factors rounded to FACTOR."""
    return tl.dot(a.to(FACTOR), b.to(FACTOR), input_precision="ieee", out_dtype=ACC)


@triton.jit
def _biases(table, ty, tx, h, w, y, x, height, width, seen, ACC: tl.constexpr):
    """Return the biases of queries (h, w) for keys (y, x), minus infinity where there is no key."""
    row = y[None, :] - h[:, None] + height - 1
    column = x[None, :] - w[:, None] + width - 1
    found = tl.load(table + row * ty + column * tx).to(ACC)
    return tl.where(seen[None, :], found, float("-inf"))


@triton.jit
def _raised(peak, norm, scores):
    """Take new scores into a running softmax; return its peak and norm, the factor of old sums, the new numerators."""
    higher = tl.maximum(peak, tl.max(scores, axis=1))
    keep = tl.exp(peak - higher)
    numerators = tl.exp(scores - higher[:, None])
    return higher, norm * keep + tl.sum(numerators, axis=1), keep, numerators


@triton.jit
def _forward_kernel(
    query, qb, ql, qg, qh, qw, qc,
    key, kb, kl, kg, kh, kw, kc,
    value, vb, vl, vg, vh, vw, vc,
    out, ob, ol, og, oh, ow, oc,
    table, tg, ty, tx,
    gate, gs,
    lines, heads, height, width, depth, channels,
    SCALE: tl.constexpr, GATED: tl.constexpr, BLOCK: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_C: tl.constexpr,
    FACTOR: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    positions = height * width
    tiles = tl.cdiv(positions, BLOCK)
    image, line, head = _grid_of(tl.program_id(0) // tiles, lines, heads)
    key += image * kb + line * kl + head * kg
    value += image * vb + line * vl + head * vg
    table += head * tg
    h, w, inside = _positions_from(tl.program_id(0) % tiles * BLOCK, positions, width, BLOCK)
    q = _vectors(query + image * qb + line * ql + head * qg, qh, qw, qc, h, w, inside, depth, BLOCK_D)
    peak = tl.full((BLOCK,), float("-inf"), dtype=ACC)
    norm = tl.zeros((BLOCK,), dtype=ACC)
    total = tl.zeros((BLOCK, BLOCK_C), dtype=ACC)
    place_peak, place_norm, place_total = peak, norm, total
    for first in range(0, positions, BLOCK):
        y, x, seen = _positions_from(first, positions, width, BLOCK)
        k = _vectors(key, kh, kw, kc, y, x, seen, depth, BLOCK_D)
        v = _vectors(value, vh, vw, vc, y, x, seen, channels, BLOCK_C)
        bias = _biases(table, ty, tx, h, w, y, x, height, width, seen, ACC)
        scores = _product(q, tl.trans(k), FACTOR, ACC) * SCALE
        if GATED:
            scores = tl.where(seen[None, :], scores, float("-inf"))
            place_peak, place_norm, keep, numerators = _raised(place_peak, place_norm, bias)
            place_total = place_total * keep[:, None] + _product(numerators, v, FACTOR, ACC)
        else:
            scores += bias
        peak, norm, keep, numerators = _raised(peak, norm, scores)
        total = total * keep[:, None] + _product(numerators, v, FACTOR, ACC)
    mixed = total / norm[:, None]
    if GATED:
        share = tl.load(gate + head * gs).to(ACC)
        mixed = (1 - share) * mixed + share * (place_total / place_norm[:, None])
    out += image * ob + line * ol + head * og
    _store_vectors(out, oh, ow, oc, h, w, inside, channels, mixed, BLOCK_C)


@triton.jit
def _query_kernel(
    grad, gb, gl, gg, gh, gw, gc,
    query, qb, ql, qg, qh, qw, qc,
    key, kb, kl, kg, kh, kw, kc,
    value, vb, vl, vg, vh, vw, vc,
    out, ob, ol, og, oh, ow, oc,
    table, tg, ty, tx,
    gate, gs,
    sums, sk, st,
    lines, heads, height, width, depth, channels,
    SCALE: tl.constexpr, GATED: tl.constexpr, BLOCK: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_C: tl.constexpr,
    FACTOR: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """Compute the gradient of a tile of queries and, for the other passes, ``sums`` (kinds, grids, positions).

    The kinds are the logarithm of the softmax's denominator, the mean of the weights' gradients under the softmax,
    and with a gate both of the positional softmax.
    """
    positions = height * width
    tiles = tl.cdiv(positions, BLOCK)
    task = tl.program_id(0) // tiles
    start = tl.program_id(0) % tiles * BLOCK
    image, line, head = _grid_of(task, lines, heads)
    key += image * kb + line * kl + head * kg
    value += image * vb + line * vl + head * vg
    table += head * tg
    h, w, inside = _positions_from(start, positions, width, BLOCK)
    q = _vectors(query + image * qb + line * ql + head * qg, qh, qw, qc, h, w, inside, depth, BLOCK_D)
    flow = _vectors(grad + image * gb + line * gl + head * gg, gh, gw, gc, h, w, inside, channels, BLOCK_C)
    peak = tl.full((BLOCK,), float("-inf"), dtype=ACC)
    norm = tl.zeros((BLOCK,), dtype=ACC)
    along = tl.zeros((BLOCK,), dtype=ACC)
    place_peak, place_norm, place_along = peak, norm, along
    for first in range(0, positions, BLOCK):
        y, x, seen = _positions_from(first, positions, width, BLOCK)
        k = _vectors(key, kh, kw, kc, y, x, seen, depth, BLOCK_D)
        v = _vectors(value, vh, vw, vc, y, x, seen, channels, BLOCK_C)
        bias = _biases(table, ty, tx, h, w, y, x, height, width, seen, ACC)
        scores = _product(q, tl.trans(k), FACTOR, ACC) * SCALE
        grad_weights = _product(flow, tl.trans(v), FACTOR, ACC)
        if GATED:
            scores = tl.where(seen[None, :], scores, float("-inf"))
            place_peak, place_norm, keep, numerators = _raised(place_peak, place_norm, bias)
            place_along = place_along * keep + tl.sum(numerators * grad_weights, axis=1)
        else:
            scores += bias
        peak, norm, keep, numerators = _raised(peak, norm, scores)
        along = along * keep + tl.sum(numerators * grad_weights, axis=1)
    along = along / norm
    log_norm = peak + tl.log(norm)
    at = sums + task.to(tl.int64) * st + start + tl.arange(0, BLOCK)
    tl.store(at, log_norm, mask=inside)
    tl.store(at + sk, along, mask=inside)
    share = tl.zeros((), dtype=ACC)
    if GATED:
        tl.store(at + 2 * sk, place_peak + tl.log(place_norm), mask=inside)
        tl.store(at + 3 * sk, place_along / place_norm, mask=inside)
        share += tl.load(gate + head * gs).to(ACC)
    total = tl.zeros((BLOCK, BLOCK_D), dtype=ACC)
    for first in range(0, positions, BLOCK):
        y, x, seen = _positions_from(first, positions, width, BLOCK)
        k = _vectors(key, kh, kw, kc, y, x, seen, depth, BLOCK_D)
        v = _vectors(value, vh, vw, vc, y, x, seen, channels, BLOCK_C)
        scores = _product(q, tl.trans(k), FACTOR, ACC) * SCALE
        if not GATED:
            scores += _biases(table, ty, tx, h, w, y, x, height, width, seen, ACC)
        weights = tl.where(seen[None, :], tl.exp(scores - log_norm[:, None]), 0)
        grad_scores = weights * (_product(flow, tl.trans(v), FACTOR, ACC) - along[:, None])
        total += _product((1 - share) * grad_scores, k, FACTOR, ACC)
    out += image * ob + line * ol + head * og
    _store_vectors(out, oh, ow, oc, h, w, inside, depth, total * SCALE, BLOCK_D)


@triton.jit
def _key_kernel(
    grad, gb, gl, gg, gh, gw, gc,
    query, qb, ql, qg, qh, qw, qc,
    key, kb, kl, kg, kh, kw, kc,
    value, vb, vl, vg, vh, vw, vc,
    to_key, ab, al, ag, ah, aw, ac,
    to_value, ob, ol, og, oh, ow, oc,
    table, tg, ty, tx,
    gate, gs,
    sums, sk, st,
    lines, heads, height, width, depth, channels,
    SCALE: tl.constexpr, GATED: tl.constexpr, BLOCK: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_C: tl.constexpr,
    FACTOR: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """Compute the gradients of a tile of keys and values."""
    positions = height * width
    tiles = tl.cdiv(positions, BLOCK)
    task = tl.program_id(0) // tiles
    image, line, head = _grid_of(task, lines, heads)
    query += image * qb + line * ql + head * qg
    grad += image * gb + line * gl + head * gg
    table += head * tg
    sums += task.to(tl.int64) * st
    y, x, seen = _positions_from(tl.program_id(0) % tiles * BLOCK, positions, width, BLOCK)
    k = _vectors(key + image * kb + line * kl + head * kg, kh, kw, kc, y, x, seen, depth, BLOCK_D)
    v = _vectors(value + image * vb + line * vl + head * vg, vh, vw, vc, y, x, seen, channels, BLOCK_C)
    share = tl.zeros((), dtype=ACC)
    if GATED:
        share += tl.load(gate + head * gs).to(ACC)
    key_total = tl.zeros((BLOCK, BLOCK_D), dtype=ACC)
    value_total = tl.zeros((BLOCK, BLOCK_C), dtype=ACC)
    for first in range(0, positions, BLOCK):
        h, w, inside = _positions_from(first, positions, width, BLOCK)
        q = _vectors(query, qh, qw, qc, h, w, inside, depth, BLOCK_D)
        flow = _vectors(grad, gh, gw, gc, h, w, inside, channels, BLOCK_C)
        at = sums + first + tl.arange(0, BLOCK)
        log_norm = tl.load(at, mask=inside, other=0)
        along = tl.load(at + sk, mask=inside, other=0)
        bias = _biases(table, ty, tx, h, w, y, x, height, width, seen, ACC)
        scores = _product(q, tl.trans(k), FACTOR, ACC) * SCALE
        if not GATED:
            scores += bias
        exists = inside[:, None] & seen[None, :]
        weights = tl.where(exists, (1 - share) * tl.exp(scores - log_norm[:, None]), 0)
        grad_scores = weights * (_product(flow, tl.trans(v), FACTOR, ACC) - along[:, None])
        if GATED:
            place_log_norm = tl.load(at + 2 * sk, mask=inside, other=0)
            weights += tl.where(exists, share * tl.exp(bias - place_log_norm[:, None]), 0)
        value_total += _product(tl.trans(weights), flow, FACTOR, ACC)
        key_total += _product(tl.trans(grad_scores), q, FACTOR, ACC)
    to_key += image * ab + line * al + head * ag
    _store_vectors(to_key, ah, aw, ac, y, x, seen, depth, key_total * SCALE, BLOCK_D)
    to_value += image * ob + line * ol + head * og
    _store_vectors(to_value, oh, ow, oc, y, x, seen, channels, value_total, BLOCK_C)


@triton.jit
def _table_kernel(
    grad, gb, gl, gg, gh, gw, gc,
    query, qb, ql, qg, qh, qw, qc,
    key, kb, kl, kg, kh, kw, kc,
    value, vb, vl, vg, vh, vw, vc,
    out,
    table, tg, ty, tx,
    gate, gs,
    sums, sk, st,
    grids, parts, lines, heads, height, width, depth, channels,
    SCALE: tl.constexpr, GATED: tl.constexpr, BLOCK: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_C: tl.constexpr,
    FACTOR: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """Compute the biases' gradients between pieces of rows at one distance, summed over rows and a part of the grids.

    ``out`` is (parts, heads, 2 height - 1, width, width): distance of the rows, column of the query, of the key.
    """
    tiles = tl.cdiv(width, BLOCK)
    program = tl.program_id(0)
    w = program % tiles * BLOCK + tl.arange(0, BLOCK)
    x = program // tiles % tiles * BLOCK + tl.arange(0, BLOCK)
    program = program // tiles // tiles
    distance = program % (2 * height - 1) - height + 1
    head = (program // (2 * height - 1) % heads).to(tl.int64)
    part = program // (2 * height - 1) // heads
    inside = w < width
    seen = x < width
    exists = inside[:, None] & seen[None, :]
    w_at = tl.where(inside, w, 0)
    x_at = tl.where(seen, x, 0)
    share = tl.full((), 1, dtype=ACC)
    if GATED:
        share = tl.load(gate + head * gs).to(ACC)
    column = (x_at[None, :] - w_at[:, None] + width - 1) * tx
    bias = tl.load(table + head * tg + (distance + height - 1) * ty + column).to(ACC)
    total = tl.zeros((BLOCK, BLOCK), dtype=ACC)
    first_row = tl.maximum(-distance, 0)
    last_row = tl.minimum(height - distance, height)
    for turn in range(0, tl.cdiv(grids - part, parts)):
        grid = part + turn * parts
        image = (grid // lines).to(tl.int64)
        line = (grid % lines).to(tl.int64)
        for h in range(first_row, last_row):
            y = h + distance
            # All positions of a piece lie in one row.
            flow_at = grad + image * gb + line * gl + head * gg + h * gh
            flow = _vectors(flow_at, 0, gw, gc, w_at * 0, w_at, inside, channels, BLOCK_C)
            value_at = value + image * vb + line * vl + head * vg + y * vh
            v = _vectors(value_at, 0, vw, vc, x_at * 0, x_at, seen, channels, BLOCK_C)
            grad_weights = _product(flow, tl.trans(v), FACTOR, ACC)
            at = sums + (grid.to(tl.int64) * heads + head) * st + h * width + w_at
            scores = bias
            if GATED:
                at += 2 * sk
            else:
                query_at = query + image * qb + line * ql + head * qg + h * qh
                q = _vectors(query_at, 0, qw, qc, w_at * 0, w_at, inside, depth, BLOCK_D)
                key_at = key + image * kb + line * kl + head * kg + y * kh
                k = _vectors(key_at, 0, kw, kc, x_at * 0, x_at, seen, depth, BLOCK_D)
                scores = bias + _product(q, tl.trans(k), FACTOR, ACC) * SCALE
            log_norm = tl.load(at)
            along = tl.load(at + sk)
            weights = tl.where(exists, tl.exp(scores - log_norm[:, None]), 0)
            total += weights * (grad_weights - along[:, None])
    block = (part * heads + head) * (2 * height - 1) + distance + height - 1
    to = out + (block * width + w_at)[:, None] * width + x_at[None, :]
    tl.store(to, share * total, mask=exists)


def _constants(args):
    """Return the kernels' compile-time arguments: tiles of positions, powers of two that cover the channels, dtypes."""
    query, value = args.query, args.value
    deep, wide = max(16, support.block_of(query.shape[-1])), max(16, support.block_of(value.shape[-1]))
    most = 64 if max(deep, wide) * query.element_size() <= 128 else 32
    positions = max(query.shape[3] * query.shape[4], 1)
    accumulator = support.accumulator(query)
    factors = {torch.float16: tl.float16, torch.bfloat16: tl.bfloat16}
    if support.interpreted():  # which holds bfloat16 as integers and multiplies them as such
        factors = {}
    return {
        "SCALE": args.scale,  # as a run-time argument it would be rounded to float32
        "GATED": args.gate is not None,
        "BLOCK": min(most, max(16, support.block_of(positions))),
        "BLOCK_D": deep,
        "BLOCK_C": wide,
        "FACTOR": factors.get(query.dtype, accumulator),
        "ACC": accumulator,
    }


def _gate(gate):
    """Return the gate as a kernel takes it: a pointer, None without a gate, and its stride."""
    return (None, 0) if gate is None else (gate, gate.stride(0))


def _sizes(query, value):
    return (*query.shape[1:5], query.shape[5], value.shape[5])


def refuses(args):
    """Return why these arguments cannot be taken, as a sentence, or None if they can."""
    return support.refuses(args, args.query, args.key, args.value)


def forward(args):
    """Return the attended values, in the order of value's strides."""
    query, key, value, table, gate, _ = args
    out = torch.empty_like(value)
    if out.numel() == 0:
        return out
    constants = _constants(args)
    grids = query.shape[0] * query.shape[1] * query.shape[2]
    with support.launching(out):
        _forward_kernel[(grids * triton.cdiv(query.shape[3] * query.shape[4], constants["BLOCK"]),)](
            query, *query.stride(), key, *key.stride(), value, *value.stride(), out, *out.stride(),
            table, *table.stride(), *_gate(gate), *_sizes(query, value),
            **constants,
        )  # fmt: skip
    return out


def _along_diagonals(sums, width):
    """Sum (.., width, width) over all pairs of columns of one distance: (.., 2 width - 1)."""
    query = torch.arange(width, device=sums.device)
    key = query + torch.arange(1 - width, width, device=sums.device)[:, None]  # (distances, queries)
    inside = (key >= 0) & (key < width)
    at = (query * width + key.clamp(0, width - 1)).flatten()
    picked = sums.flatten(-2)[..., at].unflatten(-1, key.shape)
    return (picked * inside).sum(-1)


def _table_gradient(grad, args, sums, constants):
    """Return the gradient of the table: sums over pairs of rows, then along the diagonals of each."""
    query, key, value, table, gate, _ = args
    batch, lines, heads, height, width, _ = query.shape
    block = min(constants["BLOCK"], max(16, support.block_of(width)))
    pieces = heads * (2 * height - 1) * triton.cdiv(width, block) ** 2
    parts = min(batch * lines, triton.cdiv(_PROGRAMS, pieces))
    out = sums.new_empty(parts, heads, 2 * height - 1, width, width)
    _table_kernel[(parts * pieces,)](
        grad, *grad.stride(), query, *query.stride(), key, *key.stride(), value, *value.stride(), out,
        table, *table.stride(), *_gate(gate), sums, *sums.stride()[:2],
        batch * lines, parts, *_sizes(query, value), **{**constants, "BLOCK": block},
    )  # fmt: skip
    return _along_diagonals(out.sum(0), width)


def backward(grad, saved, args, needs):
    """Return the five gradients, None where ``needs`` is False."""
    query, key, value, table, gate, _ = args
    grads = [torch.empty_like(t) if t is not None else None for t in (query, key, value, table, gate)]
    if value.numel() == 0:
        return [g.zero_() if g is not None and need else None for g, need in zip(grads, needs, strict=True)]
    to_query, to_key, to_value, to_table, to_gate = grads
    constants = _constants(args)
    batch, lines, heads, height, width, _ = query.shape
    grids = batch * lines * heads
    kinds = 2 if gate is None else 4
    sums = torch.empty(kinds, grids, height * width, dtype=support.storage(query), device=query.device)
    launch = (grids * triton.cdiv(height * width, constants["BLOCK"]),)
    maps = [x for t in (grad, query, key, value) for x in (t, *t.stride())]
    shared = (table, *table.stride(), *_gate(gate), sums, *sums.stride()[:2], *_sizes(query, value))
    with support.launching(grad):
        _query_kernel[launch](*maps, to_query, *to_query.stride(), *shared, **constants)
        if needs[1] or needs[2]:
            targets = (to_key, *to_key.stride(), to_value, *to_value.stride())
            _key_kernel[launch](*maps, *targets, *shared, **constants)
        if needs[3]:
            to_table.copy_(_table_gradient(grad, args, sums, constants))
        if gate is not None and needs[4]:
            change = (sums[3] - sums[1]).view(batch * lines, heads, -1)
            to_gate.copy_(change.sum((0, 2)))
    return [g if need else None for g, need in zip(grads, needs, strict=True)]
