"""The starts of weights that several papers share, as functions for :meth:`torch.nn.Module.apply`."""

from __future__ import annotations

from math import sqrt

from timm.layers import trunc_normal_
from torch import nn

__all__ = ["by_fan_out", "linear_layers"]


def linear_layers(module: nn.Module) -> None:
    """Start linear layers from a truncated normal of deviation 0.02 and their biases at zero, as DeiT does."""
    if isinstance(module, nn.Linear):
        trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def by_fan_out(module: nn.Module) -> None:
    """Start convolutions from a normal of variance 2 / fan-out and zero, and linear layers as :func:`linear_layers`."""
    linear_layers(module)
    if isinstance(module, nn.Conv2d):
        fan_out = module.weight[0, 0].numel() * module.out_channels // module.groups
        nn.init.normal_(module.weight, std=sqrt(2 / fan_out))
        if module.bias is not None:
            nn.init.zeros_(module.bias)
