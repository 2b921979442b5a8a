"""A picture as a network of one input size takes it: resized as a whole and normalised."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from claimbench.bench.data.pictures.normalisation import Normalisation


def resized(picture: np.ndarray, size: Sequence[int], normalisation: Normalisation) -> Tensor:
    """Return (3, h, w) in float32 for a picture (H, W, 3) in RGB, resized bilinearly to the size (h, w)."""
    image = Image.fromarray(picture).resize((size[1], size[0]), Image.Resampling.BILINEAR)
    ordered = np.asarray(image)[..., ::-1] if normalisation.bgr else np.asarray(image)
    pixels = torch.from_numpy(np.array(ordered)).permute(2, 0, 1).float()
    mean, std = (torch.tensor(part).view(3, 1, 1) for part in (normalisation.mean, normalisation.std))
    return (pixels / normalisation.divisor - mean) / std
