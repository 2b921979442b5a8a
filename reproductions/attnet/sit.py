"""SiT, a diffusion transformer, with attention or attentive convolution as its token mixer.

Ma et al., "SiT: Exploring Flow and Diffusion-based Generative Models with Scalable Interpolant Transformers",
arXiv 2401.08740; with ATConv as in arXiv 2510.20092.
"""

from __future__ import annotations

from math import log

import torch
from timm.layers import GELUTanh, Mlp
from torch import Tensor, nn
from torch.nn import functional as F

from claimbench.reproductions.attnet.atconv import ATConv

__all__ = ["SiT", "sincos_positions"]


def sincos_positions(dim: int, side: int) -> Tensor:
    """Return sines and cosines of column and row, (1, side * side, dim) with ``dim`` a multiple of 4."""
    frequencies = 10000.0 ** -(torch.arange(dim // 4, dtype=torch.float64) / (dim // 4))
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    across, down = (place.flatten()[:, None] * frequencies for place in (columns, rows))
    return torch.cat([across.sin(), across.cos(), down.sin(), down.cos()], dim=1).float()[None]


class Attention(nn.Module):
    """Multi-head self-attention over (B, H, W, C)."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.project = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, H, W, C) to (B, H, W, C)."""
        query, key, value = self.qkv(x.flatten(1, 2)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        return self.project(mixed).view_as(x)


class TimeEmbedding(nn.Module):
    """A two-layer network on sines and cosines of the time, which are computed in float32 for every dtype."""

    def __init__(self, dim: int, frequencies: int = 128) -> None:
        super().__init__()
        self.frequencies = frequencies
        self.fc1 = nn.Linear(2 * frequencies, dim)
        self.fc2 = nn.Linear(dim, dim)

    def forward(self, t: Tensor) -> Tensor:
        """Map times (B,) in [0, 1] to (B, dim)."""
        steps = torch.arange(self.frequencies, device=t.device, dtype=torch.float32)
        angles = t[:, None].float() * torch.exp(-log(10000.0) * steps / self.frequencies)
        waves = torch.cat([angles.cos(), angles.sin()], dim=-1).to(self.fc1.weight.dtype)
        return self.fc2(F.silu(self.fc1(waves)))


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Return LN(x) * (1 + scale) + shift for x (B, H, W, C) and vectors (B, C); the LayerNorm has no weights."""
    normed = F.layer_norm(x, x.shape[-1:], eps=1e-6)
    return normed * (1 + scale[:, None, None]) + shift[:, None, None]


class Block(nn.Module):
    """x + gate * mixer(modulate(x)), then x + gate * MLP(modulate(x)); the condition gives shifts, scales and gates."""

    def __init__(self, dim: int, mixer: nn.Module, mlp_ratio: float) -> None:
        super().__init__()
        self.mixer = mixer
        self.mlp = Mlp(dim, int(dim * mlp_ratio), act_layer=GELUTanh)
        self.condition = nn.Linear(dim, 6 * dim)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Map (B, H, W, C) and (B, C) to (B, H, W, C)."""
        shift1, scale1, gate1, shift2, scale2, gate2 = self.condition(F.silu(condition)).chunk(6, dim=1)
        x = x + gate1[:, None, None] * self.mixer(modulate(x, shift1, scale1))
        return x + gate2[:, None, None] * self.mlp(modulate(x, shift2, scale2))


class SiT(nn.Module):
    """Predicts the velocity of a latent picture at time t, given its class.

    Args:
        depth, hidden_size, num_heads: the blocks, channels and attention heads.
        mixer: ``attention``, ``atconv``, or ``hybrid``: attention in the first, third, ... block, ATConv in the others.
        input_size: the side of the latent picture; models with attention have a position embedding for it alone.
        patch_size: the side of a patch.
        in_channels: the channels of the latent picture.
        mlp_ratio: the expansion of the MLP.
        num_classes: the classes; one more embedding stands for no class.
        class_dropout: the share of samples whose class training leaves out.
        learn_sigma: whether the head has as many outputs again, which are left out of the result.
    """

    def __init__(
        self,
        depth: int,
        hidden_size: int,
        num_heads: int,
        mixer: str = "attention",
        input_size: int = 32,
        patch_size: int = 2,
        in_channels: int = 4,
        mlp_ratio: float = 4.0,
        num_classes: int = 1000,
        class_dropout: float = 0.1,
        learn_sigma: bool = True,
    ) -> None:
        super().__init__()
        if mixer not in ("attention", "atconv", "hybrid"):
            raise ValueError(f"sit: mixer must be 'attention', 'atconv' or 'hybrid', got {mixer!r}")
        self.patch_size, self.in_channels = patch_size, in_channels
        self.num_classes, self.class_dropout = num_classes, class_dropout
        outputs = in_channels * (2 if learn_sigma else 1)
        self.embed = nn.Conv2d(in_channels, hidden_size, patch_size, stride=patch_size)
        self.embed_time = TimeEmbedding(hidden_size)
        self.embed_class = nn.Embedding(num_classes + 1, hidden_size)
        self.side = input_size // patch_size
        self.position: nn.Parameter | None = None
        if mixer != "atconv":
            positions = sincos_positions(hidden_size, self.side)
            self.position = nn.Parameter(positions, requires_grad=False)
        self.blocks = nn.ModuleList()
        for i in range(depth):
            attends = mixer == "attention" or (mixer == "hybrid" and i % 2 == 0)
            mix = Attention(hidden_size, num_heads) if attends else ATConv(hidden_size, approximate="tanh")
            self.blocks.append(Block(hidden_size, mix, mlp_ratio))
        self.condition = nn.Linear(hidden_size, 2 * hidden_size)
        self.head = nn.Linear(hidden_size, patch_size**2 * outputs)
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        nn.init.xavier_uniform_(self.embed.weight.flatten(1))
        if self.embed.bias is not None:
            nn.init.zeros_(self.embed.bias)
        for table in (self.embed_class, self.embed_time.fc1, self.embed_time.fc2):
            nn.init.normal_(table.weight, std=0.02)
        conditions = [module.condition for module in self.modules() if isinstance(module, Block | SiT)]
        for layer in (self.head, *conditions):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor, t: Tensor | None = None, y: Tensor | None = None) -> Tensor:
        """Return the velocity (B, in_channels, H, W) of the latent pictures (B, in_channels, H, W).

        Args:
            x: the latent pictures; sides are multiples of the patch.
            t: (B,) times in [0, 1]; the middle, 0.5, if None.
            y: (B,) classes; no class if None.

        Raises:
            ValueError: the picture's size is not the one that the position embedding is made for.
        """
        batch = x.shape[0]
        if t is None:
            t = x.new_full((batch,), 0.5)
        if y is None:
            y = torch.full((batch,), self.num_classes, device=x.device)
        elif self.training:
            y = torch.where(torch.rand(batch, device=x.device) < self.class_dropout, self.num_classes, y)
        condition = self.embed_time(t) + self.embed_class(y)
        tokens = self.embed(x).permute(0, 2, 3, 1)
        if self.position is not None:
            tokens = tokens + self._positions(tokens)
        for block in self.blocks:
            tokens = block(tokens, condition)
        shift, scale = self.condition(F.silu(condition)).chunk(2, dim=1)
        return self._unpatch(self.head(modulate(tokens, shift, scale)))

    def _positions(self, tokens: Tensor) -> Tensor:
        assert self.position is not None
        height, width = tokens.shape[1:3]
        side = self.side
        if (height, width) != (side, side):
            raise ValueError(f"sit: the position embedding is made for {side}x{side} patches, got {height}x{width}")
        return self.position.view(1, side, side, -1)

    def _unpatch(self, x: Tensor) -> Tensor:
        patch = self.patch_size
        pixels = x.unflatten(-1, (patch, patch, -1)).permute(0, 5, 1, 3, 2, 4).flatten(4, 5).flatten(2, 3)
        return pixels[:, : self.in_channels]
