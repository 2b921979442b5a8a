"""Attentive pooling on a GPU: three products of tokens with one vector a query, the softmax inside the second.

The scores of an image, Q numbers a token where the token has hundreds, go through memory between two kernels and are
not kept. No pass uses atomics, so every result has the same bits on each run.
"""

from __future__ import annotations

from math import gcd

import torch
import triton
import triton.language as tl

from claimbench.kernels import triton_support as support
from claimbench.kernels.triton_support import unavailable

__all__ = ["backward", "forward", "refuses", "unavailable"]

_QUERIES = 16  # of a program: the least extent of a tensor core's operand
_TOKENS = 32
_CHANNELS = 64


@triton.jit
def _dot(a, b, ACC: tl.constexpr):
    return tl.dot(a.to(ACC), b.to(ACC), input_precision="ieee", out_dtype=ACC)


@triton.jit
def _block(first, count, BLOCK: tl.constexpr):
    """Return the numbers of a block's members and whether each exists."""
    index = first + tl.arange(0, BLOCK)
    return index, index < count


@triton.jit
def _load(at, row, row_stride, rows_inside, column, column_stride, columns_inside):
    """Return a matrix of these rows and columns, zero where one does not exist."""
    where = at + row[:, None] * row_stride + column[None, :] * column_stride
    return tl.load(where, mask=rows_inside[:, None] & columns_inside[None, :], other=0)


@triton.jit
def _products_kernel(
    vectors, yb, yq, yc, tokens, xb, xn, xg, xc, scores, sb, sq, sn,
    count, width, own, runs, run, factor,
    QUERIES: tl.constexpr, TOKENS: tl.constexpr, CHANNELS: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """Compute factor * vectors[b, q] . tokens[b, n, q // own] for a block of tokens n and a run of queries q."""
    image = (tl.program_id(0) // runs).to(tl.int64)
    first = tl.program_id(0) % runs * run
    q, queried = _block(0, run, QUERIES)
    n, inside = _block(tl.program_id(1) * TOKENS, count, TOKENS)
    vectors += image * yb + first * yq
    tokens += image * xb + first // own * xg
    total = tl.zeros((QUERIES, TOKENS), dtype=ACC)
    for start in range(0, width, CHANNELS):
        c, there = _block(start, width, CHANNELS)
        y = _load(vectors, q, yq, queried, c, yc, there)
        x = _load(tokens, n, xn, inside, c, xc, there)
        total += _dot(y, tl.trans(x), ACC)
    where = scores + image * sb + (first + q)[:, None] * sq + n[None, :] * sn
    tl.store(where, total * factor, mask=queried[:, None] & inside[None, :])


@triton.jit
def _pool_kernel(
    scores, sb, sq, sn, tokens, xb, xn, xg, xc, out, ob, oq, oc, logs, lb, lq,
    count, width, own, runs, run, factor,
    SOFTMAX: tl.constexpr,
    QUERIES: tl.constexpr, TOKENS: tl.constexpr, CHANNELS: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """Compute factor * the sum over n of scores[b, q, n], or their softmax over n, times tokens[b, n, q // own]."""
    image = (tl.program_id(0) // runs).to(tl.int64)
    first = tl.program_id(0) % runs * run
    q, queried = _block(0, run, QUERIES)
    c, there = _block(tl.program_id(1) * CHANNELS, width, CHANNELS)
    scores += image * sb + first * sq
    tokens += image * xb + first // own * xg
    top = tl.full((QUERIES,), float("-inf"), dtype=ACC)
    norm = tl.zeros((QUERIES,), dtype=ACC)
    total = tl.zeros((QUERIES, CHANNELS), dtype=ACC)
    for start in range(0, count, TOKENS):
        n, inside = _block(start, count, TOKENS)
        weight = _load(scores, q, sq, queried, n, sn, inside).to(ACC)
        if SOFTMAX:
            weight = tl.where(inside[None, :], weight, float("-inf"))
            higher = tl.maximum(top, tl.max(weight, axis=1))
            weight = tl.exp(weight - higher[:, None])
            shrink = tl.exp(top - higher)
            norm = norm * shrink + tl.sum(weight, axis=1)
            total = total * shrink[:, None]
            top = higher
        total += _dot(weight, _load(tokens, n, xn, inside, c, xc, there), ACC)
    if SOFTMAX:
        total = total / norm[:, None]
        if tl.program_id(1) == 0:
            tl.store(logs + image * lb + (first + q) * lq, top + tl.log(norm), mask=queried)
    where = out + image * ob + (first + q)[:, None] * oq + c[None, :] * oc
    tl.store(where, (total * factor).to(out.dtype.element_ty), mask=queried[:, None] & there[None, :])


@triton.jit
def _spread_kernel(
    scores, sb, sq, sn, vectors, yb, yq, yc, tokens, xb, xn, xg, xc,
    count, width, own, groups, factor,
    QUERIES: tl.constexpr, TOKENS: tl.constexpr, CHANNELS: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """Compute factor * the sum over the queries q of group g of scores[b, q, n] * vectors[b, q]."""
    image = (tl.program_id(0) // groups).to(tl.int64)
    group = tl.program_id(0) % groups
    n, inside = _block(tl.program_id(1) * TOKENS, count, TOKENS)
    c, there = _block(tl.program_id(2) * CHANNELS, width, CHANNELS)
    scores += image * sb + group * own * sq
    vectors += image * yb + group * own * yq
    total = tl.zeros((TOKENS, CHANNELS), dtype=ACC)
    for start in range(0, own, QUERIES):
        q, queried = _block(start, own, QUERIES)
        weight = _load(scores, q, sq, queried, n, sn, inside)
        total += _dot(tl.trans(weight), _load(vectors, q, yq, queried, c, yc, there), ACC)
    where = tokens + image * xb + group * xg + n[:, None] * xn + c[None, :] * xc
    tl.store(where, (total * factor).to(tokens.dtype.element_ty), mask=inside[:, None] & there[None, :])


def refuses(args):
    """Return why these arguments cannot be taken, as a sentence, or None if they can."""
    return support.refuses(args, args.key.transpose(1, 2), args.value.transpose(1, 2))


def _sizes(query, tokens, run):
    """Return the scalar arguments of the first two kernels: a run of queries shares its keys and its values."""
    queries = query.shape[1]
    return tokens.shape[1], tokens.shape[3], queries // tokens.shape[2], queries // run, run


def _runs(query, key, value):
    """Return the number of consecutive queries of a program, all of one group of keys and one of values."""
    run = gcd(query.shape[1] // key.shape[2], query.shape[1] // value.shape[2])
    return gcd(run, _QUERIES) if run > _QUERIES else run


def _options(*tensors):
    blocks = {"QUERIES": _QUERIES, "TOKENS": _TOKENS, "CHANNELS": _CHANNELS}
    return {**blocks, "ACC": support.accumulator(*tensors)}


def _products(vectors, tokens, run, factor):
    """Return factor * the dot products of each image's (Q, d) vectors and its tokens, (B, Q, N)."""
    batch, count = tokens.shape[:2]
    queries = vectors.shape[1]
    dtype = support.storage(vectors, tokens)
    scores = torch.empty(batch, queries, count, dtype=dtype, device=tokens.device)
    _products_kernel[(batch * (queries // run), triton.cdiv(count, _TOKENS))](
        vectors, *vectors.stride(), tokens, *tokens.stride(), scores, *scores.stride(),
        *_sizes(vectors, tokens, run), factor, **_options(vectors, tokens),
    )  # fmt: skip
    return scores


def _pool(scores, tokens, run, factor, logs, out):
    """Write the tokens pooled by scores, or by their softmax where ``logs`` is given, into ``out``."""
    batch, queries = scores.shape[:2]
    _pool_kernel[(batch * (queries // run), triton.cdiv(tokens.shape[3], _CHANNELS))](
        scores, *scores.stride(), tokens, *tokens.stride(), out, *out.stride(),
        logs, *(logs.stride() if logs is not None else (0, 0)),
        *_sizes(scores, tokens, run), factor, SOFTMAX=logs is not None, **_options(scores, tokens),
    )  # fmt: skip


def _spread(scores, vectors, like, factor):
    """Return tokens shaped like ``like``: the vectors of their group's queries, weighted by scores."""
    tokens = torch.empty_like(like)
    batch, count, groups, width = like.shape
    _spread_kernel[(batch * groups, triton.cdiv(count, _TOKENS), triton.cdiv(width, _CHANNELS))](
        scores, *scores.stride(), vectors, *vectors.stride(), tokens, *tokens.stride(),
        count, width, vectors.shape[1] // groups, groups, factor, **_options(scores, vectors),
    )  # fmt: skip
    return tokens


def forward(args):
    """Return the pooled values and the logarithm of each softmax's sum, (B, Q)."""
    query, key, value, scale = args
    batch, queries = key.shape[0], query.shape[1]
    out = value.new_empty(batch, queries, value.shape[3])
    logs = torch.empty(batch, queries, dtype=support.storage(query, key, value), device=value.device)
    if batch:
        run = _runs(query, key, value)
        with support.launching(value):
            scores = _products(query.expand(batch, -1, -1), key, run, scale)
            _pool(scores, value, run, 1.0, logs, out)
    return out, logs


def backward(grad, saved, args, needs):
    """Return the gradients of query, key and value, None where ``needs`` is False."""
    query, key, value, scale = args
    logs, batch = saved[-1], key.shape[0]
    if not batch:
        return tuple(torch.zeros_like(t) if need else None for t, need in zip((query, key, value), needs, strict=True))
    grads = [None, None, None]
    own, run = query.expand(batch, -1, -1), _runs(query, key, value)
    with support.launching(value):
        weights = (_products(own, key, run, scale) - logs[..., None]).exp()
        if needs[2]:
            grads[2] = _spread(weights, grad, value, 1.0)
        if needs[0] or needs[1]:
            slopes = _products(grad, value, run, 1.0)
            slopes = weights * (slopes - (weights * slopes).sum(-1, keepdim=True))
            if needs[1]:
                grads[1] = _spread(slopes, own, key, scale)
            if needs[0]:
                found = torch.empty(own.shape, dtype=slopes.dtype, device=slopes.device)
                _pool(slopes, key, run, scale, None, found)
                whole = found if query.shape[0] == batch else found.sum(0, keepdim=True)
                grads[0] = torch.empty_like(query).copy_(whole)
    return tuple(grads)
