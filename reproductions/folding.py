"""BatchNorm on its running statistics as part of the convolution beside it.

A BatchNorm that uses its running statistics is an affine map. It is folded into the weights of the convolution on every
call, which is cheap and differentiable and never leaves stale weights.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from claimbench.reproductions.inference import is_counted

__all__ = ["affine", "conv_norm", "fold_after", "fold_before", "is_affine"]


def is_affine(x: Tensor, *norms: nn.Module) -> bool:
    """Return whether the BatchNorms on the way of ``x`` are fixed affine maps and may be folded into convolutions.

    Nothing is folded while the cost of the definition is counted.
    """
    return not (is_counted(x) or any(norm.training for norm in norms))


def affine(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Return scale and shift, each (C,), of a BatchNorm on its running statistics, in float32 or better."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    precise = torch.promote_types(norm.weight.dtype, torch.float32)
    scale = norm.weight.to(precise) * (norm.running_var.to(precise) + norm.eps).rsqrt()
    return scale, norm.bias.to(precise) - norm.running_mean.to(precise) * scale


def fold_after(weight: Tensor, bias: Tensor | None, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Return weight (O, ...) and bias (O,) of a convolution followed by ``norm``."""
    scale, shift = affine(norm)
    folded_bias = shift if bias is None else shift + bias * scale
    return (weight * scale.view(-1, *[1] * (weight.ndim - 1))).to(weight.dtype), folded_bias.to(weight.dtype)


def fold_before(weight: Tensor, bias: Tensor | None, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Return weight (O, I, ...) and bias (O,) of ``norm`` followed by a 1x1 convolution or a linear layer."""
    scale, shift = affine(norm)
    added = weight.flatten(1) @ shift.to(weight.dtype)
    folded = weight * scale.view(-1, *[1] * (weight.ndim - 2))
    return folded.to(weight.dtype), added if bias is None else bias + added


def conv_norm(x: Tensor, conv: nn.Conv2d, norm: nn.BatchNorm2d) -> Tensor:
    """Return ``norm(conv(x))``, computed as one convolution if the norm is a fixed affine map; the padding is zeros.

    Folding writes the weights once more, a separate norm the map. If the map is the smaller, nothing is folded.
    """
    if not is_affine(x, norm) or _map_is_smaller(x, conv):
        return norm(conv(x))
    weight, bias = fold_after(conv.weight, conv.bias, norm)
    if x.is_contiguous(memory_format=torch.channels_last):
        # oneDNN picks its channels-last kernels by the layout of the weight too.
        weight = weight.contiguous(memory_format=torch.channels_last)
    return conv._conv_forward(x, weight, bias)


def _map_is_smaller(x: Tensor, conv: nn.Conv2d) -> bool:
    """Return whether the output of ``conv`` on ``x`` has fewer elements than its weights, by the stride alone."""
    positions = len(x) * x.shape[2] * x.shape[3]
    return positions < conv.weight[0].numel() * conv.stride[0] * conv.stride[1]
