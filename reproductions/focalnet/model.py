"""FocalNet: a hierarchical backbone that modulates a query by gated context of growing reach instead of attending.

Yang et al., "Focal Modulation Networks", NeurIPS 2022, arXiv 2203.11926.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from timm.layers import DropPath, LayerScale, Mlp
from torch import Tensor, nn

from claimbench.kernels.focal_modulation import focal_modulation
from claimbench.reproductions.inference import by_pieces
from claimbench.reproductions.initialise import linear_layers
from claimbench.reproductions.inplace import gelu, multiply
from claimbench.reproductions.layers import DepthwiseConv2d, channels_last, drop_path_rates

__all__ = ["FocalModulation", "FocalNet", "build"]


class FocalModulation(nn.Module):
    """y = project_out(query * modulator(focal context)), query, context and gates from one projection of x.

    Maps (B, H, W, C) to the same shape (section 3).

    Args:
        dim: C.
        window: the kernel of the first level; each further level's is ``factor`` larger.
        levels: L, the number of depthwise levels.
        factor: the growth of the kernel from level to level.
        normalize: whether the summed context is divided by L + 1.
        post_norm: whether the modulated query is normalised before the last projection.
    """

    def __init__(self, dim: int, window: int, levels: int, factor: int, normalize: bool, post_norm: bool) -> None:
        super().__init__()
        self.project_in = nn.Linear(dim, 2 * dim + levels + 1)
        self.levels = nn.ModuleList(DepthwiseConv2d(dim, window + factor * i, bias=False) for i in range(levels))
        self.modulator = nn.Conv2d(dim, dim, 1)
        self.norm = nn.LayerNorm(dim) if post_norm else nn.Identity()
        self.project_out = nn.Linear(dim, dim)
        self.divisor = levels + 1 if normalize else 1

    def forward(self, x: Tensor) -> Tensor:
        """Modulate (B, H, W, C)."""
        dim = x.shape[-1]
        query, context, gates = self.project_in(x).split((dim, dim, len(self.levels) + 1), dim=-1)
        weights = [level.get_parameter("weight") for level in self.levels]
        total = focal_modulation(context.permute(0, 3, 1, 2), gates.permute(0, 3, 1, 2), weights)
        if self.divisor > 1:
            total = total / self.divisor
        modulator = self.modulator(total).permute(0, 2, 3, 1)
        return self.project_out(self.norm(multiply(modulator, query)))


class Block(nn.Module):
    """x + f(norm(x)) for f the modulation and then the MLP; with post-norm x + scale * norm(f(x)).

    Args:
        dim: the channels.
        modulation: the token mixer.
        hidden: the width of the MLP.
        drop_path: the rate of stochastic depth.
        layer_scale: the initial layer scale, or None for none.
        post_norm: whether the norms follow the modulation and the MLP.
    """

    def __init__(
        self,
        dim: int,
        modulation: FocalModulation,
        hidden: int,
        drop_path: float,
        layer_scale: float | None,
        post_norm: bool,
    ) -> None:
        super().__init__()
        self.post_norm = post_norm
        self.norm1 = nn.LayerNorm(dim)
        self.modulation = modulation
        self.scale1 = nn.Identity() if layer_scale is None else LayerScale(dim, layer_scale)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, hidden)
        self.scale2 = nn.Identity() if layer_scale is None else LayerScale(dim, layer_scale)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, H, W, C) to (B, H, W, C)."""
        if self.post_norm:
            x = x + self.drop_path(self.scale1(self.norm1(self.modulation(x))))
            return x + self.drop_path(self.scale2(self.norm2(self._mlp(x))))
        x = x + self.drop_path(self.scale1(self.modulation(self.norm1(x))))
        return x + self.drop_path(self.scale2(self._mlp(self.norm2(x))))

    def _mlp(self, x: Tensor) -> Tensor:
        if self.training:
            return self.mlp(x)
        return self.mlp.fc2(gelu(self.mlp.fc1(x)))


class PatchEmbed(nn.Module):
    """A strided convolution and a LayerNorm: (B, C, H, W) in channels-last memory -> (B, H', W', dim)."""

    def __init__(self, channels: int, dim: int, kernel: int, stride: int, padding: int, norm: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, dim, kernel, stride, padding)
        self.norm = nn.LayerNorm(dim) if norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Embed (B, C, H, W)."""
        return self.norm(self.conv(x).permute(0, 2, 3, 1))


class FocalNet(nn.Module):
    """Stages of focal modulation, a LayerNorm, mean pooling and one linear layer.

    Args:
        embed_dim: the channels of the first stage; each stage doubles them.
        depths: the blocks of each stage; one stage makes an isotropic model.
        focal_levels: the depthwise levels in each stage.
        focal_windows: the kernel of the first level in each stage.
        patch_size: the stride of a stem whose patches do not overlap.
        focal_factor: the growth of the kernel from level to level.
        mlp_ratio: the expansion of the MLP.
        patch_norm: whether patch embeddings end in a LayerNorm.
        use_conv_embed: whether patches overlap: a 7x7 stem of stride 4 and 3x3 convolutions of stride 2.
        use_layerscale: whether residual branches are scaled.
        layerscale_init: the start of the scales.
        use_postln: whether a block's norms follow its branches.
        use_postln_in_modulation: whether the modulated query is normalised.
        normalize_modulator: whether the summed context is divided by the number of its terms.
        num_classes: the width of the output.
        in_channels: the channels of the picture.
        drop_path: the rate of stochastic depth at the last block.
    """

    def __init__(
        self,
        embed_dim: int,
        depths: Sequence[int],
        focal_levels: Sequence[int],
        focal_windows: Sequence[int],
        patch_size: int = 4,
        focal_factor: int = 2,
        mlp_ratio: float = 4.0,
        patch_norm: bool = True,
        use_conv_embed: bool = False,
        use_layerscale: bool = False,
        layerscale_init: float = 1e-4,
        use_postln: bool = False,
        use_postln_in_modulation: bool = False,
        normalize_modulator: bool = False,
        num_classes: int = 1000,
        in_channels: int = 3,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        stem, between = ((7, 4, 2), (3, 2, 1)) if use_conv_embed else ((patch_size, patch_size, 0), (2, 2, 0))
        dims = [embed_dim * 2**i for i in range(len(depths))]
        self.embeds = nn.ModuleList(
            PatchEmbed(before, dim, *(between if i else stem), norm=patch_norm)
            for i, (before, dim) in enumerate(zip([in_channels, *dims], dims, strict=False))
        )
        self.stages = nn.ModuleList()
        self.widest = [max(int(dim * mlp_ratio), 2 * dim) for dim in dims]
        for i, rates in enumerate(drop_path_rates(drop_path, depths)):
            mixer = (focal_windows[i], focal_levels[i], focal_factor, normalize_modulator, use_postln_in_modulation)
            hidden = int(dims[i] * mlp_ratio)
            scale = layerscale_init if use_layerscale else None
            blocks = [
                Block(dims[i], FocalModulation(dims[i], *mixer), hidden, rate, scale, use_postln) for rate in rates
            ]
            self.stages.append(nn.Sequential(*blocks))
        self.norm = nn.LayerNorm(dims[-1])
        self.head = nn.Linear(dims[-1], num_classes)
        self.apply(linear_layers)

    def forward_features(self, x: Tensor) -> list[Tensor]:
        """Return the map (B, C, H, W) that each stage gives for pictures (B, 3, H, W); none is normalised."""
        x = channels_last(x)
        maps = []
        for embed, stage, widest in zip(self.embeds, self.stages, self.widest, strict=True):
            x = by_pieces(stage, embed(x), widest).permute(0, 3, 1, 2)
            maps.append(x)
        return maps

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (B, num_classes) for pictures (B, 3, H, W)."""
        tokens = self.forward_features(x)[-1].permute(0, 2, 3, 1)
        return self.head(self.norm(tokens).mean((1, 2)))


def build(config: Mapping[str, Any], form: str = "model") -> FocalNet:
    """Return a randomly initialised FocalNet; ``config`` holds the arguments of :class:`FocalNet`.

    Raises:
        ValueError: there is no form of that name.
    """
    if form != "model":
        raise ValueError(f"focalnet has the form 'model' only, got {form!r}")
    return FocalNet(**config)
