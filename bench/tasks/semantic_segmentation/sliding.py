"""The sliding-window test: a network sees square crops of a picture, and scores are averaged where crops overlap."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from claimbench.bench.core.errors import UserError

__all__ = ["Windows", "windows_of"]


@dataclass(frozen=True)
class Windows:
    """The windows of a test.

    Attributes:
        crop: their side; a picture that is smaller has one window of its own size.
        stride: the distance between them; the last one ends with the picture.
        resize: the most pixels of the longer and of the shorter side of the picture that the windows lie in; None for
            its own.
    """

    crop: int
    stride: int
    resize: tuple[int, int] | None = None

    def resized(self, picture: np.ndarray) -> np.ndarray:
        """Return a picture (H, W, 3) in uint8 at the size that the windows lie in, bilinearly and without smoothing."""
        if self.resize is None:
            return picture
        height, width = picture.shape[:2]
        factor = min(max(self.resize) / max(height, width), min(self.resize) / min(height, width))
        size = (int(height * factor + 0.5), int(width * factor + 0.5))
        pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float()
        found = F.interpolate(pixels, size, mode="bilinear", align_corners=False)
        return found[0].permute(1, 2, 0).round().to(torch.uint8).numpy()

    def places(self, size: Sequence[int]) -> Iterator[tuple[slice, slice]]:
        """Yield the rows and columns of each window of a picture of size (H, W)."""
        for row in self._ends(size[0]):
            for column in self._ends(size[1]):
                yield slice(max(row - self.crop, 0), row), slice(max(column - self.crop, 0), column)

    def _ends(self, side: int) -> list[int]:
        number = max(side - self.crop + self.stride - 1, 0) // self.stride + 1
        return [min(i * self.stride + self.crop, side) for i in range(number)]

    def scores(
        self, x: Tensor, network: Callable[[Tensor], Tensor], upsample: Callable[[Tensor, Sequence[int]], Tensor]
    ) -> Tensor:
        """Return the mean scores (1, C, H, W) of all windows of a picture (1, 3, H, W), which are one batch.

        Args:
            x: the picture.
            network: maps windows (B, 3, h, w) to scores (B, C, h', w').
            upsample: maps scores and a size (h, w) to scores of that size.
        """
        places = list(self.places(x.shape[2:]))
        crops = torch.cat([x[..., rows, columns] for rows, columns in places])
        found = upsample(network(crops), crops.shape[2:])
        total = found.new_zeros(1, found.shape[1], *x.shape[2:])
        times = found.new_zeros(x.shape[2:])
        for each, (rows, columns) in zip(found, places, strict=True):
            total[..., rows, columns] += each
            times[rows, columns] += 1
        return total / times


def windows_of(given: Mapping[str, Any] | None) -> Windows | None:
    """Return the windows that the input of a ``paper.yaml`` describes, None if it describes none.

    Raises:
        UserError: the stride leaves gaps between the windows.
    """
    stated = (given or {}).get("sliding")
    if not stated:
        return None
    windows = Windows(stated["crop"], stated["stride"], tuple(stated["resize"]) if stated.get("resize") else None)
    if windows.stride > windows.crop:
        raise UserError(f"windows of {windows.crop} pixels leave gaps at a stride of {windows.stride}")
    return windows
