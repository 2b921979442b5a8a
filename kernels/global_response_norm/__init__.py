"""Global response normalisation (GRN) of a feature map."""

from __future__ import annotations

import torch
from torch import Tensor

from claimbench.kernels.global_response_norm import reference
from claimbench.kernels.operator import Operator

__all__ = ["OPERATOR", "global_response_norm"]

OPERATOR = Operator(
    name="global_response_norm",
    arguments=reference.Arguments,
    reference=reference.global_response_norm,
    fake=lambda args: torch.empty_like(args.x),
)


def global_response_norm(x: Tensor, gamma: Tensor, beta: Tensor, eps: float = 1e-6) -> Tensor:
    """Scale every channel by how strong it is over the whole map, compared with the other channels.

    ``out = (gamma * n + 1) * x + beta`` with ``n[b,c] = s[b,c] / (mean over c of s[b,c] + eps)`` and
    ``s[b,c] = sqrt(sum over h, w of x[b,c,h,w]^2)``.

    Source: Woo et al., "ConvNeXt V2", CVPR 2023, arXiv 2301.00808, with its identity shortcut.

    Args:
        x: (B, C, H, W), floating point, any strides; half-precision sums are accumulated in float32.
        gamma: (C,) or (1, C, 1, 1).
        beta: (C,) or (1, C, 1, 1).
        eps: added to the mean norm, not negative.

    Returns:
        (B, C, H, W) in x's dtype and memory format.

    Raises:
        ValueError: a shape or eps is not as above.
        TypeError: the dtypes differ outside autocast.
    """
    if x.dim() != 4:
        raise ValueError(f"global_response_norm: x must be (B, C, H, W), got shape {tuple(x.shape)}")
    channels = x.shape[1]
    for name, parameter in (("gamma", gamma), ("beta", beta)):
        if parameter.shape not in ((channels,), (1, channels, 1, 1)):
            raise ValueError(
                f"global_response_norm: {name} must be ({channels},) or (1, {channels}, 1, 1), "
                f"got shape {tuple(parameter.shape)}"
            )
    if eps < 0:
        raise ValueError(f"global_response_norm: eps must not be negative, got {eps}")
    return OPERATOR(x, gamma.reshape(channels), beta.reshape(channels), eps)
