"""The Triton backend of biased attention: in Triton's interpreter, and on a GPU."""

from __future__ import annotations

import pytest
import torch

from claimbench.bench.measure.operators.check import DTYPES, check_all, check_operator, load_cases
from claimbench.kernels import find_operator
from tests.kernels.operators import needs_gpu

pytest.importorskip("triton")

NAME = "biased_attention"

# Parts of the names of cases small enough for the interpreter; between them odd sizes, lines, gates and all layouts.
INTERPRETED = (
    ("2x5x2x1x9 d=8", 1, ("float16",)),
    ("sliced", 2, ("float64", "bfloat16")),
    ("7x6 d=16 D=16 gated", 1, ("float32",)),
)


@pytest.mark.parametrize(("case", "count", "dtypes"), INTERPRETED)
def test_the_interpreted_kernels_agree_with_the_reference(case, count, dtypes):
    rows = check_all([NAME], ["triton"], dtypes, case=case)
    assert [(row.dtype, row.status, row.reason) for row in rows] == [(d, "passed", "") for d in dtypes] * count
    assert all(row.interpreted for row in rows)


def test_diagonals_are_summed_by_the_distance_of_their_columns():
    from claimbench.kernels.biased_attention.triton import _along_diagonals

    sums = torch.randn(2, 4, 4)
    expected = torch.stack([torch.stack([s.diagonal(d).sum() for d in range(-3, 4)]) for s in sums])
    torch.testing.assert_close(_along_diagonals(sums, 4), expected)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_the_backend_says_so():
    assert "need a GPU" in str(find_operator(NAME).load("triton"))


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_compiled_kernels_agree_with_the_reference(dtype):
    cases = load_cases(NAME, "CHECK")
    rows = list(check_operator(find_operator(NAME), cases, "triton", [dtype], "cuda"))
    assert [(row.case, row.status, row.reason) for row in rows] == [(case.name, "passed", "") for case in cases]


@pytest.mark.gpu
@needs_gpu
def test_gradients_have_the_same_bits_on_each_run():
    args = load_cases(NAME, "CHECK")[1].arguments(torch.float32, "cuda")
    leaves = [a.requires_grad_() if isinstance(a, torch.Tensor) else a for a in args]
    out = find_operator(NAME)(*leaves)
    runs = [torch.autograd.grad(out.square().sum(), leaves[:5], retain_graph=True) for _ in range(3)]
    assert all(torch.equal(a, b) for run in runs[1:] for a, b in zip(runs[0], run, strict=True))
