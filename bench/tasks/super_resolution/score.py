"""PSNR and SSIM by the convention of super-resolution: on the luma of BT.601, without a border as wide as the scale."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

WINDOW = 11
"""The side of SSIM's Gaussian window."""

WEIGHTS = np.array([65.481, 128.553, 24.966]) / 255
"""The weights of red, green and blue in the luma, which lies between 16 and 235."""


@dataclass(frozen=True)
class Scores:
    """The likeness of two pictures: PSNR in dB (infinite for equal pictures), and SSIM."""

    psnr: float
    ssim: float


def luma(picture: np.ndarray) -> np.ndarray:
    """Return Y of BT.601, (H, W) float64 between 16 and 235 and not rounded, of (H, W, 3) uint8."""
    return picture @ WEIGHTS + 16.0


def smallest(scale: int) -> int:
    """Return the least side that a picture must have for SSIM to be defined inside the border."""
    return WINDOW + 2 * scale


def compare(found: np.ndarray, truth: np.ndarray, border: int) -> Scores:
    """Score a picture against the truth, both (H, W, 3) uint8, as BasicSR does with ``test_y_channel``.

    SSIM is that of Wang et al. (2004): a Gaussian window of 11x11 and sigma 1.5, only where it lies within the picture.

    Args:
        found, truth: pictures of one size, at least ``smallest(border)`` a side.
        border: rows and columns left out at each edge.
    """
    from skimage.metrics import peak_signal_noise_ratio, structural_similarity

    inside = slice(border, -border or None)
    x, y = luma(found[inside, inside]), luma(truth[inside, inside])
    if np.array_equal(x, y):
        return Scores(float("inf"), 1.0)
    similarity = structural_similarity(
        x, y, data_range=255.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    return Scores(float(peak_signal_noise_ratio(y, x, data_range=255.0)), float(similarity))
