"""Outlook attention on a GPU: a program takes a tile of positions, or of windows, of one (batch, group).

No pass uses atomics: every output position gathers from the windows that cover it, so every result has the same bits on
each run. The backward pass keeps the logarithm of each softmax's sum, (B, h, w, G, k^2), and no weights.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from claimbench.kernels import triton_support as support
from claimbench.kernels.triton_support import unavailable

__all__ = ["backward", "forward", "refuses", "unavailable"]


@triton.jit
def _tile(groups, count, BLOCK: tl.constexpr):
    """Return the batch, the group (both 64 bits wide, for large tensors) and the positions of this program."""
    tiles = tl.cdiv(count, BLOCK)
    program = tl.program_id(0)
    map_index = program // tiles
    position = (program % tiles) * BLOCK + tl.arange(0, BLOCK)
    return (map_index // groups).to(tl.int64), (map_index % groups).to(tl.int64), position


@triton.jit
def _covering(position, windows, step, stride, padding, KERNEL: tl.constexpr):
    """Return the step-th window, from the last one on, that may cover a position, the place in it, whether it does."""
    window = (position + padding) // stride - step
    place = position + padding - window * stride
    covers = (window >= 0) & (window < windows) & (place < KERNEL)
    return tl.where(covers, window, 0), tl.where(covers, place, 0), covers


@triton.jit
def _forward_kernel(
    scores, sb, sh, sw, sg, si, sj,
    value, vb, vh, vw, vg, vc,
    out, ob, oh, ow, og, oc,
    groups, height, width, channels, rows, columns, stride, padding,
    SCALE: tl.constexpr,
    KERNEL: tl.constexpr, STEPS: tl.constexpr, BLOCK: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_J: tl.constexpr,
    ACC: tl.constexpr,
):  # fmt: skip
    batch, group, position = _tile(groups, height * width, BLOCK)
    scores += batch * sb + group * sg
    value += batch * vb + group * vg
    out += batch * ob + group * og
    inside = position < height * width
    y = tl.where(inside, position, 0) // width
    x = tl.where(inside, position, 0) % width
    channel = tl.arange(0, BLOCK_C)
    in_channels = (channel < channels)[None, :]
    place = tl.arange(0, BLOCK_J)
    in_window = (place < KERNEL * KERNEL)[None, :]
    total = tl.zeros((BLOCK, BLOCK_C), dtype=ACC)
    for step in range(STEPS * STEPS):
        row, i, covers_row = _covering(y, rows, step // STEPS, stride, padding, KERNEL)
        column, j, covers_column = _covering(x, columns, step % STEPS, stride, padding, KERNEL)
        covers = inside & covers_row & covers_column
        at = scores + row * sh + column * sw + (i * KERNEL + j) * si
        known = covers[:, None] & in_window
        score = tl.load(at[:, None] + place[None, :] * sj, mask=known, other=0).to(ACC) * SCALE
        score = tl.where(in_window, score, -float("inf"))
        weights = tl.exp(score - tl.max(score, axis=1)[:, None])
        weights = tl.where(covers[:, None], weights / tl.sum(weights, axis=1)[:, None], 0.0)
        top = row * stride - padding
        left = column * stride - padding
        for other in range(KERNEL * KERNEL):
            v = top + other // KERNEL
            u = left + other % KERNEL
            seen = covers & (v >= 0) & (v < height) & (u >= 0) & (u < width)
            values = value + (v * vh + u * vw)[:, None] + channel[None, :] * vc
            weight = tl.sum(tl.where((place == other)[None, :], weights, 0.0), axis=1)
            total += weight[:, None] * tl.load(values, mask=seen[:, None] & in_channels, other=0).to(ACC)
    to = out + (y * oh + x * ow)[:, None] + channel[None, :] * oc
    tl.store(to, total.to(out.dtype.element_ty), mask=inside[:, None] & in_channels)


@triton.jit
def _scores_gradient_kernel(
    grad, db, dh, dw, dg, dc,
    scores, sb, sh, sw, sg, si, sj,
    value, vb, vh, vw, vg, vc,
    out, ob, oh, ow, og, oi, oj,
    logs, lb, lh, lw, lg, li,
    groups, height, width, channels, rows, columns, stride, padding,
    SCALE: tl.constexpr,
    KERNEL: tl.constexpr, BLOCK: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_J: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    batch, group, window = _tile(groups, rows * columns, BLOCK)
    grad += batch * db + group * dg
    scores += batch * sb + group * sg
    value += batch * vb + group * vg
    out += batch * ob + group * og
    logs += batch * lb + group * lg
    inside = window < rows * columns
    row = tl.where(inside, window, 0) // columns
    column = tl.where(inside, window, 0) % columns
    top = row * stride - padding
    left = column * stride - padding
    channel = tl.arange(0, BLOCK_C)
    in_channels = (channel < channels)[None, :]
    place = tl.arange(0, BLOCK_J)
    in_window = (place < KERNEL * KERNEL)[None, :]
    known = inside[:, None] & in_window
    for i in range(KERNEL * KERNEL):
        at = scores + row * sh + column * sw + i * si
        score = tl.load(at[:, None] + place[None, :] * sj, mask=known, other=0).to(ACC) * SCALE
        score = tl.where(in_window, score, -float("inf"))
        largest = tl.max(score, axis=1)
        weights = tl.exp(score - largest[:, None])
        total = tl.sum(weights, axis=1)
        weights = weights / total[:, None]
        tl.store(logs + row * lh + column * lw + i * li, largest + tl.log(total), mask=inside)
        y = top + i // KERNEL
        x = left + i % KERNEL
        given = inside & (y >= 0) & (y < height) & (x >= 0) & (x < width)
        flow = grad + (y * dh + x * dw)[:, None] + channel[None, :] * dc
        flow = tl.load(flow, mask=given[:, None] & in_channels, other=0).to(ACC)
        products = tl.zeros((BLOCK, BLOCK_J), dtype=ACC)
        for j in range(KERNEL * KERNEL):
            v = top + j // KERNEL
            u = left + j % KERNEL
            seen = inside & (v >= 0) & (v < height) & (u >= 0) & (u < width)
            values = value + (v * vh + u * vw)[:, None] + channel[None, :] * vc
            values = tl.load(values, mask=seen[:, None] & in_channels, other=0).to(ACC)
            products += tl.where((place == j)[None, :], tl.sum(flow * values, axis=1)[:, None], 0.0)
        mean = tl.sum(weights * products, axis=1)
        result = weights * (products - mean[:, None]) * SCALE
        to = (out + row * oh + column * ow + i * oi)[:, None] + place[None, :] * oj
        tl.store(to, result.to(out.dtype.element_ty), mask=known)


@triton.jit
def _value_gradient_kernel(
    grad, db, dh, dw, dg, dc,
    scores, sb, sh, sw, sg, si, sj,
    logs, lb, lh, lw, lg, li,
    out, ob, oh, ow, og, oc,
    groups, height, width, channels, rows, columns, stride, padding,
    SCALE: tl.constexpr,
    KERNEL: tl.constexpr, STEPS: tl.constexpr, BLOCK: tl.constexpr, BLOCK_C: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    batch, group, position = _tile(groups, height * width, BLOCK)
    grad += batch * db + group * dg
    scores += batch * sb + group * sg
    logs += batch * lb + group * lg
    out += batch * ob + group * og
    inside = position < height * width
    y = tl.where(inside, position, 0) // width
    x = tl.where(inside, position, 0) % width
    channel = tl.arange(0, BLOCK_C)
    in_channels = (channel < channels)[None, :]
    total = tl.zeros((BLOCK, BLOCK_C), dtype=ACC)
    for step in range(STEPS * STEPS):
        row, i, covers_row = _covering(y, rows, step // STEPS, stride, padding, KERNEL)
        column, j, covers_column = _covering(x, columns, step % STEPS, stride, padding, KERNEL)
        covers = inside & covers_row & covers_column
        score_at = scores + row * sh + column * sw + (i * KERNEL + j) * sj
        log_at = logs + row * lh + column * lw
        top = row * stride - padding
        left = column * stride - padding
        for other in range(KERNEL * KERNEL):
            v = top + other // KERNEL
            u = left + other % KERNEL
            seen = covers & (v >= 0) & (v < height) & (u >= 0) & (u < width)
            score = tl.load(score_at + other * si, mask=seen, other=0).to(ACC) * SCALE
            weight = tl.where(seen, tl.exp(score - tl.load(log_at + other * li, mask=seen, other=0)), 0.0)
            flow = grad + (v * dh + u * dw)[:, None] + channel[None, :] * dc
            total += weight[:, None] * tl.load(flow, mask=seen[:, None] & in_channels, other=0).to(ACC)
    to = out + (y * oh + x * ow)[:, None] + channel[None, :] * oc
    tl.store(to, total.to(out.dtype.element_ty), mask=inside[:, None] & in_channels)


def refuses(args):
    """Return why these arguments cannot be taken, as a sentence, or None if they can."""
    return support.refuses(args, args.scores.movedim(3, 1), args.value.movedim(3, 1))


def _sizes(args):
    """Return the scalar arguments that all kernels take."""
    _, height, width, groups, channels = args.value.shape
    return groups, height, width, channels, *args.scores.shape[1:3], args.stride, args.padding


def _options(args):
    """Return the compile-time arguments that all kernels take."""
    block_c = support.block_of(args.value.shape[-1])
    return {
        "SCALE": args.scale,
        "KERNEL": args.kernel_size,
        "BLOCK": support.positions_per_program(block_c),
        "BLOCK_C": block_c,
        "ACC": support.accumulator(args.scores, args.value),
    }


def _grid(batch, groups, count, options):
    return (batch * groups * triton.cdiv(count, options["BLOCK"]),)


def forward(args):
    """Return the mixed values, with value's strides."""
    scores, value, kernel_size, stride, *_ = args
    out = torch.empty_like(value)
    if out.numel() == 0:
        return out
    batch, height, width, groups = value.shape[:4]
    options = _options(args)
    with support.launching(value):
        _forward_kernel[_grid(batch, groups, height * width, options)](
            scores, *scores.stride(), value, *value.stride(), out, *out.stride(),
            *_sizes(args),
            STEPS=triton.cdiv(kernel_size, stride), BLOCK_J=support.block_of(kernel_size**2), **options,
        )  # fmt: skip
    return out


def backward(grad, saved, args, needs):
    """Return the gradients of scores and value, None where ``needs`` is False."""
    scores, value, kernel_size, stride, *_ = args
    grad_scores, grad_value = torch.empty_like(scores), torch.empty_like(value)
    if value.numel():
        batch, height, width, groups = value.shape[:4]
        logs = torch.empty(scores.shape[:5], dtype=support.storage(scores, value), device=scores.device)
        options, sizes = _options(args), _sizes(args)
        with support.launching(value):
            _scores_gradient_kernel[_grid(batch, groups, scores.shape[1] * scores.shape[2], options)](
                grad, *grad.stride(), scores, *scores.stride(), value, *value.stride(),
                grad_scores, *grad_scores.stride(), logs, *logs.stride(), *sizes,
                BLOCK_J=support.block_of(kernel_size**2), **options,
            )  # fmt: skip
            if needs[1]:
                _value_gradient_kernel[_grid(batch, groups, height * width, options)](
                    grad, *grad.stride(), scores, *scores.stride(), logs, *logs.stride(),
                    grad_value, *grad_value.stride(), *sizes, STEPS=triton.cdiv(kernel_size, stride), **options,
                )  # fmt: skip
    return grad_scores if needs[0] else None, grad_value if needs[1] else None
