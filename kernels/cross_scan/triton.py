"""The cross-scan and its adjoint on a GPU: a program holds a tile of the map and moves it along all four directions."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from claimbench.kernels import triton_support as support
from claimbench.kernels.cross_scan.reference import DIRECTIONS, SCANS
from claimbench.kernels.triton_support import unavailable

__all__ = ["backward", "forward", "merge", "place", "refuses", "scan", "unavailable"]


@triton.jit
def place(row, column, height, width, DIRECTION: tl.constexpr):
    """Return the place of a position of the map in the sequence of a direction."""
    step = column * height + row if DIRECTION % 2 else row * width + column
    return height * width - 1 - step if DIRECTION >= 2 else step


@triton.jit
def _tile(height, width, channels, LAST: tl.constexpr, FIRST_SIDE: tl.constexpr, SECOND_SIDE: tl.constexpr):
    """Return row, column and channel of the elements of this program's tile, and which of them there are.

    A tile is rows by columns of one channel or, with channels side by side in memory, positions by channels.
    """
    first, second = tl.arange(0, FIRST_SIDE)[:, None], tl.arange(0, SECOND_SIDE)[None, :]
    if LAST:
        position = tl.program_id(0) * FIRST_SIDE + first
        row, column = position // width, position % width
        channel = tl.program_id(1) * SECOND_SIDE + second
    else:
        across = tl.cdiv(width, SECOND_SIDE)
        row = tl.program_id(0) // across * FIRST_SIDE + first
        column = tl.program_id(0) % across * SECOND_SIDE + second
        channel = tl.program_id(1) + tl.zeros((1, 1), dtype=tl.int32)
    return row, column, channel.to(tl.int64), (row < height) & (column < width) & (channel < channels)


@triton.jit
def _scan_kernel(
    x, xb, xc, xh, xw, out, ob, ok, oc, ol, height, width, channels,
    D0: tl.constexpr, D1: tl.constexpr, D2: tl.constexpr, D3: tl.constexpr,
    LAST: tl.constexpr, FIRST_SIDE: tl.constexpr, SECOND_SIDE: tl.constexpr,
):  # fmt: skip
    batch = tl.program_id(2).to(tl.int64)
    row, column, channel, mask = _tile(height, width, channels, LAST, FIRST_SIDE, SECOND_SIDE)
    seen = tl.load(x + batch * xb + channel * xc + row * xh + column * xw, mask=mask)
    out += batch * ob + channel * oc
    tl.store(out + place(row, column, height, width, D0) * ol, seen, mask=mask)
    tl.store(out + ok + place(row, column, height, width, D1) * ol, seen, mask=mask)
    tl.store(out + 2 * ok + place(row, column, height, width, D2) * ol, seen, mask=mask)
    tl.store(out + 3 * ok + place(row, column, height, width, D3) * ol, seen, mask=mask)


@triton.jit
def _merge_kernel(
    y, yb, yk, yc, yl, out, ob, oc, oh, ow, height, width, channels,
    D0: tl.constexpr, D1: tl.constexpr, D2: tl.constexpr, D3: tl.constexpr,
    LAST: tl.constexpr, FIRST_SIDE: tl.constexpr, SECOND_SIDE: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    batch = tl.program_id(2).to(tl.int64)
    row, column, channel, mask = _tile(height, width, channels, LAST, FIRST_SIDE, SECOND_SIDE)
    y += batch * yb + channel * yc
    total = tl.load(y + place(row, column, height, width, D0) * yl, mask=mask).to(ACC)
    total += tl.load(y + yk + place(row, column, height, width, D1) * yl, mask=mask).to(ACC)
    total += tl.load(y + 2 * yk + place(row, column, height, width, D2) * yl, mask=mask).to(ACC)
    total += tl.load(y + 3 * yk + place(row, column, height, width, D3) * yl, mask=mask).to(ACC)
    to = out + batch * ob + channel * oc + row * oh + column * ow
    tl.store(to, total.to(out.dtype.element_ty), mask=mask)


def refuses(args):
    """Return why the Triton backend cannot take these arguments, or None if it can."""
    return support.refuses(args, args[0][:, None])


def _launch(kernel, maps, scans, last, source, to, **options):
    """Run a kernel over all tiles of maps (B, C, H, W), from ``source`` to ``to``."""
    batch, channels, height, width = maps.shape
    if last:
        sides = (32, 64)
        grid = triton.cdiv(height * width, sides[0]), triton.cdiv(channels, sides[1]), batch
    else:
        sides = tuple(max(4, min(32, support.block_of(size))) for size in (height, width))
        grid = triton.cdiv(height, sides[0]) * triton.cdiv(width, sides[1]), channels, batch
    directions = dict(zip(("D0", "D1", "D2", "D3"), DIRECTIONS[SCANS[scans]], strict=True))
    if maps.numel():
        with support.launching(maps):
            kernel[grid](
                source, *source.stride(), to, *to.stride(), height, width, channels,
                LAST=last, FIRST_SIDE=sides[0], SECOND_SIDE=sides[1], **directions, **options,
            )  # fmt: skip


def scan(x, scans, channels_last):
    """Return the sequences of a map, shaped as :func:`~claimbench.kernels.cross_scan.cross_scan` says."""
    maps = x.permute(0, 3, 1, 2) if channels_last else x
    batch, channels, height, width = maps.shape
    if channels_last:
        out = x.new_empty(batch, height * width, 4, channels)
        sequences = out.permute(0, 2, 3, 1)
    else:
        out = sequences = x.new_empty(batch, 4, channels, height * width)
    _launch(_scan_kernel, maps, scans, channels_last, maps, sequences)
    return out


def merge(y, height, width, scans, channels_last):
    """Return the map of the sequences, shaped as :func:`~claimbench.kernels.cross_merge.cross_merge` says."""
    sequences = y.permute(0, 2, 3, 1) if channels_last else y
    batch, _, channels, _ = sequences.shape
    shape = (batch, height, width, channels) if channels_last else (batch, channels, height, width)
    out = y.new_empty(shape)
    maps = out.permute(0, 3, 1, 2) if channels_last else out
    _launch(_merge_kernel, maps, scans, channels_last, sequences, maps, ACC=support.accumulator(y))
    return out


def forward(args):
    """Return the four sequences of a map."""
    return scan(*args)


def backward(grad, saved, args, needs):
    """Return the gradient of x: the cross-merge of the sequences' gradients."""
    x, scans, channels_last = args
    height, width = x.shape[1:3] if channels_last else x.shape[2:]
    return [torch.empty_like(x).copy_(merge(grad, height, width, scans, channels_last))]
