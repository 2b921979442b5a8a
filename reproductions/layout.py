"""Loading an official checkpoint into one of our models, entry by entry, with nothing left over."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.func import functional_call

__all__ = ["Rule", "bound", "load_official"]

Model = TypeVar("Model", bound=nn.Module)
Rule = tuple[str, str | Callable[[re.Match[str]], str]]
"""A pattern in one of our names and its replacement in the official name, as :func:`re.sub` takes them."""


def load_official(
    model: Model,
    state: Mapping[str, Tensor],
    rules: Sequence[Rule],
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    joined: Mapping[str, Sequence[str]] | None = None,
) -> Model:
    """Load ``state`` into ``model`` strictly and return the model.

    Args:
        model: the model to fill.
        state: the official state dict; the model takes its floating dtype.
        rules: applied one after the other, they turn a name of ours into the official name, or into an empty one if
            the checkpoint has no such entry.
        shapes: by our name, the official shapes of entries that have another shape here but as many values.
        joined: official entries of one size that lie one after the other along the first axis of one of ours: a
            pattern in our name, as in ``rules``, and its replacement in the official name of each.

    Raises:
        ValueError: entries are missing, unexpected or of another shape; the message gives their official names.
    """
    given = _converted(model, state, rules, shapes, joined)
    kept = {name: tensor for name, tensor in model.state_dict().items() if name not in given}
    dtype = next((tensor.dtype for tensor in state.values() if tensor.is_floating_point()), torch.float32)
    model.to(dtype).load_state_dict(kept | given)
    return model


def bound(
    module: nn.Module,
    state: Mapping[str, Tensor],
    rules: Sequence[Rule] = (),
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    joined: Mapping[str, Sequence[str]] | None = None,
) -> Callable[..., Any]:
    """Return a function that runs ``module`` with the entries of ``state`` in place of its own.

    Its results can be differentiated with respect to ``state``. The module runs in eval mode; the arguments and errors
    are those of :func:`load_official`.
    """
    given = _converted(module, state, rules, shapes, joined)
    dtype = next((tensor.dtype for tensor in state.values() if tensor.is_floating_point()), torch.float32)
    module.eval().to(dtype)
    return lambda *args, **named: functional_call(module, given, args, named)


def _converted(
    model: nn.Module,
    state: Mapping[str, Tensor],
    rules: Sequence[Rule],
    shapes: Mapping[str, tuple[int, ...]] | None,
    joined: Mapping[str, Sequence[str]] | None,
) -> dict[str, Tensor]:
    """Return our entries, made of the official ones."""
    ours = model.state_dict()
    names = {name: found for name in ours if (found := _official_names(name, rules, joined or {}))}
    shapes = {name: tuple(tensor.shape) for name, tensor in ours.items()} | dict(shapes or {})
    expected = {part: _part(shapes[name], len(parts)) for name, parts in names.items() for part in parts}
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
    given = {name: torch.cat([state[part].flatten() for part in parts]) for name, parts in names.items()}
    return {name: tensor.reshape(ours[name].shape) for name, tensor in given.items()}


def _official_names(name: str, rules: Sequence[Rule], joined: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the official names of the entries that make up ours; none if the checkpoint has no such entry."""
    names = [name]
    for pattern, parts in joined.items():
        if re.search(pattern, name):
            names = [re.sub(pattern, part, name) for part in parts]
    return [official for each in names if (official := _official_name(each, rules))]


def _official_name(name: str, rules: Sequence[Rule]) -> str:
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name


def _part(shape: tuple[int, ...], parts: int) -> tuple[int, ...]:
    return shape if parts == 1 else (shape[0] // parts, *shape[1:])
