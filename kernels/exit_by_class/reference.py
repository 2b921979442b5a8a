"""The definition of the exit by class in plain PyTorch."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

MOST = 2**31 - 1
"""As many tokens of a class stay at most: more than an image has."""


class Arguments(NamedTuple):
    """The arguments of :func:`claimbench.kernels.exit_by_class.exit_by_class`."""

    scores: Tensor
    gone: Tensor
    threshold: float
    keep: int


def rounded(args: Arguments) -> float:
    """Return the threshold in the dtype of the scores, as PyTorch rounds a number that it compares with them."""
    return torch.tensor(args.threshold, dtype=args.scores.dtype).item()


def exit_by_class(args: Arguments) -> Tensor:
    """Return 1 for tokens that go on and 0 for those that left, in scores' dtype.

    See :func:`claimbench.kernels.exit_by_class.exit_by_class`.
    """
    scores, gone, threshold, keep = args
    best, own = scores.max(dim=1)
    leaving = ~gone & (best > threshold) if threshold < 1 else torch.zeros_like(gone)
    # Sorted by score and then by class (both stable), the leaving tokens of a class are one run, the best first.
    by_score = torch.where(leaving, best, -torch.inf).sort(dim=1, descending=True, stable=True).indices
    group = torch.where(leaving, own, scores.shape[1]).gather(1, by_score)
    group, by_class = group.sort(dim=1, stable=True)
    place = torch.arange(group.shape[1], device=group.device).expand_as(group)
    starts = torch.ones_like(leaving)
    starts[:, 1:] = group[:, 1:] != group[:, :-1]
    rank = place - torch.where(starts, place, 0).cummax(dim=1).values
    ranks = torch.empty_like(rank).scatter_(1, by_score.gather(1, by_class), rank)
    stays = ~gone & (~leaving | (ranks < keep))
    return best.masked_fill(stays, 1.0).masked_fill(~stays, 0.0)  # its gradient is zero
