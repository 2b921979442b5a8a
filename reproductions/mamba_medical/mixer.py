"""The Mamba mixer of tokens, in one direction or in both: gated selective scans behind causal convolutions."""

from __future__ import annotations

from math import ceil

from torch import Tensor, nn

from claimbench.kernels.causal_conv1d import causal_conv1d
from claimbench.kernels.selective_scan import selective_scan
from claimbench.reproductions.mamba_medical import starts

__all__ = ["Direction", "MambaMixer"]


class Direction(nn.Module):
    """A causal depthwise convolution with SiLU, and the selective scan of its result.

    Args:
        channels: D.
        d_state: N, the states of a channel.
        d_conv: the width of the convolution.
        rank: of the projection to steps.
    """

    def __init__(self, channels: int, d_state: int, d_conv: int, rank: int) -> None:
        super().__init__()
        self.sizes = (rank, d_state, d_state)
        self.conv = nn.Conv1d(channels, channels, d_conv, groups=channels)
        self.x_proj = nn.Linear(channels, sum(self.sizes), bias=False)
        self.dt_proj = nn.Linear(rank, channels)
        self.dt_proj.weight, self.dt_proj.bias = starts.step_weight(channels, rank), starts.step_bias(channels)
        self.A_log = starts.log_decay(channels, d_state)
        self.D = starts.skip(channels)

    def inputs(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return what is scanned for (B, D, L): u and steps (B, D, L), and the states' B and C (B, N, L)."""
        u = causal_conv1d(x, self.conv.weight.squeeze(1), self.conv.bias, silu=True)
        step, b, c = (self.x_proj.weight @ u).split(self.sizes, dim=1)
        return u, self.dt_proj.weight @ step, b, c

    def scan(self, u: Tensor, delta: Tensor, b: Tensor, c: Tensor, z: Tensor, logs: Tensor) -> Tensor:
        """Return the scan of (B, D, L), times SiLU(z)."""
        y, _ = selective_scan(
            u, delta, starts.decay(logs), b, c, self.D, z=z, delta_bias=self.dt_proj.bias, delta_softplus=True
        )
        return y

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        """Mix (B, D, L) along the last axis."""
        return self.scan(*self.inputs(x), z, self.A_log)


class MambaMixer(nn.Module):
    """out_proj(scan(x) * SiLU(z)) for x, z = in_proj(tokens); maps (B, L, C) to the same shape.

    Args:
        dim: C.
        d_state: the states of a channel.
        d_conv: the width of the causal convolution.
        expand: the scanned channels over C.
        scheme: ``none``: forward only. ``v1``: one set of projections, scanned both ways with a decay each. ``v2``: two
            sets. The backward direction sees tokens and gates in reverse order.
        divide_out: whether the sum of both directions is halved.
    """

    def __init__(
        self,
        dim: int,
        d_state: int = 16,
        d_conv: int = 4,
        expand: float = 2,
        scheme: str = "none",
        divide_out: bool = False,
    ) -> None:
        super().__init__()
        if scheme not in ("none", "v1", "v2"):
            raise ValueError(f"a Mamba mixer has the scheme none, v1 or v2, got {scheme!r}")
        inner, rank = int(expand * dim), ceil(dim / 16)
        self.scheme, self.share = scheme, 0.5 if divide_out and scheme == "v2" else 1.0
        self.in_proj = nn.Linear(dim, 2 * inner, bias=False)
        self.first = Direction(inner, d_state, d_conv, rank)
        if scheme == "v1":
            self.A_b_log = starts.log_decay(inner, d_state)
        if scheme == "v2":
            self.second = Direction(inner, d_state, d_conv, rank)
        self.out_proj = nn.Linear(inner, dim, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Mix (B, L, C)."""
        x, z = self.in_proj(tokens).transpose(1, 2).chunk(2, dim=1)
        if self.scheme == "v2":
            mixed = self.first(x, z) + self.second(x.flip(-1), z.flip(-1)).flip(-1)
        else:
            scanned = self.first.inputs(x)
            mixed = self.first.scan(*scanned, z, self.first.A_log)
            if self.scheme == "v1":
                u, delta, b, c = (each.flip(-1) for each in scanned)
                mixed = mixed + self.first.scan(u, delta, b, c, z.flip(-1), self.A_b_log).flip(-1)
        if self.share != 1:
            mixed = mixed * self.share
        return self.out_proj(mixed.transpose(1, 2))
