"""Checking backends: right ones are green, wrong ones red, and those that cannot run say why."""

from __future__ import annotations

import math
import subprocess
import sys
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from claimbench.bench.core.errors import UserError
from claimbench.bench.measure.operators import check as kernel_check
from claimbench.bench.measure.operators.check import CheckRow, any_failed, check_all, check_operator
from claimbench.kernels import find_operator
from claimbench.kernels.cases import Case
from claimbench.kernels.check import Difference

OPERATOR = "depthwise_conv2d"


def _arguments(generator: torch.Generator) -> tuple[Any, ...]:
    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    return draw(2, 3, 5, 7), draw(3, 1, 3, 3), draw(3), 1


TINY = Case("2x3x5x7 k=3", _arguments)


def backend_from(forward: Any, backward: Any = None, refuses: Any = None) -> ModuleType:
    """Make a backend that computes with the given functions, or as the reference does."""
    operator = find_operator(OPERATOR)
    module = ModuleType("made_up")
    module.forward = forward
    module.backward = backward or (lambda grad, saved, args, needs: operator._reference_backward(grad, args, needs))
    module.refuses = refuses or (lambda args: None)
    return module


@pytest.fixture
def install(monkeypatch):
    """Put a made-up native backend in place of the compiled one."""

    def put(module: ModuleType | str) -> None:
        monkeypatch.setitem(find_operator(OPERATOR)._loaded, "native", module)

    return put


def check_tiny(dtypes: tuple[str, ...] = ("float32",)) -> list[CheckRow]:
    return list(check_operator(find_operator(OPERATOR), [TINY], "native", dtypes))


def reference(args: Any) -> Tensor:
    return find_operator(OPERATOR).reference(args)


def test_a_right_backend_is_green_forward_and_backward_in_every_dtype(install):
    install(
        backend_from(
            lambda args: reference(type(args)(*(a.float() if isinstance(a, Tensor) else a for a in args))).to(args[0])
        )
    )
    rows = check_tiny(("float32", "float16", "bfloat16"))
    assert [row.status for row in rows] == ["passed"] * 3
    assert [d.tensor for d in rows[0].differences] == ["output", "grad x", "grad weight", "grad bias"]
    assert not any_failed(rows)


def test_a_wrong_output_is_red_and_named(install):
    install(backend_from(lambda args: reference(args) * 1.001))
    (row,) = check_tiny()
    assert row.status == "failed"
    assert "output by 1.0e-03 where 1.0e-05 is allowed" in row.reason
    assert row.worst is not None
    assert row.worst.tensor == "output"
    assert any_failed([row])


def test_a_wrong_gradient_is_red(install):
    def backward(grad: Tensor, saved: list[Tensor], args: Any, needs: list[bool]) -> list[Tensor]:
        right = find_operator(OPERATOR)._reference_backward(grad, args, needs)
        return [right[0], right[1], right[2] + 1]

    install(backend_from(reference, backward))
    (row,) = check_tiny()
    assert row.status == "failed"
    assert "grad bias" in row.reason
    assert "output" not in row.reason


def test_an_element_that_was_never_written_is_red(install):
    def forward(args: Any) -> Tensor:
        out = torch.empty_like(args[0])
        out[1:] = reference(args)[1:]
        return out

    install(backend_from(forward))
    before = torch.are_deterministic_algorithms_enabled()
    (row,) = check_tiny()
    assert row.status == "failed"
    assert row.worst is not None
    assert math.isnan(row.worst.relative)
    assert torch.are_deterministic_algorithms_enabled() == before


def test_a_backend_that_dies_is_red_with_its_message(install):
    def forward(args: Any) -> Tensor:
        raise RuntimeError("lost a tile\nand more")

    install(backend_from(forward))
    (row,) = check_tiny()
    assert (row.status, row.reason) == ("failed", "RuntimeError: lost a tile")


def test_a_backend_that_cannot_run_here_gives_one_row_with_its_sentence(install):
    install("no compiler was found")
    (row,) = check_tiny(("float32", "float64"))
    assert (row.status, row.reason) == ("refused", "no compiler was found")
    assert not any_failed([row])


def test_a_refused_case_gives_its_sentence(install):
    install(backend_from(reference, refuses=lambda args: "kernels wider than 1 are not built"))
    (row,) = check_tiny()
    assert row.status == "refused"
    assert "kernels wider than 1 are not built" in row.reason
    assert row.case == TINY.name


def test_rows_are_reported_as_they_come_and_unknown_names_are_refused(install, monkeypatch):
    install(backend_from(reference))
    monkeypatch.setattr(kernel_check, "load_cases", lambda name, kind: (TINY, TINY))
    seen: list[CheckRow] = []
    rows = check_all([OPERATOR], ["native"], ["float32"], on_row=seen.append)
    assert rows == seen
    assert len(rows) == 2
    with pytest.raises(UserError, match="did you mean depthwise_conv2d"):
        check_all(["depthwise_conv"])
    with pytest.raises(UserError, match="unknown dtype"):
        check_all([OPERATOR], dtypes=["float8"])


def test_an_interpreter_process_that_dies_is_a_red_row(monkeypatch):
    ended = [sys.executable, "-c", "import os; os._exit(7)"]
    start = subprocess.Popen
    monkeypatch.setattr(kernel_check.subprocess, "Popen", lambda command, **options: start(ended, **options))
    rows = check_all([OPERATOR], ["triton"], ["float32"])
    assert any_failed(rows)
    assert "exit status 7" in rows[-1].reason


def test_a_row_survives_json():
    row = CheckRow("a", "native", "c", "float32", "cpu", differences=(Difference("output", 1e-7, 1e-6, 1e-5),))
    assert CheckRow.from_json(kernel_check.json.loads(kernel_check.json.dumps(kernel_check.asdict(row)))) == row
