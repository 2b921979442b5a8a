"""RMT: four stages of blocks with Manhattan self-attention, decomposed along the axes on large maps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from timm.layers import DropPath
from torch import Tensor, nn

from claimbench.reproductions.folding import fold_after
from claimbench.reproductions.initialise import linear_layers
from claimbench.reproductions.layers import ConvNorm2d, ResidualDepthwiseConv2d, channels_last, drop_path_rates
from claimbench.reproductions.rmt.attention import ManhattanAttention, Position, Positions
from claimbench.reproductions.token_labels import TokenLabels, random_box, swap_box


class ResidualDepthwise(ResidualDepthwiseConv2d):
    """x + dw3x3(x) for maps (B, H, W, C)."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, 3)

    def forward(self, input: Tensor) -> Tensor:
        """Map (B, H, W, C) to (B, H, W, C)."""
        return super().forward(input.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


class FeedForward(nn.Module):
    """Linear, GELU, x + dw3x3(x), linear."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.local = ResidualDepthwise(hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, H, W, C) to (B, H, W, C)."""
        return self.fc2(self.local(F.gelu(self.fc1(x))))


class Block(nn.Module):
    """Local convolution, attention and feed-forward, each beside a shortcut; the last two after a LayerNorm.

    Args:
        dim: channels C.
        num_heads: attention heads.
        hidden: channels inside the feed-forward.
        drop_path: rate of stochastic depth.
        layer_scale: the start of the scales of both branches; None for no scales.
    """

    def __init__(self, dim: int, num_heads: int, hidden: int, drop_path: float, layer_scale: float | None) -> None:
        super().__init__()
        self.pos = ResidualDepthwise(dim)
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = ManhattanAttention(dim, num_heads)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.ffn = FeedForward(dim, hidden)
        self.drop_path = DropPath(drop_path)
        scales = None if layer_scale is None else torch.full((1, 1, 1, dim), layer_scale)
        self.gamma1 = None if scales is None else nn.Parameter(scales)
        self.gamma2 = None if scales is None else nn.Parameter(scales.clone())

    def _add(self, x: Tensor, branch: Tensor, gamma: Tensor | None) -> Tensor:
        return x + self.drop_path(branch if gamma is None else gamma * branch)

    def forward(self, x: Tensor, position: Position) -> Tensor:
        """Map (B, H, W, C) to (B, H, W, C)."""
        x = self.pos(x)
        x = self._add(x, self.attn(self.norm1(x), position), self.gamma1)
        return self._add(x, self.ffn(self.norm2(x)), self.gamma2)


class Stage(nn.Module):
    """Blocks that share their decays and phases, then a convolution of stride 2 to ``out_dim`` channels."""

    def __init__(self, config: Mapping[str, Any], index: int, drop_path: list[float], out_dim: int | None) -> None:
        super().__init__()
        dim, heads = config["embed_dims"][index], config["num_heads"][index]
        hidden = int(config["mlp_ratios"][index] * dim)
        scale = config.get("layer_init_values", 1e-6) if config["layerscales"][index] else None
        self.positions = Positions(
            dim,
            heads,
            config["init_values"][index],
            config["heads_ranges"][index],
            config["chunkwise_recurrents"][index],
        )
        self.blocks = nn.ModuleList(Block(dim, heads, hidden, rate, scale) for rate in drop_path)
        self.downsample = None if out_dim is None else ConvNorm2d(dim, out_dim, 3, stride=2)

    def run_blocks(self, x: Tensor) -> Tensor:
        """Map (B, H, W, C) to (B, H, W, C)."""
        position = self.positions(*x.shape[1:3])
        for block in self.blocks:
            x = block(x, position)
        return x

    def reduce(self, x: Tensor) -> Tensor:
        """Halve the sides of a map (B, H, W, C), rounded up; the last stage leaves it as it is."""
        return x if self.downsample is None else self.downsample(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, H, W, C) to the map that the next stage takes."""
        return self.reduce(self.run_blocks(x))


class RMT(nn.Module):
    """The network: (B, 3, H, W) of any size to logits (B, num_classes).

    With ``token_label`` every position of the last stage has logits of its own. Evaluation adds half of the highest of
    each class to the picture's logits; train mode mixes the pictures (MixToken) and returns :class:`TokenLabels`.

    Attributes:
        token_labelling: whether train mode does so; otherwise it gives logits.
    """

    token_labelling = True

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        dims, classes = config["embed_dims"], config.get("num_classes", 1000)
        half = dims[0] // 2
        self.stem = nn.Sequential(
            ConvNorm2d(config.get("in_chans", 3), half, 3, stride=2),
            nn.GELU(),
            ConvNorm2d(half, half, 3),
            nn.GELU(),
            ConvNorm2d(half, dims[0], 3, stride=2),
            nn.GELU(),
            ConvNorm2d(dims[0], dims[0], 3),
        )
        rates = drop_path_rates(config.get("drop_path_rate", 0.0), config["depths"])
        self.stages = nn.ModuleList(
            Stage(config, i, rate, following)
            for i, (rate, following) in enumerate(zip(rates, (*dims[1:], None), strict=True))
        )
        projected = config.get("projection", 1024)
        self.proj = nn.Linear(dims[-1], projected)
        self.norm = nn.BatchNorm2d(projected)
        self.head = nn.Linear(projected, classes) if classes else nn.Identity()
        self.token_head: nn.Module | None = None
        if config.get("token_label", False):
            self.token_head = nn.Linear(dims[-1], classes) if classes else nn.Identity()
        self.apply(linear_layers)

    def embed(self, x: Tensor) -> Tensor:
        """Return the map (B, H / 4, W / 4, C), rounded up, that enters the first stage."""
        return self.stem(channels_last(x)).permute(0, 2, 3, 1)

    def forward_features(self, x: Tensor) -> list[Tensor]:
        """Return each stage's map (B, C, H', W'), at strides 4, 8, 16 and 32, ahead of its reduction."""
        x, maps = self.embed(x), []
        for stage in self.stages:
            assert isinstance(stage, Stage)
            maps.append(stage.run_blocks(x))
            x = stage.reduce(maps[-1])
        return [m.permute(0, 3, 1, 2) for m in maps]

    def forward_tokens(self, x: Tensor) -> Tensor:
        """Return the last map (B, H', W', C) from the embedded picture."""
        for stage in self.stages:
            x = stage(x)
        return x

    def classify(self, x: Tensor) -> Tensor:
        """Return the picture's logits from the last map: projection, BatchNorm and SiLU, then the mean."""
        if self.training:
            x = self.norm(self.proj(x).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        else:
            x = F.linear(x, *fold_after(self.proj.weight, self.proj.bias, self.norm))
        return self.head(F.silu(x).mean((1, 2)))

    def forward(self, x: Tensor) -> Tensor | TokenLabels:
        """Return the logits; in train mode with token labelling :class:`TokenLabels`."""
        x = self.embed(x)
        if self.token_head is None:
            return self.classify(self.forward_tokens(x))
        if not (self.training and self.token_labelling):
            last = self.forward_tokens(x)
            return self.classify(last) + 0.5 * self.token_head(last).amax((1, 2))
        scale = 2 ** (len(self.stages) - 1)
        box = random_box(x.shape[1] // scale, x.shape[2] // scale)
        last = self.forward_tokens(swap_box(x, box, scale))
        return TokenLabels(self.classify(last), swap_box(self.token_head(last), box).flatten(1, 2), box)


def build(config: Mapping[str, Any], form: str = "model") -> nn.Module:
    """Build the variant that ``config`` (``paper.yaml``) describes; there is one form, ``model``."""
    if form != "model":
        raise ValueError(f"rmt has the form 'model' only, not {form!r}")
    return RMT(config)
