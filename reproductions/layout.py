"""Loading an official checkpoint into one of our models, entry by entry, with nothing left over."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

__all__ = ["Rule", "load_official"]

Model = TypeVar("Model", bound=nn.Module)
Rule = tuple[str, str | Callable[[re.Match[str]], str]]
"""A pattern in one of our names and what stands there in the official name, as :func:`re.sub` takes them."""


def load_official(
    model: Model,
    state: Mapping[str, Tensor],
    rules: Sequence[Rule],
    shapes: Mapping[str, tuple[int, ...]] | None = None,
) -> Model:
    """Load ``state`` into ``model`` strictly and return the model.

    Args:
        model: the model to fill.
        state: the official state dict; the model takes its floating dtype.
        rules: applied one after the other, they turn a name of ours into the official name, or into an empty one where
            the checkpoint has no such entry.
        shapes: the official shapes of entries that have another shape here but as many values, by our name.

    Raises:
        ValueError: entries are missing, unexpected or of another shape; names them as the checkpoint does.
    """
    ours = model.state_dict()
    names = {name: official for name in ours if (official := _official_name(name, rules))}
    shapes = {name: tuple(tensor.shape) for name, tensor in ours.items()} | dict(shapes or {})
    expected = {official: shapes[name] for name, official in names.items()}
    problems = [f"{name} is missing" for name in expected if name not in state]
    problems += [f"{name} is unexpected" for name in state if name not in expected]
    problems += [
        f"{name} has shape {tuple(state[name].shape)} where {shape} is expected"
        for name, shape in expected.items()
        if name in state and tuple(state[name].shape) != shape
    ]
    if problems:
        more = f" (and {len(problems) - 8} more)" if len(problems) > 8 else ""
        raise ValueError(f"the checkpoint does not fit: {'; '.join(problems[:8])}{more}")
    dtype = next((tensor.dtype for tensor in state.values() if tensor.is_floating_point()), torch.float32)
    kept = {name: tensor for name, tensor in ours.items() if name not in names}
    given = {name: state[official].reshape(ours[name].shape) for name, official in names.items()}
    model.to(dtype).load_state_dict(kept | given)
    return model


def _official_name(name: str, rules: Sequence[Rule]) -> str:
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name
