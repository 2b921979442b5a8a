"""Neighbourhood aggregation on a GPU: a program takes a tile of positions of one (batch, group) and walks the window.

No pass uses atomics. The gradient of the value gathers from the queries whose windows hold a position, so every result
has the same bits on each run.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from claimbench.kernels import triton_support as support
from claimbench.kernels.triton_support import unavailable

__all__ = ["backward", "forward", "refuses", "unavailable", "value_gradient", "weights_gradient"]


@triton.jit
def members_of(residue, length, dilation):
    """Return the number of positions of an axis that leave ``residue`` when divided by ``dilation``."""
    return (length - residue + dilation - 1) // dilation


@triton.jit
def window_start(rank, members, KERNEL: tl.constexpr):
    """Return the first rank in the window of the position of that rank, shifted inwards at both ends."""
    return tl.minimum(tl.maximum(rank - KERNEL // 2, 0), members - KERNEL)


@triton.jit
def first_position(position, length, dilation, KERNEL: tl.constexpr):
    """Return the first position in the window of each position."""
    residue = position % dilation
    members = members_of(residue, length, dilation)
    return residue + dilation * window_start(position // dilation, members, KERNEL)


@triton.jit
def first_query(rank, KERNEL: tl.constexpr):
    """Return the first rank whose window holds ``rank``."""
    return tl.where(rank < KERNEL, 0, rank - KERNEL + 1 + KERNEL // 2)


@triton.jit
def last_query(rank, members, KERNEL: tl.constexpr):
    """Return the last rank whose window holds ``rank``."""
    return tl.where(rank >= members - KERNEL, members - 1, rank + KERNEL // 2)


@triton.jit
def tile_of(groups, positions, BLOCK: tl.constexpr):
    """Return the batch, the group (both 64 bits wide, for large tensors) and the positions of this program."""
    tiles = tl.cdiv(positions, BLOCK)
    program = tl.program_id(0)
    map_index = program // tiles
    position = (program % tiles) * BLOCK + tl.arange(0, BLOCK)
    return (map_index // groups).to(tl.int64), (map_index % groups).to(tl.int64), position


@triton.jit
def _forward_kernel(
    weights, wb, wg, wh, ww, wt,
    value, vb, vg, vh, vw, vc,
    out, ob, og, oh, ow, oc,
    groups, height, width, channels, dilation,
    KERNEL: tl.constexpr, BLOCK: tl.constexpr, BLOCK_C: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    batch, group, position = tile_of(groups, height * width, BLOCK)
    weights += batch * wb + group * wg
    value += batch * vb + group * vg
    out += batch * ob + group * og
    inside = position < height * width
    h = tl.where(inside, position, 0) // width
    w = tl.where(inside, position, 0) % width
    top = first_position(h, height, dilation, KERNEL)
    left = first_position(w, width, dilation, KERNEL)
    channel = tl.arange(0, BLOCK_C)
    mask = inside[:, None] & (channel < channels)[None, :]
    weight_at = weights + h * wh + w * ww
    value_at = value + (top * vh + left * vw)[:, None] + channel[None, :] * vc
    total = tl.zeros((BLOCK, BLOCK_C), dtype=ACC)
    for i in range(KERNEL):
        for j in tl.static_range(KERNEL):
            weight = tl.load(weight_at + (i * KERNEL + j) * wt, mask=inside, other=0).to(ACC)
            seen = tl.load(value_at + (i * vh + j * vw) * dilation, mask=mask, other=0).to(ACC)
            total += weight[:, None] * seen
    tl.store(out + (h * oh + w * ow)[:, None] + channel[None, :] * oc, total.to(out.dtype.element_ty), mask=mask)


@triton.jit
def _weights_gradient_kernel(
    grad, gb, gg, gh, gw, gc,
    value, vb, vg, vh, vw, vc,
    out, ob, og, oh, ow, ot,
    groups, height, width, channels, dilation,
    KERNEL: tl.constexpr, BLOCK: tl.constexpr, BLOCK_C: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    batch, group, position = tile_of(groups, height * width, BLOCK)
    grad += batch * gb + group * gg
    value += batch * vb + group * vg
    out += batch * ob + group * og
    inside = position < height * width
    h = tl.where(inside, position, 0) // width
    w = tl.where(inside, position, 0) % width
    top = first_position(h, height, dilation, KERNEL)
    left = first_position(w, width, dilation, KERNEL)
    channel = tl.arange(0, BLOCK_C)
    mask = inside[:, None] & (channel < channels)[None, :]
    flow = tl.load(grad + (h * gh + w * gw)[:, None] + channel[None, :] * gc, mask=mask, other=0).to(ACC)
    out_at = out + h * oh + w * ow
    value_at = value + (top * vh + left * vw)[:, None] + channel[None, :] * vc
    for i in range(KERNEL):
        for j in tl.static_range(KERNEL):
            seen = tl.load(value_at + (i * vh + j * vw) * dilation, mask=mask, other=0).to(ACC)
            product = tl.sum(flow * seen, axis=1).to(out.dtype.element_ty)
            tl.store(out_at + (i * KERNEL + j) * ot, product, mask=inside)


@triton.jit
def _value_gradient_kernel(
    grad, gb, gg, gh, gw, gc,
    weights, wb, wg, wh, ww, wt,
    out, ob, og, oh, ow, oc,
    groups, height, width, channels, dilation,
    KERNEL: tl.constexpr, BLOCK: tl.constexpr, BLOCK_C: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    batch, group, position = tile_of(groups, height * width, BLOCK)
    grad += batch * gb + group * gg
    weights += batch * wb + group * wg
    out += batch * ob + group * og
    inside = position < height * width
    y = tl.where(inside, position, 0) // width
    x = tl.where(inside, position, 0) % width
    # Along each axis the queries that see a position are consecutive ranks of its own residue class.
    rows = members_of(y % dilation, height, dilation)
    columns = members_of(x % dilation, width, dilation)
    first_row = first_query(y // dilation, KERNEL)
    first_column = first_query(x // dilation, KERNEL)
    row_count = last_query(y // dilation, rows, KERNEL) - first_row + 1
    column_count = last_query(x // dilation, columns, KERNEL) - first_column + 1
    channel = tl.arange(0, BLOCK_C)
    in_map = inside[:, None] & (channel < channels)[None, :]
    total = tl.zeros((BLOCK, BLOCK_C), dtype=ACC)
    for i in range(0, tl.max(row_count, axis=0)):
        row = first_row + i
        tap_row = y // dilation - window_start(row, rows, KERNEL)
        h = y % dilation + row * dilation
        for j in range(0, tl.max(column_count, axis=0)):
            column = first_column + j
            tap = tap_row * KERNEL + x // dilation - window_start(column, columns, KERNEL)
            w = x % dilation + column * dilation
            sees = inside & (i < row_count) & (j < column_count)
            weight = tl.load(weights + h * wh + w * ww + tap * wt, mask=sees, other=0).to(ACC)
            flow = grad + (h * gh + w * gw)[:, None] + channel[None, :] * gc
            total += weight[:, None] * tl.load(flow, mask=in_map & sees[:, None], other=0).to(ACC)
    tl.store(out + (y * oh + x * ow)[:, None] + channel[None, :] * oc, total.to(out.dtype.element_ty), mask=in_map)


def _launch(kernel, first, second, out, channels, kernel_size, dilation):
    """Launch a kernel over all positions of (B, G, H, W, ...) tensors."""
    if out.numel() == 0:
        return
    batch, groups, height, width = out.shape[:4]
    block_c = support.block_of(channels)
    block = support.positions_per_program(block_c)
    grid = (batch * groups * triton.cdiv(height * width, block),)
    with support.launching(out):
        kernel[grid](
            first, *first.stride(), second, *second.stride(), out, *out.stride(),
            groups, height, width, channels, dilation,
            KERNEL=kernel_size, BLOCK=block, BLOCK_C=block_c, ACC=support.accumulator(first, second),
        )  # fmt: skip


def refuses(args):
    """Return why these arguments cannot be taken, as a sentence, or None if they can."""
    return support.refuses(args, args.weights, args.value)


def forward(args):
    """Return the aggregated values, with value's strides."""
    weights, value, kernel_size, dilation = args
    out = torch.empty_like(value)
    _launch(_forward_kernel, weights, value, out, value.shape[-1], kernel_size, dilation)
    return out


def weights_gradient(grad, value, out, kernel_size, dilation):
    """Write the gradient of the weights, (B, G, H, W, k*k), to ``out``."""
    _launch(_weights_gradient_kernel, grad, value, out, value.shape[-1], kernel_size, dilation)


def value_gradient(grad, weights, out, kernel_size, dilation):
    """Write the gradient of the value, (B, G, H, W, D), to ``out``."""
    _launch(_value_gradient_kernel, grad, weights, out, grad.shape[-1], kernel_size, dilation)


def backward(grad, saved, args, needs):
    """Return the gradients of weights and value, None where ``needs`` is False."""
    weights, value, kernel_size, dilation = args
    grad_weights = torch.empty_like(weights) if needs[0] else None
    grad_value = torch.empty_like(value) if needs[1] else None
    if grad_weights is not None:
        weights_gradient(grad, value, grad_weights, kernel_size, dilation)
    if grad_value is not None:
        value_gradient(grad, weights, grad_value, kernel_size, dilation)
    return grad_weights, grad_value
