"""The frame of the operators: the schema that follows from an operator's arguments, and the shape of its folder."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from importlib import import_module
from typing import NamedTuple

import pytest
from torch import Tensor

from claimbench.kernels import find_operator, operator_names
from claimbench.kernels.operator import schema


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
