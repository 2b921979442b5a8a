"""A small real segmentation task with objects of several scales, for the claim about ASPP: digits on textures.

Each picture has one handwritten 0 or 1 (scikit-learn's, 8x8 pixels), enlarged and laid on a piece of a photographed
texture (scikit-image's). Its strokes are labelled with the digit, all else with background. Strokes of the two look
alike from near; only a view of the whole digit tells them apart, at every size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from claimbench.reproductions.deeplab.heads import AtrousPyramid
from claimbench.reproductions.deeplab.overlap import mean_iou

__all__ = ["SIDES", "Scenes", "by_side", "scenes", "small_network", "trained"]

SIZE = 49
"""The side of a picture, in pixels; it has 13 scores a side at a stride of 4."""
SIDES = (10, 20, 40)
"""The sides of the digits, in pixels."""
KINDS = 2
CLASSES = KINDS + 1
STROKE = 0.4
"""The least brightness of a pixel that belongs to a digit."""
TRAINING_SHARE = 0.7
TEXTURES = ("brick", "grass", "gravel")
PICTURES, STEPS, BATCH, RATE, WIDTH = 900, 300, 16, 1e-2, 16


@dataclass(frozen=True)
class Scenes:
    """Pictures (N, 1, SIZE, SIZE), labels (N, SIZE, SIZE) and the index (N,) of their digit's side in :data:`SIDES`."""

    pictures: Tensor
    labels: Tensor
    sides: Tensor


def scenes(number: int, seed: int, *, training: bool) -> Scenes:
    """Return ``number`` pictures; those for training share neither digits nor pieces of texture with the others."""
    generator = torch.Generator().manual_seed(seed)
    digits, kinds = _digits()
    cut = int(TRAINING_SHARE * len(digits))
    low, high = (0, cut) if training else (cut, len(digits))
    chosen = torch.randint(low, high, (number,), generator=generator)
    sides = torch.arange(number) % len(SIDES)
    pictures, labels = torch.empty(number, 1, SIZE, SIZE), torch.zeros(number, SIZE, SIZE, dtype=torch.long)
    for i in range(number):
        side = SIDES[int(sides[i])]
        ink = F.interpolate(digits[chosen[i]][None, None], size=(side, side), mode="bilinear")[0, 0]
        top, left = (int(v) for v in torch.randint(0, SIZE - side, (2,), generator=generator))
        picture = 0.6 * _texture(generator, training)
        under = picture[top : top + side, left : left + side]
        under += ink * (1 - under)
        pictures[i, 0] = picture
        labels[i, top : top + side, left : left + side] = (ink > STROKE) * (kinds[chosen[i]] + 1)
    return Scenes((pictures - 0.4) / 0.25, labels, sides)


def small_network(rates: Sequence[int]) -> nn.Module:
    """Return three convolutions of output stride 4 with the paper's head: a branch (fc6, fc7, fc8) for each rate.

    Dropout is left out: networks this small underfit with it.
    """
    layers: list[nn.Module] = []
    for channels, out, stride in ((1, WIDTH // 2, 2), (WIDTH // 2, WIDTH, 2), (WIDTH, WIDTH, 1)):
        layers += [nn.Conv2d(channels, out, 3, stride, 1), nn.BatchNorm2d(out), nn.ReLU(inplace=True)]
    head = AtrousPyramid(WIDTH, WIDTH, CLASSES, 3, rates)
    for module in head.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return nn.Sequential(*layers, head)


def trained(rates: Sequence[int], data: Scenes, seed: int, steps: int = STEPS) -> nn.Module:
    """Return a :func:`small_network` trained by the paper's rules: subsampled labels, the poly learning rate."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = small_network(rates)
    order = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(network.parameters(), RATE)
    schedule = torch.optim.lr_scheduler.PolynomialLR(optimizer, steps, power=0.9)
    for _ in range(steps):
        index = torch.randint(0, len(data.labels), (BATCH,), generator=order)
        loss = F.cross_entropy(network(data.pictures[index]), data.labels[index][:, ::4, ::4])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return network.eval()


@torch.no_grad()
def by_side(network: nn.Module, data: Scenes) -> dict[int, float]:
    """Return mean intersection over union at full size, by the side of the digit; key 0 is for all pictures."""
    scores = torch.cat([network(part) for part in data.pictures.split(BATCH)])
    found = F.interpolate(scores, size=data.labels.shape[1:], mode="bilinear", align_corners=True).argmax(1)
    parts = {0: data.sides >= 0, **{side: data.sides == i for i, side in enumerate(SIDES)}}
    return {side: mean_iou(data.labels[part], found[part], CLASSES) for side, part in parts.items()}


@cache
def _digits() -> tuple[Tensor, Tensor]:
    from sklearn.datasets import load_digits

    images, kinds = load_digits(n_class=KINDS, return_X_y=True)
    return torch.from_numpy(images / 16).float().view(-1, 8, 8), torch.from_numpy(kinds).long()


@cache
def _textures() -> Mapping[str, Tensor]:
    from skimage import data

    return {name: torch.from_numpy(getattr(data, name)()).float() / 255 for name in TEXTURES}


def _texture(generator: torch.Generator, training: bool) -> Tensor:
    """Return a piece (SIZE, SIZE) of a texture, from its left half for training and its right half otherwise."""
    choice, row, column = torch.rand(3, generator=generator).tolist()
    whole = _textures()[TEXTURES[int(choice * len(TEXTURES))]]
    height, half = whole.shape[0], whole.shape[1] // 2
    top = int(row * (height - SIZE))
    left = int(column * (half - SIZE)) + (0 if training else half)
    return whole[top : top + SIZE, left : left + SIZE].clone()
