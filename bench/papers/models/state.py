"""Reads weight files without ever running code that is hidden in them."""

from __future__ import annotations

import pickle
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from claimbench.bench.core.errors import UserError
from claimbench.bench.data.download import content

if TYPE_CHECKING:
    from torch import Tensor, nn

_WRAPPERS = ("state_dict", "model", "model_ema", "state_dict_ema", "ema", "params_ema", "params", "module")
"""Keys under which training scripts keep the weights beside their optimiser state; BasicSR tests its average."""


def load_state(path: Path | str) -> dict[str, Tensor]:
    """Return the tensors of a weights file, by name.

    The content tells the format: safetensors, ``torch.save`` or a ``.tar.gz`` archive of a TensorFlow checkpoint.

    Only tensors, plain containers and the ``argparse.Namespace`` in which training scripts keep their options are read:
    a file that holds other Python objects is refused, since loading those can run any code. Weights that lie under
    ``model``, ``state_dict`` and the like are found; a ``module.`` in front of every name (left by data-parallel
    training) is removed.

    Raises:
        UserError: the file cannot be read, is refused, or holds no tensors, or tensors that are no weights; names the
            file.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"weights file {path} does not exist")
    if path.suffix == ".safetensors" or content.is_safetensors(path):
        state = _safetensors(path)
    elif content.is_gzip(path):
        state = _tensorflow(path)
    else:
        state = _unwrap(_torch_file(path), path)
    if state and all(name.startswith("module.") for name in state):
        state = {name.removeprefix("module."): tensor for name, tensor in state.items()}
    _check_tensors(state, path)
    return state


def _check_tensors(state: dict[str, Tensor], path: Path) -> None:
    """Refuse entries that a model would take with a change of meaning, or that make every result not a number."""
    import torch

    for name, tensor in state.items():
        what = ""
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.device.type == "meta":
            what = "no plain tensor"
        elif tensor.dtype == torch.int8 and tensor.dim() > 1:
            what = "quantized to int8"
        elif tensor.is_floating_point() and bool(torch.isnan(tensor).any()):
            what = "not a number everywhere: the file is damaged, or its training diverged"
        if what:
            raise UserError(f"weights file {path}: {name} is {what}")


def load_strictly(model: nn.Module, state: dict[str, Tensor], path: str, label: str) -> None:
    """Load every entry of the weights file at ``path`` into the model that ``label`` names.

    Raises:
        UserError: an entry is missing, left over, or of another shape; one sentence.
    """
    own = model.state_dict()
    problems = [
        *(f"{n} is missing" for n in own if n not in state),
        *(f"{n} is not in the model" for n in state if n not in own),
        *(
            f"{n} is {list(state[n].shape)}, expected {list(own[n].shape)}"
            for n in own
            if n in state and state[n].shape != own[n].shape
        ),
    ]
    if problems:
        more = f" (and {len(problems) - 3} more)" if len(problems) > 3 else ""
        raise UserError(f"weights file {path} does not fit {label}: {'; '.join(problems[:3])}{more}")
    model.load_state_dict(state)


def _safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise UserError(f"weights file {path} is not a readable safetensors file ({error})") from error


def _tensorflow(path: Path) -> dict[str, Tensor]:
    import torch

    from claimbench.bench.papers.models import tensor_bundle

    try:
        return {name: torch.from_numpy(values) for name, values in tensor_bundle.read_archive(path).items()}
    except ValueError as error:
        raise UserError(f"weights file {path} is no readable TensorFlow checkpoint: {error}") from error


def _torch_file(path: Path) -> Any:
    import torch

    try:
        with torch.serialization.safe_globals([Namespace]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UserError(
            f"weights file {path} is not a plain torch.save file, or holds Python objects besides tensors, which could "
            "run code when loaded: save its state dict alone, or convert it to safetensors"
        ) from error
    except (RuntimeError, EOFError, LookupError, ValueError, OSError) as error:
        raise UserError(
            f"weights file {path} cannot be read: {(str(error).splitlines() or ['it is empty'])[0]}"
        ) from error


def _unwrap(loaded: Any, path: Path) -> dict[str, Tensor]:
    """Return the mapping of names to tensors inside a checkpoint."""
    from torch import Tensor

    for _ in range(2):
        if not isinstance(loaded, Mapping):
            break
        inner = next((loaded[key] for key in _WRAPPERS if isinstance(loaded.get(key), Mapping)), None)
        if inner is None:
            break
        loaded = inner
    if not isinstance(loaded, Mapping):
        raise UserError(f"weights file {path} holds {type(loaded).__name__}, expected a mapping of names to tensors")
    state = {str(name): value for name, value in loaded.items() if isinstance(value, Tensor)}
    if not state:
        known = ", ".join(_WRAPPERS)
        raise UserError(f"weights file {path} holds no tensors, neither itself nor under {known}: save its state dict")
    return state
