"""The segment mean on a GPU: positions are sorted by their segment, and a program walks over those of one segment.

No pass uses atomics, so every result has the same bits on each run.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from claimbench.kernels import triton_support as support
from claimbench.kernels.triton_support import unavailable

__all__ = ["backward", "forward", "refuses", "unavailable"]

_CHANNELS = 16
_POSITIONS = 64


@triton.jit
def _mean_kernel(
    x, xb, xc, xn, order, starts, out, ob, oc, on,
    count, channels, positions,
    CHANNELS: tl.constexpr, POSITIONS: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    # order is contiguous (B, positions), starts contiguous (B, count + 1): a segment's positions are neighbours in it.
    batch, segment = (tl.program_id(0) // count).to(tl.int64), tl.program_id(0) % count
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    known = channel < channels
    first = tl.load(starts + batch * (count + 1) + segment)
    last = tl.load(starts + batch * (count + 1) + segment + 1)
    order += batch * positions
    x += batch * xb + channel[:, None].to(tl.int64) * xc
    out += batch * ob + channel[:, None].to(tl.int64) * oc
    sums = tl.zeros((CHANNELS, POSITIONS), dtype=ACC)
    for start in range(first, last, POSITIONS):
        place = start + tl.arange(0, POSITIONS)
        inside = place < last
        at = tl.load(order + place, mask=inside, other=0)
        sums += tl.load(x + at[None, :] * xn, mask=known[:, None] & inside[None, :], other=0).to(ACC)
    mean = tl.sum(sums, axis=1) / tl.maximum(last - first, 1).to(ACC)
    for start in range(first, last, POSITIONS):
        place = start + tl.arange(0, POSITIONS)
        inside = place < last
        at = tl.load(order + place, mask=inside, other=0)
        value = tl.broadcast_to(mean[:, None], (CHANNELS, POSITIONS)).to(out.dtype.element_ty)
        tl.store(out + at[None, :] * on, value, mask=known[:, None] & inside[None, :])


def refuses(args):
    """Return why these arguments cannot be taken, as a sentence, or None if they can."""
    return support.refuses((args.x,), args.x)


def _mean(x, args):
    batch, channels, positions = x.shape
    # A position whose number is no segment's stays what it is.
    out = torch.full_like(x, torch.nan, memory_format=torch.contiguous_format)
    if x.numel():
        with support.launching(x):
            numbers, order = args.segments.long().sort(dim=1, stable=True)
            wanted = torch.arange(args.segment_count + 1, device=x.device).expand(batch, -1).contiguous()
            starts = torch.searchsorted(numbers, wanted)
            _mean_kernel[(batch * args.segment_count, triton.cdiv(channels, _CHANNELS))](
                x, *x.stride(), order, starts, out, *out.stride(), args.segment_count, channels, positions,
                CHANNELS=_CHANNELS, POSITIONS=_POSITIONS, ACC=support.accumulator(x),
            )  # fmt: skip
    return out


def forward(args):
    """Return the mean of each position's segment."""
    return _mean(args.x, args)


def backward(grad, saved, args, needs):
    """Return the gradient of x, None where ``needs`` is False; segments have none."""
    return [torch.empty_like(args.x).copy_(_mean(grad, args)) if needs[0] else None, None]
