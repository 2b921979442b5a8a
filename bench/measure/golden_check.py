"""The comparison of a reproduction with a golden record, of a whole model or of a part of one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import isfinite, prod, sqrt
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from claimbench.bench.core.errors import unknown
from claimbench.bench.measure.golden import DTYPES, UNIT, Golden, Output, golden_state, normal

VANISHING = 1e-5
"""The least scale of a gradient, in the largest one of its record. A gradient that is zero by the mathematics, such as
that of a shift of all keys of a softmax, is rounding alone, and no two orders of a sum round alike."""


@dataclass(frozen=True)
class OutputDifference:
    """The difference of one output from the golden.

    Attributes:
        name: the output.
        max_abs: the largest difference of a kept value.
        max_rel: the same over :meth:`Output.scale`.
        l2_rel: difference of the norm over the norm; mean_rel: difference of the mean over the root mean square.
        problem: the reason that it could not be compared (missing, wrong shape); empty if it could.
    """

    name: str
    max_abs: float
    max_rel: float
    l2_rel: float
    mean_rel: float
    problem: str = ""

    def worst(self) -> float:
        """Return the largest of the relative differences; infinite if it could not be compared."""
        worst = max(self.max_rel, self.l2_rel, self.mean_rel)
        return worst if isfinite(worst) and not self.problem else float("inf")


@dataclass(frozen=True)
class GoldenResult:
    """The comparison of a reproduction with one golden."""

    golden: Golden
    outputs: tuple[OutputDifference, ...]
    params: int

    @property
    def worst(self) -> float:
        """The largest relative difference of any output."""
        return max(o.worst() for o in self.outputs)

    @property
    def passed(self) -> bool:
        """Whether every output agrees within the golden's tolerance."""
        return self.worst <= self.golden.tolerance


def compare_output(name: str, expected: Output, found: Tensor | None, least: float = 0.0) -> OutputDifference:
    """Compare one output with the golden's part of it; differences are relative to ``least`` at least."""
    nan = float("nan")
    if found is None:
        return OutputDifference(name, nan, nan, nan, nan, "the reproduction does not return it")
    if tuple(found.shape) != expected.shape:
        problem = f"its shape is {list(found.shape)}, expected {list(expected.shape)}"
        return OutputDifference(name, nan, nan, nan, nan, problem)
    array = found.detach().double().cpu().numpy()
    flat = array.reshape(len(expected.head), -1)
    head, tail = flat[:, : expected.head.shape[1]], flat[:, flat.shape[1] - expected.tail.shape[1] :]
    kept = np.concatenate([head - expected.head, tail - expected.tail], axis=1)
    largest = float(np.abs(kept).max()) if kept.size else 0.0
    size = max(array.size, 1)
    rms = max(expected.l2 / sqrt(size), least) or 1.0
    return OutputDifference(
        name=name,
        max_abs=largest,
        max_rel=largest / max(expected.scale(), least),
        l2_rel=abs(float(np.linalg.norm(array)) - expected.l2) / (rms * sqrt(size)),
        mean_rel=abs(float(array.mean()) - expected.mean) / rms,
    )


def check_golden(
    golden: Golden, official: ModuleType, config: Mapping[str, Any], device: torch.device | str = "cpu"
) -> GoldenResult:
    """Load the golden's weights through a reproduction's ``official`` module, run its inputs and compare every output.

    ``official`` may define ``golden_inputs(golden) -> tuple`` and ``golden_call(model, inputs, golden) -> dict`` where
    a record holds more than a model on its inputs, and ``PARTS`` for records of parts (:func:`part_outputs`).

    Raises:
        ValueError: the state does not fit the reproduction (from its ``from_official`` or its part).
        UserError: the reproduction has no part of the golden's name.
    """
    if golden.unit:
        found = part_outputs(golden, official, device)
        return GoldenResult(golden, _compared(golden, found), _parameters(golden))
    chosen = config if golden.constructor is None else golden.constructor
    model: nn.Module = official.from_official(chosen, golden_state(golden))
    model = model.eval().to(device=device, dtype=DTYPES[golden.dtype])
    make = getattr(official, "golden_inputs", lambda golden: tuple(golden.named_inputs().values()))
    call = getattr(official, "golden_call", lambda model, inputs, golden: official.outputs(model, *inputs))
    inputs = tuple(i.to(device) if isinstance(i, Tensor) else i for i in make(golden))
    with torch.no_grad(), single_thread():
        found = call(model, inputs, golden)
    return GoldenResult(golden, _compared(golden, found), sum(p.numel() for p in model.parameters()))


def part_outputs(golden: Golden, official: ModuleType, device: torch.device | str = "cpu") -> dict[str, Tensor]:
    """Return the outputs of the part of a model that a golden names, and the gradients that it holds.

    ``official.PARTS[unit](config, state)`` returns the part as a function of the golden's inputs by name; it gives the
    outputs by name, or one tensor if there is one. ``state`` holds the official tensors, which the part uses
    differentiably.

    Raises:
        ValueError: the state does not fit the part.
        UserError: the reproduction has no part of this name.
    """
    parts = getattr(official, "PARTS", {})
    if golden.unit not in parts:
        raise unknown("part", golden.unit, parts)
    dtype, differentiates = DTYPES[golden.dtype], bool(golden.upstream)
    config = {name: value for name, value in (golden.constructor or {}).items() if name not in UNIT}

    def leaf(tensor: Tensor) -> Tensor:
        if not tensor.is_floating_point():
            return tensor.to(device)
        return tensor.to(device=device, dtype=dtype).requires_grad_(differentiates)

    state = {name: leaf(tensor) for name, tensor in golden_state(golden).items()}
    inputs = {name: leaf(tensor) for name, tensor in golden.named_inputs().items()}
    with torch.set_grad_enabled(differentiates), single_thread():
        found = parts[golden.unit](config, state)(**inputs)
        outputs = dict(found) if isinstance(found, Mapping) else {next(iter(golden.outputs)): found}
        return outputs | _gradients(golden, outputs, inputs, state)


def _gradients(
    golden: Golden, outputs: Mapping[str, Tensor], inputs: Mapping[str, Tensor], state: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Return the gradients that a golden holds, by their names there; those of parameters are one row."""
    if not golden.upstream:
        return {}
    wanted = {}
    for name in golden.outputs:
        kind, _, parameter = name.partition(":")
        if kind in ("grad_param", "grad") and parameter in state:
            wanted[name] = state[parameter]
        elif name.startswith("grad_") and name.removeprefix("grad_") in inputs:
            wanted[name] = inputs[name.removeprefix("grad_")]
    upstream = {
        name: normal(tuple(outputs[name].shape), seed) for name, seed in golden.upstream.items() if name in outputs
    }
    parts = [(outputs[name] * torch.from_numpy(grad).to(outputs[name])).sum() for name, grad in upstream.items()]
    total = torch.stack(parts).sum()
    grads = torch.autograd.grad(total, list(wanted.values()), allow_unused=True, materialize_grads=True)
    return {name: g.reshape(golden.outputs[name].shape) for name, g in zip(wanted, grads, strict=True)}


def _compared(golden: Golden, found: Mapping[str, Tensor]) -> tuple[OutputDifference, ...]:
    gradients = {name: out.l2 / sqrt(max(prod(out.shape), 1)) for name, out in golden.outputs.items() if _is_grad(name)}
    least = VANISHING * max(gradients.values(), default=0.0) if golden.upstream else 0.0
    return tuple(
        compare_output(name, expected, found.get(name), least if name in gradients else 0.0)
        for name, expected in golden.outputs.items()
    )


def _is_grad(name: str) -> bool:
    return name.startswith(("grad_", "grad:"))


def _parameters(golden: Golden) -> int:
    """Return the record's number of parameters, or that of a part's filled entries but for the statistics of norms."""
    if golden.params is not None:  # a state dict may hold a parameter under several names, which count once
        return golden.params
    statistics = ("running_mean", "running_var")
    return sum(prod(shape) for name, shape, _, filled in golden.state if filled and not name.endswith(statistics))


@contextmanager
def single_thread() -> Iterator[None]:
    """Run the block on one thread: float64 depthwise convolutions become very slow if threads compete."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
