"""The names of the rows that scoring yields. Only the standard library is imported here."""

from __future__ import annotations

METHODS = ("", "bicubic", "rrdbnet")
"""Whose pictures are scored: the model's, and those it is compared with."""

UNITS = ("dB", "")
"""Of PSNR and of SSIM."""


def row_names(dataset: str, scale: int, method: str = "") -> tuple[str, str]:
    """Return the rows of PSNR and SSIM on a set, for example ``psnr_set5_x4`` and ``bicubic_psnr_set5_x4``."""
    before = f"{method}_" if method else ""
    return f"{before}psnr_{dataset}_x{scale}", f"{before}ssim_{dataset}_x{scale}"
