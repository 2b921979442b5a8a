"""VOLO: outlookers on a fine map, transformers on a coarser one, class attention and a token-labelling head."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from timm.layers import DropPath, Mlp, trunc_normal_
from torch import Tensor, nn

from claimbench.reproductions.attention import SelfAttention
from claimbench.reproductions.folding import conv_norm
from claimbench.reproductions.initialise import linear_layers
from claimbench.reproductions.layers import add_feed_forward, channels_last, drop_path_rates
from claimbench.reproductions.token_labels import TokenLabels, random_box, swap_box
from claimbench.reproductions.volo.outlook import OutlookAttention


def patches(x: Tensor, conv: nn.Module) -> Tensor:
    """Return ``conv(x)`` as (B, H / k, W / k, O) for a convolution of kernel k and stride k: one matrix product."""
    assert isinstance(conv, nn.Conv2d)
    side = conv.kernel_size[0]
    if x.shape[2] % side or x.shape[3] % side:
        return conv(x).permute(0, 2, 3, 1)
    tiles = x.permute(0, 2, 3, 1).unflatten(2, (-1, side)).unflatten(1, (-1, side)).transpose(2, 3)
    return F.linear(tiles.flatten(3), conv.weight.permute(0, 2, 3, 1).flatten(1), conv.bias)


class Stem(nn.Sequential):
    """Three convolutions with BatchNorm and ReLU at stride 2, then patches.

    Args:
        in_chans: channels of the pictures.
        hidden: channels of the three convolutions.
        dim: channels of the patches.
        patch_size: pixels along a side of a position, all strides together.
    """

    def __init__(self, in_chans: int, hidden: int, dim: int, patch_size: int) -> None:
        layers: list[nn.Module] = []
        for channels, kernel, stride in ((in_chans, 7, 2), (hidden, 3, 1), (hidden, 3, 1)):
            layers += [nn.Conv2d(channels, hidden, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(hidden)]
            layers.append(nn.ReLU(inplace=True))
        side = patch_size // 2
        super().__init__(*layers, nn.Conv2d(hidden, dim, side, stride=side))

    def forward(self, input: Tensor) -> Tensor:
        """Return the map (B, H / patch_size, W / patch_size, C) of pictures (B, 3, H, W)."""
        x = channels_last(input)
        for i in (0, 3, 6):
            conv, norm = self[i], self[i + 1]
            assert isinstance(conv, nn.Conv2d)
            assert isinstance(norm, nn.BatchNorm2d)
            x = self[i + 2](conv_norm(x, conv, norm))
        return patches(x, self[9])


class MapAttention(SelfAttention):
    """Multi-head self-attention over all positions of a map."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, H, W, C) to (B, H, W, C)."""
        return super().forward(x.flatten(1, 2)).view(x.shape)


class ClassAttention(nn.Module):
    """The class token attends to all tokens (CaiT's class attention); the others stay as they are."""

    def __init__(self, dim: int, num_heads: int, qkv_bias: bool) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.q = nn.Linear(dim, dim, bias=qkv_bias)
        self.kv = nn.Linear(dim, 2 * dim, bias=qkv_bias)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens (B, 1 + N, C) to the new class token (B, 1, C)."""
        q = self.q(x[:, :1]).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
        k, v = self.kv(x).unflatten(-1, (2, self.num_heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Pre-norm residual block around any attention."""

    def __init__(self, dim: int, attention: nn.Module, mlp_ratio: float, drop_path: float = 0.0) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attn = attention
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, int(dim * mlp_ratio))
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, ..., C) to (B, ..., C)."""
        x = x + self.drop_path(self.attn(self.norm1(x)))
        return add_feed_forward(x, self.norm2, self.mlp, self.drop_path)


class ClassBlock(Block):
    """Block that updates the class token only."""

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens (B, 1 + N, C) to (B, 1 + N, C)."""
        cls = x[:, :1] + self.drop_path(self.attn(self.norm1(x)))
        cls = cls + self.drop_path(self.mlp(self.norm2(cls)))
        return torch.cat((cls, x[:, 1:]), dim=1)


class VOLO(nn.Module):
    """The network: (B, 3, S, S) to logits (B, num_classes); in train mode to :class:`TokenLabels`.

    Evaluation adds half of the highest token logit of each class to the class token's. The position embedding
    belongs to one map size; others raise ValueError.

    Attributes:
        token_labelling: whether train mode mixes pictures and returns :class:`TokenLabels`; else it gives logits.
    """

    token_labelling = True

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        dims, heads, layers = config["embed_dims"], config["num_heads"], config["layers"]
        ratios, bias = config["mlp_ratios"], config.get("qkv_bias", False)
        classes = config.get("num_classes", 1000)
        self.pooling_scale = config.get("pooling_scale", 2)
        side = config.get("img_size", 224) // config.get("patch_size", 8) // self.pooling_scale
        self.stem = Stem(config.get("in_chans", 3), config["stem_hidden_dim"], dims[0], config.get("patch_size", 8))
        rates = drop_path_rates(config.get("drop_path_rate_train") or 0.0, layers)
        window = {
            "kernel_size": config.get("outlook_kernel", 3),
            "stride": config.get("outlook_stride", 2),
            "padding": config.get("outlook_padding", 1),
        }
        # The official outlookers get no stochastic depth; only the transformers do.
        self.outlookers = nn.Sequential(
            *(
                Block(dims[0], OutlookAttention(dims[0], heads[0], qkv_bias=bias, **window), ratios[0])
                for _ in range(layers[0])
            )
        )
        self.downsample = nn.Conv2d(dims[0], dims[1], self.pooling_scale, stride=self.pooling_scale)
        self.pos_embed = nn.Parameter(torch.zeros(1, side, side, dims[-1]))
        self.transformers = nn.ModuleList()
        for stage in range(1, len(layers)):
            self.transformers.append(
                nn.Sequential(
                    *(
                        Block(dims[stage], MapAttention(dims[stage], heads[stage], bias), ratios[stage], rate)
                        for rate in rates[stage]
                    )
                )
            )
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dims[-1]))
        self.class_blocks = nn.Sequential(
            *(
                ClassBlock(dims[-1], ClassAttention(dims[-1], heads[-1], bias), ratios[-1])
                for _ in config.get("post_layers", ())
            )
        )
        self.norm = nn.LayerNorm(dims[-1])
        self.head = nn.Linear(dims[-1], classes) if classes else nn.Identity()
        self.token_head = nn.Linear(dims[-1], classes) if classes else nn.Identity()
        trunc_normal_(self.cls_token, std=0.02)
        trunc_normal_(self.pos_embed, std=0.02)
        self.apply(linear_layers)

    def forward_tokens(self, fine: Tensor) -> Tensor:
        """Return the normed tokens (B, 1 + N, C), class token first, from the stem's map (B, H / 8, W / 8, C)."""
        x = patches(self.outlookers(fine).permute(0, 3, 1, 2), self.downsample)
        if x.shape[1:3] != self.pos_embed.shape[1:3]:
            wanted = 8 * self.pooling_scale * self.pos_embed.shape[1]
            raise ValueError(f"this VOLO was built for {wanted}x{wanted} inputs: build it with img_size set")
        x = x + self.pos_embed
        for stage in self.transformers:
            x = stage(x)
        cls = self.cls_token.expand(len(x), -1, -1).to(x.dtype)
        return self.norm(self.class_blocks(torch.cat((cls, x.flatten(1, 2)), dim=1)))

    def forward(self, x: Tensor) -> Tensor | TokenLabels:
        """Return logits in eval mode, :class:`TokenLabels` in train mode (MixToken on the fine map)."""
        fine = self.stem(x)
        if not (self.training and self.token_labelling):
            tokens = self.forward_tokens(fine)
            return self.head(tokens[:, 0]) + 0.5 * self.token_head(tokens[:, 1:]).amax(1)
        height, width = self.pos_embed.shape[1:3]
        box = random_box(height, width)
        tokens = self.forward_tokens(swap_box(fine, box, self.pooling_scale))
        labels = swap_box(self.token_head(tokens[:, 1:]).unflatten(1, (height, width)), box)
        return TokenLabels(self.head(tokens[:, 0]), labels.flatten(1, 2), box)


def build(config: Mapping[str, Any], form: str = "model") -> nn.Module:
    """Build the variant that ``config`` (``paper.yaml``) describes; there is one form, ``model``."""
    if form != "model":
        raise ValueError(f"volo has the form 'model' only, not {form!r}")
    return VOLO(config)
