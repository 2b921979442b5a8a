"""VM-UNet: VMamba's first blocks as encoder and decoder of a U-shaped segmentation network.

Ruan, Li and Xiang, "VM-UNet: Vision Mamba UNet for Medical Image Segmentation", arXiv 2402.02491.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from claimbench.reproductions.initialise import linear_layers
from claimbench.reproductions.layers import channels_last, drop_path_rates
from claimbench.reproductions.mamba_medical.vmamba import PatchEmbed, PatchMerging, VSSBlock

__all__ = ["PatchExpand", "VMUNet"]

STRIDE = 32
"""Sides of pictures are multiples of it: odd maps on the way down would not meet their counterparts on the way up."""


class PatchExpand(nn.Module):
    """Channels become positions, then a LayerNorm: (B, H, W, C) to (B, scale H, scale W, C / scale)."""

    def __init__(self, dim: int, scale: int) -> None:
        super().__init__()
        self.scale = scale
        self.expand = nn.Linear(dim, scale * dim, bias=False)
        self.norm = nn.LayerNorm(dim // scale)

    def forward(self, x: Tensor) -> Tensor:
        """Enlarge (B, H, W, C)."""
        batch, height, width, channels = x.shape
        s = self.scale
        x = self.expand(x).view(batch, height, width, s, s, channels // s)
        return self.norm(x.transpose(2, 3).reshape(batch, height * s, width * s, channels // s))


class VMUNet(nn.Module):
    """Pictures (B, C, H, W) to logits (B, num_classes, H, W), H and W multiples of 32.

    A skip is the map before an encoder stage; it is added to the map before the decoder stage of its width, whose
    enlargement follows the sum. The coarsest decoder stage enlarges nothing, and the finest skip is not used.

    Args:
        depths: the blocks of each encoder stage; decoder_depths: of each decoder stage, the coarsest first.
        embed_dim: the channels of the first stage; each stage doubles them.
        d_state: the states of a channel.
        num_classes: the width of the output; 1 for a foreground against the rest.
        in_chans: the channels that the first convolution takes. A picture of one channel is repeated to them.
        drop_path: the rate of stochastic depth at the coarsest blocks.
    """

    def __init__(
        self,
        depths: Sequence[int],
        decoder_depths: Sequence[int],
        embed_dim: int = 96,
        d_state: int = 16,
        num_classes: int = 1,
        in_chans: int = 3,
        drop_path: float = 0.2,
    ) -> None:
        super().__init__()
        dims = [embed_dim * 2**i for i in range(len(depths))]
        self.in_chans = in_chans
        self.patch_embed = PatchEmbed(in_chans, embed_dim, overlapped=False)
        self.stages = nn.ModuleList(
            nn.Sequential(*(VSSBlock(dim, rate, d_state=d_state) for rate in rates))
            for dim, rates in zip(dims, drop_path_rates(drop_path, depths), strict=True)
        )
        self.downsamples = nn.ModuleList(PatchMerging(dim) for dim in dims[:-1])
        up = zip(reversed(dims), _falling(drop_path, decoder_depths), strict=True)
        self.decoder = nn.ModuleList(
            nn.Sequential(*(VSSBlock(dim, rate, d_state=d_state) for rate in rates)) for dim, rates in up
        )
        self.expands = nn.ModuleList(PatchExpand(dim, 2) for dim in reversed(dims[1:]))
        self.final_expand = PatchExpand(embed_dim, 4)
        self.head = nn.Conv2d(embed_dim // 4, num_classes, 1)
        self.apply(linear_layers)

    def forward(self, x: Tensor) -> Tensor:
        """Segment (B, C, H, W).

        Raises:
            ValueError: a side of the picture is no multiple of 32.
        """
        if any(side % STRIDE or not side for side in x.shape[2:]):
            raise ValueError(f"VM-UNet takes sides that are multiples of {STRIDE}, got {x.shape[2]}x{x.shape[3]}")
        if x.shape[1] == 1:
            x = x.expand(-1, self.in_chans, -1, -1)
        x = self.patch_embed(channels_last(x))
        skips = []
        for stage, downsample in zip(self.stages, (*self.downsamples, nn.Identity()), strict=True):
            skips.append(x)
            x = downsample(stage(x))
        first, *others = self.decoder
        x = first(x)
        for stage, expand in zip(others, self.expands, strict=True):
            x = stage(expand(x + skips.pop()))
        return self.head(self.final_expand(x).permute(0, 3, 1, 2))


def _falling(rate: float, depths: Sequence[int]) -> list[list[float]]:
    """Return the rate of every decoder block: it falls linearly from ``rate`` to 0."""
    return [rates[::-1] for rates in drop_path_rates(rate, depths[::-1])][::-1]
