"""The outputs of the modules inside a network, for golden records that name them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import nn

__all__ = ["watched"]


@contextmanager
def watched(modules: Mapping[str, nn.Module]) -> Iterator[dict[str, Any]]:
    """Yield a mapping that takes, by the given names, the outputs of the modules in forward passes inside the block."""
    found: dict[str, Any] = {}

    def keep(name: str, module: nn.Module) -> None:
        handle = module.register_forward_hook(lambda _module, _inputs, output: found.update({name: output}))
        hooks.callback(handle.remove)

    with ExitStack() as hooks:
        for name, module in modules.items():
            keep(name, module)
        yield found
