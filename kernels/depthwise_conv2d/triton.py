"""The depthwise convolution on a GPU: a program holds a tile of positions and channels and walks over the taps."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from claimbench.kernels import triton_support as support
from claimbench.kernels.depthwise_conv2d.reference import Arguments
from claimbench.kernels.triton_support import refuses, unavailable

__all__ = ["backward", "convolve", "forward", "image_gradients", "refuses", "unavailable"]


@triton.jit
def _convolve(
    x_ptr, weight_ptr, bias_ptr, out_ptr, channels, height, width,
    x_b, x_c, x_h, x_w, out_b, out_c, out_h, out_w, weight_b,
    KH: tl.constexpr, KW: tl.constexpr, DILATION: tl.constexpr, TURNED: tl.constexpr, BIAS: tl.constexpr,
    POSITIONS: tl.constexpr, CHANNELS: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    # weight is contiguous (C, kh * kw), or (B, C, kh * kw) with `weight_b` from image to image. TURNED reads it
    # backwards: the gradient of x is that convolution of `grad`.
    position = tl.program_id(0) * POSITIONS + tl.arange(0, POSITIONS)
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    batch = tl.program_id(2).to(tl.int64)
    row = position // width
    column = position % width
    in_map = row < height
    in_channels = channel < channels
    offset = row[:, None].to(tl.int64) * x_h + column[:, None].to(tl.int64) * x_w + channel[None, :].to(tl.int64) * x_c
    x_tile = x_ptr + batch * x_b + offset
    weight_row = weight_ptr + batch * weight_b + channel * (KH * KW)
    total = tl.zeros((POSITIONS, CHANNELS), dtype=ACC)
    if BIAS:
        total += tl.load(bias_ptr + channel, mask=in_channels, other=0.0).to(ACC)[None, :]
    for i in range(KH):
        y = row + (i - KH // 2) * DILATION
        in_row = in_map & (y >= 0) & (y < height)
        for j in range(KW):
            step = (j - KW // 2) * DILATION
            inside = in_row & (column + step >= 0) & (column + step < width)
            shift = (i - KH // 2) * DILATION * x_h + step * x_w
            value = tl.load(x_tile + shift, mask=inside[:, None] & in_channels[None, :], other=0.0)
            tap = i * KW + j
            if TURNED:
                tap = KH * KW - 1 - tap
            weight = tl.load(weight_row + tap, mask=in_channels, other=0.0)
            total += value.to(ACC) * weight.to(ACC)[None, :]
    offset = (
        row[:, None].to(tl.int64) * out_h + column[:, None].to(tl.int64) * out_w + channel[None, :].to(tl.int64) * out_c
    )
    out_tile = out_ptr + batch * out_b + offset
    tl.store(out_tile, total.to(out_ptr.dtype.element_ty), mask=in_map[:, None] & in_channels[None, :])


@triton.jit
def _weight_gradient(
    grad_ptr, x_ptr, partial_ptr, channels, height, width,
    grad_b, grad_c, grad_h, grad_w, x_b, x_c, x_h, x_w,
    KH: tl.constexpr, KW: tl.constexpr, DILATION: tl.constexpr,
    POSITIONS: tl.constexpr, CHANNELS: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    # One tap of one image: partial is contiguous (B, kh * kw, C).
    tap = tl.program_id(0)
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    batch = tl.program_id(2).to(tl.int64)
    down = (tap // KW - KH // 2) * DILATION
    right = (tap % KW - KW // 2) * DILATION
    in_channels = channel < channels
    total = tl.zeros((POSITIONS, CHANNELS), dtype=ACC)
    for first in range(0, height * width, POSITIONS):
        position = first + tl.arange(0, POSITIONS)
        row = position // width
        column = position % width
        inside = (row < height) & (row + down >= 0) & (row + down < height)
        inside = inside & (column + right >= 0) & (column + right < width)
        mask = inside[:, None] & in_channels[None, :]
        y, z, c = row[:, None].to(tl.int64), column[:, None].to(tl.int64), channel[None, :].to(tl.int64)
        grad = tl.load(grad_ptr + batch * grad_b + y * grad_h + z * grad_w + c * grad_c, mask=mask, other=0.0)
        x = tl.load(x_ptr + batch * x_b + (y + down) * x_h + (z + right) * x_w + c * x_c, mask=mask, other=0.0)
        total += grad.to(ACC) * x.to(ACC)
    out = partial_ptr + (batch * KH * KW + tap) * channels + channel
    tl.store(out, tl.sum(total, axis=0), mask=in_channels)


def _tile(x: Tensor) -> dict[str, int]:
    """Return the tile: long along the axis whose elements are neighbours in memory."""
    if x.stride(1) == 1:
        return {"POSITIONS": 32, "CHANNELS": min(64, max(8, support.block_of(x.shape[1])))}
    return {"POSITIONS": 128, "CHANNELS": 8}


def convolve(
    x: Tensor, weight: Tensor, bias: Tensor | None, out: Tensor, dilation: int, turned: bool, shared: bool = True
) -> Tensor:
    """Write the convolution of x with a weight (C, 1, kh, kw) or, unless ``shared``, (B, C, kh, kw) to ``out``."""
    batch, channels, height, width = x.shape
    tile, kh, kw = _tile(x), *weight.shape[2:]
    if out.numel() == 0:
        return out
    grid = (triton.cdiv(height * width, tile["POSITIONS"]), triton.cdiv(channels, tile["CHANNELS"]), batch)
    weight = weight.contiguous()
    shift = weight if bias is None else bias.contiguous()
    with support.launching(x):
        _convolve[grid](
            x, weight, shift, out, channels, height, width, *x.stride(), *out.stride(),
            0 if shared else weight.stride(0),
            KH=kh, KW=kw, DILATION=dilation, TURNED=turned, BIAS=bias is not None, ACC=support.accumulator(x), **tile,
        )  # fmt: skip
    return out


def forward(args: Arguments) -> Tensor:
    """Return the convolution of x, in x's memory format."""
    return convolve(args.x, args.weight, args.bias, torch.empty_like(args.x), args.dilation, False)


def image_gradients(grad: Tensor, x: Tensor, kh: int, kw: int, dilation: int) -> Tensor:
    """Return each image's share of the gradient of the weight: (B, kh * kw, C)."""
    batch, channels, height, width = x.shape
    tile = _tile(x)
    partial = torch.empty((batch, kh * kw, channels), dtype=support.storage(x), device=x.device)
    if partial.numel():
        with support.launching(x):
            _weight_gradient[(kh * kw, triton.cdiv(channels, tile["CHANNELS"]), batch)](
                grad, x, partial, channels, height, width, *grad.stride(), *x.stride(),
                KH=kh, KW=kw, DILATION=dilation, ACC=support.accumulator(x), **tile,
            )  # fmt: skip
    return partial


def _grad_weight(grad: Tensor, x: Tensor, weight: Tensor, dilation: int) -> Tensor:
    partial = image_gradients(grad, x, *weight.shape[2:], dilation)
    return torch.empty_like(weight).copy_(partial.sum(0).t().reshape(weight.shape))


def backward(grad: Tensor, saved: list[Tensor], args: Arguments, needs: Sequence[bool]) -> list[Tensor | None]:
    """Return the gradients of x, weight and bias, None where ``needs`` is False."""
    x, weight, _, dilation = args
    return [
        convolve(grad, weight, None, torch.empty_like(x), dilation, True) if needs[0] else None,
        _grad_weight(grad, x, weight, dilation) if needs[1] else None,
        grad.sum((0, 2, 3), dtype=support.storage(grad)).to(grad.dtype) if needs[2] else None,
    ]
