"""LayerNorm over channels on a GPU: a program holds all channels of a few positions in its registers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from claimbench.kernels import triton_support as support
from claimbench.kernels.layer_norm_2d.reference import Arguments
from claimbench.kernels.triton_support import unavailable

__all__ = ["backward", "forward", "refuses", "unavailable"]

_MOST_CHANNELS = 8192


@triton.jit
def _tile_offsets(position, channel, width, s_c, s_h, s_w):
    row = (position // width).to(tl.int64)
    column = (position % width).to(tl.int64)
    return row[:, None] * s_h + column[:, None] * s_w + channel[None, :].to(tl.int64) * s_c


@triton.jit
def _normalised(x, in_channels, channels, EPS: tl.constexpr):
    mean = tl.sum(x, axis=1) / channels
    centred = tl.where(in_channels[None, :], x - mean[:, None], 0.0)
    variance = tl.sum(centred * centred, axis=1) / channels
    inverse = 1.0 / tl.sqrt(variance + EPS)
    return centred * inverse[:, None], inverse


@triton.jit
def _forward(
    x_ptr, weight_ptr, bias_ptr, out_ptr, channels, size, width,
    x_b, x_c, x_h, x_w, out_b, out_c, out_h, out_w,
    EPS: tl.constexpr, POSITIONS: tl.constexpr, CHANNELS: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    position = tl.program_id(0) * POSITIONS + tl.arange(0, POSITIONS)
    channel = tl.arange(0, CHANNELS)
    batch = tl.program_id(1).to(tl.int64)
    in_channels = channel < channels
    mask = (position < size)[:, None] & in_channels[None, :]
    x_tile = x_ptr + batch * x_b + _tile_offsets(position, channel, width, x_c, x_h, x_w)
    x = tl.load(x_tile, mask=mask, other=0.0).to(ACC)
    weight = tl.load(weight_ptr + channel, mask=in_channels, other=0.0).to(ACC)
    bias = tl.load(bias_ptr + channel, mask=in_channels, other=0.0).to(ACC)
    normalised, _ = _normalised(x, in_channels, channels, EPS)
    result = normalised * weight[None, :] + bias[None, :]
    out_tile = out_ptr + batch * out_b + _tile_offsets(position, channel, width, out_c, out_h, out_w)
    tl.store(out_tile, result.to(out_ptr.dtype.element_ty), mask=mask)


@triton.jit
def _backward(
    grad_ptr, x_ptr, weight_ptr, grad_x_ptr, partial_ptr, channels, size, width, steps,
    grad_b, grad_c, grad_h, grad_w, x_b, x_c, x_h, x_w, out_b, out_c, out_h, out_w,
    EPS: tl.constexpr, POSITIONS: tl.constexpr, CHANNELS: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    # partial is contiguous (B, splits, 2, C): this program's part of the gradients of weight and bias.
    split = tl.program_id(0)
    channel = tl.arange(0, CHANNELS)
    batch = tl.program_id(1).to(tl.int64)
    in_channels = channel < channels
    weight = tl.load(weight_ptr + channel, mask=in_channels, other=0.0).to(ACC)
    grad_weight = tl.zeros((CHANNELS,), dtype=ACC)
    grad_bias = tl.zeros((CHANNELS,), dtype=ACC)
    for step in range(steps):
        position = (split * steps + step) * POSITIONS + tl.arange(0, POSITIONS)
        mask = (position < size)[:, None] & in_channels[None, :]
        x_tile = x_ptr + batch * x_b + _tile_offsets(position, channel, width, x_c, x_h, x_w)
        grad_tile = grad_ptr + batch * grad_b + _tile_offsets(position, channel, width, grad_c, grad_h, grad_w)
        x = tl.load(x_tile, mask=mask, other=0.0).to(ACC)
        grad = tl.load(grad_tile, mask=mask, other=0.0).to(ACC)
        normalised, inverse = _normalised(x, in_channels, channels, EPS)
        grad_weight += tl.sum(grad * normalised, axis=0)
        grad_bias += tl.sum(grad, axis=0)
        pulled = grad * weight[None, :]
        mean = tl.sum(pulled, axis=1) / channels
        along = tl.sum(pulled * normalised, axis=1) / channels
        result = (pulled - mean[:, None] - normalised * along[:, None]) * inverse[:, None]
        out_tile = grad_x_ptr + batch * out_b + _tile_offsets(position, channel, width, out_c, out_h, out_w)
        tl.store(out_tile, result.to(grad_x_ptr.dtype.element_ty), mask=mask)
    out = partial_ptr + (batch * tl.num_programs(0) + split) * 2 * channels + channel
    tl.store(out, grad_weight, mask=in_channels)
    tl.store(out + channels, grad_bias, mask=in_channels)


def refuses(args: Arguments) -> str | None:
    """Return why the Triton backend cannot take these arguments, or None if it can."""
    if args.x.shape[1] > _MOST_CHANNELS:
        return f"a program holds all channels of a position, at most {_MOST_CHANNELS}, got {args.x.shape[1]}"
    return support.refuses(args)


def _options(x: Tensor, eps: float) -> dict[str, object]:
    channels = support.block_of(x.shape[1])
    positions = max(1, min(64, 4096 // channels))
    return {"EPS": eps, "POSITIONS": positions, "CHANNELS": channels, "ACC": support.accumulator(x), "num_warps": 8}


def forward(args: Arguments) -> Tensor:
    """Return the normalised x, in x's memory format."""
    x, weight, bias, eps = args
    batch, channels, height, width = x.shape
    out, options = torch.empty_like(x), _options(x, eps)
    if out.numel():
        with support.launching(x):
            _forward[(triton.cdiv(height * width, options["POSITIONS"]), batch)](
                x, weight.contiguous(), bias.contiguous(), out, channels, height * width, width,
                *x.stride(), *out.stride(), **options,
            )  # fmt: skip
    return out


def backward(grad: Tensor, saved: list[Tensor], args: Arguments, needs: Sequence[bool]) -> list[Tensor | None]:
    """Return the gradients of x, weight and bias, None where ``needs`` is False."""
    x, weight, _, eps = args
    batch, channels, height, width = x.shape
    grad_x, options = torch.empty_like(x), _options(x, eps)
    tiles = triton.cdiv(height * width, options["POSITIONS"])
    steps = max(1, min(tiles, 8))
    splits = triton.cdiv(tiles, steps)
    partial = torch.empty((batch, splits, 2, channels), dtype=support.storage(x), device=x.device)
    if grad_x.numel():
        with support.launching(x):
            _backward[(splits, batch)](
                grad, x, weight.contiguous(), grad_x, partial, channels, height * width, width, steps,
                *grad.stride(), *x.stride(), *grad_x.stride(), **options,
            )  # fmt: skip
    grad_weight, grad_bias = partial.sum((0, 1)).to(x.dtype)
    return [g if need else None for g, need in zip((grad_x, grad_weight, grad_bias), needs, strict=True)]
