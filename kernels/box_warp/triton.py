"""The box warp on a GPU: a program fills a tile of one map, or gathers a tile of one mask's gradient.

No pass uses atomics, so every result has the same bits on each run. Places are in float64, as the CPU's are: where one
falls on a sample, rounding decides which neighbour the gradient sees.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from claimbench.kernels import triton_support as support
from claimbench.kernels.triton_support import unavailable

__all__ = ["backward", "forward", "refuses", "unavailable"]

_PIXELS = 32  # a side of a tile of the map
_SAMPLES = 32  # the most of a side of a tile of the mask


@triton.jit
def _dot(a, b, ACC: tl.constexpr):
    return tl.dot(a.to(ACC), b.to(ACC), input_precision="ieee", out_dtype=ACC)


@triton.jit
def _taps(box, centre_at, extent_at, samples, pixel, pixels):
    """Return of each pixel its two samples, the weight of the second, its place in the box, and two flags.

    The flags say whether it is inside, and whether its weight moves with the box.
    """
    centre, extent = tl.load(box + centre_at).to(tl.float64), tl.load(box + extent_at).to(tl.float64)
    middle = pixel.to(tl.float64) + 0.5
    start = centre - extent / 2
    # What is no number compares as inside, so that it is seen in the result.
    outside = (middle < start) | (middle >= centre + extent / 2) | (pixel >= pixels)
    within = middle - start
    extent = tl.where(extent <= 0, 1.0, extent)  # a box without extent has no pixel inside
    place = within * samples / extent - 0.5
    most = samples - 1
    clamped = tl.where(place < 0, 0.0, tl.where(place > most, most.to(tl.float64), place))
    left = tl.where((clamped > 0) & (outside == 0), clamped, 0.0).to(tl.int32)
    inside = outside == 0
    return left, tl.minimum(left + 1, most), clamped - left, within / extent, inside, (place > 0) & (place < most)


@triton.jit
def _between(mask, upper, lower, down, left, right, across, mh, mw, inside, ACC: tl.constexpr):
    """Return the values at the pixels, and their slopes down and across."""
    top, bottom = upper[:, None] * mh, lower[:, None] * mh
    first, last = left[None, :] * mw, right[None, :] * mw
    a = tl.load(mask + top + first, mask=inside, other=0).to(ACC)
    b = tl.load(mask + top + last, mask=inside, other=0).to(ACC)
    c = tl.load(mask + bottom + first, mask=inside, other=0).to(ACC)
    d = tl.load(mask + bottom + last, mask=inside, other=0).to(ACC)
    v, u = down[:, None].to(ACC), across[None, :].to(ACC)
    upper_line, lower_line = a * (1 - u) + b * u, c * (1 - u) + d * u
    slope_across = (b - a) * (1 - v) + (d - c) * v
    return upper_line * (1 - v) + lower_line * v, lower_line - upper_line, slope_across


@triton.jit
def _forward_kernel(
    mask, mn, mk, mh, mw, box, bn, bk, bc, visible, vn, vk, out, on, ok, oh, ow,
    labels, rows, columns, height, width,
    PIXELS: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    n, k = (tl.program_id(0) // labels).to(tl.int64), (tl.program_id(0) % labels).to(tl.int64)
    i = tl.program_id(1) * PIXELS + tl.arange(0, PIXELS)
    j = tl.program_id(2) * PIXELS + tl.arange(0, PIXELS)
    box += n * bn + k * bk
    upper, lower, down, _, in_rows, _ = _taps(box, bc, 3 * bc, rows, i, height)
    left, right, across, _, in_columns, _ = _taps(box, 0, 2 * bc, columns, j, width)
    inside = in_rows[:, None] & in_columns[None, :]
    mask += n * mn + k * mk
    value, _, _ = _between(mask, upper, lower, down, left, right, across, mh, mw, inside, ACC)
    value = tl.where(inside, value * tl.load(visible + n * vn + k * vk).to(ACC), 0.0)
    at = out + n * on + k * ok + i[:, None] * oh + j[None, :] * ow
    tl.store(at, value.to(out.dtype.element_ty), mask=(i < height)[:, None] & (j < width)[None, :])


@triton.jit
def _shares(first, second, weight, inside, sample, ACC: tl.constexpr):
    """Return how much of each pixel goes to each sample: (samples, pixels)."""
    weight = weight.to(ACC)[None, :]
    share = tl.where(first[None, :] == sample[:, None], 1 - weight, 0.0)
    share += tl.where(second[None, :] == sample[:, None], weight, 0.0)
    return tl.where(inside[None, :], share, 0.0)


@triton.jit
def _mask_kernel(
    grad, gn, gk, gh, gw, box, bn, bk, bc, visible, vn, vk, out, on, ok, oh, ow,
    labels, rows, columns, height, width,
    PIXELS: tl.constexpr, SAMPLES: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    n, k = (tl.program_id(0) // labels).to(tl.int64), (tl.program_id(0) % labels).to(tl.int64)
    y = tl.program_id(1) * SAMPLES + tl.arange(0, SAMPLES)
    x = tl.program_id(2) * SAMPLES + tl.arange(0, SAMPLES)
    box += n * bn + k * bk
    grad += n * gn + k * gk
    total = tl.zeros((SAMPLES, SAMPLES), dtype=ACC)
    for top in range(0, height, PIXELS):
        i = top + tl.arange(0, PIXELS)
        upper, lower, down, _, in_rows, _ = _taps(box, bc, 3 * bc, rows, i, height)
        to_rows = _shares(upper, lower, down, in_rows, y, ACC)
        for first in range(0, width, PIXELS):
            j = first + tl.arange(0, PIXELS)
            left, right, across, _, in_columns, _ = _taps(box, 0, 2 * bc, columns, j, width)
            inside = in_rows[:, None] & in_columns[None, :]
            flow = tl.load(grad + i[:, None] * gh + j[None, :] * gw, mask=inside, other=0)
            to_columns = _shares(left, right, across, in_columns, x, ACC)
            total += _dot(_dot(to_rows, flow, ACC), tl.trans(to_columns), ACC)
    total *= tl.load(visible + n * vn + k * vk).to(ACC)
    at = out + n * on + k * ok + y[:, None] * oh + x[None, :] * ow
    tl.store(at, total.to(out.dtype.element_ty), mask=(y < rows)[:, None] & (x < columns)[None, :])


@triton.jit
def _box_kernel(
    grad, gn, gk, gh, gw, mask, mn, mk, mh, mw, box, bn, bk, bc, visible, vn, vk,
    grad_box, qn, qk, qc, grad_visible, pn, pk,
    labels, rows, columns, height, width,
    PIXELS: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    n, k = (tl.program_id(0) // labels).to(tl.int64), (tl.program_id(0) % labels).to(tl.int64)
    box += n * bn + k * bk
    grad += n * gn + k * gk
    mask += n * mn + k * mk
    seen = tl.load(visible + n * vn + k * vk).to(ACC)
    shown = tl.zeros((PIXELS,), dtype=ACC)
    x_centre = tl.zeros((PIXELS,), dtype=ACC)
    x_extent = tl.zeros((PIXELS,), dtype=ACC)
    y_centre = tl.zeros((PIXELS,), dtype=ACC)
    y_extent = tl.zeros((PIXELS,), dtype=ACC)
    for top in range(0, height, PIXELS):
        i = top + tl.arange(0, PIXELS)
        upper, lower, down, y_place, in_rows, y_free = _taps(box, bc, 3 * bc, rows, i, height)
        for first in range(0, width, PIXELS):
            j = first + tl.arange(0, PIXELS)
            left, right, across, x_place, in_columns, x_free = _taps(box, 0, 2 * bc, columns, j, width)
            inside = in_rows[:, None] & in_columns[None, :]
            flow = tl.load(grad + i[:, None] * gh + j[None, :] * gw, mask=inside, other=0).to(ACC)
            value, sink, drift = _between(mask, upper, lower, down, left, right, across, mh, mw, inside, ACC)
            # Weights of pixels outside may be no numbers, of a box without extent.
            shown += tl.sum(tl.where(inside, flow * value, 0.0), axis=1)
            moved = tl.where(inside & x_free[None, :], flow * drift, 0.0)
            x_centre -= tl.sum(moved, axis=1)
            place = tl.where(in_columns, 0.5 - x_place, 0.0).to(ACC)
            x_extent += tl.sum(moved * place[None, :], axis=1)
            moved = tl.where(inside & y_free[:, None], flow * sink, 0.0)
            y_centre -= tl.sum(moved, axis=1)
            place = tl.where(in_rows, 0.5 - y_place, 0.0).to(ACC)
            y_extent += tl.sum(moved * place[:, None], axis=1)
    tl.store(grad_visible + n * pn + k * pk, tl.sum(shown, axis=0).to(grad_visible.dtype.element_ty))
    across, down = tl.load(box + 2 * bc).to(ACC), tl.load(box + 3 * bc).to(ACC)
    # A box without extent has no slopes; where an extent is no number, neither is the slope.
    in_x, in_y = seen * columns / tl.where(across <= 0, 1.0, across), seen * rows / tl.where(down <= 0, 1.0, down)
    to = grad_box + n * qn + k * qk
    kind = grad_box.dtype.element_ty
    tl.store(to, (tl.sum(x_centre, axis=0) * in_x).to(kind))
    tl.store(to + qc, (tl.sum(y_centre, axis=0) * in_y).to(kind))
    tl.store(to + 2 * qc, (tl.sum(x_extent, axis=0) * in_x).to(kind))
    tl.store(to + 3 * qc, (tl.sum(y_extent, axis=0) * in_y).to(kind))


def refuses(args):
    """Return why these arguments cannot be taken, as a sentence, or None if they can."""
    return support.refuses(args, args.mask)


def _sizes(args):
    mask = args.mask
    return mask.shape[1], mask.shape[2], mask.shape[3], args.height, args.width


def forward(args):
    """Return the maps (N, K, height, width)."""
    mask, box, visible, height, width = args
    out = mask.new_empty(*mask.shape[:2], height, width)
    if out.numel():
        grid = (visible.numel(), triton.cdiv(height, _PIXELS), triton.cdiv(width, _PIXELS))
        with support.launching(mask):
            _forward_kernel[grid](
                mask, *mask.stride(), box, *box.stride(), visible, *visible.stride(), out, *out.stride(),
                *_sizes(args), PIXELS=_PIXELS, ACC=support.accumulator(mask, box),
            )  # fmt: skip
    return out


def backward(grad, saved, args, needs):
    """Return the gradients of mask, box and visible, None where ``needs`` is False."""
    mask, box, visible = args.mask, args.box, args.visible
    grads = [torch.empty_like(tensor) for tensor in (mask, box, visible)]
    options = {"PIXELS": _PIXELS, "ACC": support.accumulator(mask, box)}
    if visible.numel():
        samples = max(16, min(_SAMPLES, support.block_of(max(mask.shape[2:]))))
        grid = (visible.numel(), triton.cdiv(mask.shape[2], samples), triton.cdiv(mask.shape[3], samples))
        with support.launching(mask):
            if needs[0]:
                _mask_kernel[grid](
                    grad, *grad.stride(), box, *box.stride(), visible, *visible.stride(), grads[0], *grads[0].stride(),
                    *_sizes(args), SAMPLES=samples, **options,
                )  # fmt: skip
            if needs[1] or needs[2]:
                _box_kernel[(visible.numel(),)](
                    grad, *grad.stride(), mask, *mask.stride(), box, *box.stride(), visible, *visible.stride(),
                    grads[1], *grads[1].stride(), grads[2], *grads[2].stride(), *_sizes(args), **options,
                )  # fmt: skip
    return [each if need else None for each, need in zip(grads, needs, strict=True)]
