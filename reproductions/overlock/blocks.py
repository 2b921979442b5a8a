"""The blocks of OverLoCK: the static one of the Base- and Overview-Net, the dynamic one of the Focus-Net."""

from __future__ import annotations

import torch
from timm.layers import DropPath
from torch import Tensor, nn

from claimbench.reproductions.inplace import add, gelu
from claimbench.reproductions.layers import LayerNorm2d, ResidualDepthwiseConv2d
from claimbench.reproductions.overlock.contmix import ContMix
from claimbench.reproductions.overlock.layers import (
    DepthwiseNorm,
    GlobalResponseNorm,
    LargeKernel,
    LayerScale,
    Pointwise,
    squeeze_excite,
)


class Residual(nn.Module):
    """``ls(x) + y`` (the scale on the shortcut) or ``x + ls(y)``, with stochastic depth on the branch ``y``."""

    def __init__(self, dim: int, init_value: float | None, scale_shortcut: bool, drop_path: float) -> None:
        super().__init__()
        self.scale = None if init_value is None else LayerScale(dim, init_value)
        self.scale_shortcut = scale_shortcut
        self.drop_path = DropPath(drop_path) if drop_path > 0 else nn.Identity()

    def forward(self, x: Tensor, branch: Tensor) -> Tensor:
        """Join the shortcut ``x`` and a freshly computed ``branch``, both (B, C, H, W)."""
        if self.scale is not None and self.scale_shortcut:
            x = self.scale(x)
        elif self.scale is not None:
            branch = self.scale(branch)
        return add(self.drop_path(branch), x)


class ConvFFN(nn.Module):
    """``W2 GRN(h + dw3x3(h))`` with ``h = GELU(W1 x)``."""

    def __init__(self, dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.expand = Pointwise(dim, hidden_dim)
        self.position = ResidualDepthwiseConv2d(hidden_dim, 3)
        self.response = GlobalResponseNorm(hidden_dim)
        self.reduce = Pointwise(hidden_dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C, H, W)."""
        hidden = gelu(self.expand(x))
        return self.reduce(self.response(self.position(hidden)))


class RepConvBlock(nn.Module):
    """``x <- x + dw3x3(x)``, then ``ls(x) + FFN(SE(large_kernel(LN(x))))``."""

    def __init__(
        self,
        dim: int,
        kernel_size: int,
        mlp_ratio: float,
        ls_init_value: float | None,
        res_scale: bool,
        drop_path: float,
        merged: bool,
    ) -> None:
        super().__init__()
        self.position = ResidualDepthwiseConv2d(dim, 3)
        self.norm = LayerNorm2d(dim)
        self.large_kernel = LargeKernel(dim, kernel_size, merged)
        self.excite = squeeze_excite(dim)
        self.ffn = ConvFFN(dim, int(dim * mlp_ratio))
        self.residual = Residual(dim, ls_init_value, res_scale, drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C, H, W)."""
        x = self.position(x)
        return self.residual(x, self.ffn(self.excite(self.large_kernel(self.norm(x)))))


class FocusBlock(nn.Module):
    """The dynamic block: mixes the features with kernels made from the features and the top-down context.

    Every block but the first refreshes the context by ``ctx <- s(ctx) + s'(reference)``. Features and context join as
    ``z = [x | ctx]``. Then follow ``z <- ls(z) + ContMix(LN(z))`` and ``z <- ls(z) + FFN(LN(z))``, each after
    ``z <- z + dw3x3(z)`` (the paper's section on the dynamic block).
    """

    def __init__(
        self,
        dim: int,
        context_dim: int,
        kernel_size: int,
        small_kernel_size: int,
        num_heads: int,
        mlp_ratio: float,
        ls_init_value: float | None,
        res_scale: bool,
        drop_path: float,
        merged: bool,
        first: bool = False,
    ) -> None:
        super().__init__()
        joint_dim = dim + context_dim
        self.dim, self.context_dim = dim, context_dim
        self.refresh = None if first else nn.ModuleList([LayerScale(context_dim, 1), LayerScale(context_dim, 1)])
        self.position1 = ResidualDepthwiseConv2d(joint_dim, 3)
        self.norm1 = LayerNorm2d(joint_dim)
        self.fusion = nn.ModuleDict(
            {
                "depthwise": DepthwiseNorm(joint_dim, 3, bias=True),
                "pointwise": Pointwise(joint_dim, dim),
                "response": GlobalResponseNorm(dim),
            }
        )
        self.contmix = ContMix(dim, context_dim, joint_dim, kernel_size, small_kernel_size, num_heads, merged)
        self.residual1 = Residual(joint_dim, ls_init_value, res_scale, drop_path)
        self.position2 = ResidualDepthwiseConv2d(joint_dim, 3)
        self.norm2 = LayerNorm2d(joint_dim)
        self.ffn = ConvFFN(joint_dim, int(dim * mlp_ratio))
        self.residual2 = Residual(joint_dim, ls_init_value, res_scale, drop_path)

    def fuse(self, z: Tensor) -> Tensor:
        """Return ``GRN(W GELU(BN(dw3x3(z))))``: features and context (B, C + Cc, H, W) as one map (B, C, H, W)."""
        hidden = gelu(self.fusion["depthwise"](z))
        return self.fusion["response"](self.fusion["pointwise"](hidden))

    def forward(self, x: Tensor, context: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
        """Return the new features (B, C, H, W) and context (B, Cc, H, W)."""
        if self.refresh is not None:
            own, prior = self.refresh
            context = own(context) + prior(reference)
        z = self.position1(torch.cat([x, context], dim=1))
        normed = self.norm1(z)
        features, context = normed.split([self.dim, self.context_dim], dim=1)
        z = self.residual1(z, self.contmix(self.fuse(normed), features, context))
        z = self.position2(z)
        z = self.residual2(z, self.ffn(self.norm2(z)))
        x, context = z.split([self.dim, self.context_dim], dim=1)
        return x, context


class ContMixBlock(nn.Module):
    """The plug-in block for other networks: ContMix on the features alone, then a ConvFFN.

    ``x <- ls(x) + ContMix(LN(x))``, ``x <- ls(x) + FFN(LN(x))``, each after ``x <- x + dw3x3(x)``.
    """

    def __init__(
        self,
        dim: int,
        kernel_size: int = 7,
        smk_size: int = 5,
        num_heads: int = 2,
        mlp_ratio: float = 4,
        ls_init_value: float | None = None,
        res_scale: bool = False,
        drop_path: float = 0.0,
        merged: bool = False,
    ) -> None:
        super().__init__()
        self.position1 = ResidualDepthwiseConv2d(dim, 3)
        self.norm1 = LayerNorm2d(dim)
        self.contmix = ContMix(dim, dim, dim, kernel_size, smk_size, num_heads, merged, own_value=True)
        for bias in self.contmix.mixing.position_bias:
            nn.init.trunc_normal_(bias, std=0.02)
        self.residual1 = Residual(dim, ls_init_value, res_scale, drop_path)
        self.position2 = ResidualDepthwiseConv2d(dim, 3)
        self.norm2 = LayerNorm2d(dim)
        self.ffn = ConvFFN(dim, int(dim * mlp_ratio))
        self.residual2 = Residual(dim, ls_init_value, res_scale, drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C, H, W)."""
        x = self.position1(x.contiguous(memory_format=torch.channels_last))
        normed = self.norm1(x)
        x = self.residual1(x, self.contmix(normed, normed, normed))
        x = self.position2(x)
        return self.residual2(x, self.ffn(self.norm2(x)))
