"""The locally shared convolution on a GPU: products of tiles of positions, tap by tap, with the filters of their cell.

No pass uses atomics, so every result has the same bits on each run.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from claimbench.kernels import triton_support as support
from claimbench.kernels.locally_shared_conv2d.reference import cells, output_size
from claimbench.kernels.triton_support import unavailable

__all__ = ["backward", "forward", "refuses", "unavailable"]

_CHANNELS = 32


@triton.jit
def _dot(a, b, FACTOR: tl.constexpr, ACC: tl.constexpr):
    return tl.dot(a.to(FACTOR), b.to(FACTOR), input_precision="ieee", out_dtype=ACC)


@triton.jit
def _edge(cell, size, cells):
    """Return the first of ``size`` positions that belongs to a cell."""
    return (cell * size + cells - 1) // cells


@triton.jit
def _positions(cell, tile, height, width, rows, columns, POSITIONS: tl.constexpr):
    """Return the row and column of a tile of a cell's outputs, and whether each exists."""
    top, bottom = _edge(cell // columns, height, rows), _edge(cell // columns + 1, height, rows)
    left, right = _edge(cell % columns, width, columns), _edge(cell % columns + 1, width, columns)
    place = tile * POSITIONS + tl.arange(0, POSITIONS)
    across = tl.maximum(right - left, 1)
    return top + place // across, left + place % across, place < (bottom - top) * (right - left)


@triton.jit
def _forward_kernel(
    x, xn, xc, xh, xw, weight, wf, wo, wc, wy, wx, bias, bf, bo, out, on, oo, oh, ow,
    channels, outs, height, width, rows, columns, tiles, stride,
    KH: tl.constexpr, KW: tl.constexpr, BIAS: tl.constexpr,
    POSITIONS: tl.constexpr, CHANNELS: tl.constexpr,
    FACTOR: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    image = tl.program_id(0).to(tl.int64)
    cell, tile = tl.program_id(1) // tiles, tl.program_id(1) % tiles
    o = tl.program_id(2) * CHANNELS + tl.arange(0, CHANNELS)
    i, j, there = _positions(cell, tile, height, width, rows, columns, POSITIONS)
    x += image * xn + i[:, None] * stride * xh + j[:, None] * stride * xw
    weight += cell * wf + o[None, :] * wo
    total = tl.zeros((POSITIONS, CHANNELS), dtype=ACC)
    if BIAS:
        total += tl.load(bias + cell * bf + o * bo, mask=o < outs, other=0).to(ACC)[None, :]
    for a in range(KH):
        for b in range(KW):
            for first in range(0, channels, CHANNELS):
                c = first + tl.arange(0, CHANNELS)
                known = c < channels
                seen = tl.load(x + c[None, :] * xc + a * xh + b * xw, mask=there[:, None] & known[None, :], other=0)
                taps = tl.load(
                    weight + c[:, None] * wc + a * wy + b * wx, mask=known[:, None] & (o < outs)[None, :], other=0
                )
                total += _dot(seen, taps, FACTOR, ACC)
    at = out + image * on + o[None, :] * oo + i[:, None] * oh + j[:, None] * ow
    tl.store(at, total.to(out.dtype.element_ty), mask=there[:, None] & (o < outs)[None, :])


@triton.jit
def _input_kernel(
    grad, gn, go, gh, gw, weight, wf, wo, wc, wy, wx, out, xn, xc, xh, xw,
    channels, outs, height, width, rows, columns, in_height, in_width, stride,
    KH: tl.constexpr, KW: tl.constexpr, POSITIONS: tl.constexpr, CHANNELS: tl.constexpr,
    FACTOR: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    image = tl.program_id(0).to(tl.int64)
    place = tl.program_id(1) * POSITIONS + tl.arange(0, POSITIONS)
    y, x = place // in_width, place % in_width
    c = tl.program_id(2) * CHANNELS + tl.arange(0, CHANNELS)
    grad += image * gn
    total = tl.zeros((POSITIONS, CHANNELS), dtype=ACC)
    for a in range(KH):
        for b in range(KW):
            # The output that sees this place through the tap, and its cell.
            i, j = (y - a) // stride, (x - b) // stride
            there = (y >= a) & (x >= b) & ((y - a) % stride == 0) & ((x - b) % stride == 0)
            there = there & (y < in_height) & (i < height) & (j < width)
            own = tl.where(there, i * rows // height * columns + j * columns // width, -1)
            for cell in range(rows * columns):
                mine = own == cell
                if tl.max(mine.to(tl.int32), axis=0) > 0:
                    for first in range(0, outs, CHANNELS):
                        o = first + tl.arange(0, CHANNELS)
                        at = grad + o[None, :] * go + i[:, None] * gh + j[:, None] * gw
                        flow = tl.load(at, mask=mine[:, None] & (o < outs)[None, :], other=0)
                        taps = weight + cell * wf + o[:, None] * wo + c[None, :] * wc + a * wy + b * wx
                        filters = tl.load(taps, mask=(o < outs)[:, None] & (c < channels)[None, :], other=0)
                        total += _dot(flow, filters, FACTOR, ACC)
    at = out + image * xn + c[None, :] * xc + y[:, None] * xh + x[:, None] * xw
    tl.store(at, total.to(out.dtype.element_ty), mask=(y < in_height)[:, None] & (c < channels)[None, :])


@triton.jit
def _weight_kernel(
    grad, gn, go, gh, gw, x, xn, xc, xh, xw, out, wf, wo, wc, wy, wx,
    images, channels, outs, height, width, rows, columns, tiles, stride,
    KH: tl.constexpr, KW: tl.constexpr, POSITIONS: tl.constexpr, CHANNELS: tl.constexpr,
    FACTOR: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    cell, tap = tl.program_id(0) // (KH * KW), tl.program_id(0) % (KH * KW)
    a, b = tap // KW, tap % KW
    o = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    c = tl.program_id(2) * CHANNELS + tl.arange(0, CHANNELS)
    total = tl.zeros((CHANNELS, CHANNELS), dtype=ACC)
    for image in range(images):
        for tile in range(tiles):
            i, j, there = _positions(cell, tile, height, width, rows, columns, POSITIONS)
            at = grad + image * gn + o[:, None] * go + i[None, :] * gh + j[None, :] * gw
            flow = tl.load(at, mask=(o < outs)[:, None] & there[None, :], other=0)
            down, across = i * stride + a, j * stride + b
            at = x + image * xn + c[None, :] * xc + down[:, None] * xh + across[:, None] * xw
            seen = tl.load(at, mask=there[:, None] & (c < channels)[None, :], other=0)
            total += _dot(flow, seen, FACTOR, ACC)
    at = out + cell * wf + o[:, None] * wo + c[None, :] * wc + a * wy + b * wx
    tl.store(at, total.to(out.dtype.element_ty), mask=(o < outs)[:, None] & (c < channels)[None, :])


def refuses(args):
    """Return why these arguments cannot be taken, as a sentence, or None if they can."""
    return support.refuses(args, args.x)


def _positions_of(args):
    """Return the positions of a tile: fewer where a product takes many registers."""
    return 64 if args.x.itemsize == 2 else 32


def _options(args):
    accumulator = support.accumulator(args.x)
    # Tensor cores take factors of half precision; the interpreter has no products of them.
    halves = {} if support.interpreted() else {torch.bfloat16: tl.bfloat16, torch.float16: tl.float16}
    return {
        "KH": args.weight.shape[3],
        "KW": args.weight.shape[4],
        "POSITIONS": _positions_of(args),
        "CHANNELS": _CHANNELS,
        "FACTOR": halves.get(args.x.dtype, accumulator),
        "ACC": accumulator,
        "num_stages": 3 if args.x.itemsize == 2 else 1,
    }


def _sizes(args):
    return args.x.shape[1], args.weight.shape[1], *output_size(args), args.rows, args.columns


def _tiles(args):
    """Return the number of tiles that cover the outputs of the largest cell."""
    sides = zip(output_size(args), (args.rows, args.columns), strict=True)
    down, across = (triton.cdiv(size, count) for size, count in sides)
    return triton.cdiv(down * across, _positions_of(args))


def forward(args):
    """Return the convolution of x."""
    x, weight, bias = args.x, args.weight, args.bias
    out = x.new_empty(len(x), weight.shape[1], *output_size(args))
    if out.numel():
        tiles = _tiles(args)
        shift = x.new_empty(1, 1) if bias is None else bias
        grid = (len(x), len(weight) * tiles, triton.cdiv(weight.shape[1], _CHANNELS))
        with support.launching(x):
            _forward_kernel[grid](
                x, *x.stride(), weight, *weight.stride(), shift, *shift.stride(), out, *out.stride(),
                *_sizes(args), tiles, args.stride, BIAS=bias is not None, **_options(args),
            )  # fmt: skip
    return out


def _grad_input(grad, args):
    x, weight = args.x, args.weight
    out = torch.empty_like(x)
    if out.numel():
        channels, height, width = x.shape[1:]
        grid = (len(x), triton.cdiv(height * width, _positions_of(args)), triton.cdiv(channels, _CHANNELS))
        with support.launching(x):
            _input_kernel[grid](
                grad, *grad.stride(), weight, *weight.stride(), out, *out.stride(),
                *_sizes(args), height, width, args.stride, **_options(args),
            )  # fmt: skip
    return out


def _grad_weight(grad, args):
    x, weight = args.x, args.weight
    out = torch.empty_like(weight)
    if out.numel():
        cell_taps = len(weight) * weight.shape[3] * weight.shape[4]
        grid = (cell_taps, triton.cdiv(weight.shape[1], _CHANNELS), triton.cdiv(weight.shape[2], _CHANNELS))
        with support.launching(x):
            _weight_kernel[grid](
                grad, *grad.stride(), x, *x.stride(), out, *out.stride(),
                len(x), *_sizes(args), _tiles(args), args.stride, **_options(args),
            )  # fmt: skip
    return out


def _grad_bias(grad, args):
    out = torch.zeros_like(args.bias)
    for cell in cells(args):
        out[cell.filters] = grad[:, :, cell.out[0], cell.out[1]].sum((0, 2, 3), dtype=support.storage(grad))
    return out


def backward(grad, saved, args, needs):
    """Return the gradients of x, weight and bias, None where ``needs`` is False."""
    return [
        _grad_input(grad, args) if needs[0] else None,
        _grad_weight(grad, args) if needs[1] else None,
        _grad_bias(grad, args) if needs[2] else None,
    ]
