"""The exit by class on a GPU: a program finds the best class of some tokens of an image, or ranks some among the rest.

The rank of a leaving token is counted against all others of its image, so that nothing is sorted and no pass uses
atomics.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from claimbench.kernels import triton_support as support
from claimbench.kernels.exit_by_class.reference import MOST, rounded
from claimbench.kernels.triton_support import unavailable

__all__ = ["backward", "forward", "refuses", "unavailable"]

_TOKENS = 64


@triton.jit
def _best_kernel(
    scores, sb, sc, sn, gone, gb, gn, best, own, count, classes, threshold,
    TOKENS: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """Write the best score of each token of a block, and its class if the token leaves, else -1."""
    image = tl.program_id(0).to(tl.int64)
    token = tl.program_id(1) * TOKENS + tl.arange(0, TOKENS)
    inside = token < count
    scores += image * sb + token * sn
    top = tl.load(scores, mask=inside, other=0.0).to(ACC)
    number = tl.zeros((TOKENS,), dtype=tl.int32)
    for c in range(1, classes):
        score = tl.load(scores + c * sc, mask=inside, other=0.0).to(ACC)
        better = (score > top) | (score != score)
        top = tl.where(better, score, top)
        number = tl.where(better, c, number)
    left = tl.load(gone + image * gb + token * gn, mask=inside, other=1) != 0
    leaves = (top > tl.load(threshold)) & (left == 0)
    tl.store(best + image * count + token, top, mask=inside)
    tl.store(own + image * count + token, tl.where(leaves, number, -1), mask=inside)


@triton.jit
def _stay_kernel(
    best, own, gone, gb, gn, out, count, keep,
    TOKENS: tl.constexpr,
):  # fmt: skip
    image = tl.program_id(0).to(tl.int64)
    token = tl.program_id(1) * TOKENS + tl.arange(0, TOKENS)
    inside = token < count
    best += image * count
    own += image * count
    score = tl.load(best + token, mask=inside, other=0.0)[:, None]
    number = tl.load(own + token, mask=inside, other=-1)
    ahead = tl.zeros((TOKENS,), dtype=tl.int32)
    for start in range(0, count, TOKENS):
        other = start + tl.arange(0, TOKENS)
        rival = tl.load(best + other, mask=other < count, other=0.0)[None, :]
        same = tl.load(own + other, mask=other < count, other=-2)[None, :] == number[:, None]
        before = (rival > score) | ((rival == score) & (other[None, :] < token[:, None]))
        ahead += tl.sum((same & before).to(tl.int32), axis=1)
    left = tl.load(gone + image * gb + token * gn, mask=inside, other=1) != 0
    stays = (left == 0) & ((number < 0) | (ahead < keep))
    tl.store(out + image * count + token, tl.where(stays, 1.0, 0.0).to(out.dtype.element_ty), mask=inside)


def refuses(args):
    """Return why these arguments cannot be taken, as a sentence, or None if they can."""
    return support.refuses(args[:1], args.scores[:, None])


def forward(args):
    """Return 1 for tokens that go on and 0 for those that left."""
    scores, gone, threshold, keep = args
    batch, classes, count = scores.shape
    out = scores.new_empty(gone.shape)
    if threshold == 1:
        return out.copy_(~gone)
    grid = (batch, triton.cdiv(count, _TOKENS))
    if not out.numel():
        return out
    dtype = support.storage(scores)
    best = scores.new_empty(gone.shape, dtype=dtype)
    own = torch.empty(gone.shape, dtype=torch.int32, device=gone.device)
    marks = gone.view(torch.uint8)
    with support.launching(scores):
        _best_kernel[grid](
            scores, *scores.stride(), marks, *marks.stride(), best, own, count, classes,
            torch.tensor(rounded(args), dtype=dtype, device=scores.device), TOKENS=_TOKENS,
            ACC=support.accumulator(scores),
        )  # fmt: skip
        _stay_kernel[grid](best, own, marks, *marks.stride(), out, count, min(keep, MOST), TOKENS=_TOKENS)
    return out


def backward(grad, saved, args, needs):
    """Return a gradient of zeros for the scores, None where ``needs`` is False."""
    return torch.zeros_like(args.scores) if needs[0] else None, None
