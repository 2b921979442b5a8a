"""The layers of OverLoCK.

All maps are (B, C, H, W) tensors in channels-last memory, so a 1x1 convolution is one matrix product over positions.
BatchNorms are folded as :mod:`claimbench.reproductions.folding` says. While one gathers batch statistics, and while
FLOPs are counted, every convolution and norm runs by its definition.
"""

from __future__ import annotations

import torch
from timm.layers import SEModule
from torch import Tensor, nn

from claimbench.kernels.depthwise_conv2d import depthwise_conv2d
from claimbench.kernels.global_response_norm import global_response_norm
from claimbench.reproductions.folding import conv_norm, fold_after, fold_before, is_affine
from claimbench.reproductions.inference import pointwise
from claimbench.reproductions.layers import DepthwiseConv2d

# The parallel branches (kernel size, dilation) beside a K x K kernel, by K (UniRepLKNet's table).
DILATED_BRANCHES: dict[int, tuple[tuple[int, int], ...]] = {
    5: ((3, 1), (3, 2)),
    7: ((5, 1), (3, 1), (3, 2), (3, 3)),
    9: ((5, 1), (7, 1), (5, 2), (3, 3), (3, 4)),
    11: ((5, 1), (7, 1), (5, 2), (3, 3), (3, 4), (3, 5)),
    13: ((5, 1), (7, 1), (7, 2), (3, 3), (3, 4), (3, 5)),
    15: ((5, 1), (7, 1), (7, 2), (3, 3), (3, 5), (3, 7)),
    17: ((5, 1), (7, 1), (9, 2), (3, 4), (3, 5), (3, 7)),
    19: ((5, 1), (7, 1), (9, 1), (9, 2), (3, 4), (3, 5), (3, 7)),
}


def squeeze_excite(dim: int) -> SEModule:
    """Return ``x * sigmoid(W2 gelu(W1 mean_hw(x)))`` with an inner width of max(16, C/8)."""
    return SEModule(dim, rd_channels=max(16, dim // 8), act_layer=nn.GELU, gate_layer=nn.Sigmoid)


class Pointwise(nn.Linear):
    """1x1 convolution of a channels-last map: one matrix product over all positions."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, I, H, W) to (B, O, H, W)."""
        return pointwise(x, self.weight, self.bias)


class PointwiseNorm(nn.Module):
    """1x1 convolution without bias, then BatchNorm."""

    def __init__(self, in_dim: int, out_dim: int) -> None:
        super().__init__()
        self.conv = Pointwise(in_dim, out_dim, bias=False)
        self.norm = nn.BatchNorm2d(out_dim)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, I, H, W) to (B, O, H, W)."""
        if is_affine(x, self.norm):
            return pointwise(x, *fold_after(self.conv.weight, None, self.norm))
        return self.norm(self.conv(x))


class DepthwiseNorm(nn.Module):
    """Depthwise convolution of stride 1, then BatchNorm: (B, C, H, W) to the same shape.

    Args:
        dim: channels C.
        kernel_size: the odd side of the square kernel.
        dilation: the distance between two taps.
        bias: whether the convolution has a bias of its own.
    """

    def __init__(self, dim: int, kernel_size: int, dilation: int = 1, bias: bool = False) -> None:
        super().__init__()
        self.conv = DepthwiseConv2d(dim, kernel_size, dilation, bias)
        self.norm = nn.BatchNorm2d(dim)

    def kernel(self) -> tuple[Tensor, Tensor]:
        """Return weight (C, 1, k, k) and bias (C,) of both as one convolution."""
        return fold_after(self.conv.weight, self.conv.bias, self.norm)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C, H, W)."""
        return conv_norm(x, self.conv, self.norm)


class NormPointwise(nn.Module):
    """BatchNorm followed by a 1x1 convolution."""

    def __init__(self, in_dim: int, out_dim: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(in_dim)
        self.conv = Pointwise(in_dim, out_dim)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, I, H, W) to (B, O, H, W)."""
        if is_affine(x, self.norm):
            return pointwise(x, *fold_before(self.conv.weight, self.conv.bias, self.norm))
        return self.conv(self.norm(x))


class LargeKernel(nn.Module):
    """Large depthwise convolution, trained as a sum of dilated branches with a BatchNorm each, then BatchNorm.

    It is ``BN(sum_b BN_b(dw_b(x)))``; branch b has kernel k_b and dilation d_b, and the first one is K x K. ``merge``
    replaces the branches by the one K x K convolution with bias that they add up to. Source: UniRepLKNet,
    arXiv 2311.15599, section 3.
    """

    def __init__(self, dim: int, kernel_size: int, merged: bool) -> None:
        super().__init__()
        if kernel_size not in DILATED_BRANCHES:
            raise ValueError(f"kernel_size must be one of {sorted(DILATED_BRANCHES)}, got {kernel_size}")
        self.kernel_size = kernel_size
        self.branches = nn.ModuleDict()
        self.merged: DepthwiseConv2d | None = None
        self.norm = nn.BatchNorm2d(dim)
        if merged:
            self.merged = DepthwiseConv2d(dim, kernel_size)
            return
        self.branches["main"] = DepthwiseNorm(dim, kernel_size)
        for size, dilation in DILATED_BRANCHES[kernel_size]:
            self.branches[f"k{size}d{dilation}"] = DepthwiseNorm(dim, size, dilation)

    def each_branch(self) -> list[DepthwiseNorm]:
        """Return the branches, the K x K one first; none once merged."""
        return [branch for branch in self.branches.values() if isinstance(branch, DepthwiseNorm)]

    def kernel(self) -> tuple[Tensor, Tensor]:
        """Return weight (C, 1, K, K) and bias (C,) of all branches as one convolution."""
        if self.merged is not None:
            assert self.merged.bias is not None
            return self.merged.weight, self.merged.bias
        main, *dilated = self.each_branch()
        weight, bias = main.kernel()
        for branch in dilated:
            branch_weight, branch_bias = branch.kernel()
            step = branch.conv.dilation[0]
            reach = step * (branch.conv.kernel_size[0] // 2)
            taps = slice(self.kernel_size // 2 - reach, self.kernel_size // 2 + reach + 1, step)
            weight[..., taps, taps] += branch_weight
            bias = bias + branch_bias
        return weight, bias

    @torch.no_grad()
    def merge(self) -> None:
        """Replace the branches by one convolution, exact for the running statistics at hand."""
        weight, bias = self.kernel()
        merged = DepthwiseConv2d(weight.shape[0], self.kernel_size).to(weight).train(self.training)
        merged.weight.copy_(weight)
        assert merged.bias is not None
        merged.bias.copy_(bias)
        self.merged, self.branches = merged, nn.ModuleDict()

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C, H, W)."""
        if is_affine(x, self.norm, *(branch.norm for branch in self.each_branch())):
            return depthwise_conv2d(x, *fold_after(*self.kernel(), self.norm))
        if self.merged is not None:
            return self.norm(self.merged(x))
        return self.norm(sum(branch(x) for branch in self.each_branch()))


class GlobalResponseNorm(nn.Module):
    """``(gamma * ||x||_2 / mean_c ||x||_2 + 1) * x + beta``, the norm over positions (ConvNeXt V2)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(dim))
        self.beta = nn.Parameter(torch.zeros(dim))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C, H, W)."""
        return global_response_norm(x, self.gamma, self.beta)


class LayerScale(nn.Module):
    """``weight * x + bias`` with one weight and one bias for each channel."""

    def __init__(self, dim: int, init_value: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((dim,), float(init_value)))
        self.bias = nn.Parameter(torch.zeros(dim))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C, H, W)."""
        return torch.addcmul(self.bias.view(-1, 1, 1), x, self.weight.view(-1, 1, 1))
