"""Focal modulation's context on a GPU: each level is a depthwise convolution and one pass that activates and gates."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from claimbench.kernels import triton_support as support
from claimbench.kernels.depthwise_conv2d.triton import convolve, image_gradients
from claimbench.kernels.focal_modulation.reference import Arguments, level_weights
from claimbench.kernels.triton_support import unavailable

__all__ = ["backward", "forward", "refuses", "unavailable"]


@triton.jit
def _gate_kernel(
    x, xb, xc, xh, xw,
    gate, gb, gh, gw,
    grad, db, dc, dh, dw,
    flow, fb, fc, fh, fw,
    out, ob, oc, oh, ow,
    channels, height, width,
    BACKWARD: tl.constexpr, POSITIONS: tl.constexpr, CHANNELS: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    # Forward: x := GELU(x), out += gate * x. Backward, with x as before its GELU: out = (flow + gate * grad) GELU'(x).
    position = tl.program_id(0) * POSITIONS + tl.arange(0, POSITIONS)
    channel = (tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS))[None, :]
    batch = tl.program_id(2).to(tl.int64)
    inside = position < height * width
    h = tl.where(inside, position, 0) // width
    w = tl.where(inside, position, 0) % width
    mask = inside[:, None] & (channel < channels)
    x_at = x + batch * xb + (h * xh + w * xw)[:, None] + channel * xc
    out_at = out + batch * ob + (h * oh + w * ow)[:, None] + channel * oc
    weight = tl.load(gate + batch * gb + h * gh + w * gw, mask=inside, other=0).to(ACC)[:, None]
    value = tl.load(x_at, mask=mask, other=0).to(ACC)
    normal = 0.5 * (1.0 + tl.erf(value * 0.7071067811865476))
    if BACKWARD:
        arriving = tl.load(flow + batch * fb + (h * fh + w * fw)[:, None] + channel * fc, mask=mask, other=0).to(ACC)
        at = tl.load(grad + batch * db + (h * dh + w * dw)[:, None] + channel * dc, mask=mask, other=0).to(ACC)
        slope = normal + value * 0.3989422804014327 * tl.exp(-0.5 * value * value)
        tl.store(out_at, (arriving + weight * at) * slope, mask=mask)
    else:
        total = tl.load(out_at, mask=mask, other=0).to(ACC)
        tl.store(x_at, value * normal, mask=mask)
        tl.store(out_at, total + weight * value * normal, mask=mask)


def _gate(x: Tensor, gate: Tensor, out: Tensor, grad: Tensor | None = None, flow: Tensor | None = None) -> None:
    """Activate and gate (B, C, H, W) maps; ``x`` and ``out`` have the dtype of :func:`support.storage`."""
    batch, channels, height, width = x.shape
    if x.numel() == 0:
        return
    block_c = min(64, support.block_of(channels))
    positions = support.positions_per_program(block_c)
    grad, flow = (out if tensor is None else tensor for tensor in (grad, flow))
    grid = (triton.cdiv(height * width, positions), triton.cdiv(channels, block_c), batch)
    with support.launching(x):
        _gate_kernel[grid](
            x, *x.stride(), gate, *gate.stride(), grad, *grad.stride(), flow, *flow.stride(), out, *out.stride(),
            channels, height, width,
            BACKWARD=grad is not out, POSITIONS=positions, CHANNELS=block_c, ACC=support.accumulator(x),
        )  # fmt: skip


def refuses(args: Arguments) -> str | None:
    """Return why these arguments cannot be taken, as a sentence, or None if they can."""
    return support.refuses(args, args.context)


def _weights(args: Arguments) -> list[Tensor]:
    return level_weights(args.taps, args.kernel_sizes) if args.kernel_sizes else []


def forward(args: Arguments) -> Tensor:
    """Return the gated sum, in context's memory format."""
    context, gates = args.context, args.gates
    storage = support.storage(context)
    total = torch.zeros_like(context, dtype=storage)
    for level, weight in enumerate(_weights(args)):
        context = convolve(context, weight, None, torch.empty_like(total), 1, turned=False)
        _gate(context, gates[:, level], total)
    average = context.mean((2, 3), dtype=storage)
    everywhere = torch.nn.functional.gelu(average)[:, :, None, None]
    return total.addcmul_(everywhere, gates[:, -1:].to(storage)).to(gates.dtype)


def backward(grad: Tensor, saved: list[Tensor], args: Arguments, needs: Sequence[bool]) -> list[Tensor | None]:
    """Return the gradients of context, gates and taps, None where ``needs`` is False; the levels are computed again."""
    context, gates, taps, kernel_sizes = args
    storage = support.storage(context)
    weights = _weights(args)
    read, before, gate_grads = [context], [], []
    for weight in weights:
        before.append(convolve(read[-1], weight, None, torch.empty_like(context, dtype=storage), 1, turned=False))
        read.append(torch.nn.functional.gelu(before[-1]))
        gate_grads.append((grad * read[-1]).sum(1, dtype=storage))
    average = read[-1].mean((2, 3), dtype=storage)
    gate_grads.append((grad * torch.nn.functional.gelu(average)[:, :, None, None]).sum(1, dtype=storage))
    arriving = torch.ops.aten.gelu_backward((grad * gates[:, -1:]).sum((2, 3), dtype=storage), average)
    flow = (arriving / (context.shape[2] * context.shape[3]))[:, :, None, None].expand(context.shape)
    tap_grads = []
    for level in reversed(range(len(weights))):
        size = kernel_sizes[level]
        through = torch.empty_like(before[level])
        _gate(before[level], gates[:, level], through, grad, flow)
        tap_grads.append(image_gradients(through, read[level], size, size, 1).sum(0).t())
        flow = convolve(through, weights[level], None, torch.empty_like(through), 1, turned=True)
    grad_taps = torch.cat([*reversed(tap_grads), taps.new_empty((len(taps), 0), dtype=storage)], dim=1)
    found = (flow, torch.stack(gate_grads, dim=1), grad_taps)
    return [
        torch.empty_like(like).copy_(gradient) if need else None
        for like, gradient, need in zip((context, gates, taps), found, needs, strict=True)
    ]
