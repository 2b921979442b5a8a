"""Wave aggregation on a GPU: a program takes some positions of one image and all of their channels, pair by pair."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from claimbench.kernels import triton_support as support
from claimbench.kernels.triton_support import unavailable
from claimbench.kernels.wave_aggregate.reference import Arguments

__all__ = ["backward", "forward", "refuses", "unavailable"]


@triton.jit
def _normal(x):
    """Return the standard normal's distribution function at x."""
    return 0.5 * (1.0 + tl.erf(x * 0.7071067811865476))


@triton.jit
def _gelu_slope(x):
    return _normal(x) + x * 0.3989422804014327 * tl.exp(-0.5 * x * x)


@triton.jit
def _strongest(x, xc, channels, inside, BLOCK_C: tl.constexpr, ACC: tl.constexpr):
    """Return the first channel at which x is largest, at each position."""
    channel = tl.arange(0, BLOCK_C)
    mask = inside[:, None] & (channel < channels)[None, :]
    values = tl.load(x[:, None] + channel[None, :] * xc, mask=mask, other=float("-inf")).to(ACC)
    return tl.argmax(values, axis=1, tie_break_left=True)


@triton.jit
def _wave_kernel(
    grad, gb, gc, gh, gw,
    x, xb, xc, xh, xw,
    theta, tb, tc, th, tw,
    weight, wb, wc, wh, ww,
    wave,
    out, ob, oc, oh, ow,
    grad_weight, db, dc, dh, dw,
    partial, channels, pairs, height, width,
    BACKWARD: tl.constexpr, POSITIONS: tl.constexpr, BLOCK_C: tl.constexpr, BLOCK_J: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    # Forward: `out` gets the turned features. Backward: `out` gets the gradient of theta, and partial, contiguous
    # (programs, pairs, 2), what this program adds to the gradient of wave.
    batch = tl.program_id(1).to(tl.int64)
    position = tl.program_id(0) * POSITIONS + tl.arange(0, POSITIONS)
    inside = position < height * width
    h = tl.where(inside, position, 0) // width
    w = tl.where(inside, position, 0) % width
    j = tl.arange(0, BLOCK_J)
    mask = inside[:, None] & (j < pairs)[None, :]
    chosen = _strongest(x + batch * xb + h * xh + w * xw, xc, channels, inside, BLOCK_C, ACC)
    theta_at = theta + batch * tb + h * th + w * tw
    weight_at = weight + batch * wb + h * wh + w * ww
    chosen_theta = tl.load(theta_at + chosen * tc, mask=inside, other=0).to(ACC)
    chosen_weight = tl.load(weight_at + chosen * wc, mask=inside, other=0).to(ACC)
    added = (chosen_weight * chosen_theta * _normal(chosen_theta))[:, None]
    theta_pair = theta_at[:, None] + 2 * j[None, :] * tc
    weight_pair = weight_at[:, None] + 2 * j[None, :] * wc
    theta_r = tl.load(theta_pair, mask=mask, other=0).to(ACC)
    theta_i = tl.load(theta_pair + tc, mask=mask, other=0).to(ACC)
    weight_r = tl.load(weight_pair, mask=mask, other=0).to(ACC)
    weight_i = tl.load(weight_pair + wc, mask=mask, other=0).to(ACC)
    cosine = tl.load(wave + 2 * j, mask=j < pairs, other=0).to(ACC)[None, :]
    sine = tl.load(wave + 2 * j + 1, mask=j < pairs, other=0).to(ACC)[None, :]
    gate_r = theta_r * _normal(theta_r)
    gate_i = theta_i * _normal(theta_i)
    real = weight_r * gate_r + added
    imaginary = weight_i * gate_i + added
    out_pair = out + (batch * ob + h * oh + w * ow)[:, None] + 2 * j[None, :] * oc
    if not BACKWARD:
        tl.store(out_pair, (real * cosine - imaginary * sine).to(out.dtype.element_ty), mask=mask)
        tl.store(out_pair + oc, (real * sine + imaginary * cosine).to(out.dtype.element_ty), mask=mask)
    else:
        grad_pair = grad + (batch * gb + h * gh + w * gw)[:, None] + 2 * j[None, :] * gc
        grad_r = tl.load(grad_pair, mask=mask, other=0).to(ACC)
        grad_i = tl.load(grad_pair + gc, mask=mask, other=0).to(ACC)
        row = partial + (batch * tl.num_programs(0) + tl.program_id(0)) * 2 * pairs + 2 * j
        tl.store(row, tl.sum(grad_r * real + grad_i * imaginary, axis=0), mask=j < pairs)
        tl.store(row + 1, tl.sum(grad_i * real - grad_r * imaginary, axis=0), mask=j < pairs)
        flow_r = grad_r * cosine + grad_i * sine
        flow_i = grad_i * cosine - grad_r * sine
        total = tl.sum(flow_r + flow_i, axis=1)[:, None]
        flow_r += tl.where(2 * j[None, :] == chosen[:, None], total, 0.0)
        flow_i += tl.where(2 * j[None, :] + 1 == chosen[:, None], total, 0.0)
        to_weight = grad_weight + (batch * db + h * dh + w * dw)[:, None] + 2 * j[None, :] * dc
        tl.store(to_weight, (flow_r * gate_r).to(grad_weight.dtype.element_ty), mask=mask)
        tl.store(to_weight + dc, (flow_i * gate_i).to(grad_weight.dtype.element_ty), mask=mask)
        tl.store(out_pair, (flow_r * weight_r * _gelu_slope(theta_r)).to(out.dtype.element_ty), mask=mask)
        tl.store(out_pair + oc, (flow_i * weight_i * _gelu_slope(theta_i)).to(out.dtype.element_ty), mask=mask)


def refuses(args: Arguments) -> str | None:
    """Return why these arguments cannot be taken, as a sentence, or None if they can."""
    return support.refuses(args, args.theta, args.weight)


def _launch(args: Arguments, out: Tensor, grad: Tensor | None = None, grad_weight: Tensor | None = None) -> Tensor:
    """Launch the forward pass or, given a gradient, the backward pass; returns the programs' shares of grad wave."""
    x, theta, weight, wave = args
    batch, channels, height, width = x.shape
    pairs = theta.shape[1] // 2
    block_j = support.block_of(pairs)
    positions = support.positions_per_program(block_j)
    grid = (triton.cdiv(height * width, positions), batch)
    partial = theta.new_empty((*grid, pairs, 2) if grad is not None else 0, dtype=support.storage(theta))
    if out.numel() == 0:
        return partial.zero_()
    optional: list[Any] = [out if tensor is None else tensor for tensor in (grad, grad_weight)]
    with support.launching(out):
        _wave_kernel[grid](
            optional[0], *optional[0].stride(), x, *x.stride(), theta, *theta.stride(), weight, *weight.stride(),
            wave.contiguous(), out, *out.stride(), optional[1], *optional[1].stride(),
            partial, channels, pairs, height, width,
            BACKWARD=grad is not None, POSITIONS=positions, BLOCK_C=support.block_of(channels), BLOCK_J=block_j,
            ACC=support.accumulator(theta),
        )  # fmt: skip
    return partial


def forward(args: Arguments) -> Tensor:
    """Return the turned features, laid out like theta."""
    out = torch.empty_like(args.theta, dtype=support.storage(args.theta))
    _launch(args, out)
    return out


def backward(grad: Tensor, saved: list[Tensor], args: Arguments, needs: Sequence[bool]) -> list[Tensor | None]:
    """Return the gradients of x (zeros: it only chooses), theta, weight and wave, None where ``needs`` is False."""
    x, theta, weight, wave = args
    grads: list[Tensor | None] = [torch.zeros_like(x) if needs[0] else None, None, None, None]
    if any(needs[1:]):
        grad_theta, grad_weight = torch.empty_like(theta), torch.empty_like(weight)
        partial = _launch(args, grad_theta, grad, grad_weight)
        found = [grad_theta, grad_weight, torch.empty_like(wave).copy_(partial.sum((0, 1)))]
        for i, gradient in enumerate(found, start=1):
            grads[i] = gradient if needs[i] else None
    return grads
