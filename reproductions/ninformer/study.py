"""Small-scale study: a small NiNformer, against the same network without the gate around its Mixers."""

from __future__ import annotations

from torch import nn

from claimbench.reproductions.costs import parameters
from claimbench.reproductions.ninformer.model import Block, MixerGatingUnit, NiNformer
from claimbench.reproductions.small_networks import on_whole_patches, patch_grid, same_size

__all__ = ["network"]

_HIDDEN = 128


def _ninformer(channels: int, patch: int, along: int, classes: int, hidden: int) -> NiNformer:
    """Return a NiNformer of 3 blocks; a dropout of 0.1 suits few epochs better than the paper's 0.5."""
    return NiNformer(patch * along, patch, channels, classes, d_model=64, d_ffn=hidden, num_layers=3, dropout=0.1)


def _mixer(channels: int, patch: int, along: int, classes: int, hidden: int) -> NiNformer:
    """Return the network with the Mixer in the place of project(x) * Mixer(x)."""
    model = _ninformer(channels, patch, along, classes, hidden)
    for block in model.blocks:
        assert isinstance(block, Block)
        assert isinstance(block.gate, MixerGatingUnit)
        block.gate = block.gate.mixer  # type: ignore[assignment]
    return model


def network(arm: str, channels: int, size: int, classes: int) -> nn.Module:
    """Return the network of an arm, pictures (B, channels, size, size) to logits (B, classes).

    Args:
        arm: ``block`` is a NiNformer; ``counterpart`` uses the output of its Mixers directly instead of as a gate, with
            MLPs so wide that there are as many parameters.
        channels, size: the channels and the side of the pictures.
        classes: the width of the output.
    """
    patch, along = patch_grid(size)
    model = _ninformer(channels, patch, along, classes, _HIDDEN)
    if arm == "counterpart":
        model = same_size(lambda hidden: _mixer(channels, patch, along, classes, hidden), parameters(model))
    return on_whole_patches(model, size, patch * along)
