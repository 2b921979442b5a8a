"""Unpacking on a GPU. The number of rows is not compared with the mask there, since that would wait for the GPU."""

from __future__ import annotations

import torch

from claimbench.kernels import triton_support as support
from claimbench.kernels.pack_tokens.triton import packed, unpacked
from claimbench.kernels.triton_support import unavailable

__all__ = ["backward", "forward", "refuses", "unavailable"]


def refuses(args):
    """Return why these arguments cannot be taken, as a sentence, or None if they can."""
    return support.refuses((args.rows, args.canvas))


def forward(args):
    """Return the canvas with the rows in their places."""
    return unpacked(args.rows, args.alive, args.canvas, args.canvas.new_empty(args.canvas.shape))


def backward(grad, saved, args, needs):
    """Return the gradients of rows and canvas, None where ``needs`` is False."""
    rows = packed(grad, args.alive, torch.zeros_like(args.rows)) if needs[0] else None
    canvas = unpacked(None, args.alive, grad, torch.empty_like(args.canvas)) if needs[2] else None
    return rows, None, canvas
