"""The attention modules of MS-Dual-Guided: over positions, over channels, and the encoder-decoder that guides them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from claimbench.reproductions.folding import conv_norm
from claimbench.reproductions.inference import is_counted

__all__ = ["AttentionLayer", "ChannelAttention", "Layers", "MultiConv", "PositionAttention", "SemanticModule", "attend"]

REDUCTION = 8
"""Queries and keys of the position attention have so many times fewer channels than values."""


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Return softmax(q kᵀ) v without a scale, (B, N, C), by PyTorch's fused attention, which holds no N x N map.

    The fused kernel of CPUs takes one width only, and channels that lie beside each other. Queries and keys are padded
    with zeros there, which changes nothing and costs less than holding the map.

    Args:
        q, k: (B, N, d).
        v: (B, N, C), C at least d.
    """
    if v.device.type == "cpu" and not is_counted(v):
        pad = (0, v.shape[-1] - q.shape[-1])
        q, k, v = F.pad(q, pad), F.pad(k, pad), v.contiguous()
    q, k, v = (each.unsqueeze(1) for each in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v, scale=1.0).squeeze(1)


class PositionAttention(nn.Module):
    """PAM: each position gathers all others by the likeness of their features, (B, C, H, W) to the same.

    out = gamma * softmax_j(q_i . k_j) v_j + x, without a scale; gamma starts at zero (equations 1 and 2).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query = nn.Conv2d(channels, channels // REDUCTION, 1)
        self.key = nn.Conv2d(channels, channels // REDUCTION, 1)
        self.value = nn.Conv2d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """Return the attended map."""
        q, k, v = (conv(x).flatten(2).transpose(1, 2) for conv in (self.query, self.key, self.value))
        return self.gamma * attend(q, k, v).transpose(1, 2).reshape(x.shape) + x


class ChannelAttention(nn.Module):
    """CAM: each channel gathers all others, the least alike the most, (B, C, H, W) to the same.

    out = gamma * softmax(rowmax(E) - E) x + x with E = x xᵀ over all positions; gamma starts at zero (equations 3, 4).
    """

    def __init__(self) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """Return the attended map."""
        channels = x.flatten(2)
        energy = channels @ channels.transpose(1, 2)
        # The softmax of the row's maximum minus E is that of -E: it takes the largest value off by itself.
        return self.gamma * (torch.softmax(-energy, -1) @ channels).view(x.shape) + x


class Layers(nn.Sequential):
    """Layers in a row; a convolution and the BatchNorm behind it are one convolution in evaluation."""

    def forward(self, x: Tensor) -> Tensor:
        """Return what the last layer makes of ``x``."""
        before: nn.Conv2d | None = None
        for layer in self:
            if before is not None:
                x = conv_norm(x, before, layer) if isinstance(layer, nn.BatchNorm2d) else layer(before(x))
                before = None
            elif isinstance(layer, nn.Conv2d):
                before = layer
            else:
                x = layer(x)
        return x if before is None else before(x)


class AttentionLayer(Layers):
    """A convolution to half the channels, PAM or CAM, and a convolution: (B, 2C, H, W) to (B, C, H, W)."""

    def __init__(self, channels: int, position: bool) -> None:
        super().__init__(
            nn.Conv2d(2 * channels, channels, 3, padding=1),
            nn.BatchNorm2d(channels),
            nn.PReLU(),
            PositionAttention(channels) if position else ChannelAttention(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.BatchNorm2d(channels),
            nn.PReLU(),
        )


class MultiConv(Layers):
    """Two 3x3 and one 1x1 convolution with norms and PReLUs; (B, inputs, H, W) to (B, channels, H, W).

    ``weights``: whether a softmax over channels takes the place of the last activation. ``last_norm``: whether the last
    convolution has a norm.
    """

    def __init__(self, inputs: int, channels: int, weights: bool = False, last_norm: bool = True) -> None:
        super().__init__(
            nn.Conv2d(inputs, channels, 3, padding=1),
            nn.BatchNorm2d(channels),
            nn.PReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.BatchNorm2d(channels),
            nn.PReLU(),
            nn.Conv2d(channels, channels, 1),
            *([nn.BatchNorm2d(channels)] if last_norm else []),
            nn.Softmax2d() if weights else nn.PReLU(),
        )


class SemanticModule(nn.Module):
    """An encoder-decoder over a map: its latent guides the steps, its reconstruction weights the attention (III-C).

    (B, C, H, W) to the latent (B, 4C, H // 4, W // 4) and the reconstruction, (B, C, H, W) for even H and W.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.encoder = nn.ModuleList(
            Layers(*_twice(width, 2 * width), nn.MaxPool2d(2)) for width in (channels, 2 * channels)
        )
        self.decoder = nn.ModuleList(
            Layers(*_twice(2 * width, width), nn.ConvTranspose2d(width, width, 2, stride=2))
            for width in (2 * channels, channels)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the latent and the reconstruction."""
        half = self.encoder[0](x)
        latent = self.encoder[1](half)
        decoded = self.decoder[0](latent)
        if decoded.shape[2:] != half.shape[2:]:
            decoded = F.interpolate(decoded, half.shape[2:], mode="bilinear", align_corners=False)
        return latent, self.decoder[1](decoded)


def _twice(inputs: int, channels: int) -> list[nn.Module]:
    """Return two 3x3 convolutions, each with a norm and a ReLU."""
    return [
        layer
        for width in (inputs, channels)
        for layer in (nn.Conv2d(width, channels, 3, padding=1), nn.BatchNorm2d(channels), nn.ReLU(inplace=True))
    ]
