"""Small-scale study: a small ConViT, against the same network with plain attention in every block, which is a DeiT."""

from __future__ import annotations

from torch import nn

from claimbench.reproductions.convit.attention import GatedPositionalAttention
from claimbench.reproductions.convit.model import ConViT
from claimbench.reproductions.small_networks import on_whole_patches, patch_grid, started_by_width

__all__ = ["network"]

_DEPTH = 4
_POSITIONAL = 3


def network(arm: str, channels: int, size: int, classes: int) -> nn.Module:
    """Return the network of an arm, pictures (B, channels, size, size) to logits (B, classes).

    Args:
        arm: ``block`` has gated positional attention in all blocks but the last, ``counterpart`` in none.
        channels, size: the channels and the side of the pictures.
        classes: the width of the output.
    """
    patch, along = patch_grid(size)
    config = {
        "embed_dim": 64,
        "num_heads": 4,
        "depth": _DEPTH,
        "local_up_to_layer": _POSITIONAL if arm == "block" else 0,
        "patch_size": patch,
        "img_size": patch * along,
        "in_chans": channels,
        "num_classes": classes,
    }
    model = started_by_width(ConViT(config))
    for module in model.modules():
        if isinstance(module, GatedPositionalAttention):
            module.init_as_convolution()
    return on_whole_patches(model, size, patch * along)
