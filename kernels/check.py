"""Proves a backend against the operator's definition in float64, forward and backward."""

from __future__ import annotations

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
        tensor: ``"output"`` or ``"grad <argument>"``.
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


def _run(operator: Operator, args: tuple[Any, ...], grad: Tensor | None) -> tuple[Tensor, list[Tensor | None]]:
    leaves = [a.detach().requires_grad_() if isinstance(a, Tensor) else a for a in args]
    out = operator(*leaves)
    if grad is None:
        grad = torch.randn(out.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    wanted = [leaves[i] for i in operator.tensor_positions if leaves[i] is not None]
    like_out = torch.empty_like(out).copy_(grad)  # in a model the gradient has the strides of the output
    # materialize_grads: a tensor that only chooses among others has a gradient of zeros.
    found = iter(torch.autograd.grad(out, wanted, like_out, materialize_grads=True))
    grads = [None if leaves[i] is None else next(found) for i in operator.tensor_positions]
    return out.detach(), grads


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
    exact = tuple(a.detach().cpu().double() if isinstance(a, Tensor) else a for a in args)
    with backends.use("reference"):
        expected, expected_grads = _run(operator, exact, None)
    generator = torch.Generator().manual_seed(1)
    grad = torch.randn(expected.shape, generator=generator, dtype=torch.float64).to(dtype)
    if dtype != torch.float64:
        with backends.use("reference"):
            _, expected_grads = _run(operator, exact, grad.double())
    with backends.use(backend):
        found, found_grads = _run(operator, args, grad)
    tolerance = TOLERANCE[dtype]
    names = [operator.arguments._fields[i] for i in operator.tensor_positions]
    rows = [_difference("output", found, expected, tolerance)]
    for name, found_grad, expected_grad in zip(names, found_grads, expected_grads, strict=True):
        if found_grad is not None and expected_grad is not None:
            rows.append(_difference(f"grad {name}", found_grad, expected_grad, tolerance))
    return rows
