"""Small-scale study: MOAT blocks, against transformer blocks of as many parameters."""

from __future__ import annotations

from timm.layers import Mlp
from torch import Tensor, nn

from claimbench.reproductions.costs import parameters
from claimbench.reproductions.moat.attention import WindowAttention
from claimbench.reproductions.moat.blocks import Block, average_pool
from claimbench.reproductions.moat.model import MOAT
from claimbench.reproductions.small_networks import same_size, started_by_width

__all__ = ["network"]

_WIDTHS = (32, 64)
_DEPTH = 3
_EPS = 1e-5
_LARGEST = 14


class TransformerBlock(nn.Module):
    """The transformer block that MOAT changes: x + attention(x), then x + MLP(LN(x)).

    Args:
        shortcut: maps the channels of the input to those of the output, after pooling.
        stride: the stride of the pooling, as in a MOAT block's shortcut.
        attention: maps (B, C, H, W) to the same shape, with a LayerNorm of its own.
        dim: the channels of the output.
        hidden: the width of the MLP.
    """

    def __init__(self, shortcut: nn.Module, stride: int, attention: WindowAttention, dim: int, hidden: int) -> None:
        super().__init__()
        self.shortcut, self.stride, self.attention = shortcut, stride, attention
        self.norm = nn.LayerNorm(dim, eps=_EPS)
        self.mlp = Mlp(dim, hidden)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, before, H, W) to (B, dim, ceil(H / stride), ceil(W / stride))."""
        x = self.shortcut(average_pool(x, 2, self.stride) if self.stride > 1 else x)
        x = x + self.attention(x)
        return x + self.mlp(self.norm(x.permute(0, 2, 3, 1))).permute(0, 3, 1, 2)


def _transformer(block: Block) -> nn.Module:
    """Return a transformer block of the same strides, channels and parameters as a MOAT block, with its attention."""
    attention, mbconv = block.attention, block.mbconv
    assert attention is not None
    dim = attention.project.out_features
    return same_size(
        lambda hidden: TransformerBlock(mbconv.shortcut, mbconv.stride, attention, dim, hidden), parameters(block)
    )


def network(arm: str, channels: int, size: int, classes: int) -> nn.Module:
    """Return the network of an arm, pictures (B, channels, size, size) to logits (B, classes).

    Args:
        arm: ``block`` is a MOAT with one stage of MOAT blocks on maps of at most 7x7, and mobile convolutions ahead of
            it; ``counterpart`` has transformer blocks for the MOAT blocks.
        channels, size: the channels and the side of the pictures.
        classes: the width of the output.
    """
    side, strides = -(-size // 2), []  # behind the stem, which halves the picture
    while side > _LARGEST:
        side = -(-side // 2)
        strides.append(2)
    strides = strides or [1]
    early = len(strides)
    model = MOAT(
        stem_size=(_WIDTHS[0], _WIDTHS[0]),
        hidden_size=(*[_WIDTHS[0]] * early, _WIDTHS[1]),
        num_blocks=(*[1] * early, _DEPTH),
        block_type=(*["mbconv"] * early, "moat"),
        stage_stride=(*strides, 2),
        head_size=16,
        window_size=[None] * (early + 1),
        position_embedding_size=(*[None] * early, -(-side // 2)),
        num_classes=classes,
        in_channels=channels,
    )
    if arm == "counterpart":
        stage = model.stages[-1]
        assert isinstance(stage, nn.Sequential)
        for i, block in enumerate(stage):
            assert isinstance(block, Block)
            stage[i] = _transformer(block)
    return started_by_width(model)
