"""Weights that ``bench train`` made: in our own layout, with the hyper-parameters that building their model needs."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from claimbench.bench.core.errors import UserError

_KEY = "claimbench"
"""The entry of a safetensors file's metadata that describes the weights."""


@dataclass(frozen=True)
class Description:
    """The description of the model in a file of trained weights.

    Attributes:
        paper, variant, form: the model. ``config``: the hyper-parameters it was built with.
        input_size: the side of the pictures it was trained on.
        epoch: the number of epochs it had seen. ``average``: whether these are averaged weights.
        top1: its validation accuracy in per cent, if it was validated.
        deviations: differences from the paper's recipe.
    """

    paper: str
    variant: str
    form: str
    config: Mapping[str, Any]
    input_size: int
    epoch: int
    average: bool = False
    top1: float | None = None
    deviations: tuple[str, ...] = ()


def save(path: Path, state: Mapping[str, Tensor], description: Description) -> None:
    """Write weights so that readers see the old file or the new.

    Raises:
        UserError: the disk is full or the file cannot be written; the old one is still there.
    """
    from safetensors.torch import save as serialise

    from claimbench.bench.store.jsonl import write_whole

    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()}
    write_whole(path, serialise(tensors, metadata={_KEY: json.dumps(asdict(description))}))


def describe(path: Path | str) -> Description | None:
    """Return the description in a file of weights; None for files that ``bench train`` did not make."""
    if Path(path).suffix != ".safetensors":
        return None
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(_KEY)
        if text is None:
            return None
        values = json.loads(text)
        return Description(**{**values, "deviations": tuple(values["deviations"])})
    except (SafetensorError, OSError, ValueError, TypeError, KeyError) as error:
        raise UserError(f"weights file {path} cannot be read ({error})") from error


def build(path: Path | str, module: str, variant: str, form: str) -> nn.Module | None:
    """Return the model in a file of trained weights; None for files that ``bench train`` did not make.

    Args:
        path: the file.
        module: the paper's Python package.
        variant, form: the model to return; a paper's ``model.convert(model, form)``, if it has one, turns the form that
            was trained into another.

    Raises:
        UserError: it holds another variant, a form that cannot be converted, or is damaged.
    """
    found = describe(path)
    if found is None:
        return None
    if found.variant != variant:
        raise UserError(f"weights file {path} holds {found.variant} of {found.paper}, not {variant}")
    from safetensors.torch import load_file

    library = importlib.import_module(f"{module}.model")
    model: nn.Module = library.build(found.config, found.form)
    try:
        model.load_state_dict(load_file(path))
    except RuntimeError as error:
        raise UserError(f"weights file {path} does not fit {variant}: {str(error).splitlines()[-1].strip()}") from error
    if not form or form == found.form:
        return model
    if not hasattr(library, "convert"):
        raise UserError(f"weights file {path} holds {variant} in the form {found.form!r}: ask for --form {found.form}")
    try:
        converted: nn.Module = library.convert(model, form)
    except ValueError as error:
        raise UserError(f"weights file {path} cannot be measured in the form {form!r}: {error}") from error
    return converted
