"""Context mixing on a GPU: scores are made tap by tap, and the forward pass never writes them.

``projection @ key`` folds into one (P, d) matrix for each (batch, group), so that the score of a tap is one product of
the query with a row of it. The forward kernel keeps a running softmax over the window (Milakov and Gimelshein, "Online
normalizer calculation for softmax", arXiv 1805.02867) while it sums the values.

The backward pass makes the weights once more, for as many maps at a time as fit into a slab of fixed size, and leaves
the rest to the kernels of neighbourhood aggregation and to matrix products. Nothing uses atomics, so every gradient
has the same bits on each run.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from claimbench.kernels import triton_support as support
from claimbench.kernels.neighborhood_aggregate.triton import (
    first_position,
    tile_of,
    value_gradient,
    weights_gradient,
    window_start,
)
from claimbench.kernels.triton_support import unavailable

__all__ = ["backward", "forward", "refuses", "unavailable"]

_SLAB_SCORES = 2**24
"""The number of scores that the backward pass holds at a time, in two copies: 128 MB in float32."""


@triton.jit
def _score(query, folded, bias, table, ACC: tl.constexpr, inside, shown):
    """Return the score of one tap for each query, from the tap's folded key, its bias and the bias of the offset."""
    row = tl.load(folded, mask=shown, other=0).to(ACC)
    offset = tl.load(table, mask=inside, other=0).to(ACC)
    return tl.sum(query * row[None, :], axis=1) + tl.load(bias).to(ACC) + offset


@triton.jit
def _forward_kernel(
    query, qb, qg, qh, qw, qc,
    folded, fb, fg, ft, fc,
    bias, bt,
    table, tg, ts,
    value, vb, vg, vh, vw, vc,
    out, ob, og, oh, ow, oc,
    groups, height, width, depth, channels,
    KERNEL: tl.constexpr, BLOCK: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_C: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    batch, group, position = tile_of(groups, height * width, BLOCK)
    inside = position < height * width
    h = tl.where(inside, position, 0) // width
    w = tl.where(inside, position, 0) % width
    top = first_position(h, height, 1, KERNEL)
    left = first_position(w, width, 1, KERNEL)
    inner = tl.arange(0, BLOCK_D)
    shown = inner < depth
    query += batch * qb + group * qg
    query_at = query + (h * qh + w * qw)[:, None] + inner[None, :] * qc
    asked = tl.load(query_at, mask=inside[:, None] & shown[None, :], other=0).to(ACC)
    folded_at = folded + batch * fb + group * fg + inner * fc
    table_at = table + group * tg + ((top - h + KERNEL - 1) * (2 * KERNEL - 1) + left - w + KERNEL - 1) * ts
    channel = tl.arange(0, BLOCK_C)
    mask = inside[:, None] & (channel < channels)[None, :]
    value += batch * vb + group * vg
    value_at = value + (top * vh + left * vw)[:, None] + channel[None, :] * vc
    peak = tl.full((BLOCK,), float("-inf"), dtype=ACC)
    norm = tl.zeros((BLOCK,), dtype=ACC)
    total = tl.zeros((BLOCK, BLOCK_C), dtype=ACC)
    for i in range(KERNEL):
        for j in tl.static_range(KERNEL):
            tap = i * KERNEL + j
            offset_at = table_at + (i * (2 * KERNEL - 1) + j) * ts
            score = _score(asked, folded_at + tap * ft, bias + tap * bt, offset_at, ACC, inside, shown)
            higher = tl.maximum(peak, score)
            keep = tl.exp(peak - higher)
            share = tl.exp(score - higher)
            seen = tl.load(value_at + i * vh + j * vw, mask=mask, other=0).to(ACC)
            total = total * keep[:, None] + share[:, None] * seen
            norm = norm * keep + share
            peak = higher
    mixed = (total / norm[:, None]).to(out.dtype.element_ty)
    out += batch * ob + group * og
    tl.store(out + (h * oh + w * ow)[:, None] + channel[None, :] * oc, mixed, mask=mask)


@triton.jit
def _weights_kernel(
    query, qb, qg, qh, qw, qc,
    folded, fb, fg, ft, fc,
    bias, bt,
    table, tg, ts,
    out, ob, og, oh, ow, ot,
    groups, height, width, depth,
    KERNEL: tl.constexpr, BLOCK: tl.constexpr, BLOCK_D: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    batch, group, position = tile_of(groups, height * width, BLOCK)
    inside = position < height * width
    h = tl.where(inside, position, 0) // width
    w = tl.where(inside, position, 0) % width
    top = first_position(h, height, 1, KERNEL)
    left = first_position(w, width, 1, KERNEL)
    inner = tl.arange(0, BLOCK_D)
    shown = inner < depth
    query += batch * qb + group * qg
    query_at = query + (h * qh + w * qw)[:, None] + inner[None, :] * qc
    asked = tl.load(query_at, mask=inside[:, None] & shown[None, :], other=0).to(ACC)
    folded_at = folded + batch * fb + group * fg + inner * fc
    table_at = table + group * tg + ((top - h + KERNEL - 1) * (2 * KERNEL - 1) + left - w + KERNEL - 1) * ts
    out_at = out + batch * ob + group * og + h * oh + w * ow
    peak = tl.full((BLOCK,), float("-inf"), dtype=ACC)
    norm = tl.zeros((BLOCK,), dtype=ACC)
    for i in range(KERNEL):
        for j in tl.static_range(KERNEL):
            tap = i * KERNEL + j
            offset_at = table_at + (i * (2 * KERNEL - 1) + j) * ts
            score = _score(asked, folded_at + tap * ft, bias + tap * bt, offset_at, ACC, inside, shown)
            higher = tl.maximum(peak, score)
            norm = norm * tl.exp(peak - higher) + tl.exp(score - higher)
            peak = higher
    for i in range(KERNEL):
        for j in tl.static_range(KERNEL):
            tap = i * KERNEL + j
            offset_at = table_at + (i * (2 * KERNEL - 1) + j) * ts
            score = _score(asked, folded_at + tap * ft, bias + tap * bt, offset_at, ACC, inside, shown)
            tl.store(out_at + tap * ot, tl.exp(score - peak) / norm, mask=inside)


@triton.jit
def _first_with(offset, length, KERNEL: tl.constexpr):
    """Return the first position whose window holds the position ``offset`` further on."""
    return tl.where(offset < -(KERNEL // 2), length - KERNEL - offset, tl.maximum(0, -offset))


@triton.jit
def _last_with(offset, length, KERNEL: tl.constexpr):
    """Return the last position whose window holds the position ``offset`` further on."""
    return tl.where(offset > KERNEL // 2, KERNEL - 1 - offset, tl.minimum(length - 1, length - 1 - offset))


@triton.jit
def _table_gradient_kernel(
    grad, gg, gh, gw, gt, out, og, os, height, width,
    KERNEL: tl.constexpr, BLOCK: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """Sum the gradients of one offset of one group, over the rectangle of queries that see it, in each program."""
    SPAN: tl.constexpr = 2 * KERNEL - 1
    offset = tl.program_id(0) % (SPAN * SPAN)
    group = (tl.program_id(0) // (SPAN * SPAN)).to(tl.int64)
    down = offset // SPAN - (KERNEL - 1)
    right = offset % SPAN - (KERNEL - 1)
    first_row = _first_with(down, height, KERNEL)
    first_column = _first_with(right, width, KERNEL)
    rows = _last_with(down, height, KERNEL) - first_row + 1
    columns = _last_with(right, width, KERNEL) - first_column + 1
    total = tl.zeros((BLOCK,), dtype=ACC)
    for begin in range(0, rows * columns, BLOCK):
        index = begin + tl.arange(0, BLOCK)
        inside = index < rows * columns
        h = first_row + tl.where(inside, index, 0) // columns
        w = first_column + tl.where(inside, index, 0) % columns
        tap = (h + down - window_start(h, height, KERNEL)) * KERNEL + w + right - window_start(w, width, KERNEL)
        total += tl.load(grad + group * gg + h * gh + w * gw + tap * gt, mask=inside, other=0).to(ACC)
    tl.store(out + group * og + offset * os, tl.sum(total, axis=0))


def refuses(args):
    """Return why these arguments cannot be taken, as a sentence, or None if they can."""
    return support.refuses(args, args.query, args.value[:, 0])


def _fold(args):
    """Return projection @ key, (B, G, P, d), in the type that is calculated in."""
    dtype = support.storage(args.key)
    return args.projection.to(dtype) @ args.key.to(dtype)


def _branches(args, folded):
    """Yield for each kernel its size, the slice of its taps and its part of folded keys, biases and offsets' biases."""
    first_tap, first_offset = 0, 0
    for k in args.kernel_sizes:
        taps = slice(first_tap, first_tap + k * k)
        offsets = slice(first_offset, first_offset + (2 * k - 1) ** 2)
        yield k, taps, offsets, (folded[:, :, taps], args.projection_bias[taps], args.position_bias[:, offsets])
        first_tap, first_offset = taps.stop, offsets.stop


def _launch(kernel, query, terms, tensors, kernel_size, **blocks):
    """Launch a kernel over all positions of the query, (B, G, H, W, d); ``terms`` make up the scores."""
    batch, groups, height, width, depth = query.shape
    block_d = support.block_of(depth)
    block = support.positions_per_program(max(block_d, *blocks.values()) if blocks else block_d)
    strided = [part for tensor in (query, *terms, *tensors) for part in (tensor, *tensor.stride())]
    sizes = (groups, height, width, depth, *([tensors[0].shape[-1]] if blocks else []))
    grid = (batch * groups * triton.cdiv(height * width, block),)
    kernel[grid](
        *strided, *sizes, KERNEL=kernel_size, BLOCK=block, BLOCK_D=block_d, ACC=support.accumulator(query), **blocks
    )


def forward(args):
    """Return the mixed values, with value's strides."""
    query, value = args.query, args.value
    out = torch.empty_like(value)
    if out.numel() == 0:
        return out
    with support.launching(value):
        for index, (k, _, _, terms) in enumerate(_branches(args, _fold(args))):
            tensors = (value[:, index], out[:, index])
            _launch(_forward_kernel, query, terms, tensors, k, BLOCK_C=support.block_of(value.shape[-1]))
    return out


def _slabs(batch, groups, scores):
    """Yield (batches, groups) slices that cover all maps, each with no more scores than a slab holds, if it can be."""
    together = max(1, _SLAB_SCORES // (groups * scores))
    at_once = min(groups, max(1, _SLAB_SCORES // scores))
    for b in range(0, batch, together):
        for g in range(0, groups, at_once):
            yield slice(b, b + together), slice(g, g + at_once)


def _weights(query, terms, kernel_size):
    """Return the weights of every window, (B, G, H, W, k*k), in memory tap by tap, as the kernels read them."""
    batch, groups, height, width, _ = query.shape
    shape = (batch, groups, kernel_size**2, height, width)
    weights = torch.empty(shape, dtype=support.storage(query), device=query.device).permute(0, 1, 3, 4, 2)
    _launch(_weights_kernel, query, terms, (weights,), kernel_size)
    return weights


def _scores_gradient(grad, value, weights, kernel_size):
    """Return the gradient of the scores, (B, G, H W, k*k): through the aggregation, then through the softmax."""
    flow = torch.empty_like(weights)
    weights_gradient(grad, value, flow, kernel_size, 1)
    flow.mul_(weights)
    flow.addcmul_(weights, flow.sum(-1, keepdim=True), value=-1)
    return flow.flatten(2, 3)


def _table_gradient(grad, height, width, kernel_size):
    """Return the gradient of the offsets' biases, (G, (2k-1)^2), from that of the scores, (G, H W, k*k)."""
    out = grad.new_empty(grad.shape[0], (2 * kernel_size - 1) ** 2)
    by_position = grad.unflatten(1, (height, width))
    _table_gradient_kernel[(out.numel(),)](
        by_position, *by_position.stride(), out, *out.stride(), height, width,
        KERNEL=kernel_size, BLOCK=128, ACC=support.accumulator(grad),
    )  # fmt: skip
    return out


def backward(grad, saved, args, needs):
    """Return the gradients of the six tensors, None where ``needs`` is False."""
    *tensors, _ = args
    query, key, projection, projection_bias, position_bias, value = tensors
    if value.numel() == 0:
        return [torch.zeros_like(a) if need else None for a, need in zip(tensors, needs, strict=True)]
    batch, groups, height, width, _ = query.shape
    grad_value = torch.empty_like(value) if needs[5] else None
    with support.launching(value):
        folded = _fold(args)
        grad_query = folded.new_zeros(query.shape).flatten(2, 3)
        grad_folded = torch.empty_like(folded)
        grad_bias = folded.new_zeros(projection_bias.shape)
        grad_table = folded.new_zeros(position_bias.shape)
        for index, (k, taps, offsets, (keys, bias, table)) in enumerate(_branches(args, folded)):
            for b, g in _slabs(batch, groups, height * width * k * k):
                asked, flow = query[b, g], grad[b, index, g]
                weights = _weights(asked, (keys[b, g], bias, table[g]), k)
                if grad_value is not None:
                    value_gradient(flow, weights, grad_value[b, index, g], k, 1)
                if not any(needs[:5]):
                    continue
                scores = _scores_gradient(flow, value[b, index, g], weights, k)
                grad_query[b, g] += scores @ keys[b, g]
                grad_folded[b, g, taps] = scores.mT @ asked.flatten(2, 3).to(scores.dtype)
                grad_bias[taps] += scores.sum((0, 1, 2))
                grad_table[g, offsets] += _table_gradient(scores.sum(0), height, width, k)
        found = (
            grad_query.unflatten(2, (height, width)),
            projection.to(folded.dtype).mT @ grad_folded,
            torch.einsum("bgpc,bgrc->pr", grad_folded, key.to(folded.dtype)),
            grad_bias,
            grad_table,
        )
    narrowed = [torch.empty_like(a).copy_(f) if n else None for a, f, n in zip(tensors, found, needs, strict=False)]
    return [*narrowed, grad_value]
