"""The exit by class: its definition, its backends, its registration and its errors."""

from __future__ import annotations

import pytest
import torch

from claimbench.bench.measure.operators.check import DTYPES, check_all
from claimbench.kernels import backend
from claimbench.kernels.exit_by_class import exit_by_class
from tests.kernels import operators

NAME = "exit_by_class"


def by_loops(scores, gone, threshold, keep):
    """The definition, image by image and class by class."""
    alive = ~gone
    for image, own in enumerate(scores):
        best, kind = own.max(0)
        leaving = alive[image] & (best > threshold) if threshold < 1 else torch.zeros_like(alive[image])
        for c in range(len(own)):
            found = (leaving & (kind == c)).nonzero()[:, 0].tolist()
            found.sort(key=lambda token: (-best[token].item(), token))
            alive[image, found[keep:]] = False
    return alive


@pytest.mark.parametrize("number", range(7))
@pytest.mark.parametrize("name", [None, "reference"])
def test_is_the_definition(name, number):
    args = [a.detach() if isinstance(a, torch.Tensor) else a for a in operators.arguments(NAME, number, torch.float64)]
    with backend.use(name):
        found = exit_by_class(*args)
    assert found.dtype == torch.bool
    assert torch.equal(found, by_loops(*args))


@pytest.mark.parametrize("name", [None, "reference"])
def test_a_score_at_the_threshold_stays(name):
    scores = torch.tensor([[[0.9, 0.9000001, 1.0, 0.3]]])
    with backend.use(name):
        assert exit_by_class(scores, torch.zeros(1, 4, dtype=torch.bool), 0.9, 0).tolist() == [
            [True, False, False, True]
        ]


@pytest.mark.parametrize("name", [None, "reference"])
@pytest.mark.parametrize("layout", ["contiguous", "tokens-first"])
def test_a_token_with_nan_goes_on(name, layout):
    scores = torch.full((1, 40, 3), 0.95)
    for place, token in ((0, 0), (20, 1), (39, 2)):
        scores[0, place, token] = torch.nan
    scores = torch.cat((scores, torch.full((1, 40, 1), 0.95)), dim=2)
    if layout == "tokens-first":
        scores = scores.transpose(1, 2).contiguous().transpose(1, 2)
    with backend.use(name):
        assert exit_by_class(scores, torch.zeros(1, 4, dtype=torch.bool), 0.5, 0).tolist() == [[True] * 3 + [False]]


@operators.needs_native
def test_native_agrees_with_the_reference_in_every_dtype():
    operators.assert_native_is_right(NAME)


@pytest.mark.parametrize("case", ["3x7x60", "2x1x33", "2x4x17"])
def test_triton_agrees_with_the_reference(case):
    pytest.importorskip("triton")
    rows = check_all([NAME], ["triton"], ["bfloat16"], "cuda" if torch.cuda.is_available() else "cpu", case=case)
    assert [(row.status, row.reason) for row in rows] == [("passed", "")]


@operators.needs_gpu
@pytest.mark.gpu
def test_triton_agrees_with_the_reference_in_every_dtype():
    operators.assert_triton_is_right(NAME, list(DTYPES))


def test_is_registered_well():
    operators.assert_registered_well(NAME, [0, 5])


GONE = torch.zeros(2, 5, dtype=torch.bool)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scores": torch.zeros(2, 5)}, r"scores must be \(B, classes, N\)"),
        ({"scores": torch.zeros(2, 0, 5)}, "at least one class"),
        ({"scores": torch.zeros(2, 3, 5, dtype=torch.int64)}, "scores must be floating point"),
        ({"gone": GONE[:1]}, r"gone must be \(2, 5\) in bool"),
        ({"gone": GONE.float()}, r"gone must be \(2, 5\) in bool"),
        ({"threshold": 1.1}, "threshold must be from 0 to 1, got 1.1"),
        ({"threshold": -0.1}, "threshold must be from 0 to 1, got -0.1"),
        ({"threshold": float("nan")}, "threshold must be from 0 to 1, got nan"),
        ({"keep": -1}, "keep must not be negative, got -1"),
    ],
)
def test_wrong_arguments_are_refused(changes, message):
    args = {"scores": torch.zeros(2, 3, 5), "gone": GONE, "threshold": 0.5, "keep": 1} | changes
    with pytest.raises(ValueError, match=message):
        exit_by_class(**args)
    with pytest.raises(ValueError, match=message):
        torch.ops.claimbench.exit_by_class(*args.values())
