"""Modules computed again in the backward pass, which saves the memory of what they keep for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


def recomputed(module: nn.Module, call: Callable[..., Any], *args: Any) -> Any:
    """Return ``call(*args)``, which runs ``module``, keeping its arguments alone for the backward pass.

    The batch statistics of its BatchNorms are counted once, except in a compiled graph.
    """
    if torch.compiler.is_compiling():  # a compiled region takes no contexts of our own
        return checkpoint(call, *args, use_reentrant=False)

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _frozen_statistics(module)

    return checkpoint(call, *args, use_reentrant=False, context_fn=contexts)


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
