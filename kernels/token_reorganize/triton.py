"""Token reorganisation on a GPU: a program ranks some tokens of one image, or moves some channels of them.

No pass uses atomics, so every result has the same bits on each run. A table says for each
token the row of the output that it goes to, or 0 (the class token's) if it is dropped.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from claimbench.kernels import triton_support as support
from claimbench.kernels.triton_support import unavailable

__all__ = ["backward", "forward", "refuses", "unavailable"]

_TOKENS = 32
_CHANNELS = 128


@triton.jit
def _load_scores(scores, sn, token, count):
    """Return the scores as they are ranked: infinity for NaN, which has no order, minus infinity beyond the last."""
    score = tl.load(scores + token * sn, mask=token < count, other=-float("inf")).to(tl.float64)
    return tl.where(score != score, float("inf"), score)


@triton.jit
def _rank_kernel(scores, sb, sn, rows, rb, rn, count, keep, TOKENS: tl.constexpr):
    # The rank of a token is the number of tokens before it: of higher score, or of equal score and earlier.
    image = tl.program_id(0).to(tl.int64)
    scores += image * sb
    token = tl.program_id(1) * TOKENS + tl.arange(0, TOKENS)
    score = _load_scores(scores, sn, token, count)
    before = tl.zeros((TOKENS,), dtype=tl.int64)
    for start in range(0, count, TOKENS):
        other = start + tl.arange(0, TOKENS)
        rival = _load_scores(scores, sn, other, count)[None, :]
        earlier = other[None, :] < token[:, None]
        ahead = (rival > score[:, None]) | ((rival == score[:, None]) & earlier)
        before += tl.sum((ahead & (other < count)[None, :]).to(tl.int64), axis=1)
    tl.store(rows + image * rb + token * rn, tl.where(before < keep, before + 1, 0), mask=token < count)


@triton.jit
def _forward_kernel(
    tokens, tb, tn, tc, scores, sb, sn, rows, rb, rn, out, ob, on, oc,
    count, channels, keep,
    FUSE: tl.constexpr, TOKENS: tl.constexpr, CHANNELS: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    image = tl.program_id(0).to(tl.int64)
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    in_channels = channel < channels
    tokens += image * tb + channel * tc
    out += image * ob + channel * oc
    tl.store(out, tl.load(tokens, mask=in_channels), mask=in_channels)
    fused = tl.zeros((CHANNELS,), dtype=ACC)
    for start in range(0, count, TOKENS):
        token = start + tl.arange(0, TOKENS)
        known = token < count
        row = tl.load(rows + image * rb + token * rn, mask=known, other=0)
        mask = known[:, None] & in_channels[None, :]
        moved = tl.load(tokens[None, :] + (token + 1)[:, None] * tn, mask=mask, other=0)
        tl.store(out[None, :] + row[:, None] * on, moved, mask=mask & (row > 0)[:, None])
        if FUSE:
            score = tl.load(scores + image * sb + token * sn, mask=known & (row == 0), other=0).to(ACC)
            dropped = tl.where((row == 0)[:, None], moved.to(ACC), 0.0)
            fused += tl.sum(score[:, None] * dropped, axis=0)
    if FUSE:
        tl.store(out + (keep + 1) * on, fused.to(out.dtype.element_ty), mask=in_channels)


@triton.jit
def _backward_kernel(
    grad, gb, gn, gc, tokens, tb, tn, tc, scores, sb, sn, rows, rb, rn,
    grad_tokens, ob, on, oc, grad_scores, pb, pn,
    count, channels, last,
    FUSE: tl.constexpr, TOKENS: tl.constexpr, CHANNELS: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    image = tl.program_id(0).to(tl.int64)
    grad += image * gb
    tokens += image * tb
    grad_tokens += image * ob
    # Token 0 is the class token: it goes to row 0, and it has no score.
    token = tl.program_id(1) * TOKENS + tl.arange(0, TOKENS)
    scored = (token > 0) & (token <= count)
    row = tl.load(rows + image * rb + (token - 1) * rn, mask=scored, other=0)
    dropped = scored & (row == 0)
    score = tl.load(scores + image * sb + (token - 1) * sn, mask=dropped, other=0).to(ACC)
    slope = tl.zeros((TOKENS,), dtype=ACC)
    for start in range(0, channels, CHANNELS):
        channel = start + tl.arange(0, CHANNELS)
        mask = (token <= count)[:, None] & (channel < channels)[None, :]
        kept = mask & (dropped == 0)[:, None]
        flow = tl.load(grad + row[:, None] * gn + channel[None, :] * gc, mask=kept, other=0).to(ACC)
        if FUSE:
            fused = tl.load(grad + last * gn + channel * gc, mask=channel < channels, other=0).to(ACC)
            flow += score[:, None] * tl.where(dropped[:, None], fused[None, :], 0.0)
            at = tokens + token[:, None] * tn + channel[None, :] * tc
            seen = tl.load(at, mask=mask & dropped[:, None], other=0).to(ACC)
            slope += tl.sum(fused[None, :] * seen, axis=1)
        to = grad_tokens + token[:, None] * on + channel[None, :] * oc
        tl.store(to, flow.to(grad_tokens.dtype.element_ty), mask=mask)
    at = grad_scores + image * pb + (token - 1) * pn
    tl.store(at, slope.to(grad_scores.dtype.element_ty), mask=scored)


def refuses(args):
    """Return why these arguments cannot be taken, as a sentence, or None if they can."""
    return support.refuses(args, args.tokens[:, None])


def _options(args):
    accumulator = support.accumulator(args.tokens, args.scores)
    return {"FUSE": args.fuse, "TOKENS": _TOKENS, "CHANNELS": _CHANNELS, "ACC": accumulator}


def forward(args):
    """Return the reorganised tokens and, for each token but the first, its row in them, 0 if it was dropped."""
    tokens, scores, keep, fuse = args
    batch, count, channels = tokens.shape
    out = tokens.new_empty(batch, 1 + keep + fuse, channels)
    rows = torch.empty_like(scores, dtype=torch.int64)
    if tokens.numel():
        with support.launching(tokens):
            _rank_kernel[(batch, triton.cdiv(count - 1, _TOKENS))](
                scores, *scores.stride(), rows, *rows.stride(), count - 1, keep, TOKENS=_TOKENS
            )
            _forward_kernel[(batch, triton.cdiv(channels, _CHANNELS))](
                tokens, *tokens.stride(), scores, *scores.stride(), rows, *rows.stride(), out, *out.stride(),
                count - 1, channels, keep, **_options(args),
            )  # fmt: skip
    return out, rows


def backward(grad, saved, args, needs):
    """Return the gradients of tokens and scores, None where ``needs`` is False."""
    tokens, scores = args.tokens, args.scores
    rows = saved[-1]
    batch, count, channels = tokens.shape
    grad_tokens, grad_scores = torch.empty_like(tokens), torch.empty_like(scores)
    if tokens.numel():
        with support.launching(tokens):
            _backward_kernel[(batch, triton.cdiv(count, _TOKENS))](
                grad, *grad.stride(), tokens, *tokens.stride(), scores, *scores.stride(), rows, *rows.stride(),
                grad_tokens, *grad_tokens.stride(), grad_scores, *grad_scores.stride(),
                count - 1, channels, grad.shape[1] - 1, **_options(args),
            )  # fmt: skip
    return grad_tokens if needs[0] else None, grad_scores if needs[1] else None
