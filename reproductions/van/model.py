"""VAN: a convolutional backbone whose token mixer gates features by a decomposed large-kernel convolution.

Guo et al., "Visual Attention Network", arXiv 2202.09741.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from timm.layers import DropPath
from torch import Tensor, nn
from torch.nn import functional as F

from claimbench.kernels.large_kernel_attention import large_kernel_attention
from claimbench.reproductions.folding import affine, conv_norm, fold_before, is_affine
from claimbench.reproductions.inference import by_pieces, pointwise
from claimbench.reproductions.initialise import by_fan_out
from claimbench.reproductions.inplace import gelu
from claimbench.reproductions.layers import DepthwiseConv2d, LayerNorm2d, channels_last, drop_path_rates

__all__ = ["VAN", "LargeKernelAttention", "build"]


class LargeKernelAttention(nn.Module):
    """LKA(u) = u * pointwise(dilated(local(u))): a 21 x 21 kernel decomposed, used as a gate (section 3.2).

    Maps (B, C, H, W) to the same shape.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.local = DepthwiseConv2d(dim, 5)
        self.dilated = DepthwiseConv2d(dim, 7, dilation=3)
        self.pointwise = nn.Conv2d(dim, dim, 1)

    def forward(self, u: Tensor) -> Tensor:
        """Gate (B, C, H, W) by its large-kernel attention map."""
        local, dilated, pointwise = self.local, self.dilated, self.pointwise
        assert local.bias is not None
        assert dilated.bias is not None
        assert pointwise.bias is not None
        return large_kernel_attention(
            u,
            *(local.weight, local.bias),
            *(dilated.weight, dilated.bias),
            *(pointwise.weight, pointwise.bias),
            int(dilated.dilation[0]),
        )


class Attention(nn.Module):
    """x + project_out(LKA(GELU(project_in(x)))); this shortcut is inside the one of the block."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.project_in = nn.Conv2d(dim, dim, 1)
        self.lka = LargeKernelAttention(dim)
        self.project_out = nn.Conv2d(dim, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Mix (B, C, H, W) over space and channels."""
        return x + self.project_out(self.lka(F.gelu(self.project_in(x))))


class FeedForward(nn.Module):
    """reduce(GELU(depthwise3x3(expand(x))))."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.expand = nn.Conv2d(dim, hidden, 1)
        self.depthwise = DepthwiseConv2d(hidden, 3)
        self.reduce = nn.Conv2d(hidden, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Mix the channels of (B, C, H, W)."""
        return self.reduce(F.gelu(self.depthwise(self.expand(x))))


class Block(nn.Module):
    """x + scale1 * Attention(BN(x)), then x + scale2 * FeedForward(BN(x))."""

    def __init__(self, dim: int, hidden: int, drop_path: float, scale_init: float, eps: float) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(dim, eps=eps)
        self.attention = Attention(dim)
        self.scale1 = nn.Parameter(torch.full((dim,), scale_init))
        self.norm2 = nn.BatchNorm2d(dim, eps=eps)
        self.feed_forward = FeedForward(dim, hidden)
        self.scale2 = nn.Parameter(torch.full((dim,), scale_init))
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C, H, W)."""
        if is_affine(x, self.norm1, self.norm2, self.drop_path):
            return self._folded_feed_forward(self._folded_attention(x))
        x = x + self.drop_path(self.scale1[:, None, None] * self.attention(self.norm1(x)))
        return x + self.drop_path(self.scale2[:, None, None] * self.feed_forward(self.norm2(x)))

    def _folded_attention(self, x: Tensor) -> Tensor:
        """Return x + scale1 * Attention(BN(x)), the affine norm and the scale folded into the projections."""
        inside, outside = self.attention.project_in, self.attention.project_out
        gate = gelu(pointwise(x, *fold_before(inside.weight, inside.bias, self.norm1)))
        assert outside.bias is not None
        scale, shift = (part.to(x.dtype) for part in affine(self.norm1))
        weight, bias = _scaled(outside.weight, outside.bias + shift, self.scale1)
        branch = pointwise(self.attention.lka(gate), weight, bias)
        kept = (1 + self.scale1 * scale)[:, None, None]
        return torch.addcmul(branch, x, kept) if torch.is_grad_enabled() else branch.addcmul_(x, kept)

    def _folded_feed_forward(self, x: Tensor) -> Tensor:
        """Return x + scale2 * FeedForward(BN(x)), the affine norm and the scale folded into the projections."""
        expand, reduce = self.feed_forward.expand, self.feed_forward.reduce
        assert reduce.bias is not None
        hidden = pointwise(x, *fold_before(expand.weight, expand.bias, self.norm2))
        hidden = gelu(self.feed_forward.depthwise(hidden))
        return x + pointwise(hidden, *_scaled(reduce.weight, reduce.bias, self.scale2))


def _scaled(weight: Tensor, bias: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    """Return weight (O, I, 1, 1) and bias (O,) of a 1x1 convolution with its outputs multiplied by ``scale`` (O,)."""
    return weight * scale.view(-1, 1, 1, 1), bias * scale


class Stage(nn.Module):
    """An overlapping patch embedding (convolution and BatchNorm), the blocks, and a LayerNorm over channels."""

    def __init__(
        self, channels: int, dim: int, patch: int, stride: int, blocks: Sequence[Block], norm_eps: float, eps: float
    ) -> None:
        super().__init__()
        self.embed = nn.Conv2d(channels, dim, patch, stride, patch // 2)
        self.embed_norm = nn.BatchNorm2d(dim, eps=eps)
        self.blocks = nn.Sequential(*blocks)
        self.widest = max((block.feed_forward.expand.out_channels for block in blocks), default=dim)
        self.norm = LayerNorm2d(dim, eps=norm_eps)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, dim, ceil(H / stride), ceil(W / stride))."""
        x = conv_norm(x, self.embed, self.embed_norm)
        return self.norm(by_pieces(self.blocks, x, self.widest))


class VAN(nn.Module):
    """Four stages at strides 4, 8, 16 and 32, mean pooling, one linear layer.

    Args:
        embed_dims: the channels of each stage.
        depths: the blocks of each stage.
        mlp_ratios: the expansion of the feed-forward network in each stage.
        num_classes: the width of the output.
        in_channels: the channels of the picture.
        drop_path: the rate of stochastic depth at the last block.
        layer_scale_init: the start of the layer scales.
        stage_norm_eps: the eps of the LayerNorm that ends a stage.
        batchnorm_eps: the eps of every BatchNorm.
    """

    def __init__(
        self,
        embed_dims: Sequence[int],
        depths: Sequence[int],
        mlp_ratios: Sequence[int],
        num_classes: int = 1000,
        in_channels: int = 3,
        drop_path: float = 0.0,
        layer_scale_init: float = 1e-2,
        stage_norm_eps: float = 1e-6,
        batchnorm_eps: float = 1e-5,
    ) -> None:
        super().__init__()
        stages = []
        channels = in_channels
        for i, rates in enumerate(drop_path_rates(drop_path, depths)):
            dim = embed_dims[i]
            blocks = [Block(dim, dim * mlp_ratios[i], rate, layer_scale_init, batchnorm_eps) for rate in rates]
            patch, stride = (7, 4) if i == 0 else (3, 2)
            stages.append(Stage(channels, dim, patch, stride, blocks, stage_norm_eps, batchnorm_eps))
            channels = dim
        self.stages = nn.ModuleList(stages)
        self.head = nn.Linear(channels, num_classes)
        self.apply(by_fan_out)

    def forward_features(self, x: Tensor) -> list[Tensor]:
        """Return the normalised map of every stage for pictures (B, 3, H, W)."""
        x = channels_last(x)
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (B, num_classes) for pictures (B, 3, H, W)."""
        return self.head(self.forward_features(x)[-1].mean((2, 3)))


def build(config: Mapping[str, Any], form: str = "model") -> VAN:
    """Return a randomly initialised VAN; ``config`` holds the arguments of :class:`VAN`.

    Raises:
        ValueError: there is no form of that name.
    """
    if form != "model":
        raise ValueError(f"van has the form 'model' only, got {form!r}")
    return VAN(**config)
