"""Small-scale study: a small EViT that keeps 70 % of its tokens three times, against the ViT that keeps them all."""

from __future__ import annotations

from torch import nn

from claimbench.reproductions.evit.model import EViT
from claimbench.reproductions.small_networks import on_whole_patches, patch_grid, started_by_width

__all__ = ["network"]


def network(arm: str, channels: int, size: int, classes: int) -> nn.Module:
    """Return the network of an arm, pictures (B, channels, size, size) to logits (B, classes).

    Args:
        arm: ``block`` drops tokens in its second, fourth and fifth of six blocks; ``counterpart`` drops none. Both
            have the same parameters.
        channels, size: the channels and the side of the pictures.
        classes: the width of the output.
    """
    patch, along = patch_grid(size)
    config = {
        "embed_dim": 64,
        "num_heads": 4,
        "depth": 6,
        "drop_loc": (1, 3, 4),
        "keep_rate": 0.7 if arm == "block" else 1.0,
        "fuse_token": True,
        "patch_size": patch,
        "img_size": patch * along,
        "in_chans": channels,
        "num_classes": classes,
    }
    return on_whole_patches(started_by_width(EViT(config)), size, patch * along)
