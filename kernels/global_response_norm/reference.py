"""The definition of global response normalisation in plain PyTorch."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Arguments(NamedTuple):
    """The arguments of :func:`claimbench.kernels.global_response_norm.global_response_norm`.

    ``gamma`` and ``beta`` are (C,).
    """

    x: Tensor
    gamma: Tensor
    beta: Tensor
    eps: float


def global_response_norm(args: Arguments) -> Tensor:
    """See :func:`claimbench.kernels.global_response_norm.global_response_norm`."""
    x, gamma, beta, eps = args
    wide = x.dtype if x.dtype == torch.float64 else torch.float32
    norm = torch.linalg.vector_norm(x, dim=(2, 3), dtype=wide)
    relative = norm / (norm.mean(1, keepdim=True) + eps)
    scale = gamma * relative + 1
    return (scale[:, :, None, None] * x + beta[:, None, None]).to(x.dtype)
