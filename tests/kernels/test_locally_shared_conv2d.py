"""The locally shared convolution: its definition, its backends, its registration, its cost and its errors."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from claimbench.bench.measure.operators.check import DTYPES, check_all
from claimbench.kernels import backend
from claimbench.kernels.locally_shared_conv2d import cost, locally_shared_conv2d
from claimbench.kernels.locally_shared_conv2d.reference import spans
from tests.kernels import operators

NAME = "locally_shared_conv2d"


@pytest.mark.parametrize("name", [None, "reference"])
@pytest.mark.parametrize(("grid", "stride"), [(3, 1), ((2, 4), 2), (7, 1)])
def test_each_output_has_the_filters_of_its_cell(name, grid, stride):
    rows, columns = (grid, grid) if isinstance(grid, int) else grid
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, 9, 11, generator=generator, dtype=torch.float64)
    weight = torch.randn(rows * columns, 4, 3, 3, 2, generator=generator, dtype=torch.float64)
    bias = torch.randn(rows * columns, 4, generator=generator, dtype=torch.float64)
    with backend.use(name):
        out = locally_shared_conv2d(x, weight, bias, grid, stride)
    height, width = out.shape[2:]
    for i in range(height):
        for j in range(width):
            cell = i * rows // height * columns + j * columns // width
            seen = x[:, :, i * stride : i * stride + 3, j * stride : j * stride + 2]
            expected = torch.einsum("bcij,ocij->bo", seen, weight[cell]) + bias[cell]
            torch.testing.assert_close(out[:, :, i, j], expected)


def test_one_cell_is_a_convolution():
    x, weight, bias = torch.randn(2, 3, 8, 7), torch.randn(1, 5, 3, 3, 3), torch.randn(1, 5)
    torch.testing.assert_close(locally_shared_conv2d(x, weight, bias), F.conv2d(x, weight[0], bias[0]))


def test_a_grid_finer_than_the_output_leaves_filters_unused():
    assert [span.stop - span.start for span in spans(3, 5)] == [1, 1, 0, 1, 0]
    weight = torch.randn(25, 2, 1, 1, 1, requires_grad=True)
    locally_shared_conv2d(torch.randn(1, 1, 3, 3), weight, grid=5).sum().backward()
    used = weight.grad.flatten(1).any(1).view(5, 5)
    assert used.any(1).tolist() == used.any(0).tolist() == [True, True, False, True, False]


@pytest.mark.processors
@operators.needs_native
def test_native_agrees_with_the_reference_in_every_dtype():
    operators.assert_native_is_right(NAME)


@pytest.mark.parametrize("case", ["2x3x9x10", "2x4x11x13"])
def test_triton_agrees_with_the_reference(case):
    pytest.importorskip("triton")
    rows = check_all([NAME], ["triton"], ["float32"], "cuda" if torch.cuda.is_available() else "cpu", case=case)
    assert [(row.status, row.reason) for row in rows] == [("passed", "")]


@operators.needs_gpu
@pytest.mark.gpu
def test_triton_agrees_with_the_reference_in_every_dtype():
    operators.assert_triton_is_right(NAME, list(DTYPES))


def test_registration():
    operators.assert_registered_well(NAME, (0, 1, 2))


def test_compiles_without_a_graph_break():
    def call(x, weight, bias, rows, columns, stride):
        return locally_shared_conv2d(x, weight, bias, (rows, columns), stride)

    operators.assert_compiles(NAME, call)


def test_under_autocast_the_filters_follow_the_map():
    x, weight, bias, *_ = operators.arguments(NAME)
    with torch.autocast("cpu", torch.bfloat16):
        assert locally_shared_conv2d(x.bfloat16(), weight, bias, 3).dtype == torch.bfloat16
    with pytest.raises(TypeError, match="all tensors must have one dtype"):
        locally_shared_conv2d(x.bfloat16(), weight, bias, 3)


def test_what_is_no_number_is_seen():
    x = torch.ones(1, 1, 4, 4)
    x[0, 0, 0, 0] = torch.nan
    out = locally_shared_conv2d(x, torch.ones(4, 1, 1, 2, 2), grid=2)
    assert out.isnan().sum() == 1


def test_an_empty_batch_gives_an_empty_result():
    x = torch.ones(0, 2, 5, 5, requires_grad=True)
    out = locally_shared_conv2d(x, torch.ones(4, 3, 2, 2, 2), grid=2)
    out.sum().backward()
    assert out.shape == (0, 3, 4, 4)
    assert x.grad.shape == x.shape


@pytest.mark.parametrize(
    ("x", "weight", "bias", "grid", "stride", "message"),
    [
        ((3, 5, 5), (1, 2, 3, 2, 2), (1, 2), 1, 1, r"x must be \(B, C, H, W\), got shape \(3, 5, 5\)"),
        ((1, 3, 5, 5), (4, 2, 3, 2, 2), (4, 2), 0, 1, "grid must have at least one row and column, got 0x0"),
        ((1, 3, 5, 5), (4, 2, 3, 2, 2), (4, 2), 3, 1, r"weight must be \(9, out channels, 3, kh, kw\)"),
        ((1, 3, 5, 5), (4, 2, 2, 2, 2), (4, 2), 2, 1, r"weight must be \(4, out channels, 3, kh, kw\)"),
        ((1, 3, 5, 5), (4, 2, 3, 2, 2), (4, 3), 2, 1, r"bias must be \(4, 2\), got shape \(4, 3\)"),
        ((1, 3, 5, 5), (4, 2, 3, 2, 2), (4, 2), 2, 0, "stride must be at least 1, got 0"),
        ((1, 3, 5, 5), (4, 2, 3, 6, 2), (4, 2), 2, 1, "a filter of 6x2 does not fit into x"),
    ],
)
def test_bad_input_is_named(x, weight, bias, grid, stride, message):
    tensors = [torch.ones(shape) for shape in (x, weight, bias)]
    with pytest.raises(ValueError, match=message):
        locally_shared_conv2d(*tensors, grid, stride)
    with pytest.raises(ValueError, match=message):
        torch.ops.claimbench.locally_shared_conv2d(*tensors, grid, grid, stride)


def test_costs_are_those_of_a_convolution():
    args = operators.shaped(NAME, (2, 3, 9, 10), (9, 4, 3, 3, 3), (9, 4), 3, 3, 1)
    assert cost.forward_flops(args) == 2 * 2 * 4 * 7 * 8 * 27
    assert cost.backward_flops(args, (True, False, True)) == cost.forward_flops(args)
    assert cost.backward_flops(args) == 2 * cost.forward_flops(args)
    read = 2 * 3 * 90 + 9 * 4 * 27 + 9 * 4
    assert cost.forward_bytes(args) == 4 * (read + 2 * 4 * 56)
    assert cost.backward_bytes(args) == 4 * (2 * read + 2 * 4 * 56)
