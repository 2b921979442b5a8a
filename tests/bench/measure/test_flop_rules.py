"""What each formula counts, against counts by hand, and what is free."""

import pytest
import torch
import torchvision  # noqa: F401 - registers its operators
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from claimbench.bench.measure import flops
from claimbench.bench.measure.flop_rules import FORMULAS, attention_pairs, free_reason
from claimbench.kernels.global_response_norm import OPERATOR

aten = torch.ops.aten


def counted(work, *shapes, dtype=torch.float32, device="meta"):
    """Count ``work`` on tensors of ``shapes``, which take gradients."""
    tensors = [
        torch.zeros(shape, dtype=dtype, device=device, requires_grad=dtype.is_floating_point) for shape in shapes
    ]
    with FlopCounterMode(display=False, custom_mapping=FORMULAS) as counter:
        work(*tensors)
    return counter.get_total_flops()


BATCH, HEADS, WIDTH = 2, 3, 4
ONE_PAIR = 2 * 2 * BATCH * HEADS * WIDTH
"""FLOPs that one query costs with one key: a product with the key and one with the value."""


@pytest.mark.parametrize(
    ("operator", "arguments"),
    [
        (aten._scaled_dot_product_flash_attention, (0.0,)),
        (aten._scaled_dot_product_flash_attention_for_cpu, (0.0,)),
        (aten._scaled_dot_product_efficient_attention, (None, False, 0.0)),
        (aten._scaled_dot_product_cudnn_attention, (None, False, 0.0)),
    ],
)
@pytest.mark.parametrize(
    ("queries", "keys", "causal_pairs"), [(5, 5, 15), (5, 7, 15), (7, 5, 25), (1, 6, 1)], ids=lambda value: str(value)
)
def test_a_fused_attention_counts_two_products_for_each_pair_that_it_looks_at(
    operator, arguments, queries, keys, causal_pairs
):
    shapes = [(BATCH, HEADS, length, WIDTH) for length in (queries, keys, keys)]

    def attention(*causal, **named):
        return counted(lambda q, k, v: operator(q, k, v, *arguments, *causal, **named), *shapes)

    dense = ONE_PAIR * queries * keys
    assert attention() == attention(False) == attention(is_causal=False) == dense
    assert attention(True) == attention(is_causal=True) == ONE_PAIR * causal_pairs


def test_a_value_of_another_width_than_the_keys_counts_by_its_own():
    shapes = (2, 3, 5, 4), (2, 3, 7, 4), (2, 3, 7, 6)
    attention = aten._scaled_dot_product_efficient_attention
    dense = counted(lambda q, k, v: attention(q, k, v, None, False), *shapes)
    assert dense == 2 * 2 * 3 * 5 * 7 * (4 + 6)


@pytest.mark.parametrize(("causal", "pairs"), [(False, 35), (True, 15)])
def test_the_gradient_of_a_fused_attention_costs_twice_its_forward_pass(causal, pairs):
    shapes = [(BATCH, HEADS, length, WIDTH) for length in (5, 7, 7)]

    def step(q, k, v):
        out, *_ = aten._scaled_dot_product_flash_attention_for_cpu(q, k, v, 0.0, causal)
        out.sum().backward()

    assert counted(step, *shapes, device="cpu") == 3 * ONE_PAIR * pairs


class Attention(nn.Module):
    """Attention between the two halves of its input, (batch, heads, 5 + 7, width)."""

    def __init__(self, reads=False, **arguments):
        super().__init__()
        self.reads, self.arguments = reads, arguments

    def forward(self, x):
        query, key = x.split([5, 7], dim=-2)
        if self.reads and float(x.sum()) != 0:
            return x
        mask = self.arguments.get("attn_mask")
        moved = {"attn_mask": mask.to(x.device)} if mask is not None else {}
        return functional.scaled_dot_product_attention(query, key, key, **{**self.arguments, **moved})


@pytest.mark.parametrize("reads", [False, True], ids=["meta", "cpu"])
@pytest.mark.parametrize(
    ("arguments", "pairs", "masks"),
    [
        ({}, 35, 0),
        ({"is_causal": True}, 15, 0),
        ({"attn_mask": torch.ones(5, 7, dtype=torch.bool)}, 35, 1),
        ({"attn_mask": torch.zeros(5, 7)}, 35, 1),
        ({"scale": 0.5, "dropout_p": 0.0}, 35, 0),
    ],
    ids=["dense", "causal", "mask", "bias", "scale"],
)
def test_plain_attention_counts_the_same_on_both_devices(reads, arguments, pairs, masks):
    found = flops.count(Attention(reads, **arguments), (BATCH, HEADS, 12, WIDTH))
    assert found.device == ("cpu" if reads else "meta")
    assert (found.flops, found.dense_masks) == (ONE_PAIR * pairs, masks)


def test_causal_attention_that_no_fused_operator_takes_is_counted_dense():
    """Without heads, and with fewer heads of keys than of queries, torch takes it apart."""
    found = flops.count(Attention(is_causal=True), (BATCH * HEADS, 12, WIDTH))
    assert found.flops == ONE_PAIR * 35

    class Grouped(nn.Module):
        def forward(self, x):
            key = x[:, :1]
            return functional.scaled_dot_product_attention(x, key, key, is_causal=True, enable_gqa=True)

    assert flops.count(Grouped(), (BATCH, HEADS, 5, WIDTH)).flops == ONE_PAIR * 25


@pytest.mark.parametrize("queries", range(1, 6))
@pytest.mark.parametrize("keys", range(1, 6))
def test_pairs_of_attention(queries, keys):
    assert attention_pairs(queries, keys, False) == queries * keys
    assert attention_pairs(queries, keys, True) == sum(min(query + 1, keys) for query in range(queries))


CONVOLUTIONS = [
    # channels in, out, kernel, stride, padding, groups, side of the input, side of the output
    (8, 12, 3, 1, 1, 1, 6, 6),
    (8, 12, 3, 1, 1, 4, 6, 6),
    (8, 8, 5, 1, 2, 8, 6, 6),
    (8, 16, 3, 2, 1, 2, 7, 4),
    (8, 8, 1, 1, 0, 1, 5, 5),
]


@pytest.mark.parametrize(("cin", "cout", "kernel", "stride", "padding", "groups", "side", "out"), CONVOLUTIONS)
def test_each_gradient_of_a_convolution_costs_what_its_forward_pass_does(
    cin, cout, kernel, stride, padding, groups, side, out
):
    shapes = (2, cin, side, side), (cout, cin // groups, kernel, kernel)
    forward = 2 * 2 * out * out * cout * (cin // groups) * kernel * kernel

    def run(work):
        return counted(work, *shapes)

    def convolve(x, weight):
        return functional.conv2d(x, weight, stride=stride, padding=padding, groups=groups)

    assert run(convolve) == forward
    assert run(lambda x, weight: convolve(x, weight).sum().backward()) == 3 * forward
    assert run(lambda x, weight: convolve(x.detach(), weight).sum().backward()) == 2 * forward
    assert run(lambda x, weight: convolve(x, weight.detach()).sum().backward()) == 2 * forward


@pytest.mark.parametrize("groups", [1, 2])
def test_each_gradient_of_a_transposed_convolution_costs_what_its_forward_pass_does(groups):
    shapes = (2, 8, 5, 5), (8, 6, 2, 2)  # each of 25 positions and 8 channels writes 6 channels of 2 x 2
    forward = 2 * 2 * 25 * 8 * 6 * 4

    def step(x, weight):
        functional.conv_transpose2d(x, weight, stride=2, groups=groups).sum().backward()

    assert counted(step, *shapes) == 3 * forward


@pytest.mark.parametrize(
    ("operator", "shapes", "products"),
    [
        (aten.mv, ((6, 4), (4,)), 24),
        (aten.dot, ((7,), (7,)), 7),
        (aten.vdot, ((7,), (7,)), 7),
        (aten.addmv, ((6,), (6, 4), (4,)), 24),
        (aten.addbmm, ((3, 5), (2, 3, 4), (2, 4, 5)), 2 * 3 * 4 * 5),
        (aten._addmm_activation, ((5,), (3, 4), (4, 5)), 3 * 4 * 5),
    ],
    ids=lambda value: str(value) if not isinstance(value, tuple) else "",
)
def test_products_that_torch_does_not_count(operator, shapes, products):
    assert counted(lambda *tensors: operator(*(tensor.detach() for tensor in tensors)), *shapes) == 2 * products


@pytest.mark.parametrize(
    ("operator", "reason"),
    [
        (aten.view.default, "view"),
        (aten.transpose.int, "view"),
        (aten.add.Tensor, "elementwise"),
        (aten.gelu.default, "elementwise"),
        (aten.cat.default, "moves or makes data"),
        (aten.glu.default, "elementwise, without torch's tag"),
        (aten._local_scalar_dense.default, "reads a value or a shape"),
        (aten.native_dropout.default, "draws random numbers"),
        (aten.sum.default, "one pass over its input (reduction, scan or sort)"),
        (aten.native_layer_norm.default, "normalisation"),
        (aten._softmax.default, "softmax"),
        (aten.nll_loss_forward.default, "loss, once a pass"),
        (aten.max_pool2d_with_indices.default, "pooling"),
        (aten.upsample_bilinear2d.default, "resizing"),
        (getattr(torch.ops.claimbench, OPERATOR.name).default, "normalisation"),
        (torch.ops.torchvision.roi_align.default, "resizing"),
        (torch.ops.prims.sum.default, "one pass over its input (reduction, scan or sort)"),
        (aten.mm.default, None),
        (aten.convolution.default, None),
        (aten._fft_r2c.default, None),
    ],
    ids=str,
)
def test_what_is_free_is_free_for_a_reason(operator, reason):
    assert free_reason(operator) == reason
