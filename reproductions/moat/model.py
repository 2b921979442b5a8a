"""MOAT: a backbone of inverted bottlenecks, followed by attention in the deeper stages.

Yang et al., "MOAT: Alternating Mobile Convolution and Attention Brings Strong Vision Models", ICLR 2023,
arXiv 2210.01820.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from claimbench.reproductions.layers import channels_last
from claimbench.reproductions.moat.attention import WindowAttention
from claimbench.reproductions.moat.blocks import GELU, Block, MBConv, SameConv2d, batch_norm

__all__ = ["MOAT", "build"]

Window = Sequence[int] | None


class MOAT(nn.Module):
    """A stem of 3x3 convolutions, the stages, mean pooling, LayerNorm, one linear layer.

    The defaults are those of every model of the paper in classification.

    Args:
        stem_size: the channels of the stem's convolutions; the first has stride 2.
        hidden_size: the channels of each stage.
        num_blocks: the blocks of each stage.
        block_type: ``"mbconv"`` (with squeeze-and-excitation) or ``"moat"`` (with attention) for each stage.
        stage_stride: the stride of each stage's first block.
        expansion_rate: the inner width of an MBConv over its output.
        se_ratio: the width of the squeeze over the output's.
        head_size: the channels of an attention head.
        kernel_size: the side of the depthwise kernels.
        pool_size: the side of the pooling in the shortcuts: 2 for classification, 3 for dense prediction.
        window_size: (height, width) of the attention windows in each stage, None for global attention there.
        position_embedding_size: the window side that each stage's table of biases is made for.
        position_embedding: whether attention has a bias for relative positions at all.
        ln_epsilon: the eps of the LayerNorms.
        survival_prob: the least probability of stochastic depth that a residual stays.
        num_classes: the width of the output.
        in_channels: the channels of the picture.
    """

    def __init__(
        self,
        stem_size: Sequence[int],
        hidden_size: Sequence[int],
        num_blocks: Sequence[int],
        block_type: Sequence[str] = ("mbconv", "mbconv", "moat", "moat"),
        stage_stride: Sequence[int] = (2, 2, 2, 2),
        expansion_rate: int = 4,
        se_ratio: float = 0.25,
        head_size: int = 32,
        kernel_size: int = 3,
        pool_size: int = 2,
        window_size: Sequence[Window] = (None, None, None, None),
        position_embedding_size: Sequence[int | None] = (None, None, 14, 7),
        position_embedding: bool = True,
        ln_epsilon: float = 1e-5,
        survival_prob: float = 1.0,
        num_classes: int = 1000,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        wrong = sorted(set(block_type) - {"mbconv", "moat"})
        if wrong:
            raise ValueError(f"moat: block_type must be 'mbconv' or 'moat', got {wrong[0]!r}")
        self.stem = _stem(in_channels, stem_size)
        self.stages = nn.ModuleList()
        before, count, total = stem_size[-1], 0, sum(num_blocks)
        for i, dim in enumerate(hidden_size):
            blocks = []
            attends = block_type[i] == "moat"
            window = window_size[i]
            sides = None if window is None else (window[0], window[1])
            table = position_embedding_size[i] if position_embedding else None
            for j in range(num_blocks[i]):
                drop_path = (1 - survival_prob) * count / total
                stride = stage_stride[i] if j == 0 else 1
                ratio = None if attends else se_ratio
                mbconv = MBConv(before, dim, stride, expansion_rate, ratio, kernel_size, pool_size, drop_path)
                attention = WindowAttention(dim, head_size, sides, table, ln_epsilon) if attends else None
                blocks.append(Block(mbconv, attention, drop_path))
                before, count = dim, count + 1
            self.stages.append(nn.Sequential(*blocks))
        self.norm = nn.LayerNorm(before, eps=ln_epsilon)
        self.head = nn.Linear(before, num_classes)
        self.apply(_initialise)

    def forward_features(self, x: Tensor) -> list[Tensor]:
        """Return the maps of the stem and of every stage for pictures (B, 3, H, W)."""
        x = self.stem(channels_last(x))
        maps = [x]
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps

    def forward_head(self, x: Tensor) -> Tensor:
        """Return logits (B, num_classes) for the last map (B, C, H, W)."""
        return self.head(self.norm(x.mean((2, 3))))

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (B, num_classes) for pictures (B, 3, H, W)."""
        return self.forward_head(self.forward_features(x)[-1])


def _stem(channels: int, sizes: Sequence[int]) -> nn.Sequential:
    """Return 3x3 convolutions, the first of stride 2, with BatchNorm and GELU between them."""
    layers: list[nn.Module] = []
    for i, size in enumerate(sizes):
        if i:
            layers += [batch_norm(channels), GELU()]
        layers.append(SameConv2d(channels, size, 3, stride=1 if i else 2))
        channels = size
    return nn.Sequential(*layers)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def build(config: Mapping[str, Any], form: str = "model") -> MOAT:
    """Return a randomly initialised MOAT; ``config`` holds the arguments of :class:`MOAT`.

    Raises:
        ValueError: there is no form of that name, or no such type of block.
    """
    if form != "model":
        raise ValueError(f"moat has the form 'model' only, got {form!r}")
    return MOAT(**config)
