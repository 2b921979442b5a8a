"""Global response normalisation on a GPU: a pass for the sums of every channel, and one that applies the scale."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from claimbench.kernels import triton_support as support
from claimbench.kernels.global_response_norm.reference import Arguments
from claimbench.kernels.triton_support import refuses, unavailable

__all__ = ["backward", "forward", "refuses", "unavailable"]


@triton.jit
def _tile_offsets(position, channel, width, s_c, s_h, s_w):
    row = (position // width).to(tl.int64)
    column = (position % width).to(tl.int64)
    return row[:, None] * s_h + column[:, None] * s_w + channel[None, :].to(tl.int64) * s_c


@triton.jit
def _sums(
    x_ptr, grad_ptr, sums_ptr, channels, size, width, steps,
    x_b, x_c, x_h, x_w, grad_b, grad_c, grad_h, grad_w,
    GRADIENT: tl.constexpr, POSITIONS: tl.constexpr, CHANNELS: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    # sums is contiguous (B, splits, 3, C): of x*x, and with GRADIENT also of x*grad and of grad.
    split = tl.program_id(0)
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    batch = tl.program_id(2).to(tl.int64)
    in_channels = channel < channels
    square = tl.zeros((POSITIONS, CHANNELS), dtype=ACC)
    product = tl.zeros((POSITIONS, CHANNELS), dtype=ACC)
    total = tl.zeros((POSITIONS, CHANNELS), dtype=ACC)
    for step in range(steps):
        position = (split * steps + step) * POSITIONS + tl.arange(0, POSITIONS)
        mask = (position < size)[:, None] & in_channels[None, :]
        x_tile = x_ptr + batch * x_b + _tile_offsets(position, channel, width, x_c, x_h, x_w)
        x = tl.load(x_tile, mask=mask, other=0.0).to(ACC)
        square += x * x
        if GRADIENT:
            grad_tile = grad_ptr + batch * grad_b + _tile_offsets(position, channel, width, grad_c, grad_h, grad_w)
            grad = tl.load(grad_tile, mask=mask, other=0.0).to(ACC)
            product += x * grad
            total += grad
    out = sums_ptr + (batch * tl.num_programs(0) + split) * 3 * channels + channel
    tl.store(out, tl.sum(square, axis=0), mask=in_channels)
    if GRADIENT:
        tl.store(out + channels, tl.sum(product, axis=0), mask=in_channels)
        tl.store(out + 2 * channels, tl.sum(total, axis=0), mask=in_channels)


@triton.jit
def _apply(
    x_ptr, y_ptr, out_ptr, scale_ptr, other_ptr, channels, size, width,
    x_b, x_c, x_h, x_w, y_b, y_c, y_h, y_w, out_b, out_c, out_h, out_w,
    TWO: tl.constexpr, POSITIONS: tl.constexpr, CHANNELS: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    # out = scale * x + other, or with TWO out = scale * x + other * y; scale and other are contiguous (B, C).
    position = tl.program_id(0) * POSITIONS + tl.arange(0, POSITIONS)
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    batch = tl.program_id(2).to(tl.int64)
    in_channels = channel < channels
    mask = (position < size)[:, None] & in_channels[None, :]
    scale = tl.load(scale_ptr + batch * channels + channel, mask=in_channels, other=0.0)[None, :]
    other = tl.load(other_ptr + batch * channels + channel, mask=in_channels, other=0.0)[None, :]
    x_tile = x_ptr + batch * x_b + _tile_offsets(position, channel, width, x_c, x_h, x_w)
    result = scale * tl.load(x_tile, mask=mask, other=0.0).to(ACC)
    if TWO:
        y_tile = y_ptr + batch * y_b + _tile_offsets(position, channel, width, y_c, y_h, y_w)
        result += other * tl.load(y_tile, mask=mask, other=0.0).to(ACC)
    else:
        result += other
    out_tile = out_ptr + batch * out_b + _tile_offsets(position, channel, width, out_c, out_h, out_w)
    tl.store(out_tile, result.to(out_ptr.dtype.element_ty), mask=mask)


def _tile(x: Tensor) -> dict[str, int]:
    """Return the tile: long along the axis whose elements are neighbours in memory."""
    if x.stride(1) == 1:
        return {"POSITIONS": 32, "CHANNELS": min(64, max(8, support.block_of(x.shape[1])))}
    return {"POSITIONS": 256, "CHANNELS": 8}


def _summed(x: Tensor, grad: Tensor | None) -> Tensor:
    """Return (3, B, C): the sums over the map of x*x, x*grad and grad (only the first without a gradient)."""
    batch, channels, height, width = x.shape
    tile = _tile(x)
    tiles = triton.cdiv(height * width, tile["POSITIONS"])
    steps = min(tiles, 8)
    splits = triton.cdiv(tiles, steps)
    sums = torch.zeros((batch, splits, 3, channels), dtype=support.storage(x), device=x.device)
    other = x if grad is None else grad
    if sums.numel():
        with support.launching(x):
            _sums[(splits, triton.cdiv(channels, tile["CHANNELS"]), batch)](
                x, other, sums, channels, height * width, width, steps, *x.stride(), *other.stride(),
                GRADIENT=grad is not None, ACC=support.accumulator(x), **tile,
            )  # fmt: skip
    return sums.sum(1).transpose(0, 1)


def _applied(x: Tensor, y: Tensor | None, out: Tensor, scale: Tensor, other: Tensor) -> Tensor:
    batch, channels, height, width = x.shape
    tile = _tile(x)
    second = x if y is None else y
    if out.numel():
        grid = (triton.cdiv(height * width, tile["POSITIONS"]), triton.cdiv(channels, tile["CHANNELS"]), batch)
        with support.launching(x):
            _apply[grid](
                x, second, out, scale.contiguous(), other.contiguous(), channels, height * width, width,
                *x.stride(), *second.stride(), *out.stride(), TWO=y is not None, ACC=support.accumulator(x), **tile,
            )  # fmt: skip
    return out


def forward(args: Arguments) -> Tensor:
    """Return the normalised x, in x's memory format."""
    x, gamma, beta, eps = args
    norm = _summed(x, None)[0].sqrt()
    relative = norm / (norm.mean(1, keepdim=True) + eps)
    shift = beta.to(norm.dtype).expand_as(norm)
    return _applied(x, None, torch.empty_like(x), gamma * relative + 1, shift)


def backward(grad: Tensor, saved: list[Tensor], args: Arguments, needs: Sequence[bool]) -> list[Tensor | None]:
    """Return the gradients of x, gamma and beta, None where ``needs`` is False.

    With s the norms, m their mean, n = s / (m + eps) and a = gamma * sum of grad*x: grad s = (a - mean over c of a n) /
    (m + eps), and grad x = (gamma n + 1) grad + (grad s / s) x, without the last term where s = 0.
    """
    x, gamma, beta, eps = args
    square, product, total = _summed(x, grad)
    norm = square.sqrt()
    inverse = 1 / (norm.mean(1, keepdim=True) + eps)
    relative = norm * inverse
    pulled = gamma * product
    grad_norm = (pulled - (pulled * relative).mean(1, keepdim=True)) * inverse
    per_norm = torch.where(norm > 0, grad_norm / norm, 0)
    return [
        _applied(grad, x, torch.empty_like(x), gamma * relative + 1, per_norm) if needs[0] else None,
        (relative * product).sum(0).to(gamma.dtype) if needs[1] else None,
        total.sum(0).to(beta.dtype) if needs[2] else None,
    ]
