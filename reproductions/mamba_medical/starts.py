"""The first values of the parameters of a selective scan, which all of the paper's networks share.

Gu and Dao, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces", arXiv 2312.00752, section 3.6.
"""

from __future__ import annotations

from math import log, sqrt

import torch
from torch import Tensor, nn

__all__ = ["decay", "log_decay", "skip", "step_bias", "step_weight", "through"]

LEAST_STEP, MOST_STEP, FLOOR = 0.001, 0.1, 1e-4
"""The ends of the log-uniform distribution of the first steps, and the least step."""


def log_decay(channels: int, d_state: int) -> nn.Parameter:
    """Return log(1), ..., log(N) for each channel: (channels, d_state). Weight decay leaves it out."""
    return nn.Parameter(torch.arange(1.0, d_state + 1).log().repeat(channels, 1))


def skip(channels: int) -> nn.Parameter:
    """Return ones: (channels,)."""
    return nn.Parameter(torch.ones(channels))


def step_weight(*shape: int) -> nn.Parameter:
    """Return a weight (..., channels, rank), uniform within rank^-0.5 of zero: it keeps the variance of its input."""
    bound = shape[-1] ** -0.5
    return nn.Parameter(torch.empty(shape).uniform_(-bound, bound))


def step_bias(*shape: int) -> nn.Parameter:
    """Return a bias whose softplus is log-uniform in [0.001, 0.1]."""
    step = torch.empty(shape).uniform_(log(LEAST_STEP), log(MOST_STEP)).exp().clamp_min(FLOOR)
    return nn.Parameter(step + (-torch.expm1(-step)).log())


def through(*shape: int) -> nn.Parameter:
    """Return a weight (..., outputs, inputs) that starts as PyTorch's linear layers do."""
    bound = 1 / sqrt(shape[-1])
    return nn.Parameter(torch.empty(shape).uniform_(-bound, bound))


def decay(logs: Tensor) -> Tensor:
    """Return A = -exp(logs), in float32 at least: a state decays by exp(step * A)."""
    return -(logs.float() if logs.dtype.itemsize < 4 else logs).exp()
