"""U-Mamba: a residual U-Net as nnU-Net plans it, with Mamba mixers behind its bottleneck or its encoder stages.

Ma, Li and Wang, "U-Mamba: Enhancing Long-range Dependency for Biomedical Image Segmentation", arXiv 2401.04722.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import ceil, prod
from typing import Any

import torch
from torch import Tensor, nn

from claimbench.reproductions.mamba_medical.mixer import MambaMixer

__all__ = ["TokenMixer", "UMamba", "from_plan"]

CONV: Mapping[int, Callable[..., nn.Module]] = {2: nn.Conv2d, 3: nn.Conv3d}
NORM: Mapping[int, Callable[..., nn.Module]] = {2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}
SLOPE = 0.01
"""Of the LeakyReLUs, and of their share in the start of the convolutions."""


class TokenMixer(nn.Module):
    """LayerNorm and a Mamba mixer of the positions of a map (B, C, ...), or of its channels; there is no shortcut.

    It runs in the precision of its weights also under autocast.

    Args:
        dim: the width of a token: C, or the number of positions if the channels are the tokens.
        channel_token: whether the channels are the tokens.
    """

    def __init__(self, dim: int, channel_token: bool = False) -> None:
        super().__init__()
        self.channel_token = channel_token
        self.norm = nn.LayerNorm(dim)
        self.mamba = MambaMixer(dim)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, ...) to the same shape."""
        with torch.autocast("cuda" if x.is_cuda else "cpu", enabled=False):
            tokens = x.flatten(2).to(self.norm.weight.dtype)
            if self.channel_token:
                return self.mamba(self.norm(tokens)).view(x.shape)
            return self.mamba(self.norm(tokens.transpose(1, 2))).transpose(1, 2).reshape(x.shape)


class ResidualBlock(nn.Module):
    """act(norm(conv(act(norm(conv(x))))) + shortcut(x)), the shortcut a 1x1 convolution or nothing.

    Args:
        before, channels: of the input and of the output.
        kernel: the odd side along each axis.
        stride: along each axis.
        projected: whether the shortcut is a convolution.
        bias: whether convolutions have a bias.
    """

    def __init__(
        self,
        before: int,
        channels: int,
        kernel: Sequence[int],
        stride: Sequence[int],
        projected: bool,
        bias: bool,
    ) -> None:
        super().__init__()
        conv, norm = CONV[len(kernel)], NORM[len(kernel)]
        sides, steps, padding = tuple(kernel), tuple(stride), tuple(side // 2 for side in kernel)
        self.conv1 = conv(before, channels, sides, steps, padding, bias=bias)
        self.norm1 = norm(channels, affine=True)
        self.conv2 = conv(channels, channels, sides, 1, padding, bias=bias)
        self.norm2 = norm(channels, affine=True)
        self.conv3 = conv(before, channels, 1, steps) if projected else nn.Identity()
        self.act = nn.LeakyReLU(SLOPE)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, before, ...) to (B, channels, ...)."""
        y = self.norm2(self.conv2(self.act(self.norm1(self.conv1(x)))))
        return self.act(y + self.conv3(x))


def _blocks(
    before: int, channels: int, kernel: Sequence[int], stride: Sequence[int], count: int, bias: bool
) -> nn.Sequential:
    """Return residual blocks of which the first changes size and channels; its convolutions always have a bias."""
    first = ResidualBlock(before, channels, kernel, stride, projected=True, bias=True)
    once = [1] * len(kernel)
    others = (ResidualBlock(channels, channels, kernel, once, projected=False, bias=bias) for _ in range(count - 1))
    return nn.Sequential(first, *others)


class UMamba(nn.Module):
    """Pictures or volumes (B, C, ...) to logits (B, num_classes, ...).

    The decoder of the 2-D network leaves the finest skip out, as the released code does: its last stage sees the
    enlarged map alone.

    Args:
        kind: ``Bot``: one mixer, behind the last encoder stage. ``Enc``: in 3-D a mixer behind every stage, in 2-D
            behind every second one, the last among them. A stage whose map has no more positions than channels then
            takes its channels for tokens, so that the size of the input is fixed. ``plain``: no mixer, for comparison.
        input_size: the sides of the input.
        features: the channels of each encoder stage.
        kernels, strides: the sides of the kernels and the strides of each stage.
        blocks, decoder_blocks: the residual blocks of each stage, finest and coarsest first; the deeper half of the
            encoder and the finer half of the decoder have one each, whatever is given.
        num_classes: the width of the output.
        in_channels: C.
        deep_supervision: whether in training the logits of every decoder stage are given, the finest first.
        conv_bias: whether convolutions have a bias.
    """

    def __init__(
        self,
        kind: str,
        input_size: Sequence[int],
        features: Sequence[int],
        kernels: Sequence[Sequence[int]],
        strides: Sequence[Sequence[int]],
        blocks: int | Sequence[int] = 2,
        decoder_blocks: int | Sequence[int] = 2,
        num_classes: int = 2,
        in_channels: int = 1,
        deep_supervision: bool = False,
        conv_bias: bool = True,
    ) -> None:
        super().__init__()
        stages, dim = len(features), len(input_size)
        if kind not in ("Bot", "Enc", "plain"):
            raise ValueError(f"U-Mamba is of the kind 'Bot', 'Enc' or 'plain', got {kind!r}")
        if len(kernels) != stages or len(strides) != stages or {len(k) for k in (*kernels, *strides)} != {dim}:
            raise ValueError(f"a {dim}-D plan of {stages} stages has that many kernels and strides of {dim} sides each")
        if any(side % 2 == 0 for kernel in kernels for side in kernel):
            raise ValueError("the sides of kernels are odd")
        self.fixed_size = tuple(input_size) if kind == "Enc" else None
        self.multiples = tuple(prod(stride[axis] for stride in strides) for axis in range(dim))
        self.deep_supervision, self.skips_finest = deep_supervision, dim == 2
        counts = _counts(blocks, stages, ceil(stages / 2))
        self.stem = _blocks(in_channels, features[0], kernels[0], [1] * dim, counts[0], conv_bias)
        before = (features[0], *features[:-1])
        self.stages = nn.ModuleList(
            _blocks(*stage, conv_bias) for stage in zip(before, features, kernels, strides, counts, strict=True)
        )
        self.mixers = nn.ModuleList(_mixers(kind, input_size, features, strides))
        counts = _counts(decoder_blocks, stages - 1, ceil(stages / 2))
        self.enlarges, self.decoder, self.heads = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for i, count in zip(reversed(range(stages - 1)), counts, strict=True):
            own = features[i]
            joined = own if i == 0 and self.skips_finest else 2 * own
            self.enlarges.append(Enlarge(features[i + 1], own, strides[i + 1]))
            self.decoder.append(_blocks(joined, own, kernels[i], [1] * dim, count, conv_bias))
            self.heads.append(CONV[dim](own, num_classes, 1))
        self.apply(_start)

    def scales(self, x: Tensor) -> list[Tensor]:
        """Return the logits of every decoder stage for (B, C, ...), the finest first.

        Raises:
            ValueError: the network cannot take a map of this size.
        """
        return [head(found) for head, found in zip(self.heads, self._decoded(x), strict=True)][::-1]

    def forward(self, x: Tensor) -> Tensor | list[Tensor]:
        """Segment (B, C, ...); in training with deep supervision the logits of every stage are given.

        Raises:
            ValueError: the network cannot take a map of this size.
        """
        return self.scales(x) if self.training and self.deep_supervision else self.heads[-1](self._decoded(x)[-1])

    def _decoded(self, x: Tensor) -> list[Tensor]:
        """Return the map of every decoder stage, the coarsest first."""
        self._check(x)
        x = self.stem(x)
        skips = []
        for stage, mixer in zip(self.stages, self.mixers, strict=True):
            x = mixer(stage(x))
            skips.append(x)
        found = []
        for enlarge, stage, skip in zip(self.enlarges, self.decoder, reversed(skips[:-1]), strict=True):
            x = enlarge(x)
            if stage is not self.decoder[-1] or not self.skips_finest:
                x = torch.cat((x, skip), dim=1)
            x = stage(x)
            found.append(x)
        return found

    def _check(self, x: Tensor) -> None:
        size = tuple(x.shape[2:])
        shown = "x".join(map(str, size))
        if self.fixed_size is not None and size != self.fixed_size:
            raise ValueError(f"this U-Mamba Enc was built for {'x'.join(map(str, self.fixed_size))}, got {shown}")
        if len(size) != len(self.multiples):
            raise ValueError(f"this U-Mamba takes {len(self.multiples)}-D maps, got {len(size)}-D ones ({shown})")
        if any(side % step or not side for side, step in zip(size, self.multiples, strict=True)):
            raise ValueError(
                f"U-Mamba takes sides that are multiples of {'x'.join(map(str, self.multiples))}, got {shown}"
            )


class Enlarge(nn.Module):
    """A 1x1 convolution, then every position repeated by the stride; in this order it costs the least."""

    def __init__(self, before: int, channels: int, stride: Sequence[int]) -> None:
        super().__init__()
        self.conv = CONV[len(stride)](before, channels, 1)
        self.enlarge = nn.Upsample(scale_factor=tuple(float(step) for step in stride))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, before, ...) to (B, channels, ...) with sides larger by the stride."""
        return self.enlarge(self.conv(x))


def from_plan(plan: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of :class:`UMamba` that a configuration of an nnU-Net plan determines.

    Args:
        plan: ``patch_size``, ``conv_kernel_sizes``, ``pool_op_kernel_sizes``, ``n_conv_per_stage_encoder``,
            ``n_conv_per_stage_decoder``, ``UNet_base_num_features`` and ``unet_max_num_features``.
    """
    base, most = plan["UNet_base_num_features"], plan["unet_max_num_features"]
    return {
        "input_size": plan["patch_size"],
        "features": [min(base * 2**i, most) for i in range(len(plan["conv_kernel_sizes"]))],
        "kernels": plan["conv_kernel_sizes"],
        "strides": plan["pool_op_kernel_sizes"],
        "blocks": plan["n_conv_per_stage_encoder"],
        "decoder_blocks": plan["n_conv_per_stage_decoder"],
    }


def _counts(given: int | Sequence[int], stages: int, most: int) -> list[int]:
    """Return the blocks of each stage: those given for the first ``most`` stages, one for the others."""
    counts = [given] * stages if isinstance(given, int) else list(given)
    if len(counts) != stages:
        raise ValueError(f"the blocks of {stages} stages are needed, got those of {len(counts)}")
    return [count if i < most else 1 for i, count in enumerate(counts)]


def _mixers(
    kind: str, input_size: Sequence[int], features: Sequence[int], strides: Sequence[Sequence[int]]
) -> list[nn.Module]:
    """Return what follows each encoder stage: a mixer or nothing."""
    last, size = len(features) - 1, tuple(input_size)
    found: list[nn.Module] = []
    for i, (channels, stride) in enumerate(zip(features, strides, strict=True)):
        size = tuple(side // step for side, step in zip(size, stride, strict=True))
        positions = prod(size)
        if kind == "Bot" and i == last:
            found.append(TokenMixer(channels))
        elif kind == "Enc" and (len(size) == 3 or (last - i) % 2 == 0):
            by_channel = positions <= channels
            found.append(TokenMixer(positions if by_channel else channels, by_channel))
        else:
            found.append(nn.Identity())
    return found


def _start(module: nn.Module) -> None:
    """Start convolutions of maps as nnU-Net does: He's normal for LeakyReLUs, and biases of zero."""
    if isinstance(module, nn.Conv2d | nn.Conv3d):
        nn.init.kaiming_normal_(module.weight, a=SLOPE)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
