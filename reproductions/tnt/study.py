"""Small-scale study: a small TNT, against the same network without its inner transformers at as many parameters."""

from __future__ import annotations

from torch import nn

from claimbench.reproductions.costs import parameters
from claimbench.reproductions.small_networks import on_whole_patches, patch_grid, same_size, started_by_width
from claimbench.reproductions.tnt.block import Block
from claimbench.reproductions.tnt.model import TNT

__all__ = ["network"]

_DIM = 64
_RATIO = 4


def _tnt(channels: int, patch: int, along: int, classes: int, hidden: int = _RATIO * _DIM) -> TNT:
    """Return a TNT of 4 blocks with 4x4 words of 8 channels in each patch and MLPs of ``hidden`` on sentences."""
    return TNT(
        {
            "outer_dim": _DIM,
            "outer_num_heads": 4,
            "inner_dim": _DIM // 8,
            "inner_num_heads": 2,
            "inner_stride": -(-patch // 4),
            "depth": 4,
            "mlp_ratio": (hidden + 0.5) / _DIM,  # the half guards int() of the product against rounding
            "patch_size": patch,
            "img_size": patch * along,
            "in_chans": channels,
            "num_classes": classes,
        }
    )


def _without_inner(model: TNT) -> TNT:
    for block in model.blocks:
        assert isinstance(block, Block)
        block.inner = None
    return model


def network(arm: str, channels: int, size: int, classes: int) -> nn.Module:
    """Return the network of an arm, pictures (B, channels, size, size) to logits (B, classes).

    Args:
        arm: ``block`` is a TNT; ``counterpart`` embeds its words into sentences likewise and then has ordinary
            transformer blocks, their MLPs so wide that there are as many parameters.
        channels, size: the channels and the side of the pictures.
        classes: the width of the output.
    """
    patch, along = patch_grid(size, along=4, least=4)
    model = _tnt(channels, patch, along, classes)
    if arm == "counterpart":
        model = same_size(
            lambda hidden: _without_inner(_tnt(channels, patch, along, classes, hidden)), parameters(model)
        )
    return on_whole_patches(started_by_width(model), size, patch * along)
