"""The causal depthwise convolution on a GPU: a program holds some positions of some channels of one image."""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from claimbench.kernels import triton_support as support
from claimbench.kernels.triton_support import unavailable

__all__ = ["backward", "forward", "refuses", "unavailable"]


@triton.jit
def _load(tensor, sc, sl, channel, position, channels, length, ACC: tl.constexpr):
    """Return a tile (CHANNELS, POSITIONS), 0 outside."""
    known = (channel < channels)[:, None] & ((position >= 0) & (position < length))[None, :]
    return tl.load(tensor + channel[:, None] * sc + position[None, :] * sl, mask=known, other=0.0).to(ACC)


@triton.jit
def _convolved(
    x, xc, xl, weight, bias, channel, position, channels, length,
    WIDTH: tl.constexpr, BIAS: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    in_channels = channel < channels
    total = tl.zeros((channel.shape[0], position.shape[0]), dtype=ACC)
    for k in tl.static_range(WIDTH):
        tap = tl.load(weight + channel * WIDTH + k, mask=in_channels, other=0.0).to(ACC)
        total += tap[:, None] * _load(x, xc, xl, channel, position + (k + 1 - WIDTH), channels, length, ACC)
    if BIAS:
        total += tl.load(bias + channel, mask=in_channels, other=0.0).to(ACC)[:, None]
    return total


@triton.jit
def _sigmoid(x):
    bell = tl.exp(-tl.abs(x))
    return tl.where(x < 0, bell, 1.0) / (1.0 + bell)


@triton.jit
def _forward(
    x, xb, xc, xl, weight, bias, out, ob, oc, ol, channels, length,
    WIDTH: tl.constexpr, BIAS: tl.constexpr, SILU: tl.constexpr,
    CHANNELS: tl.constexpr, POSITIONS: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    position = tl.program_id(0) * POSITIONS + tl.arange(0, POSITIONS)
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    batch = tl.program_id(2).to(tl.int64)
    total = _convolved(x + batch * xb, xc, xl, weight, bias, channel, position, channels, length, WIDTH, BIAS, ACC)
    if SILU:
        total *= _sigmoid(total)
    mask = (channel < channels)[:, None] & (position < length)[None, :]
    to = out + batch * ob + channel[:, None] * oc + position[None, :] * ol
    tl.store(to, total.to(out.dtype.element_ty), mask=mask)


@triton.jit
def _backward(
    grad, gb, gc, gl, x, xb, xc, xl, weight, bias, grad_x, ob, oc, ol, partial, channels, length,
    WIDTH: tl.constexpr, BIAS: tl.constexpr, SILU: tl.constexpr,
    CHANNELS: tl.constexpr, POSITIONS: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    # partial is contiguous (B, blocks of positions, WIDTH + 1, D): this program's part of the gradients of the taps and
    # of the bias.
    position = tl.program_id(0) * POSITIONS + tl.arange(0, POSITIONS)
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    batch = tl.program_id(2).to(tl.int64)
    x += batch * xb
    in_channels = channel < channels
    total = tl.zeros((CHANNELS, POSITIONS), dtype=ACC)
    part = partial + (batch * tl.num_programs(0) + tl.program_id(0)) * (WIDTH + 1) * channels + channel
    for ahead in tl.static_range(WIDTH):
        later = position + ahead
        flow = _load(grad + batch * gb, gc, gl, channel, later, channels, length, ACC)
        if SILU:
            before = _convolved(x, xc, xl, weight, bias, channel, later, channels, length, WIDTH, BIAS, ACC)
            gate = _sigmoid(before)
            flow *= gate * (1.0 + before * (1.0 - gate))
        tap = tl.load(weight + channel * WIDTH + (WIDTH - 1 - ahead), mask=in_channels, other=0.0).to(ACC)
        total += tap[:, None] * flow
        if ahead == 0:
            for k in tl.static_range(WIDTH):
                seen = _load(x, xc, xl, channel, position + (k + 1 - WIDTH), channels, length, ACC)
                tl.store(part + k * channels, tl.sum(flow * seen, axis=1), mask=in_channels)
            tl.store(part + WIDTH * channels, tl.sum(flow, axis=1), mask=in_channels)
    mask = in_channels[:, None] & (position < length)[None, :]
    to = grad_x + batch * ob + channel[:, None] * oc + position[None, :] * ol
    tl.store(to, total.to(grad_x.dtype.element_ty), mask=mask)


def refuses(args):
    """Return why the Triton backend cannot take these arguments, or None if it can."""
    return support.refuses(args, args.x[:, None])


def _options(args):
    along_channels = args.x.stride(1) == 1 and args.x.shape[1] > 1
    channels, positions = (64, 16) if along_channels else (4, 256)
    return {
        "WIDTH": args.weight.shape[1], "BIAS": args.bias is not None, "SILU": args.silu,
        "CHANNELS": channels, "POSITIONS": positions, "ACC": support.accumulator(args.x),
    }  # fmt: skip


def _grid(x, options):
    batch, channels, length = x.shape
    return triton.cdiv(length, options["POSITIONS"]), triton.cdiv(channels, options["CHANNELS"]), batch


def forward(args):
    """Return the convolution of x, in x's memory format."""
    x, out, options = args.x, torch.empty_like(args.x), _options(args)
    weight = args.weight.contiguous()
    bias = weight if args.bias is None else args.bias.contiguous()
    if out.numel():
        with support.launching(x):
            _forward[_grid(x, options)](
                x, *x.stride(), weight, bias, out, *out.stride(), *x.shape[1:], **options
            )  # fmt: skip
    return out


def backward(grad, saved, args, needs):
    """Return the gradients of x, weight and bias, None where ``needs`` is False; all come out of one pass."""
    x, options = args.x, _options(args)
    weight, grad_x = args.weight.contiguous(), torch.empty_like(x)
    bias = weight if args.bias is None else args.bias.contiguous()
    channels, width = weight.shape
    grid = _grid(x, options)
    partial = x.new_zeros(grid[2], grid[0], width + 1, channels, dtype=support.storage(x))
    if x.numel():
        with support.launching(x):
            _backward[grid](
                grad, *grad.stride(), x, *x.stride(), weight, bias, grad_x, *grad_x.stride(), partial, *x.shape[1:],
                **options,
            )  # fmt: skip
    sums = partial.sum((0, 1))
    found = (grad_x, sums[:width].T, sums[width])
    tensors = zip(found, args, needs, strict=False)
    return [torch.empty_like(arg).copy_(each) if need and arg is not None else None for each, arg, need in tensors]
