"""Neighbourhood attention on a GPU: a program takes a tile of positions of one (batch, group) and walks the window.

The forward kernel keeps a running softmax over the window (Milakov and Gimelshein, "Online normalizer calculation for
softmax", arXiv 1805.02867) while it sums the values. The backward pass makes the scores again in each of its kernels:
over the window of every query, over the queries that see every key, and over the pairs that share every offset of the
position bias. Between them they keep two numbers a query. Nothing uses atomics, so every gradient has the same bits on
each run.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from claimbench.kernels import triton_support as support
from claimbench.kernels.neighborhood_aggregate.triton import (
    first_position,
    first_query,
    last_query,
    members_of,
    tile_of,
    window_start,
)
from claimbench.kernels.triton_support import unavailable

__all__ = ["backward", "forward", "refuses", "unavailable"]


@triton.jit
def _products(vectors, at, mask, ACC: tl.constexpr):
    """Return the product of each vector with the one that is stored at its place."""
    return tl.sum(vectors * tl.load(at, mask=mask, other=0).to(ACC), axis=1)


@triton.jit
def _forward_kernel(
    query, qb, qg, qh, qw, qc,
    key, kb, kg, kh, kw, kc,
    value, vb, vg, vh, vw, vc,
    table, tg, th, tw,
    out, ob, og, oh, ow, oc,
    groups, height, width, depth, channels, down, right,
    KH: tl.constexpr, KW: tl.constexpr, SCALE: tl.constexpr, BIASED: tl.constexpr,
    BLOCK: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_C: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    batch, group, position = tile_of(groups, height * width, BLOCK)
    inside = position < height * width
    h = tl.where(inside, position, 0) // width
    w = tl.where(inside, position, 0) % width
    top = first_position(h, height, down, KH)
    left = first_position(w, width, right, KW)
    inner = tl.arange(0, BLOCK_D)
    channel = tl.arange(0, BLOCK_C)
    deep = inside[:, None] & (inner < depth)[None, :]
    mask = inside[:, None] & (channel < channels)[None, :]
    query += batch * qb + group * qg
    asked = tl.load(query + (h * qh + w * qw)[:, None] + inner[None, :] * qc, mask=deep, other=0).to(ACC) * SCALE
    key += batch * kb + group * kg
    key_at = key + (top * kh + left * kw)[:, None] + inner[None, :] * kc
    value += batch * vb + group * vg
    value_at = value + (top * vh + left * vw)[:, None] + channel[None, :] * vc
    table_at = table + group * tg + ((top - h) // down + KH - 1) * th + ((left - w) // right + KW - 1) * tw
    peak = tl.full((BLOCK,), float("-inf"), dtype=ACC)
    norm = tl.zeros((BLOCK,), dtype=ACC)
    total = tl.zeros((BLOCK, BLOCK_C), dtype=ACC)
    for i in range(KH):
        for j in tl.static_range(KW):
            score = _products(asked, key_at + i * down * kh + j * right * kw, deep, ACC)
            if BIASED:
                score += tl.load(table_at + i * th + j * tw, mask=inside, other=0).to(ACC)
            higher = tl.maximum(peak, score)
            keep = tl.exp(peak - higher)
            share = tl.exp(score - higher)
            seen = tl.load(value_at + i * down * vh + j * right * vw, mask=mask, other=0).to(ACC)
            total = total * keep[:, None] + share[:, None] * seen
            norm = norm * keep + share
            peak = higher
    mixed = (total / norm[:, None]).to(out.dtype.element_ty)
    out += batch * ob + group * og
    tl.store(out + (h * oh + w * ow)[:, None] + channel[None, :] * oc, mixed, mask=mask)


@triton.jit
def _query_gradient_kernel(
    grad, gb, gg, gh, gw, gc,
    query, qb, qg, qh, qw, qc,
    key, kb, kg, kh, kw, kc,
    value, vb, vg, vh, vw, vc,
    table, tg, th, tw,
    out, ob, og, oh, ow, oc,
    logs, means,
    groups, height, width, depth, channels, down, right,
    KH: tl.constexpr, KW: tl.constexpr, SCALE: tl.constexpr, BIASED: tl.constexpr,
    BLOCK: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_C: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """Compute the queries' gradients; keep each one's log-sum of exponentials and mean gradient of its weights."""
    batch, group, position = tile_of(groups, height * width, BLOCK)
    inside = position < height * width
    h = tl.where(inside, position, 0) // width
    w = tl.where(inside, position, 0) % width
    top = first_position(h, height, down, KH)
    left = first_position(w, width, right, KW)
    inner = tl.arange(0, BLOCK_D)
    channel = tl.arange(0, BLOCK_C)
    deep = inside[:, None] & (inner < depth)[None, :]
    mask = inside[:, None] & (channel < channels)[None, :]
    query += batch * qb + group * qg
    asked = tl.load(query + (h * qh + w * qw)[:, None] + inner[None, :] * qc, mask=deep, other=0).to(ACC) * SCALE
    grad += batch * gb + group * gg
    flow = tl.load(grad + (h * gh + w * gw)[:, None] + channel[None, :] * gc, mask=mask, other=0).to(ACC)
    key += batch * kb + group * kg
    key_at = key + (top * kh + left * kw)[:, None] + inner[None, :] * kc
    value += batch * vb + group * vg
    value_at = value + (top * vh + left * vw)[:, None] + channel[None, :] * vc
    table_at = table + group * tg + ((top - h) // down + KH - 1) * th + ((left - w) // right + KW - 1) * tw
    peak = tl.full((BLOCK,), float("-inf"), dtype=ACC)
    norm = tl.zeros((BLOCK,), dtype=ACC)
    mean = tl.zeros((BLOCK,), dtype=ACC)
    for i in range(KH):
        for j in range(KW):
            score = _products(asked, key_at + i * down * kh + j * right * kw, deep, ACC)
            if BIASED:
                score += tl.load(table_at + i * th + j * tw, mask=inside, other=0).to(ACC)
            higher = tl.maximum(peak, score)
            keep = tl.exp(peak - higher)
            share = tl.exp(score - higher)
            mean = mean * keep + share * _products(flow, value_at + i * down * vh + j * right * vw, mask, ACC)
            norm = norm * keep + share
            peak = higher
    mean /= norm
    log = peak + tl.log(norm)
    total = tl.zeros((BLOCK, BLOCK_D), dtype=ACC)
    for i in range(KH):
        for j in range(KW):
            seen = tl.load(key_at + i * down * kh + j * right * kw, mask=deep, other=0).to(ACC)
            score = tl.sum(asked * seen, axis=1)
            if BIASED:
                score += tl.load(table_at + i * th + j * tw, mask=inside, other=0).to(ACC)
            along = _products(flow, value_at + i * down * vh + j * right * vw, mask, ACC)
            total += (tl.exp(score - log) * (along - mean))[:, None] * seen
    out += batch * ob + group * og
    found = (total * SCALE).to(out.dtype.element_ty)
    tl.store(out + (h * oh + w * ow)[:, None] + inner[None, :] * oc, found, mask=deep)
    kept = (batch * groups + group) * height * width + position
    tl.store(logs + kept, log, mask=inside)
    tl.store(means + kept, mean, mask=inside)


@triton.jit
def _key_gradient_kernel(
    grad, gb, gg, gh, gw, gc,
    query, qb, qg, qh, qw, qc,
    key, kb, kg, kh, kw, kc,
    value, vb, vg, vh, vw, vc,
    table, tg, th, tw,
    grad_key, ab, ag, ah, aw, ac,
    grad_value, ob, og, oh, ow, oc,
    logs, means,
    groups, height, width, depth, channels, down, right,
    KH: tl.constexpr, KW: tl.constexpr, SCALE: tl.constexpr, BIASED: tl.constexpr,
    BLOCK: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_C: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """Compute the gradients of keys and values.

    The queries that see a position are, along each axis, consecutive ranks of its own residue class.
    """
    batch, group, position = tile_of(groups, height * width, BLOCK)
    inside = position < height * width
    y = tl.where(inside, position, 0) // width
    x = tl.where(inside, position, 0) % width
    rows = members_of(y % down, height, down)
    columns = members_of(x % right, width, right)
    first_row = first_query(y // down, KH)
    first_column = first_query(x // right, KW)
    row_count = last_query(y // down, rows, KH) - first_row + 1
    column_count = last_query(x // right, columns, KW) - first_column + 1
    inner = tl.arange(0, BLOCK_D)
    channel = tl.arange(0, BLOCK_C)
    deep = inside[:, None] & (inner < depth)[None, :]
    mask = inside[:, None] & (channel < channels)[None, :]
    key += batch * kb + group * kg
    own_key = tl.load(key + (y * kh + x * kw)[:, None] + inner[None, :] * kc, mask=deep, other=0).to(ACC) * SCALE
    value += batch * vb + group * vg
    own_value = tl.load(value + (y * vh + x * vw)[:, None] + channel[None, :] * vc, mask=mask, other=0).to(ACC)
    query += batch * qb + group * qg
    grad += batch * gb + group * gg
    table += group * tg
    kept = (batch * groups + group) * height * width
    to_key = tl.zeros((BLOCK, BLOCK_D), dtype=ACC)
    to_value = tl.zeros((BLOCK, BLOCK_C), dtype=ACC)
    for i in range(0, tl.max(row_count, axis=0)):
        row = first_row + i
        h = y % down + row * down
        for j in range(0, tl.max(column_count, axis=0)):
            column = first_column + j
            w = x % right + column * right
            sees = inside & (i < row_count) & (j < column_count)
            asked = query + (h * qh + w * qw)[:, None] + inner[None, :] * qc
            asked = tl.load(asked, mask=deep & sees[:, None], other=0).to(ACC)
            score = tl.sum(asked * own_key, axis=1)
            if BIASED:
                offset = (y // down - row + KH - 1) * th + (x // right - column + KW - 1) * tw
                score += tl.load(table + offset, mask=sees, other=0).to(ACC)
            weight = tl.exp(score - tl.load(logs + kept + h * width + w, mask=sees, other=float("inf")))
            flow = grad + (h * gh + w * gw)[:, None] + channel[None, :] * gc
            flow = tl.load(flow, mask=mask & sees[:, None], other=0).to(ACC)
            mean = tl.load(means + kept + h * width + w, mask=sees, other=0)
            to_value += weight[:, None] * flow
            to_key += (weight * (tl.sum(flow * own_value, axis=1) - mean))[:, None] * asked
    grad_key += batch * ab + group * ag
    found = (to_key * SCALE).to(grad_key.dtype.element_ty)
    tl.store(grad_key + (y * ah + x * aw)[:, None] + inner[None, :] * ac, found, mask=deep)
    grad_value += batch * ob + group * og
    found = to_value.to(grad_value.dtype.element_ty)
    tl.store(grad_value + (y * oh + x * ow)[:, None] + channel[None, :] * oc, found, mask=mask)


@triton.jit
def _bias_gradient_kernel(
    grad, gb, gg, gh, gw, gc,
    query, qb, qg, qh, qw, qc,
    key, kb, kg, kh, kw, kc,
    value, vb, vg, vh, vw, vc,
    table, tg, th, tw,
    out,
    logs, means,
    groups, height, width, depth, channels, down, right,
    KH: tl.constexpr, KW: tl.constexpr, SCALE: tl.constexpr, BIASED: tl.constexpr,
    BLOCK: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_C: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """Sum the gradients of one offset of one (batch, group), over the queries that see that far, in each program."""
    SPAN: tl.constexpr = (2 * KH - 1) * (2 * KW - 1)
    offset = tl.program_id(0) % SPAN
    map_index = (tl.program_id(0) // SPAN).to(tl.int64)
    batch = map_index // groups
    group = map_index % groups
    rows_on = offset // (2 * KW - 1) - (KH - 1)
    columns_on = offset % (2 * KW - 1) - (KW - 1)
    inner = tl.arange(0, BLOCK_D)
    channel = tl.arange(0, BLOCK_C)
    query += batch * qb + group * qg
    key += batch * kb + group * kg + rows_on * down * kh + columns_on * right * kw
    value += batch * vb + group * vg + rows_on * down * vh + columns_on * right * vw
    grad += batch * gb + group * gg
    bias = tl.load(table + group * tg + (rows_on + KH - 1) * th + (columns_on + KW - 1) * tw).to(ACC)
    total = tl.zeros((BLOCK,), dtype=ACC)
    for begin in range(0, height * width, BLOCK):
        position = begin + tl.arange(0, BLOCK)
        inside = position < height * width
        h = tl.where(inside, position, 0) // width
        w = tl.where(inside, position, 0) % width
        tap_row = h // down + rows_on - window_start(h // down, members_of(h % down, height, down), KH)
        tap_column = w // right + columns_on - window_start(w // right, members_of(w % right, width, right), KW)
        sees = inside & (tap_row >= 0) & (tap_row < KH) & (tap_column >= 0) & (tap_column < KW)
        deep = sees[:, None] & (inner < depth)[None, :]
        mask = sees[:, None] & (channel < channels)[None, :]
        asked = query + (h * qh + w * qw)[:, None] + inner[None, :] * qc
        asked = tl.load(asked, mask=deep, other=0).to(ACC) * SCALE
        score = _products(asked, key + (h * kh + w * kw)[:, None] + inner[None, :] * kc, deep, ACC) + bias
        flow = grad + (h * gh + w * gw)[:, None] + channel[None, :] * gc
        flow = tl.load(flow, mask=mask, other=0).to(ACC)
        along = _products(flow, value + (h * vh + w * vw)[:, None] + channel[None, :] * vc, mask, ACC)
        kept = map_index * height * width + position
        weight = tl.exp(score - tl.load(logs + kept, mask=sees, other=float("inf")))
        total += weight * (along - tl.load(means + kept, mask=sees, other=0))
    tl.store(out + tl.program_id(0), tl.sum(total, axis=0))


def refuses(args):
    """Return why these arguments cannot be taken, as a sentence, or None if they can."""
    return support.refuses(args, args.query, args.key, args.value)


def _launch(kernel, programs, args, inputs, outputs, kept):
    """Launch a kernel with as many programs as ``programs(block)`` says, on (B, G, H, W, ...) tensors."""
    query, _, value, bias, kernel_size, dilation, scale = args
    depth, channels = query.shape[-1], value.shape[-1]
    block_d, block_c = support.block_of(depth), support.block_of(channels)
    block = support.positions_per_program(max(block_d, block_c))
    strided = [part for tensor in inputs for part in (tensor, *tensor.stride())]
    table = (query, 0, 0, 0) if bias is None else (bias, *bias.stride())
    written = [part for tensor in outputs for part in (tensor, *tensor.stride())]
    kernel[(programs(block),)](
        *strided, *table, *written, *kept,
        query.shape[1], query.shape[2], query.shape[3], depth, channels, *dilation,
        KH=kernel_size[0], KW=kernel_size[1], SCALE=scale, BIASED=bias is not None,
        BLOCK=block, BLOCK_D=block_d, BLOCK_C=block_c, ACC=support.accumulator(query),
    )  # fmt: skip


def _tiles(query):
    """Return the number of programs for blocks of each size when every position is taken once."""
    batch, groups, height, width = query.shape[:4]
    return lambda block: batch * groups * triton.cdiv(height * width, block)


def forward(args):
    """Return the attended values, laid out like ``value``."""
    query, key, value = args.query, args.key, args.value
    out = torch.empty_like(value)
    if out.numel() == 0:
        return out
    with support.launching(query):
        _launch(_forward_kernel, _tiles(query), args, (query, key, value), (out,), ())
    return out


def backward(grad, saved, args, needs):
    """Return the gradients of the four tensors, None where ``needs`` is False."""
    query, key, value, bias, *_ = args
    tensors = (query, key, value, bias)
    if value.numel() == 0:
        return [torch.zeros_like(t) if need and t is not None else None for t, need in zip(tensors, needs, strict=True)]
    inputs, tiles = (grad, query, key, value), _tiles(query)
    kept = [query.new_empty(query.shape[:4], dtype=support.storage(query)) for _ in range(2)]
    grad_query, grad_key, grad_value, grad_bias = torch.empty_like(query), None, None, None
    with support.launching(query):
        _launch(_query_gradient_kernel, tiles, args, inputs, (grad_query,), kept)
        if needs[1] or needs[2]:
            grad_key, grad_value = torch.empty_like(key), torch.empty_like(value)
            _launch(_key_gradient_kernel, tiles, args, inputs, (grad_key, grad_value), kept)
        if needs[3] and bias is not None:
            parts = query.new_empty((query.shape[0], *bias.shape), dtype=support.storage(query))
            count = parts.numel()
            _launch(_bias_gradient_kernel, lambda _: count, args, inputs, (), (parts, *kept))
            grad_bias = torch.empty_like(bias).copy_(parts.sum(0))
    found = (grad_query, grad_key, grad_value, grad_bias)
    return [g if need else None for g, need in zip(found, needs, strict=True)]
