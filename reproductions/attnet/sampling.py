"""Sampling from a SiT: the probability-flow equation from noise to picture, with guidance by the class."""

from __future__ import annotations

import torch
from torch import Tensor

from claimbench.reproductions.attnet.sit import SiT

__all__ = ["guided_velocity", "sample"]

GUIDED_CHANNELS = 3
"""The number of leading channels that guidance acts on; the official code has the same."""


def guided_velocity(model: SiT, x: Tensor, t: Tensor, y: Tensor, guidance: float) -> Tensor:
    """Return v(none) + guidance * (v(class) - v(none)), (B, C, H, W), from one pass over twice the batch."""
    nothing = torch.full_like(y, model.num_classes)
    given, free = model(torch.cat([x, x]), torch.cat([t, t]), torch.cat([y, nothing])).chunk(2)
    guided = free + guidance * (given - free)
    return torch.cat([guided[:, :GUIDED_CHANNELS], given[:, GUIDED_CHANNELS:]], dim=1)


@torch.no_grad()
def sample(model: SiT, noise: Tensor, y: Tensor, steps: int, guidance: float = 1.0) -> Tensor:
    """Follow the velocity from noise (t = 0) to latent pictures (t = 1) in Euler steps of equal length.

    Args:
        model: in eval mode.
        noise: (B, C, H, W), standard normal.
        y: (B,) classes.
        steps: the number of evaluations of the velocity; guidance doubles the batch of each.
        guidance: 1 for none.

    Returns:
        (B, C, H, W).
    """
    x = noise
    for i in range(steps):
        t = x.new_full((x.shape[0],), i / steps)
        velocity = model(x, t, y) if guidance == 1 else guided_velocity(model, x, t, y, guidance)
        x = x + velocity / steps
    return x
