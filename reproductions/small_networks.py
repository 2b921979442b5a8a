"""Parts of the small networks of several studies: pictures cut into whole patches, and two arms of one size."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import nn

from claimbench.reproductions.costs import parameters

__all__ = ["on_whole_patches", "patch_grid", "same_size", "started_by_width"]

Built = TypeVar("Built", bound=nn.Module)


def patch_grid(size: int, along: int = 7, least: int = 2) -> tuple[int, int]:
    """Return the side of a patch, and the number of patches along a picture of side ``size``.

    Args:
        size: the side of the pictures.
        along: the most patches along a side.
        least: the least side of a patch.
    """
    patch = max(-(-size // along), least)
    return patch, -(-size // patch)


def on_whole_patches(model: nn.Module, size: int, padded: int) -> nn.Module:
    """Return ``model`` for pictures of side ``size``, filled up with zeros at the right and bottom to ``padded``."""
    missing = padded - size
    return nn.Sequential(nn.ZeroPad2d((0, missing, 0, missing)), model) if missing else model


def started_by_width(model: Built) -> Built:
    """Return ``model`` with its linear layers and convolutions started by PyTorch's rule, which depends on their width.

    The normal of 0.02 of transformers suits hundreds of channels. For 64 it is so small that a short study spends its
    few hundred steps on leaving it.
    """
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            module.reset_parameters()
    return model


def same_size(build: Callable[[int], Built], wanted: int) -> Built:
    """Return ``build(width)`` for the width that brings its number of parameters nearest to ``wanted``.

    Args:
        build: makes a module whose number of parameters is linear in the width.
        wanted: a number of parameters.

    Raises:
        ValueError: not even a width of 1 is small enough.
    """
    with torch.device("meta"):
        one, two = (parameters(build(width)) for width in (1, 2))
    if wanted < one:
        raise ValueError(f"a module of at least {one} parameters cannot be made with {wanted}")
    return build(max(1, round((wanted - one) / (two - one)) + 1))
