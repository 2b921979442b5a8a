"""From response maps to faces: scores of windows, their overlap with a face, and the density peaks of crowded windows.

Section 2.1 of the paper.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["average_response", "best_window", "density_peaks", "grid_of_windows", "iou", "window_scores"]

_CHUNK = 1 << 22
"""The largest number of distances between places that are held at one time."""


def average_response(features: Tensor) -> Tensor:
    """Return the mean of feature maps (..., C, h, w) over their channels: (..., h, w)."""
    return features.mean(dim=-3)


def window_scores(response: Tensor, windows: Tensor) -> Tensor:
    """Return the sum of a response map inside each window divided by the window's area.

    Args:
        response: (..., h, w).
        windows: (W, 4), integers, the first column and row, and the column and row behind the last.

    Returns:
        (..., W).

    Raises:
        ValueError: a window is empty or reaches beyond the map.
    """
    height, width = response.shape[-2:]
    x0, y0, x1, y1 = windows.to(response.device).unbind(-1)
    if windows.device.type != "meta":
        good = (x0 >= 0) & (y0 >= 0) & (x0 < x1) & (y0 < y1) & (x1 <= width) & (y1 <= height)
        if not good.all():
            wrong = windows[~good.to(windows.device)][0].tolist()
            raise ValueError(f"the window {wrong} is empty or reaches beyond the response map of {height}x{width}")
    sums = torch.nn.functional.pad(response, (1, 0, 1, 0)).cumsum(-1).cumsum(-2)
    inside = sums[..., y1, x1] - sums[..., y0, x1] - sums[..., y1, x0] + sums[..., y0, x0]
    return inside / ((x1 - x0) * (y1 - y0)).to(response.dtype)


def iou(windows: Tensor, face: Tensor) -> Tensor:
    """Return the intersection over union of each window (..., 4) with a face (..., 4); corners as in windows."""
    first = torch.maximum(windows[..., :2], face[..., :2])
    last = torch.minimum(windows[..., 2:], face[..., 2:])
    both = (last - first).clamp(min=0).prod(-1)
    areas = [(box[..., 2:] - box[..., :2]).prod(-1) for box in (windows, face)]
    return both / (areas[0] + areas[1] - both)


def grid_of_windows(height: int, width: int, sides: Sequence[float] = (0.25, 0.35, 0.5, 0.7, 1.0)) -> Tensor:
    """Return square windows (W, 4) of some sides, relative to the map's shorter one, at all places of a map.

    They take the place of the paper's proposals (EdgeBox).
    """
    found = []
    for side in dict.fromkeys(max(1, round(min(height, width) * side)) for side in sides):
        found += [(x, y, x + side, y + side) for y in range(height - side + 1) for x in range(width - side + 1)]
    return torch.tensor(found)


def best_window(response: Tensor) -> Tensor:
    """Return the window of the highest score in each response map (N, h, w), as fractions of the map: (N, 4)."""
    height, width = map(int, response.shape[-2:])  # a tracer makes tensors of them
    windows = grid_of_windows(height, width).to(response.device)
    best = windows[window_scores(response, windows).argmax(-1)]
    return best.to(response.dtype) / response.new_tensor([width, height, width, height])


def density_peaks(response: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the peak of a response map that is high and far from higher ones: the face that a window is about.

    The score of a place is ``sqrt(rho^2 + sigma^2)``, where ``rho`` is its response and ``sigma`` the distance, in
    places, to the nearest one with a strictly higher response; of the places for which there is none, the largest
    distance to any place.

    Args:
        response: (h, w).

    Returns:
        sigma (h, w), the scores (h, w), and the peak (2,), row and column: the first in reading order of those with
        the highest score.

    Raises:
        ValueError: the map is empty or has no two axes.
    """
    if response.dim() != 2 or not response.numel():
        raise ValueError(f"the response map must be (h, w) and not empty, got shape {tuple(response.shape)}")
    rows, columns = (torch.arange(n, device=response.device, dtype=response.dtype) for n in response.shape)
    places, flat = torch.cartesian_prod(rows, columns), response.flatten()
    distances = []
    for some in torch.arange(len(flat), device=response.device).split(max(1, _CHUNK // len(flat))):
        far = (places[some, None] - places).square().sum(-1).sqrt()
        higher = flat > flat[some, None]
        nearest = torch.where(higher, far, torch.inf).amin(1)
        distances.append(torch.where(higher.any(1), nearest, far.amax(1)))
    distance = torch.cat(distances)
    score = (flat.square() + distance.square()).sqrt()
    best = score.argmax()
    peak = torch.stack([best // response.shape[1], best % response.shape[1]])
    return distance.view_as(response), score.view_as(response), peak
