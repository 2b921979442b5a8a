"""Token reorganisation: the most attentive tokens are kept, the others are fused into one by their attention."""

from __future__ import annotations

import torch
from torch import Tensor

from claimbench.kernels.operator import Operator
from claimbench.kernels.token_reorganize import reference
from claimbench.kernels.token_reorganize.reference import most_attentive

__all__ = ["OPERATOR", "most_attentive", "token_reorganize"]


def _fake(args: reference.Arguments) -> tuple[Tensor, Tensor]:
    """Return an empty output and an empty table of the rows that the tokens go to (B, N - 1), for the backward pass."""
    tokens, scores, keep, fuse = args
    return tokens.new_empty(len(tokens), 1 + keep + fuse, tokens.shape[2]), torch.empty_like(scores, dtype=torch.int64)


OPERATOR = Operator(
    name="token_reorganize",
    arguments=reference.Arguments,
    reference=reference.token_reorganize,
    fake=_fake,
    extras=1,
)


def token_reorganize(tokens: Tensor, scores: Tensor, keep: int, fuse: bool = True) -> Tensor:
    """Keep the class token and the ``keep`` tokens of highest score, best first; optionally fuse the others into one.

    The fused token is the sum of the dropped tokens weighted by their scores, which are not renormalised; through it
    alone the scores have a gradient. Of equal scores the earlier token counts as the higher, so that the result is the
    same on every backend and run. No size depends on the values. :func:`most_attentive` gives the indices kept.

    Args:
        tokens: (B, N, C), floating point, any strides, the class token first.
        scores: (B, N - 1), the same dtype, one for each token but the first.
        keep: the number of tokens to keep of the N - 1, at least 1.
        fuse: whether to append the fused token; where none is dropped it is zero.

    Returns:
        (B, 1 + keep, C), or (B, 2 + keep, C) with the fused token last, contiguous, in tokens' dtype.

    Raises:
        ValueError: a shape or ``keep`` is not as above.
        TypeError: the dtypes differ outside autocast.

    Source: Liang et al., "Not All Patches are What You Need", ICLR 2022, arXiv 2202.07800, section 3.2, equation 4.
    """
    name = "token_reorganize"
    if tokens.dim() != 3:
        raise ValueError(f"{name}: tokens must be (B, N, C), got shape {tuple(tokens.shape)}")
    expected = (tokens.shape[0], tokens.shape[1] - 1)
    if scores.shape != expected:
        raise ValueError(f"{name}: scores must be {expected}, got shape {tuple(scores.shape)}")
    if not 1 <= keep <= expected[1]:
        raise ValueError(f"{name}: keep must be from 1 to N - 1 = {expected[1]}, got {keep}")
    return OPERATOR(tokens, scores, keep, fuse)
