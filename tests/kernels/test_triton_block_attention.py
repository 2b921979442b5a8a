"""The Triton backends of attention in blocks and varied-size windows: in Triton's interpreter, and on a GPU."""

from __future__ import annotations

import pytest
import torch

from claimbench.bench.measure.operators.check import DTYPES, check_all, check_operator, load_cases
from claimbench.kernels import find_operator
from tests.kernels import operators

pytest.importorskip("triton")

OPERATORS = ("local_block_attention", "varied_window_attention")
GPU = torch.cuda.is_available()

# Small enough for the interpreter; between them strides, odd sizes and layouts, blocks that see their neighbours.
INTERPRETED = (
    ("local_block_attention", "1x1x6x12 D=16 E=24 block=6 halo=2 stride=2", ("float32",)),
    ("local_block_attention", "1x1x5x5 D=1 E=17 block=5 halo=2 sliced", ("float64", "bfloat16")),
    ("varied_window_attention", "1x2x7x5 D=5 E=3 window=3 sliced", ("float32",)),
    ("varied_window_attention", "1x1x5x4 D=1 E=17 window=7 channels-last", ("float64", "bfloat16")),
)


@pytest.mark.parametrize(("operator", "case", "dtypes"), INTERPRETED)
def test_the_interpreted_kernels_agree_with_the_reference(operator, case, dtypes):
    rows = check_all([operator], ["triton"], dtypes, case=case)
    assert [(row.dtype, row.status, row.reason) for row in rows] == [(dtype, "passed", "") for dtype in dtypes]


@pytest.mark.skipif(GPU, reason="there is a GPU")
@pytest.mark.parametrize("operator", OPERATORS)
def test_without_a_gpu_the_backend_says_so(operator):
    reason = find_operator(operator).load("triton")
    assert isinstance(reason, str)
    assert "need a GPU" in reason


@pytest.mark.gpu
@operators.needs_gpu
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("operator", OPERATORS)
def test_the_compiled_kernels_agree_with_the_reference(operator, dtype):
    cases = load_cases(operator, "CHECK")
    rows = list(check_operator(find_operator(operator), cases, "triton", [dtype], "cuda"))
    assert [(row.case, row.status, row.reason) for row in rows] == [(case.name, "passed", "") for case in cases]
