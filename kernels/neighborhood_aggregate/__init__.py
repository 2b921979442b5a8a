"""Neighbourhood aggregation."""

from __future__ import annotations

import torch
from torch import Tensor

from kernels.neighborhood_aggregate import reference
from kernels.operator import Operator

OPERATOR = Operator(
    name="neighborhood_aggregate",
    arguments="Tensor weights, Tensor value, int kernel_size, int dilation",
    reference=reference.neighborhood_aggregate,
    fake=lambda weights, value, kernel_size, dilation: torch.empty_like(value),
)


def neighborhood_aggregate(weights: Tensor, value: Tensor, kernel_size: int, dilation: int = 1) -> Tensor:
    return OPERATOR(weights, value, kernel_size, dilation)
