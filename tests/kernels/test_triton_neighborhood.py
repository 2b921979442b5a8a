"""The Triton backends of neighbourhood aggregation and context mixing: in Triton's interpreter, and on a GPU."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from claimbench.bench.measure.operators.check import DTYPES, check_all, check_operator, load_cases
from claimbench.kernels import find_operator

pytest.importorskip("triton")

OPERATORS = ("neighborhood_aggregate", "context_mix")
GPU = torch.cuda.is_available()

# Small enough for the interpreter; between them odd sizes, dilation, all layouts, several tiles and several kernels.
INTERPRETED = (
    ("neighborhood_aggregate", "1x1x6x11x1 k=1", ("float32",)),
    ("neighborhood_aggregate", "1x2x7x9x16 k=3 dilation=2 channels-first", ("float32", "float16")),
    ("neighborhood_aggregate", "2x1x11x10x5 k=3 dilation=3 sliced", ("float64", "bfloat16")),
    ("neighborhood_aggregate", "1x1x10x10x40 k=5 dilation=2 channels-last", ("float32",)),
    ("context_mix", "2x1x5x8 d=3 D=1 R=1 kernels=1,3,5 sliced", ("float32",)),
    ("context_mix", "1x1x6x6 d=10 D=40 R=4 kernels=3,5 channels-first", ("float64", "bfloat16")),
)

BACKWARD_IN_SMALL_SLABS = """
import torch
from claimbench.kernels import backend, find_operator
from claimbench.kernels.context_mix import triton as context_mix_triton
from claimbench.kernels.context_mix.cases import CHECK

operator = find_operator("context_mix")
args = next(c for c in CHECK if "kernels=1,3,5" in c.name).arguments(torch.float32, "cpu")
leaves = [a.requires_grad_() if isinstance(a, torch.Tensor) else a for a in args]

def gradients():
    with backend.use("triton"):
        return torch.autograd.grad(operator(*leaves).square().sum(), leaves[:6])

whole = gradients()
context_mix_triton._SLAB_SCORES = 1
parts = gradients()
assert len(list(context_mix_triton._slabs(2, 1, 40))) == 2
assert all(torch.allclose(a, b, rtol=1e-5, atol=1e-6) for a, b in zip(whole, parts))
"""

AUTOCAST = """
import torch
from claimbench.kernels import backend, find_operator
from claimbench.kernels.context_mix.cases import CHECK

args = next(c for c in CHECK if "D=40" in c.name).arguments(torch.float32, "cpu")
with backend.use("triton"):
    plain = find_operator("context_mix")(*args)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(find_operator("context_mix")(*args), plain)
"""


@pytest.mark.parametrize(("operator", "case", "dtypes"), INTERPRETED)
def test_the_interpreted_kernels_agree_with_the_reference(operator, case, dtypes):
    rows = check_all([operator], ["triton"], dtypes, case=case)
    assert [(row.dtype, row.status, row.reason) for row in rows] == [(dtype, "passed", "") for dtype in dtypes]
    assert all(row.interpreted for row in rows)


@pytest.mark.parametrize("script", [BACKWARD_IN_SMALL_SLABS, AUTOCAST], ids=["small slabs", "autocast"])
def test_context_mixing_gives_the_same(script):
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_slabs_cover_every_map_once_and_stay_small(monkeypatch):
    from claimbench.kernels.context_mix import triton as backend

    monkeypatch.setattr(backend, "_SLAB_SCORES", 1000)
    for batch, groups, scores in ((5, 3, 100), (2, 7, 300), (2, 3, 5000)):
        count = torch.zeros(batch, groups)
        for b, g in backend._slabs(batch, groups, scores):
            count[b, g] += 1
            assert count[b, g].numel() * scores <= max(1000, scores)
        assert count.eq(1).all()


@pytest.mark.skipif(GPU, reason="there is a GPU")
@pytest.mark.parametrize("operator", OPERATORS)
def test_without_a_gpu_the_backend_says_so(operator):
    reason = find_operator(operator).load("triton")
    assert isinstance(reason, str)
    assert "need a GPU" in reason


@pytest.mark.gpu
@pytest.mark.skipif(not GPU, reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("operator", OPERATORS)
def test_the_compiled_kernels_agree_with_the_reference(operator, dtype):
    cases = load_cases(operator, "CHECK")
    rows = list(check_operator(find_operator(operator), cases, "triton", [dtype], "cuda"))
    assert [(row.case, row.status, row.reason) for row in rows] == [(case.name, "passed", "") for case in cases]


@pytest.mark.gpu
@pytest.mark.skipif(not GPU, reason="needs a CUDA device")
@pytest.mark.parametrize("operator", OPERATORS)
def test_gradients_have_the_same_bits_on_each_run(operator):
    args = load_cases(operator, "CHECK")[1].arguments(torch.float32, "cuda")
    leaves = [a.requires_grad_() if isinstance(a, torch.Tensor) else a for a in args]
    wanted = [a for a in leaves if isinstance(a, torch.Tensor)]
    runs = [torch.autograd.grad(find_operator(operator)(*leaves).square().sum(), wanted) for _ in range(3)]
    assert all(torch.equal(a, b) for run in runs[1:] for a, b in zip(runs[0], run, strict=True))
