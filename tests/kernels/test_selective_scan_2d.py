"""The selective scan over a map: its definition, its backends, its registration, its cost and its errors."""

from __future__ import annotations

import pytest
import torch

from claimbench.bench.measure.operators.check import DTYPES, check_all
from claimbench.kernels import backend
from claimbench.kernels.cross_merge import cross_merge
from claimbench.kernels.cross_scan import cross_scan
from claimbench.kernels.selective_scan import selective_scan
from claimbench.kernels.selective_scan_2d import cost, selective_scan_2d
from claimbench.kernels.selective_scan_2d.cases import CHECK
from tests.kernels import operators

NAME = "selective_scan_2d"
BACKENDS = [None, "reference"]


def arguments(height: int = 5, width: int = 7, dtype: torch.dtype = torch.float64) -> dict:
    """Return arguments by name, of 2 images with 3 channels and 2 states."""
    normal = lambda *size: torch.randn(size, dtype=torch.float64).to(dtype)  # noqa: E731
    return {
        "u": normal(2, 3, height, width),
        "delta": normal(2, 4, 3, height, width),
        "A": -normal(12, 2).exp(),
        "B": normal(2, 4, 2, height, width),
        "C": normal(2, 4, 2, height, width),
    }


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("scans", ["cross2d", "unidi", "bidi"])
@pytest.mark.parametrize("size", [(5, 7), (9, 8), (1, 65), (65, 1)])
def test_it_is_gather_scan_and_merge(name, scans, size):
    args = arguments(*size)
    D, bias = torch.randn(12, dtype=torch.float64), torch.randn(12, dtype=torch.float64)
    with backend.use(name):
        found = selective_scan_2d(**args, D=D, delta_bias=bias, delta_softplus=True, scans=scans)

    def ordered(maps):
        return torch.stack([cross_scan(maps[:, k], scans)[:, k] for k in range(4)], dim=1)

    u, delta = cross_scan(args["u"], scans).flatten(1, 2), ordered(args["delta"]).flatten(1, 2)
    y, _ = selective_scan(u, delta, args["A"], ordered(args["B"]), ordered(args["C"]), D, None, bias, True)
    torch.testing.assert_close(found, cross_merge(y.unflatten(1, (4, 3)), *size, scans))


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_nan_reaches_the_positions_that_a_path_takes_later(name, dtype):
    args = arguments(5, 7, dtype)
    args["B"][0, 1, 0, 3, 4] = torch.nan  # direction 1 goes down the columns
    with backend.use(name):
        seen = selective_scan_2d(**args, delta_softplus=True).isnan()
    assert not seen[1].any()
    rows, columns = torch.meshgrid(torch.arange(5), torch.arange(7), indexing="ij")
    assert torch.equal(seen[0, 0], columns * 5 + rows >= 4 * 5 + 3)


@pytest.mark.processors
@operators.needs_native
def test_native_agrees_with_the_reference_in_every_dtype():
    operators.assert_native_is_right(NAME)


def test_triton_agrees_with_the_reference():
    pytest.importorskip("triton")
    rows = check_all([NAME], ["triton"], ["float32"], "cuda" if torch.cuda.is_available() else "cpu", case="1x4x6x3")
    assert [(row.status, row.reason) for row in rows] == [("passed", "")]


@pytest.mark.slow
def test_triton_agrees_with_the_reference_on_every_case():
    operators.assert_triton_is_right(NAME, ["float64", "bfloat16"])


@operators.needs_gpu
@pytest.mark.gpu
def test_triton_agrees_with_the_reference_in_every_dtype():
    operators.assert_triton_is_right(NAME, list(DTYPES))


@pytest.mark.processors
@operators.needs_native
def test_native_gives_the_same_bits_on_any_number_of_threads():
    operators.assert_same_on_every_thread_count(NAME, CHECK[2])


def test_registration():
    operators.assert_registered_well(NAME, (0, 2))


def test_compiles_without_a_graph_break():
    operators.assert_compiles(
        NAME,
        lambda u, delta, A, B, C, D, bias, softplus, scans: selective_scan_2d(u, delta, A, B, C, D, bias, softplus),
    )


def test_half_precision_keeps_float32_parameters():
    args = arguments(dtype=torch.bfloat16)
    args["A"] = args["A"].float()
    out = selective_scan_2d(**args, D=torch.ones(12), delta_bias=torch.ones(12))
    wide = {name: value.float() for name, value in args.items()}
    assert torch.equal(out, selective_scan_2d(**wide, D=torch.ones(12), delta_bias=torch.ones(12)).bfloat16())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"u": (2, 3, 5)}, r"u must be \(B, D, H, W\) with no axis but B empty, got shape \(2, 3, 5\)"),
        ({"delta": (2, 4, 3, 7, 5)}, r"delta must be \(2, 4, 3, 5, 7\), got shape \(2, 4, 3, 7, 5\)"),
        ({"A": (3, 2)}, r"A must be \(12, N\) with N from 1 to 64, got shape \(3, 2\)"),
        ({"B": (2, 1, 2, 5, 7)}, r"B must be \(2, 4, 2, 5, 7\), got shape \(2, 1, 2, 5, 7\)"),
        ({"C": (2, 4, 3, 5, 7)}, r"C must be \(2, 4, 2, 5, 7\), got shape \(2, 4, 3, 5, 7\)"),
        ({"D": (3,)}, r"D must be \(12,\), got shape \(3,\)"),
        ({"delta_bias": (3,)}, r"delta_bias must be \(12,\), got shape \(3,\)"),
    ],
)
def test_bad_input_is_named(change, message):
    args = {"D": None, "delta_bias": None, **arguments()}
    args.update({name: torch.zeros(shape, dtype=torch.float64) for name, shape in change.items()})
    order = ("u", "delta", "A", "B", "C", "D", "delta_bias")
    with pytest.raises(ValueError, match=message):
        selective_scan_2d(**args)
    with pytest.raises(ValueError, match=message):
        torch.ops.claimbench.selective_scan_2d(*(args[name] for name in order), True, 0)


def test_an_unknown_order_is_named():
    with pytest.raises(ValueError, match="scans must be one of cross2d, unidi, bidi, got 'rows'"):
        selective_scan_2d(**arguments(), scans="rows")


def test_costs_are_of_four_scans():
    args = operators.shaped(
        NAME, (2, 3, 5, 7), (2, 4, 3, 5, 7), (12, 2), (2, 4, 2, 5, 7), (2, 4, 2, 5, 7), (12,), None, True, 0
    )
    positions = 2 * 3 * 35
    assert cost.forward_flops(args) == 4 * positions * (6 * 2 + 1 + 2) + 3 * positions
    assert cost.published_flops(args) == 4 * positions * (9 * 2 + 1)
    assert cost.backward_flops(args) == 4 * positions * (6 * 2 + 1 + 2 + 17 * 2) + 3 * positions
    assert cost.backward_flops(args, [False] * 7) == 0
    numbers = 5 * positions + 12 * 2 + 2 * 2 * 4 * 2 * 35 + 12
    assert cost.forward_bytes(args) == 4 * (numbers + positions)
    assert cost.backward_bytes(args) == 4 * (2 * numbers + positions)
