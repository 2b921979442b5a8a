"""DRCT: a convolution, residual dense groups of Swin blocks, and pixel shuffle to the wanted size."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import Any

import torch
from torch import Tensor, nn

from claimbench.reproductions.drct.group import ResidualDenseGroup, Sizes
from claimbench.reproductions.initialise import linear_layers

__all__ = ["DRCT", "build", "needed_overlap", "reflected"]

MEAN = (0.4488, 0.4371, 0.4040)
"""The mean RGB of DIV2K, subtracted from the input and added to the output."""

FEATURES = 64
"""Channels of the maps that are shuffled into pixels."""


def reflected(length: int, to: int, device: torch.device) -> Tensor:
    """Return the place among ``length`` of each of ``to`` positions that go back and forth between the two ends."""
    period = max(2 * (length - 1), 1)
    return (length - 1) - (torch.arange(to, device=device) % period - (length - 1)).abs()


def needed_overlap(config: Mapping[str, Any]) -> int:
    """Return the margin, in pixels of the input, with which a tile gives the result of the whole picture.

    The margin is a multiple of the window side w; tiles begin and end at multiples of w too. At the edge of a tile the
    windows that a shift cuts in two differ from those of the whole picture, and the difference spreads. Windows that
    shift spread it by 3 w in the first group and by 2 w in each further one, which begins where the last one's windows
    ended; others spread it by w in all. The convolutions behind the groups add less than four pixels. Six groups of
    windows of 16 need 224 pixels.
    """
    size, groups = config.get("img_size", 64), len(config["depths"])
    window = min(config["window_size"], size)
    spread = window * (2 * groups + 1) if config["window_size"] < size and window > 1 else window
    reach, resolution = 1.0 if config.get("resi_connection", "1conv") == "identity" else 2.0, 1
    for step in _steps(config["upscale"]):
        reach, resolution = reach + 1 / resolution, resolution * step
    return -(-(spread + ceil(reach + 1 / resolution)) // window) * window


def _steps(scale: int) -> list[int]:
    """Return the factors by which the map grows, one pixel shuffle after the other."""
    if scale < 2 or (scale != 3 and scale & (scale - 1)):
        raise ValueError(f"drct: upscale must be 3 or a power of two, got {scale}")
    return [3] if scale == 3 else [2] * (scale.bit_length() - 1)


class Upsample(nn.Sequential):
    """3x3 convolutions, each followed by a pixel shuffle: (B, F, H, W) to (B, F, scale H, scale W).

    Args:
        scale: 3 or a power of two.
        channels: F.
    """

    def __init__(self, scale: int, channels: int) -> None:
        layers: list[nn.Module] = []
        for step in _steps(scale):
            layers += [nn.Conv2d(channels, channels * step**2, 3, padding=1), nn.PixelShuffle(step)]
        super().__init__(*layers)


class DRCT(nn.Module):
    """The network: pictures (B, C, H, W) with values from 0 to 1 to (B, C, scale H, scale W), H and W of any size.

    Sides that are no multiple of the window are filled up by reflection, and the result is cut.

    Args:
        config: ``upscale``; ``embed_dim``; ``gc`` (growth); ``depths`` (one entry for each group; its values set the
            rates of stochastic depth only); ``num_heads`` (of each group); ``window_size``; ``mlp_ratio``; ``img_size``
            (of the pictures in training; if it is no larger than a window, no window shifts); ``qkv_bias``;
            ``img_range``; ``in_chans``; ``resi_connection`` (``1conv`` or ``identity``); ``patch_norm``;
            ``drop_path_rate``.

    Attributes:
        tile_multiple: the side that divides the positions of tiles of a large picture, in pixels.
        tile_overlap: the margin of a tile, in pixels, that gives the result of the whole picture.
    """

    mean: Tensor

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        _refuse_unknown(config)
        dim, depths, channels = config["embed_dim"], list(config["depths"]), config.get("in_chans", 3)
        size, window = config.get("img_size", 64), config["window_size"]
        self.window = min(window, size)
        self.scale, self.range = config["upscale"], float(config.get("img_range", 1.0))
        self.tile_multiple, self.tile_overlap = self.window, needed_overlap(config)
        shift = window // 2 if size > window else 0
        sizes = Sizes(self.window, shift, config["mlp_ratio"], config.get("qkv_bias", True))
        mean = MEAN if channels == 3 else (0.0,)
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1), persistent=False)
        self.shallow = nn.Conv2d(channels, dim, 3, padding=1)
        self.embed_norm = nn.LayerNorm(dim) if config.get("patch_norm", True) else nn.Identity()
        rates = torch.linspace(0, config.get("drop_path_rate", 0.1), sum(depths), device="cpu").tolist()
        self.groups = nn.ModuleList(
            ResidualDenseGroup(dim, config.get("gc", 32), heads, sizes, rates[sum(depths[:i])])
            for i, heads in enumerate(config["num_heads"][: len(depths)])
        )
        self.norm = nn.LayerNorm(dim)
        plain = config.get("resi_connection", "1conv") == "identity"
        self.after_body = nn.Identity() if plain else nn.Conv2d(dim, dim, 3, padding=1)
        self.before_upsample = nn.Sequential(nn.Conv2d(dim, FEATURES, 3, padding=1), nn.LeakyReLU())
        self.upsample = Upsample(self.scale, FEATURES)
        self.last = nn.Conv2d(FEATURES, channels, 3, padding=1)
        self.apply(linear_layers)

    def whole_windows(self, x: Tensor) -> Tensor:
        """Return the pictures filled up by reflection to whole windows."""
        for axis in (2, 3):
            length = x.shape[axis]
            if length % self.window:
                x = x.index_select(axis, reflected(length, length + -length % self.window, x.device))
        return x

    def body(self, x: Tensor) -> list[Tensor]:
        """Return the map (B, H, W, C) behind each group, for the shallow map (B, C, H, W)."""
        x = self.embed_norm(x.permute(0, 2, 3, 1).contiguous())
        maps = []
        for group in self.groups:
            x = group(x)
            maps.append(x)
        return maps

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, C, scale H, scale W) for pictures (B, C, H, W)."""
        return self.with_maps(x)[0]

    def with_maps(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the result, and the map (B, H', W', C) behind each group, H' and W' being whole windows."""
        height, width = x.shape[2:]
        mean = self.mean.to(x.dtype)
        shallow = self.shallow((self.whole_windows(x) - mean) * self.range)
        maps = self.body(shallow)
        x = self.after_body(self.norm(maps[-1]).permute(0, 3, 1, 2)) + shallow
        x = self.last(self.upsample(self.before_upsample(x)))
        return (x / self.range + mean)[..., : height * self.scale, : width * self.scale], maps


def _refuse_unknown(config: Mapping[str, Any]) -> None:
    if config.get("upsampler", "pixelshuffle") != "pixelshuffle":
        raise ValueError(f"drct: the only upsampler of the paper is 'pixelshuffle', got {config['upsampler']!r}")
    if config.get("resi_connection", "1conv") not in ("1conv", "identity"):
        raise ValueError(f"drct: resi_connection is '1conv' or 'identity', got {config['resi_connection']!r}")
    if config.get("ape"):
        raise ValueError("drct: no model of the paper has absolute position embeddings (ape)")


def build(config: Mapping[str, Any], form: str = "model") -> nn.Module:
    """Return the model that ``config`` describes, freshly initialised.

    Raises:
        ValueError: ``form`` is not ``model``, or the configuration is not one that can be built.
    """
    if form != "model":
        raise ValueError(f"drct has the form 'model' only, got {form!r}")
    return DRCT(config)
