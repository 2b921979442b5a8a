"""Small trainings of the tokenizer on scikit-image's pictures, for the claims that need some.

A sample is a tile of a picture, a clip (a tile that moves over a picture) or a relief (the pixels of a tile as coloured
voxels at the height of their luma). Tiles of test pictures come from other pictures than those of training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import cos, pi, sqrt
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from claimbench.reproductions.atoken.model import AToken, build
from claimbench.reproductions.atoken.packing import Layout
from claimbench.reproductions.costs import one_thread

__all__ = ["HOW_TRAINED", "SEEDS", "Arm", "Scores", "better", "scores", "tile_psnr"]

LEARNED = ("astronaut.png", "coffee.png", "rocket.jpg", "motorcycle_left.png", "ihc.png")
TESTED = ("chelsea.png", "motorcycle_right.png", "retina.jpg")
SEEDS = (0, 1, 2)

STEPS, BATCH, WARM_UP, RATE = 240, 8, 20, 2e-3
TILE, FRAMES, MARGIN = 48, 8, 16
VOXELS = 12
"""The side of a relief."""

TEST_TILES = 48
TWO_SIDED = 4.303
"""Student's quantile of 97.5 % with two degrees of freedom: three seeds."""

HOW_TRAINED = (
    f"Networks of two blocks a side, {STEPS} steps on {BATCH} samples of 48x48 pixels from five of scikit-image's "
    "pictures, tested on tiles of three others, three seeds; differences count where their 95 % interval over the "
    "seeds leaves out zero. Clips are tiles that move over a picture, 3-D are reliefs made of tiles; none of this is "
    "ImageNet."
)
"""The method of the small trainings in the limits of a claim."""


@dataclass(frozen=True)
class Arm:
    """One way to train.

    Attributes:
        kinds: of the samples; a step takes one kind after the other.
        width: channels of the network.
        discrete: whether latents are quantised.
        gram: the weight of the Gram-matrix loss on fixed random features.
        steps: of training.
    """

    kinds: tuple[str, ...] = ("picture",)
    width: int = 96
    discrete: bool = False
    gram: float = 0.0
    steps: int = STEPS


@dataclass(frozen=True)
class Scores:
    """The scores on held-out tiles.

    Attributes:
        psnr: in dB, by kind.
        frechet: the Fréchet distance of 4x4 blocks of grey pictures; covariance: the share of its covariance term.
    """

    psnr: Mapping[str, float]
    frechet: float
    covariance: float


@cache
def _pictures(names: tuple[str, ...]) -> list[Tensor]:
    """Return pictures (3, H, W) with values from -1 to 1, the shorter side 192 pixels."""
    import skimage.data
    from PIL import Image

    folder, found = Path(skimage.data.__file__).parent, []
    for name in names:
        with Image.open(folder / name) as image:
            factor = 192 / min(image.size)
            small = image.convert("RGB").resize((round(image.width * factor), round(image.height * factor)))
            found.append(torch.from_numpy(np.array(small)).permute(2, 0, 1).float() / 127.5 - 1)
    return found


def _tiles(kind: str, names: tuple[str, ...], count: int, generator: Generator) -> Tensor:
    """Return tiles of pictures (B, 3, H, W), or clips (B, T, 3, H, W) of tiles that move."""
    found = []
    for number in torch.randint(len(names), (count,), generator=generator).tolist():
        picture = _pictures(names)[number]
        reach = [side - TILE - MARGIN for side in picture.shape[1:]]
        y, x = (int(torch.randint(each, (1,), generator=generator)) for each in reach)
        dy, dx = torch.randint(0, MARGIN // FRAMES + 1, (2,), generator=generator).tolist()
        tiles = [picture[:, y + dy * t : y + dy * t + TILE, x + dx * t : x + dx * t + TILE] for t in range(FRAMES)]
        found.append(tiles[0] if kind == "picture" else torch.stack(tiles))
    return torch.stack(found)


def _reliefs(tiles: Tensor) -> tuple[Tensor, Tensor]:
    """Return features (L, 3) and places (L, 4) of tiles (B, 3, H, W) as voxels at the height of their luma."""
    small = F.interpolate(tiles, (VOXELS, VOXELS), mode="area")
    height = ((small.mean(1) + 1) / 2 * (VOXELS - 1)).round().long()
    sample, row, column = torch.meshgrid(torch.arange(len(tiles)), *[torch.arange(VOXELS)] * 2, indexing="ij")
    places = torch.stack((sample, row, column, height), dim=-1).flatten(0, 2)
    return small.permute(0, 2, 3, 1).flatten(0, 2), places


def _batch(
    model: AToken, kind: str, names: tuple[str, ...], count: int, generator: Generator
) -> tuple[Tensor, Layout, int]:
    """Return rows and layout of samples of a kind, and how many numbers of each row have a meaning."""
    tiles = _tiles("clip" if kind == "clip" else "picture", names, count, generator)
    if kind == "relief":
        features, places = _reliefs(tiles)
        return *model.voxels(features, places), features.shape[1]
    rows, layout, _ = model.pack(tiles)
    return rows, layout, rows.shape[1] if kind == "clip" else rows.shape[1] // model.patch[0]


def _features(pictures: Tensor) -> list[Tensor]:
    """Return the Gram matrices (B, C, C) of three layers of fixed random filters over pictures (B, 3, H, W)."""
    generator, x = Generator().manual_seed(0), pictures
    found: list[Tensor] = []
    for channels in (16, 24, 32):
        weight = torch.randn(channels, x.shape[1], 3, 3, generator=generator) / sqrt(9 * x.shape[1])
        x = F.relu(F.conv2d(x, weight, stride=2 if found else 1))
        flat = x.flatten(2)
        found.append(flat @ flat.mT / flat.shape[2])
    return found


def _network(arm: Arm) -> AToken:
    sizes = {"model_channels": arm.width, "num_blocks": 2, "num_heads": 2, "mlp_channels": 3 * arm.width}
    config: dict[str, Any] = {f"{side}_{name}": size for side in ("encoder", "decoder") for name, size in sizes.items()}
    for side, bias in (("encoder", True), ("decoder", False)):
        config |= {f"{side}_attn_mode": "full", f"{side}_pe_mode": "joint", f"{side}_use_bias": bias}
        config |= {f"{side}_qk_rms_norm": not bias, f"{side}_use_rms_norm": not bias}
    config |= {"patch_size": (4, 16, 16), "in_channels": 3072, "out_channels": 3072, "latent_channels": 48}
    config |= {"use_quantizer": arm.discrete, "quantizer_codebook_size": 4096, "quantizer_num_codebooks": 8}
    return build(config | {"quantizer_feature_dim": 48})


def _train(arm: Arm, seed: int) -> AToken:
    torch.manual_seed(seed)
    generator = Generator().manual_seed(seed)
    model = _network(arm).train()
    optimizer = torch.optim.AdamW(model.parameters(), RATE, betas=(0.9, 0.95), weight_decay=0.1)
    for step in range(arm.steps):
        rate = RATE * min((step + 1) / WARM_UP, 0.5 + 0.5 * cos(pi * step / arm.steps))
        for group in optimizer.param_groups:
            group["lr"] = rate
        kind = arm.kinds[step % len(arm.kinds)]
        rows, layout, known = _batch(model, kind, LEARNED, BATCH, generator)
        back = model.decode(model.latents(model.parameters_of(rows, layout)), layout)
        loss = (back - rows)[:, :known].abs().mean()
        if arm.gram and kind == "picture":
            both = (_whole(model, x) for x in (back, rows))
            pairs = zip(*map(_features, both), strict=True)
            loss = loss + arm.gram * torch.stack([(a - b).abs().mean() for a, b in pairs]).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


def _whole(model: AToken, rows: Tensor) -> Tensor:
    """Return the rows of square tiles as pictures (B, 3, H, W)."""
    side = TILE // model.patch[1]
    shape = (len(rows) // side**2, 3, TILE, TILE)
    return model.unpack(rows, torch.empty(shape, device="meta"))[0]


@cache
def scores(arm: Arm, seed: int) -> Scores:
    """Train once and return the scores on held-out tiles, the same for every training."""
    with one_thread(), torch.inference_mode(False), torch.enable_grad():
        model = _train(arm, seed)
    psnr, pictures = {}, []
    with one_thread(), torch.no_grad():
        for kind in ("picture", "clip", "relief"):
            rows, layout, known = _batch(model, kind, TESTED, TEST_TILES, Generator().manual_seed(99))
            back = model.decode(model.latents(model.parameters_of(rows, layout)), layout).clamp(-1, 1)
            psnr[kind] = float(-10 * ((back - rows)[:, :known] / 2).square().mean().log10())
            if kind == "picture":
                pictures = [_whole(model, x) for x in (back, rows)]
    distance, share = _frechet(*pictures)
    return Scores(psnr, distance, share)


def tile_psnr() -> float:
    """Return the PSNR in dB of held-out tiles that are replaced by their mean colour."""
    tiles = _tiles("picture", TESTED, TEST_TILES, Generator().manual_seed(99))
    return float(-10 * ((tiles.mean((2, 3), keepdim=True) - tiles) / 2).square().mean().log10())


def _frechet(found: Tensor, truth: Tensor) -> tuple[float, float]:
    """Return the Fréchet distance of the 4x4 blocks of grey pictures, and the share of its covariance term."""
    (m, c), (n, d) = (_normal(x) for x in (found, truth))
    means = float((m - n).square().sum())
    roots = torch.linalg.eigvals(c @ d).real.clamp_min(0).sqrt().sum()
    covariances = float(c.trace() + d.trace() - 2 * roots)
    return means + covariances, covariances / (means + covariances)


def _normal(pictures: Tensor) -> tuple[Tensor, Tensor]:
    blocks = F.unfold(pictures.mean(1, keepdim=True).double(), 4, stride=4).transpose(1, 2).flatten(0, 1)
    return blocks.mean(0), blocks.T.cov(correction=0)


def better(ours: Sequence[float], theirs: Sequence[float]) -> bool | None:
    """Whether ours are higher, seed by seed: the difference's 95 % interval is above zero; None if it holds zero."""
    differences = [a - b for a, b in zip(ours, theirs, strict=True)]
    half = TWO_SIDED * stdev(differences) / sqrt(len(differences))
    mean = fmean(differences)
    return None if abs(mean) <= half else mean > 0
