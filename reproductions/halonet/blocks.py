"""The parts of HaloNets: convolutions with BatchNorm, and bottlenecks around attention or a 3x3 convolution."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch.nn.functional as F
from timm.layers import DropPath, EcaModule, SEModule
from torch import Tensor, nn

from claimbench.reproductions.folding import conv_norm
from claimbench.reproductions.halonet.attention import HaloAttention
from claimbench.reproductions.inplace import add

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "silu": nn.SiLU}
CHANNEL_ATTENTION: dict[str, Callable[[int], nn.Module]] = {
    "": lambda channels: nn.Identity(),
    "se": SEModule,
    "eca": EcaModule,
}


class ConvNorm(nn.Module):
    """Convolution without bias, BatchNorm and, with ``act``, an activation."""

    def __init__(
        self, dim: int, dim_out: int, kernel_size: int, act: str = "", stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(dim, dim_out, kernel_size, stride, kernel_size // 2, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(dim_out)
        self.act = ACTIVATIONS[act](inplace=True) if act else nn.Identity()
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C_out, H / stride, W / stride)."""
        return self.act(conv_norm(x, self.conv, self.norm))


class HaloMixer(nn.Module):
    """Halo attention, BatchNorm and activation."""

    def __init__(self, attention: HaloAttention, dim_out: int, act: str) -> None:
        super().__init__()
        self.attention = attention
        self.norm = nn.BatchNorm2d(dim_out)
        self.act = ACTIVATIONS[act](inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C_out, H / stride, W / stride)."""
        return self.act(self.norm(self.attention(x)))


class ConvMixer(nn.Module):
    """A 3x3 convolution with BatchNorm and activation, then attention over channels, if any."""

    def __init__(self, dim: int, act: str, stride: int, groups: int, channel_attention: str) -> None:
        super().__init__()
        self.conv = ConvNorm(dim, dim, 3, act, stride, groups)
        self.excite = CHANNEL_ATTENTION[channel_attention](dim)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C, H / stride, W / stride)."""
        return self.excite(self.conv(x))


@dataclass(frozen=True)
class Stage:
    """The settings that all blocks of a stage share.

    Attributes:
        dim_out, hidden, attended: the channels between blocks, inside them, and of the values.
        num_heads, head_dim, block_size, halo_size: arguments of the attention; ``head_dim`` None divides ``hidden``.
        act: ``relu`` or ``silu``.
        groups: the groups of a 3x3 convolution.
        channel_attention: ``se``, ``eca`` or empty, behind a 3x3 convolution.
        pad: whether maps that blocks do not tile are padded; without it they are refused.
    """

    dim_out: int
    hidden: int
    attended: int
    num_heads: int
    head_dim: int | None
    block_size: int
    halo_size: int
    act: str
    groups: int
    channel_attention: str
    pad: bool


def pad_to_blocks(x: Tensor, block: int) -> Tensor:
    """Return (B, C, H, W) padded with zeros on all sides if either side is no multiple of ``block``.

    As in kecam, a side that is a multiple is then lengthened by a whole block too.
    """
    height, width = x.shape[2:]
    if height % block == 0 and width % block == 0:
        return x
    down, across = block - height % block, block - width % block
    return F.pad(x, (across // 2, across - across // 2, down // 2, down - down // 2))


class Bottleneck(nn.Module):
    """1x1 convolution, attention or 3x3 convolution, 1x1 convolution, and a shortcut around them."""

    def __init__(self, dim: int, stage: Stage, stride: int, attends: bool, drop_path: float) -> None:
        super().__init__()
        self.block_size = stage.block_size if attends and stage.pad else 1
        projects = stride != 1 or dim != stage.dim_out
        self.shortcut = ConvNorm(dim, stage.dim_out, 1, stride=stride) if projects else nn.Identity()
        self.reduce = ConvNorm(dim, stage.hidden, 1, stage.act)
        self.mixer: nn.Module
        if attends:
            attention = HaloAttention(
                stage.hidden,
                stage.attended,
                stage.num_heads,
                stage.block_size,
                stage.halo_size,
                stride,
                stage.head_dim or stage.hidden // stage.num_heads,
            )
            self.mixer = HaloMixer(attention, stage.attended, stage.act)
        else:
            self.mixer = ConvMixer(stage.hidden, stage.act, stride, stage.groups, stage.channel_attention)
        self.expand = ConvNorm(stage.attended if attends else stage.hidden, stage.dim_out, 1)
        self.drop_path = DropPath(drop_path)
        self.act = ACTIVATIONS[stage.act](inplace=True)
        nn.init.zeros_(self.expand.norm.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C_out, H / stride, W / stride), up to padding."""
        x = pad_to_blocks(x, self.block_size)
        deep = self.expand(self.mixer(self.reduce(x)))
        return self.act(add(self.drop_path(deep), self.shortcut(x)))
