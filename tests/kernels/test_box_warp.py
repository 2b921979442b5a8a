"""The box warp: its definition, its backends, its registration, its cost and its errors."""

from __future__ import annotations

from math import floor

import pytest
import torch

from claimbench.bench.measure.operators.check import DTYPES, check_all
from claimbench.kernels import backend
from claimbench.kernels.box_warp import box_warp, cost
from claimbench.kernels.box_warp.cases import CHECK
from tests.kernels import operators

NAME = "box_warp"


def by_hand(mask, box, height, width):
    """The map (height, width) of one mask (h, w), pixel by pixel."""
    rows, columns = mask.shape
    centre_x, centre_y, across, down = box.tolist()
    out = torch.zeros(height, width, dtype=mask.dtype)

    def place(pixel, centre, extent, samples):
        relative = (pixel + 0.5 - (centre - extent / 2)) / extent
        at = min(max(relative * samples - 0.5, 0), samples - 1)
        first = min(floor(at), samples - 1)
        return 0 <= relative < 1, first, min(first + 1, samples - 1), at - first

    for i in range(height):
        for j in range(width):
            in_rows, top, bottom, v = place(i, centre_y, down, rows)
            in_columns, left, right, u = place(j, centre_x, across, columns)
            if in_rows and in_columns:
                upper = mask[top, left] * (1 - u) + mask[top, right] * u
                lower = mask[bottom, left] * (1 - u) + mask[bottom, right] * u
                out[i, j] = upper * (1 - v) + lower * v
    return out


@pytest.mark.parametrize("name", [None, "reference"])
def test_pixels_take_the_mask_at_their_place_in_the_box(name):
    mask, box, visible, height, width = CHECK[1].arguments(torch.float64, "cpu")
    with backend.use(name):
        out = box_warp(mask, box, visible, height, width)
    for k in range(mask.shape[1]):
        torch.testing.assert_close(out[0, k], visible[0, k] * by_hand(mask[0, k], box[0, k], height, width))


@pytest.mark.parametrize("name", [None, "reference"])
def test_the_gradient_of_the_box_is_the_change_of_the_map(name):
    mask, box, visible, height, width = CHECK[0].arguments(torch.float64, "cpu")
    flow = torch.randn(*mask.shape[:2], height, width, dtype=torch.float64)
    box.requires_grad_()
    with backend.use(name):
        (slope,) = torch.autograd.grad((box_warp(mask, box, visible, height, width) * flow).sum(), box)
        for number in range(4):
            step = torch.zeros_like(box)
            step[..., number] = 1e-7
            ends = [
                (box_warp(mask, box.detach() + sign * step, visible, height, width) * flow).sum((2, 3))
                for sign in (1, -1)
            ]
            torch.testing.assert_close((ends[0] - ends[1]) / 2e-7, slope[..., number], rtol=1e-5, atol=1e-5)


@pytest.mark.processors
@operators.needs_native
def test_native_agrees_with_the_reference_in_every_dtype():
    operators.assert_native_is_right(NAME)


@pytest.mark.parametrize("case", ["2x3x5x4", "flat", "beyond"])
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
    operators.assert_same_on_every_thread_count(NAME, CHECK[0])


def test_registration():
    operators.assert_registered_well(NAME, (0, 2, 3))


def test_compiles_without_a_graph_break():
    operators.assert_compiles(NAME, box_warp)


@pytest.mark.parametrize("name", [None, "reference"])
def test_a_box_without_extent_covers_nothing_and_one_that_is_no_number_is_seen(name):
    mask, visible = torch.ones(1, 3, 2, 2, requires_grad=True), torch.ones(1, 3)
    box = torch.tensor([[[3.0, 3, 0, 4], [3, 3, -2, 4], [3, torch.nan, 2, 4]]], requires_grad=True)
    with backend.use(name):
        out = box_warp(mask, box, visible, 6, 6)
        out.nan_to_num().sum().backward()
    assert not out[:, :2].any()
    assert out[:, 2].isnan()[:, :, 2:4].all()
    assert not box.grad[:, :2].any()


def test_the_box_may_be_more_precise_than_the_mask():
    mask, box, visible, *size = operators.arguments(NAME)
    out = box_warp(mask.bfloat16(), box, visible.bfloat16(), *size)
    assert out.dtype == torch.bfloat16
    assert torch.autograd.grad(out.float().sum(), box)[0].dtype == torch.float32
    with torch.autocast("cpu", torch.bfloat16):
        assert box_warp(mask.bfloat16(), box, visible, *size).dtype == torch.bfloat16
    with pytest.raises(TypeError, match="all tensors must have one dtype"):
        box_warp(mask.bfloat16(), box, visible, *size)


def test_an_empty_batch_gives_an_empty_result():
    mask = torch.ones(0, 3, 2, 2, requires_grad=True)
    out = box_warp(mask, torch.ones(0, 3, 4), torch.ones(0, 3), 5, 6)
    out.sum().backward()
    assert out.shape == (0, 3, 5, 6)
    assert mask.grad.shape == mask.shape


@pytest.mark.parametrize(
    ("mask", "box", "visible", "size", "message"),
    [
        ((3, 2, 2), (1, 3, 4), (1, 3), (5, 5), r"mask must be \(N, K, h, w\) with samples"),
        ((1, 3, 0, 2), (1, 3, 4), (1, 3), (5, 5), r"mask must be \(N, K, h, w\) with samples"),
        ((1, 3, 2, 2), (1, 3, 5), (1, 3), (5, 5), r"box must be \(1, 3, 4\), got shape \(1, 3, 5\)"),
        ((1, 3, 2, 2), (1, 3, 4), (1, 2), (5, 5), r"visible must be \(1, 3\), got shape \(1, 2\)"),
        ((1, 3, 2, 2), (1, 3, 4), (1, 3), (0, 5), "picture must have at least one pixel, got 0x5"),
        ((1, 3, 2, 2), (1, 3, 4), (1, 3), (5, -1), "picture must have at least one pixel, got 5x-1"),
    ],
)
def test_bad_input_is_named(mask, box, visible, size, message):
    tensors = [torch.ones(shape) for shape in (mask, box, visible)]
    for call in (box_warp, torch.ops.claimbench.box_warp):
        with pytest.raises(ValueError, match=message):
            call(*tensors, *size)


def test_a_box_of_integers_is_refused():
    with pytest.raises(ValueError, match=r"box must be floating point, got torch\.int64"):
        box_warp(torch.ones(1, 1, 2, 2), torch.ones(1, 1, 4, dtype=torch.int64), torch.ones(1, 1), 3, 3)


def test_costs_count_every_pixel():
    args = operators.shaped(NAME, (2, 3, 5, 4), (2, 3, 4), (2, 3), 17, 14)
    pixels = 2 * 3 * 17 * 14
    assert cost.forward_flops(args) == 8 * pixels
    assert cost.backward_flops(args) == 4 * 8 * pixels
    assert cost.backward_flops(args, (False, True, False)) == 2 * 8 * pixels
    assert cost.forward_bytes(args) == 4 * (2 * 3 * (20 + 4 + 1) + pixels)
    assert cost.backward_bytes(args) == 4 * (2 * 2 * 3 * (20 + 4 + 1) + pixels)
