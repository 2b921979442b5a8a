"""Proves a backend against the operator's definition in float64, forward and backward."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from claimbench.kernels import backend as backends
from claimbench.kernels.cases import Case
from claimbench.kernels.operator import Operator

# Largest allowed ||result - reference|| / ||reference||. The reference sees the inputs as rounded to the dtype, so
# only the arithmetic and the rounding of the result are judged.
TOLERANCE = {
    torch.float64: 1e-12,
    torch.float32: 1e-5,
    torch.float16: 2e-3,
    torch.bfloat16: 1.6e-2,
}


@dataclass(frozen=True)
class Difference:
    """The distance of one tensor of a backend from the float64 reference.

    Attributes:
        tensor: ``"output"`` (numbered, if there are several) or ``"grad <argument>"``.
        relative: the norm of the difference over the norm of the reference.
        largest: the largest absolute difference of an element.
        tolerance: the largest ``relative`` that passes; NaN never does.
    """

    tensor: str
    relative: float
    largest: float
    tolerance: float

    @property
    def passed(self) -> bool:
        """Whether the difference is within the tolerance."""
        return self.relative <= self.tolerance


def run(
    operator: Operator,
    args: tuple[Any, ...],
    grads: Sequence[Tensor] | None = None,
) -> tuple[list[Tensor], list[Tensor | None]]:
    """Return the outputs of the operator and the gradient of every tensor among its arguments.

    Args:
        operator: the operator.
        args: its arguments; integer tensors have no gradient.
        grads: of the outputs, in float64 on the CPU; None for :func:`upstream`. They are given the outputs' strides.
    """
    leaves = [a.detach().requires_grad_() if _is_floating(a) else a for a in args]
    out = operator(*leaves)
    outputs = [out] if isinstance(out, Tensor) else list(out)
    wanted = [leaves[i] for i in operator.tensor_positions if _is_floating(leaves[i])]
    # In a model the gradient has the strides of the output.
    like_out = [
        torch.empty_like(each).copy_(grad) for each, grad in zip(outputs, grads or upstream(outputs), strict=True)
    ]
    # materialize_grads: a tensor that only chooses among others has a gradient of zeros.
    found = iter(torch.autograd.grad(outputs, wanted, like_out, materialize_grads=True))
    grads_of_args = [next(found) if _is_floating(leaves[i]) else None for i in operator.tensor_positions]
    return [each.detach() for each in outputs], grads_of_args


def upstream(outputs: Sequence[Tensor]) -> list[Tensor]:
    """Return gradients of the outputs, normally distributed float64 numbers from a fixed seed."""
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(each.shape, generator=generator, dtype=torch.float64) for each in outputs]


def _is_floating(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()


def _difference(name: str, found: Tensor, expected: Tensor, tolerance: float) -> Difference:
    if found.shape != expected.shape:
        return Difference(
            f"{name} (shape {tuple(found.shape)}, not {tuple(expected.shape)})", float("inf"), float("inf"), tolerance
        )
    gap = found.detach().double().cpu() - expected
    scale = expected.norm().clamp_min(torch.finfo(torch.float64).tiny)
    largest = gap.abs().max().item() if gap.numel() else 0.0
    return Difference(name, (gap.norm() / scale).item(), largest, tolerance)


def check(
    operator: Operator, case: Case, backend: str, dtype: torch.dtype, device: torch.device | str = "cpu", seed: int = 0
) -> list[Difference]:
    """Compare ``backend`` with the float64 reference on one case: the output and every gradient.

    Raises:
        BackendRefusedError: the backend cannot run this case; the message says why.
    """
    args = case.arguments(dtype, device, seed)
    exact = tuple(a.detach().cpu().double() if _is_floating(a) else _on_cpu(a) for a in args)
    with backends.use("reference"):
        expected, expected_grads = run(operator, exact)
    grads = [grad.to(dtype) for grad in upstream(expected)]
    if dtype != torch.float64:
        with backends.use("reference"):
            _, expected_grads = run(operator, exact, [grad.double() for grad in grads])
    with backends.use(backend):
        found, found_grads = run(operator, args, grads)
    tolerance = TOLERANCE[dtype]
    names = [operator.arguments._fields[i] for i in operator.tensor_positions]
    numbers = [f" {i}" if len(expected) > 1 else "" for i in range(len(expected))]
    rows = [
        _difference(f"output{number}", each, right, tolerance)
        for number, each, right in zip(numbers, found, expected, strict=True)
    ]
    for name, found_grad, expected_grad in zip(names, found_grads, expected_grads, strict=True):
        if found_grad is not None and expected_grad is not None:
            rows.append(_difference(f"grad {name}", found_grad, expected_grad, tolerance))
    return rows


def _on_cpu(value: Any) -> Any:
    return value.cpu() if isinstance(value, Tensor) else value
