"""The definition of token reorganisation in plain PyTorch."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Arguments(NamedTuple):
    """The arguments of :func:`claimbench.kernels.token_reorganize.token_reorganize`."""

    tokens: Tensor
    scores: Tensor
    keep: int
    fuse: bool


def most_attentive(scores: Tensor, keep: int) -> Tensor:
    """Return the indices (B, keep) of the highest of the scores (B, N), best first; of equal ones the earlier first."""
    return scores.sort(dim=1, descending=True, stable=True).indices[:, :keep]


def token_reorganize(args: Arguments) -> Tensor:
    """See :func:`claimbench.kernels.token_reorganize.token_reorganize`."""
    tokens, scores, keep, fuse = args
    others, kept = tokens[:, 1:], most_attentive(scores, keep)
    parts = [tokens[:, :1], others.gather(1, kept.unsqueeze(-1).expand(-1, -1, tokens.shape[-1]))]
    if fuse:
        parts.append(scores.scatter(1, kept, 0.0).unsqueeze(1) @ others)
    return torch.cat(parts, dim=1)
