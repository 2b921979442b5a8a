"""Query attention on a GPU: a program takes a block of queries of one head, or a block of tokens, of one image.

The mean of the raw scores over heads is one product over the channels of all heads, which a kernel of its own takes: no
score of a head goes through memory. No pass uses atomics, so every result has the same bits on each run.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from claimbench.kernels import triton_support as support
from claimbench.kernels.triton_support import unavailable

__all__ = ["backward", "forward", "refuses", "unavailable"]

_BLOCKS = {2: (32, 64), 4: (16, 32), 8: (16, 16)}
"""Queries and tokens of a program, by the bytes of a number."""

_WIDEST = 256  # channels of a head that fit a program


@triton.jit
def _dot(a, b, FACTOR: tl.constexpr, ACC: tl.constexpr):
    return tl.dot(a.to(FACTOR), b.to(FACTOR), input_precision="ieee", out_dtype=ACC)


@triton.jit
def _matrix(at, row, row_step, rows, column, column_step, columns):
    """Return a matrix of these rows and columns, zero where one does not exist."""
    where = at + row[:, None] * row_step + column[None, :] * column_step
    return tl.load(where, mask=(row < rows)[:, None] & (column < columns)[None, :], other=0)


@triton.jit
def _values_kernel(
    query, qb, qq, qh, qd, key, kn, kh, kd, value, vn, vh, vd, offsets, out, ob, oq, oh, oe, logs, lb, lq, lh,
    queries, heads, depth, width,
    QUERIES: tl.constexpr, TOKENS: tl.constexpr, DEPTH: tl.constexpr, WIDTH: tl.constexpr, FACTOR: tl.constexpr,
    ACC: tl.constexpr, SCALE: tl.constexpr,
):  # fmt: skip
    image, head = (tl.program_id(0) // heads).to(tl.int64), tl.program_id(0) % heads
    first = tl.load(offsets + image)
    count = (tl.load(offsets + image + 1) - first).to(tl.int32)
    q = tl.program_id(1) * QUERIES + tl.arange(0, QUERIES)
    d, e = tl.arange(0, DEPTH), tl.arange(0, WIDTH)
    y = _matrix(query + image * qb + head * qh, q, qq, queries, d, qd, depth)
    key += first * kn + head * kh
    value += first * vn + head * vh
    top = tl.full((QUERIES,), float("-inf"), dtype=ACC)
    norm = tl.zeros((QUERIES,), dtype=ACC)
    total = tl.zeros((QUERIES, WIDTH), dtype=ACC)
    for start in range(0, count, TOKENS):
        n = start + tl.arange(0, TOKENS)
        weight = _dot(y, tl.trans(_matrix(key, n, kn, count, d, kd, depth)), FACTOR, ACC) * SCALE
        weight = tl.where((n < count)[None, :], weight, float("-inf"))
        higher = tl.maximum(top, tl.max(weight, axis=1))
        weight = tl.exp(weight - higher[:, None])
        shrink = tl.exp(top - higher)
        norm = norm * shrink + tl.sum(weight, axis=1)
        v = _matrix(value, n, vn, count, e, vd, width)
        total = total * shrink[:, None] + _dot(weight, v, FACTOR, ACC)
        top = higher
    nothing = count == 0
    norm = tl.where(nothing, 1.0, norm)
    total = total / norm[:, None]
    where = out + image * ob + head * oh + q[:, None] * oq + e[None, :] * oe
    tl.store(where, total.to(out.dtype.element_ty), mask=(q < queries)[:, None] & (e < width)[None, :])
    log = tl.where(nothing, 0.0, top + tl.log(norm))
    tl.store(logs + image * lb + head * lh + q * lq, log, mask=q < queries)


@triton.jit
def _scores_kernel(
    query, qb, qq, qh, qd, key, kn, kh, kd, offsets, scores, sn, sq,
    queries, heads, depth,
    QUERIES: tl.constexpr, TOKENS: tl.constexpr, DEPTH: tl.constexpr, FACTOR: tl.constexpr, ACC: tl.constexpr,
    SCALE: tl.constexpr,
):  # fmt: skip
    """Compute the mean over heads for a block of tokens and one of queries."""
    image = tl.program_id(0).to(tl.int64)
    first = tl.load(offsets + image)
    count = (tl.load(offsets + image + 1) - first).to(tl.int32)
    n = tl.program_id(1) * TOKENS + tl.arange(0, TOKENS)
    q = tl.program_id(2) * QUERIES + tl.arange(0, QUERIES)
    d = tl.arange(0, DEPTH)
    total = tl.zeros((TOKENS, QUERIES), dtype=ACC)
    for head in range(heads):
        x = _matrix(key + first * kn + head * kh, n, kn, count, d, kd, depth)
        total += _dot(x, tl.trans(_matrix(query + image * qb + head * qh, q, qq, queries, d, qd, depth)), FACTOR, ACC)
    where = scores + (first + n)[:, None] * sn + q[None, :] * sq
    tl.store(where, (total * SCALE).to(scores.dtype.element_ty), mask=(n < count)[:, None] & (q < queries)[None, :])


@triton.jit
def _weights(
    y, flow, x, v, q, n, queries, count, log, SCALE: tl.constexpr, FACTOR: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """Return the softmax weights (queries, tokens) of a block and their gradient before that of the normalisation."""
    weight = tl.exp(_dot(y, tl.trans(x), FACTOR, ACC) * SCALE - log[:, None])
    weight = tl.where((q < queries)[:, None] & (n < count)[None, :], weight, 0.0)
    return weight, _dot(flow, tl.trans(v), FACTOR, ACC)


@triton.jit
def _query_grad_kernel(
    query, qb, qq, qh, qd, key, kn, kh, kd, value, vn, vh, vd, offsets, flow, fb, fq, fh, fe, slope, sn, sq,
    logs, lb, lq, lh, means, grad, gb, gq, gh, gd,
    queries, heads, depth, width,
    QUERIES: tl.constexpr, TOKENS: tl.constexpr, DEPTH: tl.constexpr, WIDTH: tl.constexpr, FACTOR: tl.constexpr,
    ACC: tl.constexpr, SCALE: tl.constexpr,
):  # fmt: skip
    """Compute the gradient of a block of queries, and for each the mean of the gradients of its weights."""
    image, head = (tl.program_id(0) // heads).to(tl.int64), tl.program_id(0) % heads
    first = tl.load(offsets + image)
    count = (tl.load(offsets + image + 1) - first).to(tl.int32)
    q = tl.program_id(1) * QUERIES + tl.arange(0, QUERIES)
    d, e = tl.arange(0, DEPTH), tl.arange(0, WIDTH)
    y = _matrix(query + image * qb + head * qh, q, qq, queries, d, qd, depth)
    back = _matrix(flow + image * fb + head * fh, q, fq, queries, e, fe, width)
    log = tl.load(logs + image * lb + head * lh + q * lq, mask=q < queries, other=0.0)
    key += first * kn + head * kh
    value += first * vn + head * vh
    mean = tl.zeros((QUERIES,), dtype=ACC)
    for start in range(0, count, TOKENS):
        n = start + tl.arange(0, TOKENS)
        x, v = _matrix(key, n, kn, count, d, kd, depth), _matrix(value, n, vn, count, e, vd, width)
        weight, rise = _weights(y, back, x, v, q, n, queries, count, log, SCALE, FACTOR, ACC)
        mean += tl.sum(weight * rise, axis=1)
    tl.store(means + image * lb + head * lh + q * lq, mean, mask=q < queries)
    total = tl.zeros((QUERIES, DEPTH), dtype=ACC)
    for start in range(0, count, TOKENS):
        n = start + tl.arange(0, TOKENS)
        x, v = _matrix(key, n, kn, count, d, kd, depth), _matrix(value, n, vn, count, e, vd, width)
        weight, rise = _weights(y, back, x, v, q, n, queries, count, log, SCALE, FACTOR, ACC)
        raw = tl.trans(_matrix(slope + first * sn, n, sn, count, q, sq, queries)).to(ACC)
        total += _dot(weight * (rise - mean[:, None]) + raw / heads, x, FACTOR, ACC)
    where = grad + image * gb + head * gh + q[:, None] * gq + d[None, :] * gd
    tl.store(where, (total * SCALE).to(grad.dtype.element_ty), mask=(q < queries)[:, None] & (d < depth)[None, :])


@triton.jit
def _token_grad_kernel(
    query, qb, qq, qh, qd, key, kn, kh, kd, value, vn, vh, vd, offsets, flow, fb, fq, fh, fe, slope, sn, sq,
    logs, lb, lq, lh, means, grad_key, an, ah, ad, grad_value, bn, bh, bd,
    queries, heads, depth, width,
    QUERIES: tl.constexpr, TOKENS: tl.constexpr, DEPTH: tl.constexpr, WIDTH: tl.constexpr, FACTOR: tl.constexpr,
    ACC: tl.constexpr, SCALE: tl.constexpr,
):  # fmt: skip
    """Compute the gradients of the keys and values of a block of tokens."""
    image, head = (tl.program_id(0) // heads).to(tl.int64), tl.program_id(0) % heads
    first = tl.load(offsets + image)
    count = (tl.load(offsets + image + 1) - first).to(tl.int32)
    n = tl.program_id(1) * TOKENS + tl.arange(0, TOKENS)
    d, e = tl.arange(0, DEPTH), tl.arange(0, WIDTH)
    x = _matrix(key + first * kn + head * kh, n, kn, count, d, kd, depth)
    v = _matrix(value + first * vn + head * vh, n, vn, count, e, vd, width)
    of_key = tl.zeros((TOKENS, DEPTH), dtype=ACC)
    of_value = tl.zeros((TOKENS, WIDTH), dtype=ACC)
    for start in range(0, queries, QUERIES):
        q = start + tl.arange(0, QUERIES)
        y = _matrix(query + image * qb + head * qh, q, qq, queries, d, qd, depth)
        back = _matrix(flow + image * fb + head * fh, q, fq, queries, e, fe, width)
        place = image * lb + head * lh + q * lq
        log = tl.load(logs + place, mask=q < queries, other=0.0)
        mean = tl.load(means + place, mask=q < queries, other=0.0)
        weight, rise = _weights(y, back, x, v, q, n, queries, count, log, SCALE, FACTOR, ACC)
        raw = _matrix(slope + first * sn, n, sn, count, q, sq, queries).to(ACC)
        of_value += _dot(tl.trans(weight), back, FACTOR, ACC)
        of_key += _dot(tl.trans(weight * (rise - mean[:, None])) + raw / heads, y, FACTOR, ACC)
    inside = (n < count)[:, None]
    where = grad_key + head * ah + (first + n)[:, None] * an + d[None, :] * ad
    tl.store(where, (of_key * SCALE).to(grad_key.dtype.element_ty), mask=inside & (d < depth)[None, :])
    where = grad_value + head * bh + (first + n)[:, None] * bn + e[None, :] * bd
    tl.store(where, of_value.to(grad_value.dtype.element_ty), mask=inside & (e < width)[None, :])


def refuses(args):
    """Return why these arguments cannot be taken, as a sentence, or None if they can."""
    widest = max(args.query.shape[3], args.value.shape[2])
    if widest > _WIDEST:
        return f"Triton query attention takes heads of at most {_WIDEST} channels, got {widest}"
    return support.refuses(args[:3], args.query[None], args.key[None, None], args.value[None, None])


def _factor(tensor):
    """Return the type of a product's factors: halves for tensor cores; the interpreter has no products of them."""
    halves = {} if support.interpreted() else {torch.bfloat16: tl.bfloat16, torch.float16: tl.float16}
    return halves.get(tensor.dtype, support.accumulator(tensor))


class _Launch:
    """The arguments that the kernels share, and their grids."""

    def __init__(self, args):
        query, key, value, offsets, scale = args
        self.batch, (_, self.queries, self.heads, self.depth) = len(offsets) - 1, query.shape
        self.width = value.shape[2]
        self.query, self.key, self.value = query.expand(self.batch, -1, -1, -1), key, value
        # Where the lengths lie on the GPU, reading the largest one would wait for it.
        self.most = int(offsets.diff().max()) if self.batch and offsets.device.type == "cpu" else len(key)
        self.offsets = offsets.to(device=key.device, dtype=torch.int64)
        self.inputs = (self.query, *self.query.stride(), key, *key.stride(), value, *value.stride(), self.offsets)
        self.sizes = (self.queries, self.heads, self.depth, self.width)
        blocks = (max(16, support.block_of(width)) for width in (self.depth, self.width))
        names = ("DEPTH", "WIDTH")
        self.of_queries, self.of_tokens = _BLOCKS[key.itemsize]
        self.options = dict(zip(names, blocks, strict=True)) | {
            "QUERIES": self.of_queries,
            "TOKENS": self.of_tokens,
            "FACTOR": _factor(key),
            "ACC": support.accumulator(key),
            "SCALE": scale,  # as a run-time argument it would be rounded to float32
        }

    def over_queries(self):
        return self.batch * self.heads, triton.cdiv(self.queries, self.of_queries)

    def over_tokens(self):
        return self.batch * self.heads, triton.cdiv(self.most, self.of_tokens)


def forward(args):
    """Return the values, the scores, and the logarithm of each softmax's sum, (B, Q, heads)."""
    at = _Launch(args)
    values = at.value.new_empty(at.batch, at.queries, at.heads, at.width)
    scores = at.value.new_empty(len(at.key), at.queries)
    logs = torch.empty(values.shape[:3], dtype=support.storage(*args[:3]), device=values.device)
    with support.launching(at.value):
        if logs.numel():
            _values_kernel[at.over_queries()](
                *at.inputs, values, *values.stride(), logs, *logs.stride(), *at.sizes, **at.options
            )
        if scores.numel():
            grid = (at.batch, triton.cdiv(at.most, at.of_tokens), triton.cdiv(at.queries, at.of_queries))
            options = {name: value for name, value in at.options.items() if name != "WIDTH"}
            options["SCALE"] /= at.heads
            _scores_kernel[grid](
                at.query, *at.query.stride(), at.key, *at.key.stride(), at.offsets, scores, *scores.stride(),
                at.queries, at.heads, at.depth, **options,
            )  # fmt: skip
    return values, scores, logs


def backward(grad, saved, args, needs):
    """Return the gradients of query, key and value, None where ``needs`` is False."""
    at = _Launch(args)
    flow, slope = grad
    logs = saved[-1]
    means = torch.empty_like(logs)
    found = torch.empty(at.query.shape, dtype=logs.dtype, device=logs.device)
    grads = torch.empty_like(at.key), torch.empty_like(at.value)
    upstream = (flow, *flow.stride(), slope, *slope.stride(), logs, *logs.stride(), means)
    with support.launching(at.value):
        if logs.numel():
            _query_grad_kernel[at.over_queries()](
                *at.inputs, *upstream, found, *found.stride(), *at.sizes, **at.options
            )
        if at.key.numel() and (needs[1] or needs[2]):
            of_key, of_value = grads
            _token_grad_kernel[at.over_tokens()](
                *at.inputs, *upstream, of_key, *of_key.stride(), of_value, *of_value.stride(), *at.sizes, **at.options
            )
    of_query = None
    if needs[0]:
        shared = args.query.shape[0] == 1
        of_query = torch.empty_like(args.query).copy_(found.sum(0, keepdim=True) if shared else found)
    return of_query, grads[0] if needs[1] else None, grads[1] if needs[2] else None, None
