"""A run of blocks; the backward pass may recompute the first of them to save memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from claimbench.kernels.recompute import recomputed


class Stage(nn.Module):
    """Blocks applied one after the other; further arguments that a block does not return are passed on to each.

    Args:
        blocks: the blocks.
        checkpointed: the number of first blocks that the backward pass recomputes.
    """

    def __init__(self, blocks: Sequence[nn.Module], checkpointed: int = 0) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.checkpointed = checkpointed

    def forward(self, x: Tensor, *context: Tensor) -> Any:
        """Return the last block's output: ``block(x)``, or ``(x, context)`` of ``block(x, context, reference)``."""
        for i, block in enumerate(self.blocks):
            recompute = i < self.checkpointed and x.requires_grad
            out = recomputed(block, block, x, *context) if recompute else block(x, *context)
            if context:
                x, context = out[0], (out[1], context[1])
            else:
                x = out
        return (x, context[0]) if context else x
