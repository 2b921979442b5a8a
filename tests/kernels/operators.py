"""What the tests of every operator share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch

from claimbench.bench.measure.operators.check import DTYPES, check_all, check_operator, load_cases
from claimbench.kernels import backend, find_operator, native
from claimbench.kernels.cases import Case

needs_native = pytest.mark.skipif(native.unavailable() is not None, reason=str(native.unavailable()))
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def arguments(operator: str, number: int = 0, dtype: torch.dtype = torch.float32) -> tuple[Any, ...]:
    """Return the arguments of the operator's check case with that number, its tensors as leaves."""
    made = load_cases(operator, "CHECK")[number].arguments(dtype, "cpu")
    return tuple(leaf(a) for a in made)


def leaf(value: Any) -> Any:
    """Return a floating tensor as a leaf that requires a gradient, and anything else as it is."""
    return value.detach().requires_grad_() if isinstance(value, torch.Tensor) and value.is_floating_point() else value


def shaped(operator: str, *values: Any, dtype: torch.dtype = torch.float32) -> Any:
    """Return the operator's ``Arguments``, with tensors of these shapes (or None) that hold no data."""
    found = find_operator(operator)
    shapes = {i: values[i] for i in found.tensor_positions if values[i] is not None}
    tensors = {i: torch.empty(shape, dtype=dtype, device="meta") for i, shape in shapes.items()}
    return found.arguments(*(tensors.get(i, value) for i, value in enumerate(values)))


def gradients(operator: str, args: Sequence[Any], call: Any = None, like_out: bool = True) -> list[torch.Tensor]:
    """Return the outputs and the gradients of all floating tensors among the arguments, for fixed upstream gradients.

    The gradient of an output has the output's strides, or is contiguous without ``like_out``.
    """
    out = (call or find_operator(operator))(*args)
    outputs = [out] if isinstance(out, torch.Tensor) else list(out)
    generator = torch.Generator().manual_seed(2)
    grads = [torch.randn(each.shape, generator=generator).to(each.dtype) for each in outputs]
    if like_out:
        grads = [torch.empty_like(each).copy_(grad) for each, grad in zip(outputs, grads, strict=True)]
    wanted = [a for a in args if isinstance(a, torch.Tensor) and a.is_floating_point()]
    return [*(each.detach() for each in outputs), *torch.autograd.grad(outputs, wanted, grads)]


def assert_native_is_right(operator: str) -> None:
    """Check the native backend on every case in every dtype."""
    cases = load_cases(operator, "CHECK")
    rows = list(check_operator(find_operator(operator), cases, "native", DTYPES))
    assert len(rows) == len(cases) * len(DTYPES)
    assert [(row.case, row.dtype, row.reason) for row in rows if row.status != "passed"] == []


def assert_triton_is_right(operator: str, dtypes: Sequence[str]) -> None:
    """Check the Triton backend on every case: in Triton's interpreter, or on the GPU where there is one."""
    pytest.importorskip("triton")
    rows = check_all([operator], ["triton"], dtypes, "cuda" if torch.cuda.is_available() else "cpu")
    assert len(rows) == len(load_cases(operator, "CHECK")) * len(dtypes)
    assert [(row.case, row.dtype, row.reason) for row in rows if row.status != "passed"] == []


def assert_registered_well(operator: str, numbers: Sequence[int]) -> None:
    """Check schema, fake implementation and autograd registration, for whichever backend runs here."""
    op = getattr(torch.ops.claimbench, operator).default
    for number in numbers:
        torch.library.opcheck(op, arguments(operator, number))


def assert_compiles(operator: str, call: Any, number: int = 0) -> None:
    """Check that torch.compile takes the public function in one graph and gives the same, forward and backward."""
    args = arguments(operator, number)
    torch._dynamo.reset()
    compiled = torch.compile(call, fullgraph=True, backend="aot_eager")
    for found, expected in zip(gradients(operator, args, compiled), gradients(operator, args, call), strict=True):
        torch.testing.assert_close(found, expected)


def assert_same_on_every_thread_count(operator: str, case: Case) -> None:
    """Check that the native backend gives the same bits with one thread and with three, twice."""
    args = tuple(leaf(a) for a in case.arguments(torch.float32, "cpu", seed=4))
    threads = torch.get_num_threads()
    runs = []
    try:
        with backend.use("native"):
            for count in (1, 3, 3):
                torch.set_num_threads(count)
                runs.append(gradients(operator, args))
    finally:
        torch.set_num_threads(threads)
    for run in runs[1:]:
        assert all(torch.equal(a, b) for a, b in zip(runs[0], run, strict=True))
