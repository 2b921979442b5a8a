"""The selective scan: its definition, its backends, its registration, its cost and its errors."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from claimbench.bench.measure.operators.check import DTYPES, check_all
from claimbench.kernels import backend
from claimbench.kernels.selective_scan import cost, selective_scan
from claimbench.kernels.selective_scan.cases import CHECK
from claimbench.kernels.selective_scan.reference import Arguments, chunk_length
from tests.kernels import operators

NAME = "selective_scan"
BACKENDS = [None, "reference"]


def loop(args: Arguments) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the output and the last state, position after position."""
    u, delta, A, B, C, D, z, delta_bias, initial_state, delta_softplus = args
    group = u.shape[1] // B.shape[1]
    B, C = B.repeat_interleave(group, dim=1), C.repeat_interleave(group, dim=1)
    state = torch.zeros(*u.shape[:2], A.shape[1], dtype=u.dtype) if initial_state is None else initial_state
    outputs = []
    for l in range(u.shape[2]):  # noqa: E741
        step = delta[:, :, l] + (0 if delta_bias is None else delta_bias)
        step = F.softplus(step) if delta_softplus else step
        state = (step[:, :, None] * A).exp() * state + (step * u[:, :, l])[:, :, None] * B[:, :, :, l]
        y = (C[:, :, :, l] * state).sum(-1) + (0 if D is None else D * u[:, :, l])
        outputs.append(y if z is None else y * F.silu(z[:, :, l]))
    return torch.stack(outputs, dim=-1), state


def arguments(length: int, delta: float = 1.0, states: int = 3, dtype: torch.dtype = torch.float64) -> dict:
    """Return arguments by name, of 2 images with 5 channels in one group."""
    generator = torch.Generator().manual_seed(length)
    normal = lambda *size: torch.randn(size, generator=generator, dtype=torch.float64)  # noqa: E731
    made = {
        "u": normal(2, 5, length),
        "delta": delta * normal(2, 5, length).abs(),
        "A": -normal(5, states).exp(),
        "B": normal(2, states, length),
        "C": normal(2, states, length),
    }
    return {name: value.to(dtype) for name, value in made.items()}


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("case", CHECK[:-1], ids=lambda case: case.name)
def test_it_is_the_recurrence(name, case):
    args = Arguments(*(operators.leaf(a) for a in case.arguments(torch.float64, "cpu")))
    with backend.use(name):
        found = operators.gradients(NAME, args)
    expected = operators.gradients(NAME, args, lambda *values: loop(Arguments(*values)))
    for each, right in zip(found, expected, strict=True):
        torch.testing.assert_close(each, right, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("length", [1, 2, 63, 64, 65, 257, 1025, 4099])
def test_a_sequence_may_be_cut_anywhere(name, length):
    args = arguments(length)
    cut = (2 * length) // 3
    with backend.use(name):
        whole, last = selective_scan(**args)
        state, parts = None, []
        for part in (slice(0, cut), slice(cut, length)):
            if part.start < part.stop:
                pieces = {name: t if name == "A" else t[..., part] for name, t in args.items()}
                y, state = selective_scan(**pieces, initial_state=state)
                parts.append(y)
    torch.testing.assert_close(torch.cat(parts, dim=-1), whole)
    torch.testing.assert_close(state, last)


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("delta", [300.0, 1e-6])
def test_strong_and_weak_decay_lose_nothing(name, delta):
    args = arguments(150, delta)
    expected = loop(Arguments(*list(args.values())[:3], args["B"][:, None], args["C"][:, None], *[None] * 4, False))
    for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 1e-5)):
        with backend.use(name):
            found = selective_scan(**{key: value.to(dtype) for key, value in args.items()})
        for each, right in zip(found, expected, strict=True):
            assert (each.double() - right).norm() <= tolerance * right.norm()


@pytest.mark.parametrize("name", BACKENDS)
def test_a_state_may_grow(name):
    args = arguments(40)
    args["A"] = -args["A"] / args["A"].abs().max()
    expected = loop(Arguments(*list(args.values())[:3], args["B"][:, None], args["C"][:, None], *[None] * 4, False))
    with backend.use(name):
        found = selective_scan(**{key: value.float() for key, value in args.items()})
    for each, right in zip(found, expected, strict=True):
        assert right.abs().max() > 1e3
        torch.testing.assert_close(each.double(), right, rtol=1e-5, atol=1e-4 * right.abs().max())


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("field", ["u", "delta", "B"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_nan_reaches_later_positions_alone(name, field, dtype):
    args = arguments(70, dtype=dtype)
    args[field][0, 0, 66] = torch.nan
    with backend.use(name):
        y, last = selective_scan(**args, delta_softplus=True, z=torch.ones_like(args["u"]))
    seen = y.isnan()
    assert not seen[1].any()
    assert not seen[0, :, :66].any()
    assert seen[0, 0, 66:].all()
    assert last[0, 0].isnan().any()


@pytest.mark.parametrize("name", BACKENDS)
def test_half_precision_keeps_the_state_in_float32(name):
    args = arguments(300, dtype=torch.bfloat16)
    args["A"] = args["A"].float()
    bias, D = torch.full((5,), 0.1), torch.ones(5)
    with backend.use(name):
        y, last = selective_scan(**args, D=D, delta_bias=bias, initial_state=torch.ones(2, 5, 3))
        wide = {key: value.float() for key, value in args.items()}
        expected, last_expected = selective_scan(**wide, D=D, delta_bias=bias, initial_state=torch.ones(2, 5, 3))
    assert (y.dtype, last.dtype) == (torch.bfloat16, torch.float32)
    torch.testing.assert_close(last, last_expected)
    assert torch.equal(y, expected.bfloat16())


@pytest.mark.processors
@operators.needs_native
def test_native_agrees_with_the_reference_in_every_dtype():
    operators.assert_native_is_right(NAME)


@pytest.mark.parametrize("case", ["1x5x1", "2x12x65"])
def test_triton_agrees_with_the_reference(case):
    pytest.importorskip("triton")
    rows = check_all([NAME], ["triton"], ["float32"], "cuda" if torch.cuda.is_available() else "cpu", case=case)
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
@pytest.mark.parametrize("number", [1, 10])
def test_native_gives_the_same_bits_on_any_number_of_threads(number):
    operators.assert_same_on_every_thread_count(NAME, CHECK[number])


def test_registration():
    operators.assert_registered_well(NAME, (0, 1, 2))


def test_compiles_without_a_graph_break():
    operators.assert_compiles(NAME, lambda u, delta, A, B, C, D, z, bias, _, softplus: selective_scan(
        u, delta, A, B, C, D, z, bias, softplus
    ))  # fmt: skip


def test_under_autocast_other_tensors_follow_u():
    args = arguments(9, dtype=torch.float32)
    args["u"] = args["u"].bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        y, last = selective_scan(**args)
    assert (y.dtype, last.dtype) == (torch.bfloat16, torch.float32)
    with pytest.raises(TypeError, match="all tensors must have one dtype"):
        selective_scan(**args)


def test_one_group_needs_no_axis():
    args = arguments(9)
    grouped = {**args, "B": args["B"][:, None], "C": args["C"][:, None]}
    assert torch.equal(selective_scan(**args)[0], selective_scan(**grouped)[0])


def test_an_output_that_is_not_used_has_no_part_in_the_gradient():
    args = {name: value.requires_grad_() for name, value in arguments(9).items()}
    y, last = selective_scan(**args)
    (of_C,) = torch.autograd.grad(last.sum(), args["C"], retain_graph=True)
    assert not of_C.any()
    assert torch.autograd.grad(y.sum(), args["C"])[0].any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"u": (2, 5)}, r"u must be \(B, D, L\) with D and L at least 1, got shape \(2, 5\)"),
        ({"u": (2, 5, 0)}, r"u must be \(B, D, L\) with D and L at least 1, got shape \(2, 5, 0\)"),
        ({"delta": (2, 5, 8)}, r"delta must be \(2, 5, 9\), got shape \(2, 5, 8\)"),
        ({"A": (4, 3)}, r"A must be \(5, N\) with N from 1 to 64, got shape \(4, 3\)"),
        ({"A": (5, 65)}, r"A must be \(5, N\) with N from 1 to 64, got shape \(5, 65\)"),
        ({"B": (2, 2, 3, 9)}, r"B must be \(B, G, N, L\) with G a divisor of D = 5, got shape \(2, 2, 3, 9\)"),
        ({"B": (2, 4, 9)}, r"B must be \(2, 1, 3, 9\), got shape \(2, 1, 4, 9\)"),
        ({"C": (1, 3, 9)}, r"C must be \(2, 1, 3, 9\), got shape \(1, 1, 3, 9\)"),
        ({"D": (3,)}, r"D must be \(5,\), got shape \(3,\)"),
        ({"z": (2, 5, 1)}, r"z must be \(2, 5, 9\), got shape \(2, 5, 1\)"),
        ({"delta_bias": (1,)}, r"delta_bias must be \(5,\), got shape \(1,\)"),
        ({"initial_state": (2, 5)}, r"initial_state must be \(2, 5, 3\), got shape \(2, 5\)"),
    ],
)
def test_bad_input_is_named(change, message):
    args = {**arguments(9), **{name: torch.zeros(shape, dtype=torch.float64) for name, shape in change.items()}}
    with pytest.raises(ValueError, match=message):
        selective_scan(**args)


def test_bad_input_past_the_function_is_named_before_any_kernel_runs():
    u, delta, A, B, C = arguments(9, dtype=torch.float32).values()
    call = torch.ops.claimbench.selective_scan
    with pytest.raises(ValueError, match=r"B must be \(B, G, N, L\)"):
        call(u, delta, A, B, C, None, None, None, None, False)
    B, C = B[:, None], C[:, None]
    with pytest.raises(ValueError, match=r"C must have the dtype of u, torch.float32, got torch.float64"):
        call(u, delta, A, B, C.double(), None, None, None, None, False)
    with pytest.raises(ValueError, match=r"delta must be floating point, got torch.int64"):
        call(u, delta.long(), A, B, C, None, None, None, None, False)


def test_costs_count_the_state():
    args = operators.shaped(
        NAME, (2, 8, 9), (2, 8, 9), (8, 4), (2, 2, 4, 9), (2, 2, 4, 9), None, None, None, None, True
    )
    positions = 2 * 8 * 9
    assert cost.forward_flops(args) == positions * (6 * 4 + 1)
    assert cost.published_flops(args) == positions * 9 * 4
    full = args._replace(D=torch.empty(8, device="meta"), z=args.u)
    assert cost.forward_flops(full) == positions * (6 * 4 + 1 + 2 + 1)
    assert cost.published_flops(full) == positions * (9 * 4 + 1 + 1)
    assert cost.backward_flops(args) == cost.forward_flops(args) + 17 * 4 * positions
    assert cost.backward_flops(args, [False] * 9) == 0
    numbers = 2 * positions + 8 * 4 + 2 * 2 * 2 * 4 * 9
    assert cost.forward_bytes(args) == 4 * (numbers + positions + 2 * 8 * 4)
    assert cost.backward_bytes(args) == 4 * (2 * numbers + positions + 2 * 8 * 4)


def test_few_states_are_kept():
    assert [chunk_length(states) for states in (1, 32, 33, 64)] == [64, 64, 128, 128]


@operators.needs_native
def test_native_agrees_on_a_long_sequence():
    args = {name: value.requires_grad_() for name, value in arguments(100_000, states=1).items()}
    found = []
    for name in ("native", "reference"):
        with backend.use(name):
            y, last = selective_scan(**args)
            found.append([y, last, *torch.autograd.grad((y * y).sum() + last.sum(), args.values())])
    for each, right in zip(*found, strict=True):
        torch.testing.assert_close(each, right)
