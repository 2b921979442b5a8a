"""The definition of attentive pooling in plain PyTorch."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Arguments(NamedTuple):
    """The arguments of :func:`claimbench.kernels.attentive_pool.attentive_pool`.

    ``query`` is (1, Q, d) for all images, or (B, Q, d).
    """

    query: Tensor
    key: Tensor
    value: Tensor
    scale: float


def attentive_pool(args: Arguments) -> Tensor:
    """See :func:`claimbench.kernels.attentive_pool.attentive_pool`."""
    query, key, value, scale = args
    by_key = query.unflatten(1, (key.shape[2], -1)) * scale  # (1 or B, G, Q / G, d)
    scores = (by_key @ key.permute(0, 2, 3, 1)).flatten(1, 2)  # (B, Q, N)
    by_value = scores.softmax(-1).to(value.dtype).unflatten(1, (value.shape[2], -1))  # (B, V, Q / V, N)
    return (by_value @ value.transpose(1, 2)).flatten(1, 2)
