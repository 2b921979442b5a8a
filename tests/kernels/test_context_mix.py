"""Context mixing: its definition, its native backend, its registration and its errors."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from claimbench.bench.measure.operators.check import DTYPES, check_operator, load_cases
from claimbench.kernels import backend, native
from claimbench.kernels.context_mix import OPERATOR, context_mix, cost

CHECK = load_cases("context_mix", "CHECK")
TENSORS = len(OPERATOR.tensor_positions)
needs_native = pytest.mark.skipif(native.unavailable() is not None, reason=str(native.unavailable()))


def arguments(index=0, dtype=torch.float32):
    made = CHECK[index].arguments(dtype, "cpu")
    return [a.detach().requires_grad_() if isinstance(a, torch.Tensor) else a for a in made]


def tables(flat, kernels):
    """Return the flattened position biases as the public function takes them."""
    parts = flat.split([(2 * k - 1) ** 2 for k in kernels], dim=1)
    return [part.unflatten(1, (2 * k - 1, 2 * k - 1)) for part, k in zip(parts, kernels, strict=True)]


def public(query, key, projection, projection_bias, flat, value, kernels):
    return context_mix(query, key, projection, projection_bias, tables(flat, kernels), value, kernels)


def by_counting(query, key, projection, projection_bias, flat, value, kernels):
    """The definition, position by position."""
    batch, groups, height, width, _ = query.shape
    out = torch.zeros(value.shape, dtype=value.dtype)
    for b in range(batch):
        for g in range(groups):
            for y in range(height):
                for x in range(width):
                    scores = projection @ (key[b, g] @ query[b, g, y, x]) + projection_bias
                    for i, (k, table) in enumerate(zip(kernels, tables(flat, kernels), strict=True)):
                        own, scores = scores[: k * k].clone(), scores[k * k :]
                        top = min(max(y - k // 2, 0), height - k)
                        left = min(max(x - k // 2, 0), width - k)
                        window = [(r, c) for r in range(top, top + k) for c in range(left, left + k)]
                        own += torch.stack([table[g, r - y + k - 1, c - x + k - 1] for r, c in window])
                        seen = torch.stack([value[b, i, g, r, c] for r, c in window])
                        out[b, i, g, y, x] = own.softmax(0) @ seen
    return out


@pytest.mark.processors
@pytest.mark.parametrize("index", [0, 4])
def test_the_reference_is_the_formula(index):
    args = [a.detach() if isinstance(a, torch.Tensor) else a for a in arguments(index, torch.float64)]
    with backend.use("reference"):
        torch.testing.assert_close(public(*args), by_counting(*args))


@pytest.mark.processors
def test_the_reference_has_the_gradients_of_its_values():
    generator = torch.Generator().manual_seed(0)
    shapes = ((1, 1, 3, 4, 2), (1, 1, 2, 2), (10, 2), (10,), (1, 26), (1, 2, 1, 3, 4, 2))
    args = [torch.randn(s, generator=generator, dtype=torch.float64, requires_grad=True) for s in shapes]
    with backend.use("reference"):
        assert torch.autograd.gradcheck(lambda *tensors: public(*tensors, (1, 3)), args)


@pytest.mark.processors
@needs_native
def test_native_agrees_with_the_reference_in_every_dtype():
    rows = list(check_operator(OPERATOR, CHECK, "native", DTYPES))
    assert len(rows) == len(CHECK) * len(DTYPES)
    assert [(row.case, row.dtype, row.reason) for row in rows if row.status != "passed"] == []


@pytest.mark.processors
@needs_native
def test_native_gives_the_same_bits_on_any_number_of_threads():
    args = OPERATOR.arguments(*CHECK[-1].arguments(torch.float32, "cpu"))  # high enough to be cut into bands
    module, threads, results = OPERATOR.load("native"), torch.get_num_threads(), []
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            out = module.forward(args)
            results.append([out, *module.backward(out, [], args, needs=(True,) * TENSORS)])
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


@needs_native
@pytest.mark.parametrize("shift", [-1e4, 1e4])
def test_native_softmax_survives_large_scores(shift):
    args = list(CHECK[0].arguments(torch.float32, "cpu"))
    with backend.use("native"):
        expected = OPERATOR(*args)
        args[3] = args[3] + shift
        torch.testing.assert_close(OPERATOR(*args), expected, rtol=1e-2, atol=1e-2)
        args[0] = 1e3 * args[0]
        found = OPERATOR(*args)
    with backend.use("reference"):
        torch.testing.assert_close(found, OPERATOR(*args), rtol=1e-2, atol=1e-2)


@needs_native
def test_native_keeps_nan_where_it_arose():
    args = list(CHECK[0].arguments(torch.float32, "cpu"))
    args[0] = args[0].clone()
    args[0][0, 1, 2, 3, 0] = float("nan")
    with backend.use("native"):
        broken = OPERATOR(*args).isnan()
    expected = torch.zeros_like(broken)
    expected[0, :, 1, 2, 3] = True
    assert torch.equal(broken, expected)


@pytest.mark.parametrize("index", [0, 2, 4])
def test_the_operator_is_registered_as_torch_expects(index):
    torch.library.opcheck(torch.ops.claimbench.context_mix.default, tuple(arguments(index)))


def test_it_compiles_into_one_graph_with_the_same_gradients():
    *tensors, kernels = arguments(0)

    def loss(*tensors):
        return public(*tensors, kernels).square().sum()

    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    expected = torch.autograd.grad(loss(*tensors), tensors)
    torch.testing.assert_close(torch.autograd.grad(compiled(*tensors), tensors), expected)


@pytest.mark.parametrize("name", [None, "reference"])
def test_the_output_has_the_strides_of_the_value(name):
    for index in (1, 2, 4):
        args = arguments(index)
        with torch.no_grad(), backend.use(name):
            assert torch.ops.claimbench.context_mix(*args).stride() == torch.empty_like(args[5]).stride()


def test_autocast_follows_the_query():
    *tensors, kernels = arguments(0)
    with torch.autocast("cpu", torch.bfloat16):
        out = public(tensors[0].bfloat16(), *tensors[1:], kernels)
    assert out.dtype == torch.bfloat16
    with pytest.raises(TypeError, match="one dtype outside autocast"):
        public(tensors[0].bfloat16(), *tensors[1:], kernels)


def test_an_empty_batch_leaves_zero_gradients():
    *tensors, kernels = arguments(0)
    tensors = [t[:0].detach().requires_grad_() if i in (0, 1, 5) else t for i, t in enumerate(tensors)]
    out = public(*tensors, kernels)
    assert out.shape == tensors[5].shape
    grads = torch.autograd.grad(out.sum(), tensors)
    assert [g.shape for g in grads] == [t.shape for t in tensors]
    assert all(g.count_nonzero() == 0 for g in grads)


@pytest.mark.parametrize(
    ("position", "shape", "message"),
    [
        (0, (2, 7, 9, 4), r"query must be \(B, G, H, W, d\), got shape \(2, 7, 9, 4\)"),
        (1, (2, 2, 9, 5), r"key must be \(B, G, R, d\) = \(2, 2, 9, 4\), got shape \(2, 2, 9, 5\)"),
        (1, (2, 2, 0, 4), r"key must be \(B, G, R, d\) with R at least 1"),
        (2, (57, 9), r"projection must be \(sum of k\*k, R\) = \(58, 9\), got shape \(57, 9\)"),
        (3, (57,), r"projection_bias must be \(sum of k\*k,\) = \(58,\), got shape \(57,\)"),
        (5, (2, 2, 7, 9, 5), r"value must be \(B, K, G, H, W, D\), got shape \(2, 2, 7, 9, 5\)"),
        (5, (2, 1, 2, 7, 9, 5), r"value must be \(B, K, G, H, W, D\) = \(2, 2, 2, 7, 9, 5\)"),
    ],
)
def test_a_bad_shape_is_named(position, shape, message):
    args = arguments(0)
    args[position] = torch.ones(shape)
    with pytest.raises(ValueError, match=message):
        public(*args)


def test_bad_kernels_are_named():
    *tensors, kernels = arguments(0)
    biases = tables(tensors[4], kernels)
    with pytest.raises(ValueError, match="each of 2 kernel sizes needs one position bias, got 1"):
        context_mix(*tensors[:4], biases[:1], tensors[5], kernels)
    with pytest.raises(ValueError, match=r"position_bias of the 3x3 kernel must be \(G, 2k-1, 2k-1\) = \(2, 5, 5\)"):
        context_mix(*tensors[:4], biases[::-1], tensors[5], kernels)
    with pytest.raises(ValueError, match="kernel_size must be odd and positive, got 4"):
        context_mix(*tensors[:4], biases, tensors[5], (3, 4))
    with pytest.raises(ValueError, match="a 7x9 map is smaller than"):
        context_mix(*tensors[:4], biases, tensors[5], (3, 9))


def test_flops_are_those_of_the_definition():
    args = arguments(1)
    positions, regions, depth, window, channels = 3 * 49, 49, 16, 74, 16
    expected = 2 * positions * (regions * depth + regions * window + window * channels)
    with FlopCounterMode(display=False) as counter:
        public(*args).sum().backward()
    assert cost.forward_flops(OPERATOR.arguments(*args)) == expected
    assert counter.get_total_flops() == 3 * expected
    with backend.use("reference"), FlopCounterMode(display=False) as counter:
        public(*args)
    assert counter.get_total_flops() == expected


def test_bytes_count_every_tensor_once():
    args = OPERATOR.arguments(*arguments(0))
    sizes = [a.numel() for a in args[:TENSORS]]
    assert cost.forward_bytes(args) == 4 * (sum(sizes) + sizes[-1])
    assert cost.backward_bytes(args) == 4 * (2 * sum(sizes) + sizes[-1])
