"""SS2D: selective scans of a map in four directions, between two projections.

Liu et al., "VMamba: Visual State Space Model", NeurIPS 2024, arXiv 2401.10166.
"""

from __future__ import annotations

from math import ceil

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from claimbench.kernels.selective_scan import selective_scan
from claimbench.kernels.selective_scan_2d import selective_scan_2d
from claimbench.reproductions.layers import DepthwiseConv2d
from claimbench.reproductions.mamba_medical import starts

__all__ = ["DIRECTIONS", "SCANS", "SS2D"]

SCANS = ("cross2d", "unidi", "bidi", "cascade2d")
"""By rows, by columns and both reversed; by rows four times; by rows twice and by reversed rows twice; each row both
ways, then each column of the result both ways."""

DIRECTIONS = 4
"""The scans of a map; each has coefficients of its own."""


class SS2D(nn.Module):
    """out_proj(norm(scan(SiLU(conv(x)))) * SiLU(z)), with x and z projected from maps (B, H, W, C).

    Args:
        dim: C.
        d_state: N, the states of a channel.
        ratio: the scanned channels D over C.
        conv_bias: whether the depthwise convolution has a bias.
        gated: whether there is a z.
        gate_activation: whether z passes SiLU.
        out_activation: whether the normed scan passes GELU.
        scans: the order of the positions, one of :data:`SCANS`.
    """

    def __init__(
        self,
        dim: int,
        d_state: int = 16,
        ratio: float = 2.0,
        conv_bias: bool = True,
        gated: bool = True,
        gate_activation: bool = True,
        out_activation: bool = False,
        scans: str = "cross2d",
    ) -> None:
        super().__init__()
        if scans not in SCANS:
            raise ValueError(f"SS2D scans by {', '.join(SCANS)}, got {scans!r}")
        inner, rank = int(ratio * dim), ceil(dim / 16)
        self.sizes, self.scans = (rank, d_state, d_state), scans
        self.gated, self.gate_activation, self.out_activation = gated, gate_activation, out_activation
        self.in_proj = nn.Linear(dim, 2 * inner if gated else inner, bias=False)
        self.conv = DepthwiseConv2d(inner, 3, bias=conv_bias)
        self.x_proj_weight = starts.through(DIRECTIONS, sum(self.sizes), inner)
        self.dt_projs_weight = starts.step_weight(DIRECTIONS, inner, rank)
        self.dt_projs_bias = starts.step_bias(DIRECTIONS, inner)
        self.A_logs = starts.log_decay(DIRECTIONS * inner, d_state)
        self.Ds = starts.skip(DIRECTIONS * inner)
        self.out_norm = nn.LayerNorm(inner)
        self.out_proj = nn.Linear(inner, dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, H, W, C) to (B, H, W, C)."""
        x = self.in_proj(x)
        if self.gated:
            x, z = x.chunk(2, dim=-1)
        x = F.silu(self.conv(x.permute(0, 3, 1, 2)))
        y = self._cascade(x) if self.scans == "cascade2d" else self._scan(x)
        y = self.out_norm(y.to(x.dtype).permute(0, 2, 3, 1))
        if self.out_activation:
            y = F.gelu(y)
        if self.gated:
            y = y * (F.silu(z) if self.gate_activation else z)
        return self.out_proj(y)

    def _scan(self, x: Tensor) -> Tensor:
        """Scan (B, D, H, W) in four directions; steps, B and C are made where the map has its positions."""
        batch, _, height, width = x.shape
        maps = self.x_proj_weight.flatten(0, 1) @ x.flatten(2)
        step, b, c = maps.view(batch, DIRECTIONS, -1, height * width).split(self.sizes, dim=2)
        delta, b, c = (each.unflatten(-1, (height, width)) for each in (self.dt_projs_weight @ step, b, c))
        A = starts.decay(self.A_logs)
        return selective_scan_2d(x, delta, A, b, c, self.Ds, self.dt_projs_bias.flatten(), True, self.scans)

    def _cascade(self, x: Tensor) -> Tensor:
        """Scan the rows of (B, D, H, W) both ways, then the columns of the result; each sees a normed map.

        The scan of reversed positions is added without being turned back, as in the official code.
        """
        rows = self._lines(_normed(x), slice(0, 2))
        return self._lines(_normed(rows).mT, slice(2, 4)).mT

    def _lines(self, x: Tensor, directions: slice) -> Tensor:
        """Scan each row of (B, D, H, W) by itself, with the coefficients of two directions."""
        batch, channels, height, width = x.shape
        lines = x.transpose(1, 2).flatten(0, 1)
        both = torch.stack((lines, lines.flip(-1)), dim=1)
        step, b, c = (self.x_proj_weight[directions] @ both).split(self.sizes, dim=2)
        delta = self.dt_projs_weight[directions] @ step
        A, D = (each.view(DIRECTIONS, channels, -1)[directions].flatten(0, 1) for each in (self.A_logs, self.Ds))
        bias = self.dt_projs_bias[directions].flatten()
        y, _ = selective_scan(
            both.flatten(1, 2), delta.flatten(1, 2), starts.decay(A), b, c, D.flatten(), None, bias, True
        )
        return y.view(batch, height, 2, channels, width).sum(2).transpose(1, 2)


def _normed(x: Tensor) -> Tensor:
    """Return (B, D, H, W) normalised over its channels, without weights."""
    return F.layer_norm(x.permute(0, 2, 3, 1), x.shape[1:2]).permute(0, 3, 1, 2)
