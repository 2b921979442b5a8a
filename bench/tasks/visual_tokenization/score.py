"""The arithmetic of likeness: PSNR, SSIM, and the Fréchet distance of two sets of blocks."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, log10

import numpy as np
from scipy.fft import dctn

SIDE = 16
"""The least side of a picture that is scored: SSIM's window has 11 pixels, and a patch usually 16."""

BLOCK = 4
"""The side of the blocks whose coefficients are the features of the Fréchet distance."""

LUMA = np.array([0.299, 0.587, 0.114])


def psnr(found: np.ndarray, truth: np.ndarray, most: float = 255.0) -> float:
    """Return the peak signal-to-noise ratio in dB of two arrays of values up to ``most``; infinite for equal ones."""
    error = float(np.mean((found.astype(np.float64) - truth) ** 2))
    return 10 * log10(most**2 / error) if error else inf


def ssim(found: np.ndarray, truth: np.ndarray) -> float:
    """Return the mean structural similarity of frames (T, H, W, 3) uint8, channel by channel.

    That of Wang et al. (2004): a Gaussian window of 11x11 and sigma 1.5, only where it lies within the picture.
    """
    from skimage.metrics import structural_similarity

    each = [
        structural_similarity(
            x, y, data_range=255.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, channel_axis=-1
        )
        for x, y in zip(found, truth, strict=True)
    ]
    return float(np.mean(each))


@dataclass(frozen=True)
class Moments:
    """The number of feature vectors, their sum (D,) and the sum of their outer products (D, D)."""

    count: int
    sum: np.ndarray
    products: np.ndarray

    @classmethod
    def of(cls, features: np.ndarray) -> Moments:
        """Return the moments of features (N, D)."""
        return cls(len(features), features.sum(0), features.T @ features)

    def __add__(self, other: Moments) -> Moments:
        return Moments(self.count + other.count, self.sum + other.sum, self.products + other.products)

    def normal(self) -> tuple[np.ndarray, np.ndarray]:
        """Return mean (D,) and covariance (D, D)."""
        mean = self.sum / self.count
        return mean, self.products / self.count - np.outer(mean, mean)


def blocks(pictures: np.ndarray) -> np.ndarray:
    """Return the discrete cosine transforms (N, 16) of all 4x4 blocks of luma of pictures (T, H, W, 3) uint8.

    Luma lies between 0 and 1; rows and columns beyond the last whole block are left out.
    """
    luma = pictures @ LUMA / 255
    frames, height, width = (luma.shape[0], *(side // BLOCK * BLOCK for side in luma.shape[1:]))
    cut = luma[:, :height, :width].reshape(frames, height // BLOCK, BLOCK, width // BLOCK, BLOCK).swapaxes(2, 3)
    coefficients: np.ndarray = dctn(cut.reshape(-1, BLOCK, BLOCK), axes=(1, 2), norm="ortho")
    return coefficients.reshape(-1, BLOCK * BLOCK)


def frechet(found: Moments, truth: Moments) -> tuple[float, float]:
    """Return the Fréchet distance of two normal distributions, and the share of its covariance term from 0 to 1.

    The distance is |m - n|^2 + tr(C + D - 2 (C D)^(1/2)), Dowson and Landau (1982).
    """
    (m, c), (n, d) = found.normal(), truth.normal()
    means = float(((m - n) ** 2).sum())
    roots = np.sqrt(np.clip(np.linalg.eigvals(c @ d).real, 0, None)).sum()
    covariances = max(float(np.trace(c) + np.trace(d) - 2 * roots), 0.0)
    total = means + covariances
    return total, covariances / total if total else 0.0


def perplexity(counts: np.ndarray) -> float:
    """Return two to the power of the entropy of how often each entry is used, (entries,): the entries that count."""
    shares = counts[counts > 0] / max(counts.sum(), 1)
    return float(2 ** -(shares * np.log2(shares)).sum())
