"""NiNformer: a transformer whose attention is replaced by a gate that an MLP-Mixer makes from the same tokens.

"NiNformer: A Network in Network Transformer with Token Mixing Generated Gating Function", arXiv 2403.02411.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from timm.layers import Mlp
from torch import Tensor, nn

from claimbench.reproductions.layers import channels_last

__all__ = ["MixerBlock", "MixerGatingUnit", "NiNformer", "build"]


class MixerBlock(nn.Module):
    """MLP-Mixer: y = x + MLP over tokens of LN(x), then y + MLP over channels of LN(y).

    Maps (B, N, C) to the same shape, with N = ``tokens``.
    """

    def __init__(self, dim: int, tokens: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.token_norm = nn.LayerNorm(dim)
        self.token_mlp = Mlp(tokens, hidden, drop=dropout)
        self.channel_norm = nn.LayerNorm(dim)
        self.channel_mlp = Mlp(dim, hidden, drop=dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Mix the tokens, then the channels."""
        x = x + self.token_mlp(self.token_norm(x).transpose(1, 2)).transpose(1, 2)
        return x + self.channel_mlp(self.channel_norm(x))


class MixerGatingUnit(nn.Module):
    """project(x) * Mixer(x), without an activation on either factor: (B, N, C) to the same shape."""

    def __init__(self, dim: int, tokens: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.mixer = MixerBlock(dim, tokens, hidden, dropout)
        self.project = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Gate each token of (B, N, C) by the Mixer's output."""
        return self.project(x) * self.mixer(x)


class Block(nn.Module):
    """x + gate(LN(x)), then x + MLP(LN(x)), both with the same LayerNorm."""

    def __init__(self, dim: int, tokens: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.gate = MixerGatingUnit(dim, tokens, hidden, dropout)
        self.mlp = Mlp(dim, hidden, drop=dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, N, C) to (B, N, C)."""
        x = x + self.gate(self.norm(x))
        return x + self.mlp(self.norm(x))


class NiNformer(nn.Module):
    """Patches that do not overlap, the blocks, the mean over tokens, one linear layer; no positions, no last norm.

    Args:
        image_size: the side of the pictures, which fixes the number of tokens of the Mixers.
        patch_size: the side of a patch, a divisor of ``image_size``.
        in_channels: the channels of the picture.
        num_classes: the width of the output.
        d_model: the channels.
        d_ffn: the width of every MLP, over tokens too.
        num_layers: the number of blocks.
        dropout: the rate in every MLP.
    """

    def __init__(
        self,
        image_size: int = 32,
        patch_size: int = 4,
        in_channels: int = 3,
        num_classes: int = 10,
        d_model: int = 256,
        d_ffn: int = 512,
        num_layers: int = 4,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        if image_size % patch_size:
            raise ValueError(f"ninformer: patches of {patch_size} do not tile pictures of {image_size}")
        self.tokens = (image_size // patch_size) ** 2
        self.embed = nn.Conv2d(in_channels, d_model, patch_size, stride=patch_size)
        self.blocks = nn.Sequential(*[Block(d_model, self.tokens, d_ffn, dropout) for _ in range(num_layers)])
        self.head = nn.Linear(d_model, num_classes)

    def forward_features(self, x: Tensor) -> list[Tensor]:
        """Return the one map (B, C, H / patch_size, W / patch_size) that the blocks give.

        Raises:
            ValueError: the pictures (B, in_channels, H, W) do not give the number of tokens the Mixers are made for.
        """
        x = self.embed(channels_last(x))
        grid = x.shape[2:]
        if grid.numel() != self.tokens:
            raise ValueError(
                f"ninformer: the token mixers take {self.tokens} patches, got {grid.numel()} ({grid[0]}x{grid[1]})"
            )
        return [self.blocks(x.flatten(2).transpose(1, 2)).transpose(1, 2).unflatten(2, grid)]

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (B, num_classes) for pictures (B, in_channels, H, W)."""
        return self.head(self.forward_features(x)[0].mean((2, 3)))


def build(config: Mapping[str, Any], form: str = "model") -> NiNformer:
    """Return a randomly initialised NiNformer; ``config`` holds the arguments of :class:`NiNformer`.

    Raises:
        ValueError: there is no form of that name, or the patches do not tile the pictures.
    """
    if form != "model":
        raise ValueError(f"ninformer has the form 'model' only, got {form!r}")
    return NiNformer(**config)
