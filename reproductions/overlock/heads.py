"""The ends of OverLoCK: two classification heads, or the norms for dense prediction."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from claimbench.reproductions.layers import LayerNorm2d
from claimbench.reproductions.overlock.layers import LayerScale, Pointwise, PointwiseNorm


class Head(nn.Module):
    """``W mean_hw(SiLU(BN(W' x)))``."""

    def __init__(self, dim: int, hidden_dim: int, num_classes: int) -> None:
        super().__init__()
        self.project = PointwiseNorm(dim, hidden_dim)
        self.classify = nn.Linear(hidden_dim, num_classes) if num_classes > 0 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to logits (B, num_classes), or to features (B, hidden_dim) without classes."""
        x = F.silu(self.project(x), inplace=not torch.is_grad_enabled())
        return self.classify(x.mean((2, 3)))


class AuxiliaryHead(nn.Module):
    """``W mean_hw(BN(x))``: deep supervision of the Overview-Net in training."""

    def __init__(self, dim: int, num_classes: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(dim)
        self.classify = nn.Linear(dim, num_classes) if num_classes > 0 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to logits (B, num_classes)."""
        return self.classify(self.norm(x).mean((2, 3)))


class DenseNorms(nn.Module):
    """LayerNorms of the four maps for a dense-prediction head; for detection the last one also gets the overview."""

    def __init__(self, dims: list[int], overview_dim: int, detection: bool) -> None:
        super().__init__()
        self.norms = nn.ModuleList([LayerNorm2d(dim) for dim in dims])
        self.overview = None
        if detection:
            self.overview = nn.Sequential(
                LayerNorm2d(overview_dim), Pointwise(overview_dim, dims[-1]), LayerScale(dims[-1], 1e-5)
            )

    def forward(self, maps: list[Tensor], overview: Tensor) -> list[Tensor]:
        """Return the four maps, at strides 4, 8, 16 and 32."""
        maps = [norm(x) for norm, x in zip(self.norms, maps, strict=True)]
        if self.overview is not None:
            maps[-1] = maps[-1] + self.overview(overview)
        return [x.contiguous() for x in maps]
