"""AttNet: a hierarchical backbone with attentive convolution in place of attention.

"Attentive Convolution: Unifying the Expressivity of Self-Attention with Convolutional Efficiency", arXiv 2510.20092.
The paper's diffusion transformer is in :mod:`claimbench.reproductions.attnet.sit`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from timm.layers import DropPath, LayerScale, trunc_normal_
from torch import Tensor, nn

from claimbench.reproductions.attnet.atconv import ATConv
from claimbench.reproductions.attnet.sit import SiT
from claimbench.reproductions.inference import by_pieces
from claimbench.reproductions.inplace import gelu, multiply
from claimbench.reproductions.layers import ConvNorm2d, DepthwiseConv2d, channels_last, drop_path_rates

__all__ = ["AttNet", "GatedFeedForward", "build"]


class GatedFeedForward(nn.Module):
    """reduce(norm(GELU(depthwise3x3(a)) * g)) with a, g = expand(x): (B, H, W, C) -> (B, H, W, C).

    Args:
        dim: C.
        hidden: the channels of a and of g.
        norm: whether the product is normalised by its root mean square over channels.
    """

    def __init__(self, dim: int, hidden: int, norm: bool) -> None:
        super().__init__()
        self.expand = nn.Linear(dim, 2 * hidden)
        self.depthwise = DepthwiseConv2d(hidden, 3)
        self.norm = nn.RMSNorm(hidden, eps=1e-6) if norm else nn.Identity()
        self.reduce = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Mix the channels of (B, H, W, C)."""
        features, gate = self.expand(x).chunk(2, dim=-1)
        local = gelu(self.depthwise(features.permute(0, 3, 1, 2))).permute(0, 2, 3, 1)
        return self.reduce(self.norm(multiply(local, gate)))


class Block(nn.Module):
    """x + ATConv(LN(x)), then x + GatedFeedForward(LN(x)), with layer scales if ``scale`` is set."""

    def __init__(
        self, dim: int, hidden: int, kernel_size: int, bias: bool, norm: bool, scale: bool, drop_path: float
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.mixer = ATConv(dim, kernel_size, bias)
        self.scale1 = LayerScale(dim, 1e-6) if scale else nn.Identity()
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.feed_forward = GatedFeedForward(dim, hidden, norm)
        self.scale2 = LayerScale(dim, 1e-6) if scale else nn.Identity()
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, H, W, C) to (B, H, W, C)."""
        x = x + self.drop_path(self.scale1(self.mixer(self.norm1(x))))
        return x + self.drop_path(self.scale2(self.feed_forward(self.norm2(x))))


def halve(before: int, dim: int) -> ConvNorm2d:
    """Return a 3x3 convolution with BatchNorm: (B, before, H, W) to (B, dim, ceil(H / 2), ceil(W / 2))."""
    return ConvNorm2d(before, dim, 3, stride=2, bias=False)


class AttNet(nn.Module):
    """Four stages at strides 4, 8, 16 and 32, mean pooling, LayerNorm, one linear layer.

    Args:
        depths: the blocks of each stage.
        dims: the channels of each stage.
        exp_rates: the expansion of the gated feed-forward in each stage, before the factor 2/3 that keeps its size.
        kernel_sizes: ATConv's kernel in each stage.
        glu_norm: whether the gated product is normalised.
        use_layer_scale: whether residual branches are scaled.
        conv_bias: whether ATConv's projections have a bias.
        num_classes: the width of the output.
        in_channels: the channels of the picture.
        drop_path: the rate of stochastic depth at the last block.
    """

    def __init__(
        self,
        depths: Sequence[int],
        dims: Sequence[int],
        exp_rates: Sequence[float] = (8, 8, 4, 4),
        kernel_sizes: Sequence[int] = (3, 3, 3, 3),
        glu_norm: bool = True,
        use_layer_scale: bool = True,
        conv_bias: bool = True,
        num_classes: int = 1000,
        in_channels: int = 3,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        stem = nn.Sequential(halve(in_channels, dims[0] // 2), nn.GELU(), halve(dims[0] // 2, dims[0]))
        later = [halve(before, dim) for before, dim in pairwise(dims)]
        self.downs = nn.ModuleList([stem, *later])
        self.stages = nn.ModuleList()
        self.widest = []
        for i, rates in enumerate(drop_path_rates(drop_path, depths)):
            hidden = int(2 * int(dims[i] * exp_rates[i]) / 3)
            self.widest.append(2 * hidden)
            settings = (kernel_sizes[i], conv_bias, glu_norm, use_layer_scale)
            self.stages.append(nn.Sequential(*[Block(dims[i], hidden, *settings, rate) for rate in rates]))
        self.norm = nn.LayerNorm(dims[-1])
        self.head = nn.Linear(dims[-1], num_classes)
        self.apply(_initialise)

    def forward_features(self, x: Tensor) -> list[Tensor]:
        """Return the map (B, C, H, W) of every stage for pictures (B, 3, H, W)."""
        x = channels_last(x)
        maps = []
        for down, stage, widest in zip(self.downs, self.stages, self.widest, strict=True):
            x = down(x).permute(0, 2, 3, 1)
            x = by_pieces(stage, x, widest).permute(0, 3, 1, 2)
            maps.append(x)
        return maps

    def forward_head(self, x: Tensor) -> Tensor:
        """Return logits (B, num_classes) for the last stage's map (B, C, H, W)."""
        return self.head(self.norm(x.mean((2, 3))))

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (B, num_classes) for pictures (B, 3, H, W)."""
        return self.forward_head(self.forward_features(x)[-1])


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.Linear):
        trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def build(config: Mapping[str, Any], form: str = "model") -> AttNet | SiT:
    """Return a randomly initialised model.

    Args:
        config: the arguments of :class:`AttNet`, or of :class:`~claimbench.reproductions.attnet.sit.SiT` if
            ``architecture`` is ``sit``.
        form: ``model``.

    Raises:
        ValueError: there is no form, architecture or token mixer of that name.
    """
    if form != "model":
        raise ValueError(f"attnet has the form 'model' only, got {form!r}")
    arguments = dict(config)
    architecture = arguments.pop("architecture", "attnet")
    if architecture == "sit":
        return SiT(**arguments)
    if architecture != "attnet":
        raise ValueError(f"attnet: architecture must be 'attnet' or 'sit', got {architecture!r}")
    return AttNet(**arguments)
