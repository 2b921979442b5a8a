"""A run of blocks; the backward pass may recompute the first of them to save memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


@contextmanager
def _frozen_statistics(module: nn.Module) -> Iterator[None]:
    """Keep BatchNorms in ``module`` from counting the same batch twice when it is recomputed."""
    norms = [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.training]
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm, (_, batches) in zip(norms, before, strict=True):
        norm.momentum = 0.0
        norm.num_batches_tracked = None if batches is None else batches.clone()
    try:
        yield
    finally:
        for norm, (momentum, batches) in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, batches


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
            out = _checkpointed(block, x, *context) if recompute else block(x, *context)
            if context:
                x, context = out[0], (out[1], context[1])
            else:
                x = out
        return (x, context[0]) if context else x


def _checkpointed(block: nn.Module, *args: Tensor) -> Any:
    if torch.compiler.is_compiling():  # a compiled region takes no contexts of our own
        return checkpoint(block, *args, use_reentrant=False)

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _frozen_statistics(block)

    return checkpoint(block, *args, use_reentrant=False, context_fn=contexts)
