"""PSNR, SSIM and bicubic resizing against their definitions, and against figures of BasicSR on a package's picture."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from claimbench.bench.tasks.super_resolution import data, resize
from claimbench.bench.tasks.super_resolution.catalogue import DATASETS
from claimbench.bench.tasks.super_resolution.score import compare, luma, smallest

pytest.importorskip("skimage")


def noise(seed, *shape):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def test_luma_is_that_of_bt601():
    colours = np.array([[[0, 0, 0], [255, 255, 255], [255, 0, 0]]], np.uint8)
    np.testing.assert_allclose(luma(colours)[0], [16, 235, 16 + 65.481])


def test_psnr_of_a_known_error_without_the_border():
    truth = np.full((24, 24, 3), 100, np.uint8)
    found = truth.copy()
    found[4:20, 4:20] += 10  # of 255, in all channels
    found[:4] = 0  # in the border, and thus without effect
    assert compare(found, truth, 4).psnr == pytest.approx(10 * math.log10(255**2 / (10 * 219 / 255) ** 2))


def test_equal_pictures_are_infinitely_near():
    same = noise(0, 20, 20, 3)
    found = compare(same, same.copy(), 2)
    assert (found.psnr, found.ssim) == (math.inf, 1.0)


@pytest.mark.processors
@pytest.mark.parametrize(("size", "border"), [((19, 19), 4), ((30, 21), 3)])
def test_ssim_is_wangs(size, border):
    found, truth = noise(1, *size, 3), noise(2, *size, 3)
    line = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    window = np.outer(line, line) / np.outer(line, line).sum()
    x, y = (luma(each)[border:-border, border:-border] for each in (found, truth))
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    values = []
    for i in range(x.shape[0] - 10):
        for j in range(x.shape[1] - 10):
            a, b = x[i : i + 11, j : j + 11], y[i : i + 11, j : j + 11]
            mean_a, mean_b = (window * a).sum(), (window * b).sum()
            spread = (window * (a * a + b * b)).sum() - mean_a**2 - mean_b**2
            both = (window * a * b).sum() - mean_a * mean_b
            above = (2 * mean_a * mean_b + c1) * (2 * both + c2)
            values.append(above / ((mean_a**2 + mean_b**2 + c1) * (spread + c2)))
    assert compare(found, truth, border).ssim == pytest.approx(np.mean(values), abs=1e-9)


def test_the_smallest_picture_that_can_be_scored():
    side = smallest(3)
    assert compare(noise(1, side, side, 3), noise(2, side, side, 3), 3).ssim < 1
    with pytest.raises(ValueError, match="win_size"):
        compare(noise(1, side - 1, side, 3), noise(2, side - 1, side, 3), 3)


def keys(x):
    """The cubic kernel with a = -1/2."""
    x = np.abs(x)
    near, far = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))


def along(line, count):
    """One axis resized to ``count`` places, place by place, the line reflected with its ends repeated."""
    size = len(line)
    ratio = size / count
    stretch = max(ratio, 1.0)
    out = np.empty((count, *line.shape[1:]))
    for i in range(count):
        centre = (i + 0.5) * ratio - 0.5
        places = np.arange(math.floor(centre - 2 * stretch), math.ceil(centre + 2 * stretch) + 1)
        weights = keys((places - centre) / stretch)
        inside = places % (2 * size)
        inside = np.where(inside < size, inside, 2 * size - 1 - inside)
        out[i] = np.tensordot(weights / weights.sum(), line[inside], 1)
    return out


@pytest.mark.processors
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_resizing_is_matlabs(scale):
    small, large = noise(3, 5, 8, 3), noise(4, 4 * scale, 7 * scale, 3)
    for picture, resized, to in (
        (large, resize.downscale(large, scale), (4, 7)),
        (small, resize.upscale(small, scale), (5 * scale, 8 * scale)),
    ):
        exact = along(along(picture.astype(float), to[0]).swapaxes(0, 1), to[1]).swapaxes(0, 1)
        assert resized.dtype == np.uint8
        np.testing.assert_allclose(resized, np.clip(exact, 0, 255), atol=0.5 + 1e-9)


def test_pytorchs_own_antialiasing_differs_at_the_edge_only():
    large = noise(5, 40, 40, 3)
    x = torch.from_numpy(large).permute(2, 0, 1)[None].double() / 255
    theirs = resize.to_pixels(F.interpolate(x, (20, 20), mode="bicubic", antialias=True))
    differs = (theirs != resize.downscale(large, 2)).any(-1)
    assert differs[0].any()
    assert not differs[2:-2, 2:-2].any()


BASICSR = {
    2: (31.712719540, 0.945817750708),
    3: (28.683356655, 0.893604917092),
    4: (26.843901647, 0.842936056817),
}
"""PSNR and SSIM of bicubic interpolation on astronaut.png as BasicSR scores it, with ``test_y_channel``."""


@pytest.mark.processors
@pytest.mark.parametrize("scale", BASICSR)
def test_scores_are_those_of_basicsr(scale):
    astronaut = data.find(DATASETS["skimage"], "", scale, partial=False)[0]
    large, small = data.load(astronaut, scale)
    found = compare(resize.upscale(small, scale), large, scale)
    assert (found.psnr, found.ssim) == pytest.approx(BASICSR[scale], abs=2e-6)
