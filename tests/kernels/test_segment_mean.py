"""The segment mean: its definition, its backends, its registration, its cost and its errors."""

from __future__ import annotations

import pytest
import torch

from claimbench.bench.measure.operators.check import DTYPES, check_all
from claimbench.kernels import backend
from claimbench.kernels.segment_mean import cost, segment_mean
from claimbench.kernels.segment_mean.cases import CHECK
from claimbench.kernels.segment_mean.reference import Arguments
from tests.kernels import operators

NAME = "segment_mean"


@pytest.mark.parametrize("name", [None, "reference"])
def test_every_position_takes_the_mean_of_its_segment(name):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, 5, 4, generator=generator, dtype=torch.float64)
    segments = torch.randint(0, 6, (2, 5, 4), generator=generator)
    with backend.use(name):
        out = segment_mean(x, segments, 7)
    for image in range(2):
        for number in range(6):
            inside = segments[image] == number
            expected = x[image][:, inside].mean(1, keepdim=True).expand(-1, int(inside.sum()))
            torch.testing.assert_close(out[image][:, inside], expected)


def test_a_map_in_channels_last_memory_is_taken_as_it_is():
    x, segments = torch.randn(1, 18, 6, 5), torch.randint(0, 4, (1, 6, 5))
    expected = segment_mean(x, segments, 4)
    torch.testing.assert_close(segment_mean(x.to(memory_format=torch.channels_last), segments, 4), expected)


@pytest.mark.processors
@operators.needs_native
def test_native_agrees_with_the_reference_in_every_dtype():
    operators.assert_native_is_right(NAME)


@pytest.mark.parametrize("case", ["1x18x720", "3x7x40", "2x4x33"])
def test_triton_agrees_with_the_reference(case):
    pytest.importorskip("triton")
    rows = check_all([NAME], ["triton"], ["float32"], "cuda" if torch.cuda.is_available() else "cpu", case=case)
    assert [(row.status, row.reason) for row in rows] == [("passed", "")]


@operators.needs_gpu
@pytest.mark.gpu
def test_triton_agrees_with_the_reference_in_every_dtype():
    operators.assert_triton_is_right(NAME, list(DTYPES))


@pytest.mark.processors
@operators.needs_native
def test_native_gives_the_same_bits_on_any_number_of_threads():
    operators.assert_same_on_every_thread_count(NAME, CHECK[1])


def test_registration():
    operators.assert_registered_well(NAME, (0, 2, 3))


def test_compiles_without_a_graph_break():
    operators.assert_compiles(NAME, segment_mean)


def test_what_is_no_number_stays_in_its_segment():
    x = torch.ones(1, 2, 6)
    x[0, 1, 2] = torch.nan
    out = segment_mean(x, torch.tensor([[0, 0, 1, 1, 1, 2]]), 3)
    assert out.isnan().tolist() == [[[False] * 6, [False, False, True, True, True, False]]]


def test_half_precision_sums_in_float32():
    x = torch.full((1, 1, 5000), 1.001, dtype=torch.float16)
    assert segment_mean(x, torch.zeros(1, 5000, dtype=torch.int64), 1)[0, 0, 0] == x[0, 0, 0]


def test_an_empty_batch_gives_an_empty_result():
    x = torch.ones(0, 3, 4, requires_grad=True)
    segment_mean(x, torch.zeros(0, 4, dtype=torch.int64), 2).sum().backward()
    assert x.grad.shape == x.shape
    assert segment_mean(torch.ones(2, 3, 0), torch.zeros(2, 0, dtype=torch.int64), 2).shape == (2, 3, 0)


@pytest.mark.parametrize(
    ("x", "segments", "count", "message"),
    [
        (torch.ones(3, 4), torch.zeros(3, 4, dtype=torch.int64), 1, r"x must be \(B, C"),
        (torch.ones(1, 3, 4), torch.zeros(1, 5, dtype=torch.int64), 1, r"got shapes \(1, 3, 4\) and \(1, 5\)"),
        (torch.ones(1, 3, 4), torch.zeros(1, 4), 1, r"segments must be int64 or int32, got torch\.float32"),
        (torch.ones(1, 3, 4), torch.zeros(1, 4, dtype=torch.int64), 0, "segment_count must be at least 1, got 0"),
        (torch.ones(1, 3, 4), torch.tensor([[0, 1, 2, 3]]), 3, "from 0 to segment_count - 1 = 2, got 0 to 3"),
        (torch.ones(1, 3, 4), torch.tensor([[0, 1, -1, 2]]), 3, "from 0 to segment_count - 1 = 2, got -1 to 2"),
    ],
)
def test_bad_input_is_named(x, segments, count, message):
    for call in (segment_mean, torch.ops.claimbench.segment_mean):
        with pytest.raises(ValueError, match=message):
            call(x, segments, count)


def test_costs_are_a_pass_over_the_values():
    x, segments = torch.empty(2, 5, 77, device="meta"), torch.empty(2, 77, dtype=torch.int64, device="meta")
    args = Arguments(x, segments, 9)
    assert cost.forward_flops(args) == cost.backward_flops(args) == 2 * 5 * 77
    assert cost.backward_flops(args, (False, False)) == 0
    assert cost.forward_bytes(args) == cost.backward_bytes(args) == 2 * 4 * 2 * 5 * 77 + 8 * 2 * 77
