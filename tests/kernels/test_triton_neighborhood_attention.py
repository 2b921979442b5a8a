"""The Triton backend of neighbourhood attention: in Triton's interpreter, and on a GPU."""

from __future__ import annotations

import pytest
import torch

from claimbench.bench.measure.operators.check import DTYPES, check_all, check_operator, load_cases
from claimbench.kernels import find_operator
from claimbench.kernels.neighborhood_attention import OPERATOR
from tests.kernels.operators import needs_gpu

pytest.importorskip("triton")

NAME = "neighborhood_attention"
# Small enough for the interpreter; between them a bias and none, dilation along each axis, all layouts and one axis.
INTERPRETED = (
    ("2x1x11x10x4 k=3x3 dilation=3x2 Dv=7 sliced", ("float64",)),
    ("1x2x9x8x16 k=3x5 channels-first unbiased", ("float32",)),
    ("2x3x1x19x6 k=1x5 dilation=1x2 contiguous", ("bfloat16",)),
    ("1x1x6x11x1 k=1x1 contiguous unbiased", ("float16",)),
)


@pytest.mark.parametrize(("case", "dtypes"), INTERPRETED)
def test_the_interpreted_kernels_agree_with_the_reference(case, dtypes):
    rows = check_all([NAME], ["triton"], dtypes, case=case)
    assert [(row.dtype, row.status, row.reason) for row in rows] == [(dtype, "passed", "") for dtype in dtypes]
    assert all(row.interpreted for row in rows)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_the_backend_says_so():
    reason = find_operator(NAME).load("triton")
    assert isinstance(reason, str)
    assert "need a GPU" in reason


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_compiled_kernels_agree_with_the_reference(dtype):
    cases = load_cases(NAME, "CHECK")
    rows = list(check_operator(OPERATOR, cases, "triton", [dtype], "cuda"))
    assert [(row.case, row.status, row.reason) for row in rows] == [(case.name, "passed", "") for case in cases]


@pytest.mark.gpu
@needs_gpu
def test_gradients_have_the_same_bits_on_each_run():
    args = load_cases(NAME, "CHECK")[1].arguments(torch.float32, "cuda")
    leaves = [a.requires_grad_() if isinstance(a, torch.Tensor) else a for a in args]
    wanted = [a for a in leaves if isinstance(a, torch.Tensor)]
    runs = [torch.autograd.grad(OPERATOR(*leaves).square().sum(), wanted) for _ in range(3)]
    assert all(torch.equal(a, b) for run in runs[1:] for a, b in zip(runs[0], run, strict=True))
