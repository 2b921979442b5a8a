"""The frame of the operators: the schema that follows from an operator's arguments, and the shape of its folder."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Sequence
from importlib import import_module
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from claimbench.kernels import backend, find_operator, operator_names
from claimbench.kernels.cases import Case
from claimbench.kernels.check import run
from claimbench.kernels.operator import Operator, schema


class EveryKind(NamedTuple):
    """A field of each type that a schema can have."""

    x: Tensor
    bias: Tensor | None
    sizes: Sequence[int]
    count: int
    scale: float
    fused: bool


class Words(NamedTuple):
    """A field of a type that no schema has."""

    mode: str


def test_the_schema_says_each_field_in_order():
    assert schema(EveryKind) == "Tensor x, Tensor? bias, int[] sizes, int count, float scale, bool fused"


def test_a_field_of_another_type_is_refused():
    with pytest.raises(KeyError, match="str"):
        schema(Words)


@pytest.mark.parametrize("name", operator_names())
def test_every_function_of_a_folder_takes_its_arguments_as_one(name):
    operator = find_operator(name)
    folder = f"claimbench.kernels.{name}"
    assert operator.arguments is import_module(f"{folder}.reference").Arguments
    pytest.importorskip("triton")
    modules = [import_module(f"{folder}.{file}") for file in ("cost", "native", "triton")]
    expected = {
        "refuses": ["args"],
        "forward": ["args"],
        "backward": ["grad", "saved", "args", "needs"],
        "forward_flops": ["args"],
        "backward_flops": ["args", "needs"],
        "forward_bytes": ["args"],
        "backward_bytes": ["args"],
    }
    assert list(inspect.signature(operator.reference).parameters) == ["args"]
    assert list(inspect.signature(operator.fake).parameters) == ["args"]
    for module in modules:
        for function, parameters in expected.items():
            if hasattr(module, function):
                found = list(inspect.signature(getattr(module, function)).parameters)
                assert found[: len(parameters)] == parameters, f"{module.__name__}.{function}"


class Two(NamedTuple):
    """The arguments of an operator with two outputs, a table of integers and a tensor of its own dtype."""

    x: Tensor
    rows: Tensor
    scale: Tensor


def _two(args: Two) -> tuple[Tensor, Tensor]:
    return args.x[args.rows] * args.scale.to(args.x.dtype), args.x.sum(dim=1)


def _checked(args: Two) -> None:
    if args.rows.dim() != 1:
        raise ValueError(f"rows must be (N,), got {tuple(args.rows.shape)}")


@pytest.fixture(scope="module")
def two():
    """Return an operator that has the reference alone."""
    cost: Any = SimpleNamespace(forward_flops=lambda args: 0, backward_flops=lambda args, needs: 0)
    name = "two_outputs_for_tests"

    def fake(args: Two) -> tuple[Tensor, Tensor]:
        return args.x.new_empty(len(args.rows), args.x.shape[1]), args.x.new_empty(len(args.x))

    with pytest.MonkeyPatch.context() as patch:
        for module in ("", ".cost"):
            patch.setitem(sys.modules, f"claimbench.kernels.{name}{module}", cost)
        operator = Operator(name, Two, _two, fake, outputs=2, keeps_dtype=("scale",), check=_checked)
    absent = {backend: f"{backend} is not there" for backend in ("native", "triton")}
    operator._loaded.update(absent)
    return operator


def test_an_operator_of_two_outputs_differentiates_both(two):
    def make(generator):
        x = torch.randn(4, 3, generator=generator, dtype=torch.float64)
        return x, torch.tensor([2, 2, 0]), torch.randn(3, generator=generator, dtype=torch.float64)

    args = Case("two", make).arguments(torch.float64, "cpu")
    outputs, grads = run(two, args)
    with backend.use("reference"):
        expected, expected_grads = run(two, args)
    assert len(outputs) == 2
    for found, right in zip([*outputs, grads[0], grads[2]], [*expected, *expected_grads[::2]], strict=True):
        torch.testing.assert_close(found, right)
    assert grads[1] is None, "a table of integers has no gradient"


def test_a_tensor_can_keep_its_own_dtype(two):
    x, rows = torch.randn(4, 3, dtype=torch.float64), torch.tensor([1])
    assert two(x, rows, torch.ones(3))[0].dtype == torch.float64
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert two(x.bfloat16(), rows, torch.ones(3))[0].dtype == torch.bfloat16


def test_arguments_are_checked_past_the_wrapper_too(two):
    rows = torch.zeros(1, 1, dtype=torch.int64)
    for call in (two, torch.ops.claimbench.two_outputs_for_tests):
        with pytest.raises(ValueError, match="rows must be"):
            call(torch.zeros(2, 2), rows, torch.ones(2))


def test_an_operator_can_save_its_outputs_for_the_backward_pass(two, monkeypatch):
    seen = []

    def backward(grad, saved, args, needs):
        seen.extend(saved)
        return [torch.zeros_like(args.x), None, None]

    module: Any = SimpleNamespace(forward=lambda args: two.fake(args), backward=backward)
    monkeypatch.setattr(two, "select", lambda args: module)
    x, rows, scale = torch.randn(4, 3, requires_grad=True), torch.tensor([1]), torch.ones(3)
    two(x, rows, scale)[0].sum().backward()
    assert seen == []
    monkeypatch.setattr(two, "saves_output", True)
    outputs = two(x, rows, scale)
    outputs[0].sum().backward()
    assert all(torch.equal(a, b) for a, b in zip(seen, outputs, strict=True))
