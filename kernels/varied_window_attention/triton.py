"""Varied-size window attention on a GPU: a program takes a tile of the queries of one window and interpolates its keys.

Sampled keys and values stay on the chip. The gradients of keys and values are scattered with atomic additions, because
any window may reach any place, and so is that of the bias, over the windows of an image: their last bits may differ
from run to run, as those of PyTorch's grid_sample do.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from claimbench.kernels import triton_support as support
from claimbench.kernels.triton_support import unavailable

__all__ = ["backward", "forward", "refuses", "unavailable"]

_SMALLEST_DOT = 16  # the least extent of a tensor core's operands
_TILE = 64  # queries or keys that a program holds at once


@triton.jit
def _dot(a, b, ACC: tl.constexpr):
    return tl.dot(a, b, input_precision="ieee", out_dtype=ACC)


@triton.jit
def _axis(offset, stretch, window_at, place, real, length, WINDOW: tl.constexpr):
    """Return the position before each key of an axis, whether it and the next are on the map, and their weights."""
    middle = (WINDOW - 1) / 2
    coordinate = window_at * WINDOW + middle + offset + stretch * (place - middle)
    low = tl.floor(tl.minimum(tl.maximum(coordinate, -2.0), length + 1.0))
    beyond = coordinate - low
    first = low.to(tl.int32)
    before = real & (first >= 0) & (first < length)
    after = real & (first >= -1) & (first < length - 1)
    return first, before, after, tl.where(before, 1.0 - beyond, 0.0), tl.where(after, beyond, 0.0)


@triton.jit
def _tap(pointer, row, column, row_stride, column_stride, channel_stride, inside, channels, BLOCK_C: tl.constexpr,
         ACC: tl.constexpr):  # fmt: skip
    """Return the vectors of the map at these positions, zero where they do not exist: (keys, BLOCK_C)."""
    channel = tl.arange(0, BLOCK_C)
    mask = inside[:, None] & (channel < channels)[None, :]
    at = (row * row_stride + column * column_stride)[:, None] + channel[None, :] * channel_stride
    return tl.load(pointer + at, mask=mask, other=0).to(ACC)


@triton.jit
def _sample(pointer, rows, columns, row_stride, column_stride, channel_stride, channels, BLOCK_C: tl.constexpr,
            ACC: tl.constexpr):  # fmt: skip
    """Return the map interpolated at the keys of these axes: (keys, BLOCK_C)."""
    r, r0, r1, above, below = rows
    c, c0, c1, left, right = columns
    strides = (row_stride, column_stride, channel_stride)
    upper = _tap(pointer, r, c, *strides, r0 & c0, channels, BLOCK_C, ACC) * left[:, None]
    upper += _tap(pointer, r, c + 1, *strides, r0 & c1, channels, BLOCK_C, ACC) * right[:, None]
    lower = _tap(pointer, r + 1, c, *strides, r1 & c0, channels, BLOCK_C, ACC) * left[:, None]
    lower += _tap(pointer, r + 1, c + 1, *strides, r1 & c1, channels, BLOCK_C, ACC) * right[:, None]
    return upper * above[:, None] + lower * below[:, None]


@triton.jit
def _bias(bias, group, m, n, COUNT: tl.constexpr, ACC: tl.constexpr):
    mask = (m < COUNT)[:, None] & (n < COUNT)[None, :]
    return tl.load(bias + group * COUNT * COUNT + m[:, None] * COUNT + n[None, :], mask=mask, other=0).to(ACC)


@triton.jit
def _forward_kernel(
    query, qb, qg, qh, qw, qc, key, kb, kg, kh, kw, kc, value, vb, vg, vh, vw, vc, offset, stretch, bias,
    out, ob, og, oh, ow, oc, logarithm, groups, height, width, down, across, depth, values, scale,
    WINDOW: tl.constexpr, BIASED: tl.constexpr, BLOCK: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_E: tl.constexpr,
    ACC: tl.constexpr,
):  # fmt: skip
    COUNT: tl.constexpr = WINDOW * WINDOW
    tiles = tl.cdiv(COUNT, BLOCK)
    program = tl.program_id(0)
    index = program // (tiles * down * across)
    batch, group = (index // groups).to(tl.int64), (index % groups).to(tl.int64)
    y, x = program // tiles // across % down, program // tiles % across
    place = (batch * groups + group) * 2 * down * across + y * across + x
    ox, oy = tl.load(offset + place).to(ACC), tl.load(offset + place + down * across).to(ACC)
    sx, sy = tl.load(stretch + place).to(ACC), tl.load(stretch + place + down * across).to(ACC)
    m = program % tiles * BLOCK + tl.arange(0, BLOCK)
    row, column = y * WINDOW + m // WINDOW, x * WINDOW + m % WINDOW
    queried = (m < COUNT) & (row < height) & (column < width)
    q = _tap(query + batch * qb + group * qg, row, column, qh, qw, qc, queried, depth, BLOCK_D, ACC)
    top = tl.full((BLOCK,), float("-inf"), dtype=ACC)
    total = tl.zeros((BLOCK,), dtype=ACC)
    result = tl.zeros((BLOCK, BLOCK_E), dtype=ACC)
    keys, seen = key + batch * kb + group * kg, value + batch * vb + group * vg
    for start in range(0, COUNT, BLOCK):
        n = start + tl.arange(0, BLOCK)
        rows = _axis(oy, sy, y, n // WINDOW, n < COUNT, height, WINDOW)
        columns = _axis(ox, sx, x, n % WINDOW, n < COUNT, width, WINDOW)
        k = _sample(keys, rows, columns, kh, kw, kc, depth, BLOCK_D, ACC)
        v = _sample(seen, rows, columns, vh, vw, vc, values, BLOCK_E, ACC)
        score = _dot(q, tl.trans(k), ACC) * scale
        if BIASED:
            score += _bias(bias, group, m, n, COUNT, ACC)
        score = tl.where((n < COUNT)[None, :], score, float("-inf"))
        higher = tl.maximum(top, tl.max(score, axis=1))
        weight = tl.exp(score - higher[:, None])
        shrink = tl.exp(top - higher)
        total = total * shrink + tl.sum(weight, axis=1)
        result = result * shrink[:, None] + _dot(weight, v, ACC)
        top = higher
    channel = tl.arange(0, BLOCK_E)
    at = out + batch * ob + group * og + (row * oh + column * ow)[:, None] + channel[None, :] * oc
    mask = queried[:, None] & (channel < values)[None, :]
    tl.store(at, (result / total[:, None]).to(out.dtype.element_ty), mask=mask)
    flat = ((batch * groups + group) * height + row) * width + column
    tl.store(logarithm + flat, top + tl.log(total), mask=queried)


@triton.jit
def _query_kernel(
    query, qb, qg, qh, qw, qc, key, kb, kg, kh, kw, kc, value, vb, vg, vh, vw, vc, offset, stretch, bias,
    grad, gb, gg, gh, gw, gc, logarithm, delta, grad_query, ab, ag, ah, aw, ac,
    groups, height, width, down, across, depth, values, scale,
    WINDOW: tl.constexpr, BIASED: tl.constexpr, BLOCK: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_E: tl.constexpr,
    ACC: tl.constexpr,
):  # fmt: skip
    COUNT: tl.constexpr = WINDOW * WINDOW
    tiles = tl.cdiv(COUNT, BLOCK)
    program = tl.program_id(0)
    index = program // (tiles * down * across)
    batch, group = (index // groups).to(tl.int64), (index % groups).to(tl.int64)
    y, x = program // tiles // across % down, program // tiles % across
    place = (batch * groups + group) * 2 * down * across + y * across + x
    ox, oy = tl.load(offset + place).to(ACC), tl.load(offset + place + down * across).to(ACC)
    sx, sy = tl.load(stretch + place).to(ACC), tl.load(stretch + place + down * across).to(ACC)
    m = program % tiles * BLOCK + tl.arange(0, BLOCK)
    row, column = y * WINDOW + m // WINDOW, x * WINDOW + m % WINDOW
    queried = (m < COUNT) & (row < height) & (column < width)
    flat = ((batch * groups + group) * height + row) * width + column
    q = _tap(query + batch * qb + group * qg, row, column, qh, qw, qc, queried, depth, BLOCK_D, ACC)
    g = _tap(grad + batch * gb + group * gg, row, column, gh, gw, gc, queried, values, BLOCK_E, ACC)
    log = tl.load(logarithm + flat, mask=queried, other=0)
    mean = tl.load(delta + flat, mask=queried, other=0)
    result = tl.zeros((BLOCK, BLOCK_D), dtype=ACC)
    keys, seen = key + batch * kb + group * kg, value + batch * vb + group * vg
    for start in range(0, COUNT, BLOCK):
        n = start + tl.arange(0, BLOCK)
        rows = _axis(oy, sy, y, n // WINDOW, n < COUNT, height, WINDOW)
        columns = _axis(ox, sx, x, n % WINDOW, n < COUNT, width, WINDOW)
        k = _sample(keys, rows, columns, kh, kw, kc, depth, BLOCK_D, ACC)
        v = _sample(seen, rows, columns, vh, vw, vc, values, BLOCK_E, ACC)
        score = _dot(q, tl.trans(k), ACC) * scale
        if BIASED:
            score += _bias(bias, group, m, n, COUNT, ACC)
        pairs = queried[:, None] & (n < COUNT)[None, :]
        weight = tl.where(pairs, tl.exp(tl.where(pairs, score - log[:, None], 0.0)), 0.0)
        flow = weight * (_dot(g, tl.trans(v), ACC) - mean[:, None])
        result += _dot(flow, k, ACC)
    channel = tl.arange(0, BLOCK_D)
    at = grad_query + batch * ab + group * ag + (row * ah + column * aw)[:, None] + channel[None, :] * ac
    mask = queried[:, None] & (channel < depth)[None, :]
    tl.store(at, (result * scale).to(grad_query.dtype.element_ty), mask=mask)


@triton.jit
def _scatter(pointer, grad_pointer, grad, row, column, inside, weight, row_stride, column_stride, channel_stride,
             channels, width, BLOCK_C: tl.constexpr, ACC: tl.constexpr):  # fmt: skip
    """Add the samples' gradient, weighted, to the map's at one tap; return its product with the map there: (keys,)."""
    channel = tl.arange(0, BLOCK_C)
    mask = inside[:, None] & (channel < channels)[None, :]
    at = (row * width + column)[:, None] * channels + channel[None, :]
    tl.atomic_add(grad_pointer + at, grad * weight[:, None], mask=mask, sem="relaxed")
    tap = _tap(pointer, row, column, row_stride, column_stride, channel_stride, inside, channels, BLOCK_C, ACC)
    return tl.sum(grad * tap, axis=1)


@triton.jit
def _sample_backward(pointer, grad_pointer, grad, rows, columns, row_stride, column_stride, channel_stride, channels,
                     width, BLOCK_C: tl.constexpr, ACC: tl.constexpr):  # fmt: skip
    """Scatter the samples' gradient to the map's; return the gradients of the keys' rows and columns: (keys,) each."""
    r, r0, r1, above, below = rows
    c, c0, c1, left, right = columns
    rest = (row_stride, column_stride, channel_stride, channels, width)
    p00 = _scatter(pointer, grad_pointer, grad, r, c, r0 & c0, above * left, *rest, BLOCK_C, ACC)
    p01 = _scatter(pointer, grad_pointer, grad, r, c + 1, r0 & c1, above * right, *rest, BLOCK_C, ACC)
    p10 = _scatter(pointer, grad_pointer, grad, r + 1, c, r1 & c0, below * left, *rest, BLOCK_C, ACC)
    p11 = _scatter(pointer, grad_pointer, grad, r + 1, c + 1, r1 & c1, below * right, *rest, BLOCK_C, ACC)
    return left * (p10 - p00) + right * (p11 - p01), above * (p01 - p00) + below * (p11 - p10)


@triton.jit
def _key_kernel(
    query, qb, qg, qh, qw, qc, key, kb, kg, kh, kw, kc, value, vb, vg, vh, vw, vc, offset, stretch, bias,
    grad, gb, gg, gh, gw, gc, logarithm, delta, grad_key, grad_value, grad_offset, grad_stretch, grad_bias,
    groups, height, width, down, across, depth, values, scale,
    WINDOW: tl.constexpr, BIASED: tl.constexpr, BLOCK: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_E: tl.constexpr,
    ACC: tl.constexpr,
):  # fmt: skip
    """Compute all gradients but the queries', of one window."""
    COUNT: tl.constexpr = WINDOW * WINDOW
    program = tl.program_id(0)
    index = program // (down * across)
    batch, group = (index // groups).to(tl.int64), (index % groups).to(tl.int64)
    y, x = program // across % down, program % across
    place = (batch * groups + group) * 2 * down * across + y * across + x
    ox, oy = tl.load(offset + place).to(ACC), tl.load(offset + place + down * across).to(ACC)
    sx, sy = tl.load(stretch + place).to(ACC), tl.load(stretch + place + down * across).to(ACC)
    middle = (WINDOW - 1) / 2
    shift_x, shift_y = tl.zeros((BLOCK,), dtype=ACC), tl.zeros((BLOCK,), dtype=ACC)
    size_x, size_y = tl.zeros((BLOCK,), dtype=ACC), tl.zeros((BLOCK,), dtype=ACC)
    keys, seen = key + batch * kb + group * kg, value + batch * vb + group * vg
    for start in range(0, COUNT, BLOCK):
        n = start + tl.arange(0, BLOCK)
        rows = _axis(oy, sy, y, n // WINDOW, n < COUNT, height, WINDOW)
        columns = _axis(ox, sx, x, n % WINDOW, n < COUNT, width, WINDOW)
        k = _sample(keys, rows, columns, kh, kw, kc, depth, BLOCK_D, ACC)
        v = _sample(seen, rows, columns, vh, vw, vc, values, BLOCK_E, ACC)
        total_k = tl.zeros((BLOCK, BLOCK_D), dtype=ACC)
        total_v = tl.zeros((BLOCK, BLOCK_E), dtype=ACC)
        for first in range(0, COUNT, BLOCK):
            m = first + tl.arange(0, BLOCK)
            row, column = y * WINDOW + m // WINDOW, x * WINDOW + m % WINDOW
            queried = (m < COUNT) & (row < height) & (column < width)
            flat = ((batch * groups + group) * height + row) * width + column
            q = _tap(query + batch * qb + group * qg, row, column, qh, qw, qc, queried, depth, BLOCK_D, ACC)
            g = _tap(grad + batch * gb + group * gg, row, column, gh, gw, gc, queried, values, BLOCK_E, ACC)
            log = tl.load(logarithm + flat, mask=queried, other=0)
            mean = tl.load(delta + flat, mask=queried, other=0)
            score = _dot(q, tl.trans(k), ACC) * scale
            if BIASED:
                score += _bias(bias, group, m, n, COUNT, ACC)
            pairs = queried[:, None] & (n < COUNT)[None, :]
            weight = tl.where(pairs, tl.exp(tl.where(pairs, score - log[:, None], 0.0)), 0.0)
            flow = weight * (_dot(g, tl.trans(v), ACC) - mean[:, None])
            total_v += _dot(tl.trans(weight), g, ACC)
            total_k += _dot(tl.trans(flow), q, ACC)
            if BIASED:
                at = (batch * groups + group) * COUNT * COUNT + m[:, None] * COUNT + n[None, :]
                tl.atomic_add(grad_bias + at, flow, mask=pairs, sem="relaxed")
        map_at = (batch * groups + group) * height * width
        key_row, key_column = _sample_backward(
            keys, grad_key + map_at * depth, total_k * scale, rows, columns, kh, kw, kc, depth, width, BLOCK_D, ACC
        )
        value_row, value_column = _sample_backward(
            seen, grad_value + map_at * values, total_v, rows, columns, vh, vw, vc, values, width, BLOCK_E, ACC
        )
        shift_y += key_row + value_row
        shift_x += key_column + value_column
        size_y += (key_row + value_row) * (n // WINDOW - middle)
        size_x += (key_column + value_column) * (n % WINDOW - middle)
    tl.store(grad_offset + place, tl.sum(shift_x, axis=0))
    tl.store(grad_offset + place + down * across, tl.sum(shift_y, axis=0))
    tl.store(grad_stretch + place, tl.sum(size_x, axis=0))
    tl.store(grad_stretch + place + down * across, tl.sum(size_y, axis=0))


def refuses(args):
    """Return why these arguments cannot be taken, as a sentence, or None if they can."""
    return support.refuses(args, args.query, args.key, args.value)


def _launch(args):
    """Return the first and the last arguments that all kernels share, and their launch parameters."""
    query, key, value, offset, stretch, bias, window_size, scale = args
    first = (
        query, *query.stride(), key, *key.stride(), value, *value.stride(), offset.contiguous(), stretch.contiguous(),
        offset if bias is None else bias.contiguous(),
    )  # fmt: skip
    last = (query.shape[1], *query.shape[2:4], *offset.shape[3:], query.shape[4], value.shape[4], scale)
    tile, depth, values = (support.block_of(n) for n in (window_size**2, query.shape[4], value.shape[4]))
    return first, last, {
        "WINDOW": window_size, "BIASED": bias is not None, "BLOCK": max(_SMALLEST_DOT, min(_TILE, tile)),
        "BLOCK_D": max(_SMALLEST_DOT, depth), "BLOCK_E": max(_SMALLEST_DOT, values), "ACC": support.accumulator(query),
    }  # fmt: skip


def forward(args):
    """Return the output and the logarithm of every query's sum of exponentials."""
    query, value = args.query, args.value
    batch, groups, height, width, _ = query.shape
    out = query.new_empty((batch, height, width, groups, value.shape[-1])).permute(0, 3, 1, 2, 4)
    logarithm = query.new_empty((batch, groups, height, width), dtype=support.storage(query))
    if out.numel() == 0:
        return out, logarithm
    with support.launching(out):
        first, last, sizes = _launch(args)
        programs = args.offset.numel() // 2 * triton.cdiv(args.window_size**2, sizes["BLOCK"])
        _forward_kernel[(programs,)](*first, out, *out.stride(), logarithm, *last, **sizes)
    return out, logarithm


def backward(grad, saved, args, needs):
    """Return the gradients of the six tensors, None where ``needs`` is False."""
    *tensors, window_size, _ = args
    query, bias = args.query, args.bias
    out, logarithm = saved
    precise = support.storage(query)
    grads = [None if each is None else torch.empty_like(each) for each in tensors]
    if out.numel() == 0:
        return [None if g is None else g.zero_() for g in grads]
    sums = [torch.zeros(each.shape, dtype=precise, device=query.device) for each in tensors[1:5]]
    share = None if bias is None else query.new_zeros((len(query), *bias.shape), dtype=precise)
    with support.launching(out):
        delta = (grad.to(precise) * out.to(precise)).sum(-1).contiguous()
        first, last, sizes = _launch(args)
        flow = (*first, grad, *grad.stride(), logarithm, delta)
        programs = args.offset.numel() // 2
        tiles = triton.cdiv(window_size**2, sizes["BLOCK"])
        _query_kernel[(programs * tiles,)](*flow, grads[0], *grads[0].stride(), *last, **sizes)
        _key_kernel[(programs,)](*flow, *sums, sums[0] if share is None else share, *last, **sizes)
        for into, total in zip(grads[1:5], sums, strict=True):
            into.copy_(total)
        if share is not None:
            grads[5].copy_(share.sum(0))
    return [g if need else None for g, need in zip(grads, needs, strict=True)]
