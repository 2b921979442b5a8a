"""Cross-attention of a few queries over many tokens, in the papers' order and in a cheaper one.

Pooling is linear in the values, and a score is linear in the key. The key projection can therefore be moved to the
queries (``q . W k`` is ``W^T q . k``), and the value projection behind the pooling (``sum a_n W x_n`` is
``W sum a_n x_n``). Then only the few queries and pooled vectors are projected, not every token. A bias of the keys adds
the same to all scores of a query and drops out; a bias of the values is added once, since weights sum to 1.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from claimbench.kernels.attentive_pool import attentive_pool

__all__ = ["Projection", "TokenNorm", "attend", "whole"]

Projection = tuple[Tensor, Tensor | None]
"""The weight (groups * width, D) and the bias of a linear map."""


def whole(tokens: Tensor) -> Tensor:
    """Return the tokens (B, N, D) as one group, (B, N, 1, D), as the operator takes keys and values."""
    return tokens.unsqueeze(2)


def attend(
    query: Tensor,
    tokens: Tensor,
    key: Projection,
    value: Projection,
    heads: int,
    groups: int | None = None,
    values: Tensor | None = None,
    reorder: bool = False,
) -> Tensor:
    """Attend from M projected queries to the tokens with multi-head attention.

    Args:
        query: (M, heads * d), or (B, M, heads * d) if every image has its own.
        tokens: (B, N, D), the source of the keys.
        key, value: the projections, (groups * d, D) and (groups * e, D).
        heads: heads of the queries.
        groups: heads of keys and values, which heads of queries share; None for as many as ``heads``.
        values: (B, N, D), the source of the values; None for ``tokens``.
        reorder: whether to move the projections to the queries and behind the pooling.

    Returns:
        (B, M, heads * e).
    """
    groups = groups or heads
    values = tokens if values is None else values
    split = query.unflatten(-1, (heads, -1)).transpose(-3, -2).flatten(-3, -2)  # (..., heads * M, d)
    depth = split.shape[-1]
    if reorder:
        maps = key[0].to(split.dtype).unflatten(0, (groups, -1))  # (G, d, D)
        split = (split.unflatten(-2, (groups, -1)) @ maps).flatten(-3, -2)
        pooled = attentive_pool(split.to(tokens.dtype), whole(tokens), whole(values), depth**-0.5)
        by_group = pooled.unflatten(1, (groups, -1)) @ value[0].to(pooled.dtype).unflatten(0, (groups, -1)).mT
        if value[1] is not None:
            by_group = by_group + value[1].to(pooled.dtype).unflatten(0, (groups, 1, -1))
        pooled = by_group.flatten(1, 2)
    else:
        k, v = (F.linear(x, *map_).unflatten(-1, (groups, -1)) for x, map_ in ((tokens, key), (values, value)))
        pooled = attentive_pool(split.to(k.dtype), k, v, depth**-0.5)
    return pooled.unflatten(1, (heads, -1)).transpose(1, 2).flatten(2)


class TokenNorm(nn.BatchNorm1d):
    """Batch normalisation without weights over all tokens of all images, channel by channel."""

    def __init__(self, dim: int) -> None:
        super().__init__(dim, eps=1e-6, affine=False)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (B, N, D)."""
        return super().forward(x.flatten(0, 1)).view_as(x)

    def statistics(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation (D,) for (B, N, D); in training also update the running statistics."""
        assert self.running_mean is not None
        assert self.running_var is not None
        if not self.training:
            return self.running_mean, (self.running_var + self.eps).sqrt()
        variance, mean = torch.var_mean(x, (0, 1), correction=0)
        with torch.no_grad():
            count = x.shape[0] * x.shape[1]
            assert self.num_batches_tracked is not None
            assert self.momentum is not None
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean.to(self.running_mean), self.momentum)
            self.running_var.lerp_((variance * (count / max(count - 1, 1))).to(self.running_var), self.momentum)
        return mean, (variance + self.eps).sqrt()
