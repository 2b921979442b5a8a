"""Small networks with and without dense connections, trained alike on real pictures, for a claim."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from claimbench.reproductions.drct.group import BLOCKS, Sizes, SwinBlock
from claimbench.reproductions.drct.model import DRCT

__all__ = ["CONFIG", "PLAIN_DIM", "Pictures", "Plain", "intensities", "pictures", "psnr", "train"]

CONFIG: Mapping[str, Any] = {
    "upscale": 2,
    "embed_dim": 16,
    "gc": 8,
    "depths": [6] * 6,
    "num_heads": [4] * 6,
    "window_size": 8,
    "mlp_ratio": 2,
    "img_size": 16,
    "drop_path_rate": 0.0,
}
"""Six groups as in the paper, an eleventh of its width, windows half as wide."""

PLAIN_DIM, PLAIN_HEADS = 28, 4
"""The width and heads that give the network without dense connections as many parameters, within 1 %."""

TRAINING = ("astronaut.png", "coffee.png", "motorcycle_left.png", "rocket.jpg", "ihc.png")
HELD_OUT = ("chelsea.png", "camera.png")
CROP = 16
BATCH = 2


class PlainGroup(nn.Module):
    """x + conv3x3(b5(b4(b3(b2(b1(x)))))): a residual group of SwinIR, with as many blocks as DRCT's groups."""

    def __init__(self, dim: int, heads: int, sizes: Sizes, blocks: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(
            *(SwinBlock(dim, heads, sizes, sizes.shift * (i % 2), sizes.mlp_ratio) for i in range(blocks))
        )
        self.conv = nn.Conv2d(dim, dim, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, H, W, C) to (B, H, W, C)."""
        return x + self.conv(self.blocks(x).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


class Plain(DRCT):
    """DRCT with residual groups of SwinIR in place of the dense ones, at another width; all else is the same."""

    def __init__(self, config: Mapping[str, Any], dim: int = PLAIN_DIM, heads: int = PLAIN_HEADS) -> None:
        groups = len(config["depths"])
        super().__init__({**config, "embed_dim": dim, "gc": dim, "num_heads": [heads] * groups})
        shift = config["window_size"] // 2 if config["img_size"] > config["window_size"] else 0
        sizes = Sizes(self.window, shift, config["mlp_ratio"], True)
        self.groups = nn.ModuleList(PlainGroup(dim, heads, sizes, BLOCKS) for _ in range(groups))


@dataclass(frozen=True)
class Pictures:
    """Pairs of small and large pictures, (3, H, W) with values from 0 to 1: for training, and held out."""

    training: tuple[tuple[Tensor, Tensor], ...]
    held_out: tuple[tuple[Tensor, Tensor], ...]


def pictures(scale: int, side: int = 256) -> Pictures:
    """Return crops of the photographs that scikit-image carries, made small by antialiased bicubic interpolation.

    Raises:
        ImportError: scikit-image is not installed.
    """
    import skimage.data
    from skimage.io import imread

    folder = Path(skimage.data.__file__).parent

    def load(name: str) -> tuple[Tensor, Tensor]:
        values = np.asarray(imread(folder / name))
        values = np.repeat(values[..., None], 3, -1) if values.ndim == 2 else values
        top, left = (values.shape[0] - side) // 2, (values.shape[1] - side) // 2
        crop = values[top : top + side, left : left + side]
        large = torch.from_numpy(crop.astype(np.float32) / 255).permute(2, 0, 1)
        small = F.interpolate(large[None], (side // scale, side // scale), mode="bicubic", antialias=True)[0]
        return small.clamp(0, 1), large

    return Pictures(tuple(map(load, TRAINING)), tuple(map(load, HELD_OUT)))


def train(network: nn.Module, data: Pictures, scale: int, steps: int, seed: int) -> None:
    """Train on random crops, flipped and turned, by L1 and Adam as the paper does (betas 0.9 and 0.99).

    The learning rate falls from 1e-3 to 0 along a half cosine: a few hundred steps leave no time for halving it by
    hand. The same seed gives the same crops to every network.
    """
    generator = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    network.train()
    for _ in range(steps):
        small, large = _batch(data.training, scale, generator)
        optimiser.zero_grad()
        F.l1_loss(network(small), large).backward()
        optimiser.step()
        schedule.step()
    network.eval()


def _batch(pairs: Sequence[tuple[Tensor, Tensor]], scale: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    small: list[Tensor] = []
    large: list[Tensor] = []
    for _ in range(BATCH):
        index, turn = (int(torch.randint(n, (), generator=generator)) for n in (len(pairs), 8))
        low, high = pairs[index]
        y, x = (int(torch.randint(side - CROP + 1, (), generator=generator)) for side in low.shape[1:])
        for picture, at, crops in ((low, 1, small), (high, scale, large)):
            crop = picture[:, at * y : at * (y + CROP), at * x : at * (x + CROP)]
            crops.append(torch.rot90(crop.flip(2) if turn % 2 else crop, turn // 2, (1, 2)))
    return torch.stack(small), torch.stack(large)


@torch.no_grad()
def intensities(network: DRCT, data: Pictures, channel: int | None = None) -> list[float]:
    """Return the intensity of the held-out pictures' feature maps: before the first group, and behind each group.

    The intensity is the mean magnitude over pictures, positions and channels, or of one channel alone.
    """
    totals: list[float] = []
    for small, _ in data.held_out:
        shallow = network.shallow((network.whole_windows(small[None]) - network.mean) * network.range)
        start = network.embed_norm(shallow.permute(0, 2, 3, 1))
        maps = [start, *network.body(shallow)]
        values = [float((each if channel is None else each[..., channel]).abs().mean()) for each in maps]
        totals = [a + b for a, b in zip(totals or [0.0] * len(values), values, strict=True)]
    return [total / len(data.held_out) for total in totals]


@torch.no_grad()
def psnr(network: nn.Module, data: Pictures, scale: int) -> float:
    """Return the mean PSNR of the held-out pictures' luma in dB, without a border as wide as the scale."""
    weights = torch.tensor([65.481, 128.553, 24.966]).view(3, 1, 1) / 255
    found = []
    for small, large in data.held_out:
        error = ((network(small[None])[0].clamp(0, 1) - large) * weights).sum(0)[scale:-scale, scale:-scale]
        found.append(float(-10 * error.square().mean().log10()))
    return sum(found) / len(found)
