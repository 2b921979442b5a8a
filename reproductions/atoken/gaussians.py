"""The head for 3-D assets: each voxel's features become a number of Gaussians, up to their parameters."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from claimbench.reproductions.atoken.blocks import Transformer
from claimbench.reproductions.atoken.packing import layout_of_coords

__all__ = ["PARAMETERS", "GaussianDecoder", "hammersley"]

PARAMETERS: dict[str, tuple[int, ...]] = {
    "xyz": (3,),
    "features_dc": (1, 3),
    "scaling": (3,),
    "rotation": (4,),
    "opacity": (1,),
}
"""The parameters of a Gaussian before their activations, in the order of the output's channels."""

PRIMES = (2, 3)


def hammersley(count: int) -> list[tuple[float, float, float]]:
    """Return ``count`` points spread over the unit cube: i / count and i mirrored at the point in bases 2 and 3."""
    return [(i / count, *(_mirrored(i, base) for base in PRIMES)) for i in range(count)]  # type: ignore[misc]


def _mirrored(number: int, base: int) -> float:
    """Return the digits of a number after the point, in opposite order."""
    value, place = 0.0, 1.0 / base
    while number:
        number, digit = divmod(number, base)
        value, place = value + digit * place, place / base
    return value


class GaussianDecoder(Transformer):
    """Features of voxels (L, channels) to Gaussians: a windowed transformer, LayerNorm and a linear layer.

    Args:
        config: hyper-parameters, by the names of the official configuration (``3d_decode_gs.yaml``).
    """

    offset_perturbation: Tensor

    def __init__(self, config: Mapping[str, Any]) -> None:
        windowed = config.get("attn_mode", "swin") == "swin"
        window, qk_norm = config.get("window_size", 8) if windowed else 0, config.get("qk_rms_norm", False)
        positions = config.get("pe_mode", "ape")
        super().__init__(
            config["latent_channels"],
            config["model_channels"],
            config["num_blocks"],
            config.get("num_heads") or 0,
            config["mlp_channels"],
            positions=positions,
            window=window,
            bias=False,
            rms=True,
            qk_norm=qk_norm,
        )
        shape = config["representation_config"]
        self.resolution, self.count = config["resolution"], shape["num_gaussians"]
        self.reach, self.factors = shape["voxel_size"], shape["lr"]
        self.perturbed = shape["perturb_offset"]
        self.out = nn.Linear(config["model_channels"], self.count * sum(map(prod, PARAMETERS.values())))
        # In float32, as the official code keeps it.
        points = torch.tensor(hammersley(self.count)) * 2 - 1
        self.register_buffer("offset_perturbation", (points / self.reach).atanh())
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def gaussians(self, x: Tensor, coords: Tensor) -> list[dict[str, Tensor]]:
        """Return the parameters of each sample's Gaussians, by the names of :data:`PARAMETERS`, before activation.

        Args:
            x: (L, channels), the voxels' features.
            coords: (L, 4), integers on the CPU: sample, x, y, z, the voxels of a sample together.
        """
        layout = layout_of_coords(torch.cat((coords[:, :1], torch.zeros_like(coords[:, :1]), coords[:, 1:]), 1))
        h = super().forward(x, layout)
        values = self.out(F.layer_norm(h, h.shape[-1:]))
        values = values.float() if values.itemsize < 4 else values
        centres = (coords[:, 1:].to(values) + 0.5) / self.resolution
        found, start = {}, 0
        for name, shape in PARAMETERS.items():
            stop = start + self.count * prod(shape)
            part = values[:, start:stop].unflatten(1, (self.count, *shape)) * self.factors[f"_{name}"]
            found[name] = self._placed(part, centres) if name == "xyz" else part
            start = stop
        ends = layout.samples.offsets.tolist()
        return [
            {name: part[first:last].flatten(0, 1) for name, part in found.items()} for first, last in pairwise(ends)
        ]

    def _placed(self, offsets: Tensor, centres: Tensor) -> Tensor:
        """Return the centres of the Gaussians (L, count, 3): within half the voxel's reach of its centre (L, 3)."""
        if self.perturbed:
            offsets = offsets + self.offset_perturbation.to(offsets)
        return centres[:, None] + offsets.tanh() / self.resolution * 0.5 * self.reach
