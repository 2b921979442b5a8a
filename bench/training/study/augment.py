"""Light augmentation of a batch that is a tensor already: shift, flip, erase.

All chances are drawn on the CPU, so that every device trains on the same pictures.
"""

from __future__ import annotations

import torch
from torch import Tensor

from claimbench.bench.training.study.setting import Setting

ERASED = (0.02, 0.33)
"""The share of the picture that an erased rectangle covers."""

ASPECT = 3.3
"""Its height over its width is between 1 / ASPECT and ASPECT (Zhong et al., arXiv 1708.04896)."""


def augment(images: Tensor, setting: Setting, generator: torch.Generator) -> Tensor:
    """Return normalised pictures (B, C, H, W), each shifted, flipped and erased by chances of its own.

    Pixels that come in at the borders and erased pixels are zero: the mean.
    """
    images = _shift_and_flip(images, setting, generator)
    return _erase(images, setting.erasing, generator) if setting.erasing else images


def _shift_and_flip(images: Tensor, setting: Setting, generator: torch.Generator) -> Tensor:
    batch, _, height, width = images.shape
    reach = setting.shift
    moves = torch.randint(0, 2 * reach + 1, (2, batch, 1), generator=generator)
    flips = torch.rand(2, batch, 1, generator=generator) < 0.5
    rows, columns = torch.arange(height).expand(batch, -1), torch.arange(width).expand(batch, -1)
    if setting.flip in ("horizontal", "both"):
        columns = torch.where(flips[0], width - 1 - columns, columns)
    if setting.flip == "both":
        rows = torch.where(flips[1], height - 1 - rows, rows)
    rows, columns = (rows + moves[0]).to(images.device), (columns + moves[1]).to(images.device)
    padded = torch.nn.functional.pad(images, (reach, reach, reach, reach))
    which = torch.arange(batch, device=images.device)[:, None, None]
    return padded[which, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2).contiguous()


def _erase(images: Tensor, chance: float, generator: torch.Generator) -> Tensor:
    batch, _, height, width = images.shape
    hit, share, aspect, top, left = torch.rand(5, batch, 1, generator=generator)
    area = (ERASED[0] + share * (ERASED[1] - ERASED[0])) * height * width
    ratio = ASPECT ** (2 * aspect - 1)
    tall, wide = (area * ratio).sqrt().clamp(max=height), (area / ratio).sqrt().clamp(max=width)
    rows = _inside(torch.arange(height), top * (height - tall), tall)
    columns = _inside(torch.arange(width), left * (width - wide), wide)
    erased = (hit < chance)[:, :, None] & rows[:, :, None] & columns[:, None, :]
    return images.masked_fill(erased[:, None].to(images.device), 0.0)


def _inside(positions: Tensor, start: Tensor, length: Tensor) -> Tensor:
    return (positions >= start) & (positions < start + length)
