"""A model as a file that other programs run: ONNX, or torch.export's own format."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.utils._pytree import tree_leaves

from claimbench._library.model import FeatureModel, Model
from claimbench._library.names import ModelError
from claimbench.bench import tasks
from claimbench.bench.core.errors import UserError, unknown
from claimbench.bench.core.task import SEED, arguments
from claimbench.kernels import backend

Format = Literal["onnx", "torch_export"]
ENDINGS: dict[str, str] = {"onnx": ".onnx", "torch_export": ".pt2"}
TOLERANCE = 1e-4
"""The largest difference from the model's own outputs that a file may have, relative to the largest output."""


@dataclass(frozen=True)
class Exported:
    """A file that was written and run.

    Attributes:
        path: the file.
        format: ``onnx`` or ``torch_export``.
        difference: the largest difference of its outputs from the model's own, relative to the largest output.
    """

    path: Path
    format: Format
    difference: float


def export(
    model: nn.Module,
    path: str | Path | None = None,
    *,
    format: Format | None = None,
    sample: Tensor | Sequence[Tensor] | None = None,
    dynamic_batch: bool = False,
) -> Exported:
    """Write a model for inference, without operators of this package, run the file, and compare the outputs.

    ONNX files are run by onnxruntime on the CPU, others as ``torch.export.load(path).module()``. The model is left as
    it was. What is exported is the reference form of every operator, in plain PyTorch.

    Args:
        model: made by :func:`create_model`; another module needs a ``sample``.
        path: of the file; if None, the model's name in the working folder.
        format: ``"onnx"`` or ``"torch_export"``; by default what the path ends in, ``.onnx`` or ``.pt2``.
        sample: the arguments of one call, which fix the shapes; by default one input of the paper's size.
        dynamic_batch: whether the file takes any number of samples at a time, and not just that of ``sample``.

    Raises:
        ModelError: an argument makes no sense, or the model cannot be exported so.
        UserError: a package is missing, or the file cannot be written, or its outputs differ by more than 1e-4; there
            is no file then.
    """
    path, chosen = _place(model, path, format)
    if chosen == "onnx":
        _require_onnx()
    inputs = _inputs(model, sample, batch=2 if dynamic_batch else 1)
    training = model.training
    try:
        with torch.no_grad():
            expected = tree_leaves(model.eval()(*inputs))
            program = _program(model, inputs, dynamic_batch)
            difference = _WRITERS[chosen](program, path, inputs, expected)
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror or error})") from error
    finally:
        model.train(training)
    if not difference <= TOLERANCE:
        path.unlink()
        raise UserError(f"{path} differs from the model by {difference:.1g} of its largest output: it was not kept")
    return Exported(path, chosen, difference)


def _place(model: nn.Module, path: str | Path | None, format: str | None) -> tuple[Path, Format]:
    """Return the file to write and its format."""
    chosen = format
    if chosen is None and path is not None:
        chosen = next((name for name, ending in ENDINGS.items() if Path(path).suffix == ending), None)
        if chosen is None:
            raise ModelError(f"{path} ends in neither .onnx nor .pt2: say format='onnx' or format='torch_export'")
    chosen = chosen or "onnx"
    if chosen not in ENDINGS:
        raise ModelError(str(unknown("format", chosen, ENDINGS)))
    name = getattr(model, "name", type(model).__name__)
    file = Path(path if path is not None else f"{name}{ENDINGS[chosen]}")
    if not file.parent.is_dir():
        raise UserError(f"{file} cannot be written: there is no folder {file.parent}")
    return file, "onnx" if chosen == "onnx" else "torch_export"


def _require_onnx() -> None:
    missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]
    if missing:
        raise UserError(f"exporting to ONNX needs {' and '.join(missing)}: pip install 'claimbench[export]'")


def _inputs(model: nn.Module, sample: Tensor | Sequence[Tensor] | None, batch: int) -> tuple[Tensor, ...]:
    """Return the arguments of a call, where the model's weights are."""
    if sample is not None:
        return (sample,) if isinstance(sample, Tensor) else tuple(sample)
    if not isinstance(model, Model | FeatureModel):
        raise ModelError(f"{type(model).__name__} was not made by create_model: give the arguments of a call as sample")
    blueprint = model.blueprint
    shape = list(blueprint.variant.input.sample_shape())
    if blueprint.channels is not None:
        shape[0] = blueprint.config.get(blueprint.channels.key, shape[0])
    task = tasks.get(blueprint.paper.task_of(blueprint.variant))
    drawn = task.example(tuple(shape), batch, torch.Generator().manual_seed(SEED), blueprint.config)
    weight = next(model.parameters())
    return tuple(x.to(weight.device, weight.dtype if x.is_floating_point() else x.dtype) for x in arguments(drawn))


def _program(model: nn.Module, inputs: tuple[Tensor, ...], dynamic_batch: bool) -> ExportedProgram:
    shapes: Any = None
    if dynamic_batch:
        shapes = tuple({0: Dim("batch")} for _ in inputs)
        shapes = {"inputs": shapes} if isinstance(model, Model) else shapes
    try:
        with backend.use("reference"):
            return torch.export.export(model, inputs, dynamic_shapes=shapes, strict=False)
    except (RuntimeError, ValueError, TypeError, torch._dynamo.exc.TorchDynamoException) as error:
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        hint = "; without dynamic_batch it may" if dynamic_batch else ""
        raise ModelError(f"{type(model).__name__} cannot be exported ({reason[:200]}){hint}") from error


def _write_onnx(program: ExportedProgram, path: Path, inputs: tuple[Tensor, ...], expected: Sequence[Tensor]) -> float:
    import onnxruntime

    with backend.use("reference"):
        converted = torch.onnx.export(program, dynamo=True, verbose=False, custom_translation_table=_translations())
    assert converted is not None
    converted.save(path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [argument.name for argument in session.get_inputs()]
    found = session.run(None, {name: x.cpu().numpy() for name, x in zip(names, inputs, strict=True)})
    return _difference([torch.from_numpy(each) for each in found], expected)


def _translations() -> dict[Callable[..., Any], Callable[..., Any]]:
    """Return the ONNX forms of operators that PyTorch's exporter does not know."""
    from onnxscript import opset18 as op

    def sort(values: Any, *, stable: bool | None = None, dim: int = -1, descending: bool = False) -> Any:
        # Of equal values TopK has the earlier first, so that it is stable.
        length = op.Shape(values, start=dim, end=dim + 1 or None)
        return op.TopK(values, length, axis=dim, largest=descending, sorted=True)

    return {torch.ops.aten.sort.stable: sort}


def _write_torch_export(
    program: ExportedProgram, path: Path, inputs: tuple[Tensor, ...], expected: Sequence[Tensor]
) -> float:
    torch.export.save(program, path)
    return _difference(tree_leaves(torch.export.load(path).module()(*inputs)), expected)


_WRITERS: dict[str, Callable[[ExportedProgram, Path, tuple[Tensor, ...], Sequence[Tensor]], float]] = {
    "onnx": _write_onnx,
    "torch_export": _write_torch_export,
}


def _difference(found: Sequence[Any], expected: Sequence[Tensor]) -> float:
    """Return the largest difference of outputs, each relative to its largest value; not a number if one is not."""
    worst = [
        float((a.cpu().double() - b.cpu().double()).abs().max() / b.abs().max().double().cpu().clamp(min=1e-12))
        for a, b in zip(found, expected, strict=True)
    ]
    return max(worst, key=lambda each: (each != each, each))
