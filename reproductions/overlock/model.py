"""OverLoCK: an overview-first-look-closely-next ConvNet (Lou and Yu, CVPR 2025, arXiv 2502.20087)."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from claimbench.reproductions.inplace import gelu
from claimbench.reproductions.layers import ConvNorm2d
from claimbench.reproductions.overlock.blocks import ContMixBlock, FocusBlock, RepConvBlock
from claimbench.reproductions.overlock.config import Config
from claimbench.reproductions.overlock.heads import AuxiliaryHead, DenseNorms, Head
from claimbench.reproductions.overlock.layers import LargeKernel, Pointwise
from claimbench.reproductions.overlock.stage import Stage

FORMS = ("training", "plain", "merged_aux", "merged")
"""``training``: dilated branches and auxiliary head. ``plain``: branches, no auxiliary head. ``merged_aux`` and
``merged``: each large kernel merged into one convolution, with and without the auxiliary head."""


class Stem(nn.Sequential):
    """Four 3x3 convolutions to stride 4, each with BatchNorm, GELU between them."""

    def __init__(self, in_dim: int, dim: int) -> None:
        half = dim // 2
        super().__init__(
            ConvNorm2d(in_dim, half, 3, stride=2, bias=False),
            ConvNorm2d(half, half, 3, bias=False),
            ConvNorm2d(half, dim, 3, stride=2, bias=False),
            ConvNorm2d(dim, dim, 3, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, 3, H, W) to (B, C, ceil(H/4), ceil(W/4))."""
        first, *others = self
        x = first(x)
        for layer in others:
            x = layer(gelu(x))
        return x


def downsample(in_dim: int, out_dim: int) -> ConvNorm2d:
    """Return a 3x3 convolution of stride 2 with BatchNorm: (B, I, H, W) to (B, O, ceil(H / 2), ceil(W / 2))."""
    return ConvNorm2d(in_dim, out_dim, 3, stride=2, bias=False)


class OverLoCK(nn.Module):
    """The network: Base-Net to stride 16, Overview-Net to stride 32, Focus-Net over both under top-down guidance.

    Args:
        config: the hyper-parameters.
        merged: whether each large kernel is one convolution instead of a sum of dilated branches.
        auxiliary: whether to have the auxiliary head.
    """

    def __init__(self, config: Config, merged: bool = False, auxiliary: bool = True) -> None:
        super().__init__()
        if config.dense not in ("", "segmentation", "detection"):
            raise ValueError(f"dense must be empty, 'segmentation' or 'detection', got {config.dense!r}")
        dims, context_dim = config.embed_dim, config.embed_dim[-1] // 4
        joint_dims = [dims[2] + context_dim, dims[3] + context_dim]
        depths = (*config.depth, *config.sub_depth)
        rates = torch.linspace(0, config.drop_path_rate, sum(depths), device="cpu").tolist()
        ends = list(accumulate(depths))
        stage_rates = [rates[end - depth : end] for depth, end in zip(depths, ends, strict=True)]

        def static(i: int) -> Stage:
            """Return stage i (from 0) of static blocks."""
            blocks = [
                RepConvBlock(
                    dims[i],
                    config.kernel_size[i],
                    config.mlp_ratio[i],
                    config.ls_init_value[i],
                    config.res_scale,
                    rate,
                    merged,
                )
                for rate in stage_rates[i]
            ]
            return Stage(blocks, config.use_checkpoint[i])

        def dynamic(i: int) -> Stage:
            """Return Focus-Net stage i (from 0), with the width and kernel size of stage i + 2."""
            blocks = [
                FocusBlock(
                    dims[i + 2],
                    context_dim,
                    config.kernel_size[i + 2],
                    config.smk_size,
                    config.sub_num_heads[i],
                    config.sub_mlp_ratio[i],
                    config.ls_init_value[i + 2],
                    config.res_scale,
                    rate,
                    merged,
                    first=i == n == 0,
                )
                for n, rate in enumerate(stage_rates[i + 4])
            ]
            return Stage(blocks, config.use_checkpoint[i + 2])

        self.stem = Stem(config.in_chans, dims[0])
        self.base1, self.down2 = static(0), downsample(dims[0], dims[1])
        self.base2, self.down3 = static(1), downsample(dims[1], dims[2])
        self.base3, self.down4 = static(2), downsample(dims[2], dims[3])
        self.overview = static(3)
        self.context = Pointwise(dims[3], context_dim)
        self.focus3 = dynamic(0)
        self.down_features, self.down_context = downsample(dims[2], dims[3]), downsample(context_dim, context_dim)
        self.focus4 = dynamic(1)
        self.head: Head | None = None
        self.aux_head: AuxiliaryHead | None = None
        self.dense: DenseNorms | None = None
        if config.dense:
            self.dense = DenseNorms([*dims[:2], *joint_dims], dims[3], config.dense == "detection")
        else:
            self.head = Head(joint_dims[1], config.projection, config.num_classes)
            self.aux_head = AuxiliaryHead(dims[3], config.num_classes) if auxiliary and config.use_ds else None
        self.apply(initialise)

    def forward_maps(self, image: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return the maps at strides 4, 8, 16, 32 (the last two with their context joined) and the overview.

        Args:
            image: (B, in_chans, H, W).

        Returns:
            ``[(B, C1, ..), (B, C2, ..), (B, C3 + C4/4, ..), (B, C4 + C4/4, ..)]`` and (B, C4, ..), channels-last.
        """
        x1 = self.base1(self.stem(image.contiguous(memory_format=torch.channels_last)))
        x2 = self.base2(self.down2(x1))
        x = self.base3(self.down3(x2))
        overview = self.overview(self.down4(x))

        prior = self.context(overview)
        upsampled = F.interpolate(prior, size=x.shape[2:], mode="bilinear", align_corners=False)
        x, context = self.focus3(x, upsampled, upsampled)
        x3 = torch.cat([x, context], dim=1) if self.dense is not None else x
        x, context = self.focus4(self.down_features(x), self.down_context(context), prior)
        return [x1, x2, x3, torch.cat([x, context], dim=1)], overview

    def forward_features(self, image: Tensor) -> list[Tensor]:
        """Return the four maps that a dense-prediction head takes, normed if the model is built for it."""
        maps, overview = self.forward_maps(image)
        return maps if self.dense is None else self.dense(maps, overview)

    def forward(self, image: Tensor) -> Tensor | dict[str, Tensor] | list[Tensor]:
        """Classify (B, in_chans, H, W), H and W of any size.

        Returns:
            Logits (B, num_classes); in train mode with an auxiliary head, ``{"main": logits, "aux": logits}``;
            for dense prediction four maps.
        """
        maps, overview = self.forward_maps(image)
        if self.dense is not None:
            return self.dense(maps, overview)
        assert self.head is not None
        logits = self.head(maps[-1])
        if self.training and self.aux_head is not None:
            return {"main": logits, "aux": self.aux_head(overview)}
        return logits


def initialise(module: nn.Module) -> None:
    """Start convolutions and linear layers from a truncated normal of 0.02, as officially."""
    if isinstance(module, nn.Linear | nn.Conv2d):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def build(config: Mapping[str, Any], form: str) -> nn.Module:
    """Return the network, or the plug-in ContMix block if ``config`` gives ``dim``, randomly initialised.

    Args:
        config: see :class:`~.config.Config`; for the block, the arguments of :class:`~.blocks.ContMixBlock`.
        form: one of :data:`FORMS`; the block has no auxiliary head.

    Raises:
        ValueError: the form or a hyper-parameter is unknown, or one is missing.
    """
    if form not in FORMS:
        raise ValueError(f"unknown form {form!r}: use one of {', '.join(FORMS)}")
    merged, auxiliary = form.startswith("merged"), form in ("training", "merged_aux")
    if "dim" in config:
        without_effect = ("use_gemm", "deploy")  # options of the official code that do not change the result
        return ContMixBlock(**{k: v for k, v in config.items() if k not in without_effect}, merged=merged)
    return OverLoCK(Config.read(config), merged, auxiliary)


def convert(model: nn.Module, form: str) -> nn.Module:
    """Turn a model into ``form`` in place and return it; parts that the form lacks are merged or dropped.

    Raises:
        ValueError: the form is unknown, or needs branches that the model no longer has.
    """
    if form not in FORMS:
        raise ValueError(f"unknown form {form!r}: use one of {', '.join(FORMS)}")
    large_kernels = [m for m in model.modules() if isinstance(m, LargeKernel)]
    if not form.startswith("merged") and any(m.merged is not None for m in large_kernels):
        raise ValueError(f"a merged model cannot be turned into the form {form!r}: its branches are gone")
    if form.startswith("merged"):
        for large_kernel in large_kernels:
            if large_kernel.merged is None:
                large_kernel.merge()
    if isinstance(model, OverLoCK) and form in ("plain", "merged"):
        model.aux_head = None
    return model
