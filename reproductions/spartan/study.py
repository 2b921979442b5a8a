"""Small-scale study: SpaRTAN's wave-based channel mixer, against a plain one of as many parameters and more width."""

from __future__ import annotations

from timm.layers import SEModule
from torch import Tensor, nn

from claimbench.reproductions.costs import parameters
from claimbench.reproductions.initialise import by_fan_out
from claimbench.reproductions.inplace import gelu
from claimbench.reproductions.layers import channels_last
from claimbench.reproductions.small_networks import same_size
from claimbench.reproductions.spartan.mixers import ConvNorm, convolution
from claimbench.reproductions.spartan.model import Block

__all__ = ["network"]

_WIDTHS = (32, 64)
_EXPAND = (4, 2)
_DEPTHS = (1, 2)
_LARGEST = 14
_SCALE = 0.1
"""The start of layer scales; a few hundred steps do not lead far from the paper's 1e-5."""


class PlainChannelMixer(nn.Module):
    """project(SE(GELU(BN(depthwise3x3(expand(x)))))): the channel mixer without gate, gathering and wave.

    Args:
        dim: the channels of input and output.
        hidden: the inner width.
    """

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.expand = nn.Conv2d(dim, hidden, 1)
        self.conv = ConvNorm(convolution(hidden, groups=hidden))
        self.excite = SEModule(hidden, rd_channels=dim // 4)
        self.project = nn.Conv2d(hidden, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Mix the channels of (B, C, H, W)."""
        return self.project(self.excite(gelu(self.conv(self.expand(x)))))


class SmallSpaRTAN(nn.Module):
    """Two stages of SpaRTAN's blocks, the first as in its early stages and the second as in its late ones.

    Args:
        channels: the channels of the pictures.
        halvings: the number of times that the stem halves the pictures.
        classes: the width of the output.
        wave: whether the channels are mixed as waves.
    """

    def __init__(self, channels: int, halvings: int, classes: int, wave: bool) -> None:
        super().__init__()
        first, second = _WIDTHS
        layers: list[nn.Module] = []
        for i in range(max(halvings, 1)):
            conv = nn.Conv2d(first if i else channels, first, 3, 2 if halvings else 1, 1, bias=False)
            layers += [ConvNorm(conv), nn.GELU()]
        self.stem = nn.Sequential(*layers)
        self.early = _stage(first, _EXPAND[0], _DEPTHS[0], late=False, wave=wave)
        self.down = nn.Sequential(ConvNorm(nn.Conv2d(first, second, 2, 2, bias=False)), nn.SiLU())
        self.late = _stage(second, _EXPAND[1], _DEPTHS[1], late=True, wave=wave)
        self.head = nn.Linear(second, classes)
        self.apply(by_fan_out)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (B, classes) for pictures (B, channels, H, W)."""
        x = self.early(self.stem(channels_last(x)))
        return self.head(self.late(self.down(x)).mean((2, 3)))


def _stage(dim: int, expand: int, depth: int, late: bool, wave: bool) -> nn.Sequential:
    blocks = [Block(dim, expand, late, drop_path=0.0) for _ in range(depth)]
    for block in blocks:
        for scale in (block.scale1, block.scale2):
            nn.init.constant_(scale.gamma, _SCALE)
        if not wave:
            plain = same_size(lambda hidden: PlainChannelMixer(dim, hidden), parameters(block.channel))
            block.channel = plain  # type: ignore[assignment]
    return nn.Sequential(*blocks)


def network(arm: str, channels: int, size: int, classes: int) -> nn.Module:
    """Return the network of an arm, pictures (B, channels, size, size) to logits (B, classes).

    Args:
        arm: ``block`` mixes channels as waves; ``counterpart`` by a plain inverted bottleneck that is as much wider as
            the parameters of the gate and of the wave allow.
        channels, size: the channels and the side of the pictures.
        classes: the width of the output.
    """
    halvings = 0
    while -(-size // 2**halvings) > _LARGEST:
        halvings += 1
    return SmallSpaRTAN(channels, halvings, classes, wave=arm == "block")
