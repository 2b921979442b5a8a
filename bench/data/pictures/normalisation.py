"""Named normalisations of pictures: the mean and standard deviation of their channels, and the order of these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from claimbench.bench.core.errors import UserError, unknown


@dataclass(frozen=True)
class Normalisation:
    """(pixels / ``divisor`` - ``mean``) / ``std``; ``bgr``: whether the channels are in the order blue, green, red."""

    mean: tuple[float, ...]
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    divisor: float = 255.0
    bgr: bool = False


NORMALISATIONS: Mapping[str, Normalisation] = {
    "imagenet": Normalisation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "caffe-bgr": Normalisation((104.008, 116.669, 122.675), divisor=1.0, bgr=True),
}
"""The names that ``input.mean`` of a ``paper.yaml`` may have."""


def normalisation_of(given: Mapping[str, Any] | None) -> Normalisation:
    """Return the normalisation that the input of a ``paper.yaml`` names or spells out.

    Raises:
        UserError: it is unknown.
    """
    mean, std = (given or {}).get("mean") or "imagenet", (given or {}).get("std") or "imagenet"
    if isinstance(mean, str):
        if mean not in NORMALISATIONS:
            raise unknown("normalisation", mean, NORMALISATIONS)
        return NORMALISATIONS[mean]
    if isinstance(std, str) or len(mean) != 3 or len(std) != 3:
        raise UserError(f"a normalisation needs three means and three standard deviations, got {mean} and {std}")
    return Normalisation(tuple(map(float, mean)), tuple(map(float, std)))
