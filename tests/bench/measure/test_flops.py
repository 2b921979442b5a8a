"""Counts on layers whose cost is known by hand, and the refusal to count silently nothing."""

from dataclasses import replace

import pytest
import timm
import torch
from torch import nn

from claimbench.bench.core.errors import UnavailableError
from claimbench.bench.core.records import Job, Settings
from claimbench.bench.core.task import Subject
from claimbench.bench.measure import flops, fvcore_count, memory
from claimbench.bench.measure.flop_rules import attention_pairs
from claimbench.bench.run.rows import rows as expected_rows
from claimbench.kernels.neighborhood_aggregate import cost, neighborhood_aggregate


def rows(model, shape, training=False, **options):
    subject = Subject(model.eval(), shape, "test", torch.device("cpu"), torch.float32)
    job = Job("", "test", "", "flops", Settings(training=training), options=options)
    return {row.metric: row for row in flops.measure(subject, job)}


class Attention(nn.Module):
    def __init__(self, causal=False, mask=None):
        super().__init__()
        self.qkv, self.causal, self.mask = nn.Linear(8, 24), causal, mask

    def forward(self, x):
        q, k, v = self.qkv(x).view(x.shape[0], -1, 3, 2, 4).permute(2, 0, 3, 1, 4)
        mask = None if self.mask is None else self.mask.to(x.device)
        return nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=self.causal)


class Aggregate(nn.Module):
    def forward(self, x):
        n, _, h, w = x.shape
        value = x.view(n, 2, -1, h, w).permute(0, 1, 3, 4, 2)
        weights = value[..., :1].expand(n, 2, h, w, 9).softmax(-1)
        return neighborhood_aggregate(weights, value, 3)


def test_convolution_linear_and_norm_by_hand():
    model = nn.Sequential(
        nn.Conv2d(4, 6, 3, padding=1, groups=2), nn.BatchNorm2d(6), nn.GELU(), nn.Flatten(), nn.Linear(6 * 25, 7)
    )
    found = rows(model, (4, 5, 5))
    convolution, linear = 25 * 6 * 2 * 9, 6 * 25 * 7
    assert found["macs"].value == convolution + linear
    assert found["flops"].value == 2 * found["macs"].value
    assert found["macs"].detail["by_operator"] == {"aten.convolution": 2 * convolution, "aten.addmm": 2 * linear}
    assert found["macs"].detail["by_module"] == {"0": 2 * convolution, "4": 2 * linear}
    assert found["macs"].detail["second_opinion"]["agrees"]
    assert found["macs_fvcore"].value == convolution + linear + 6 * 25 * 2, "fvcore counts batch norm too"


def test_without_a_second_opinion_there_is_no_row_of_it():
    job = Job("", "test", "", "flops", Settings(), options={"second_opinion": False})
    assert set(rows(nn.Linear(3, 2), (3,), second_opinion=False)) == {name for name, _ in expected_rows(job)}
    assert "macs_fvcore" in {name for name, _ in expected_rows(replace(job, options={}))}


def test_training_costs_three_times_the_forward_pass_even_in_grouped_convolutions():
    model = nn.Sequential(nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 5, padding=2, groups=8), nn.BatchNorm2d(8))
    forward, training = rows(model, (8, 6, 6))["macs"].value, rows(model, (8, 6, 6), training=True)
    first = 36 * 8 * 8
    assert training["macs"].value == 3 * forward - first, "the first layer's input needs no gradient"
    assert training["macs_fvcore"].status == "unavailable"


def test_attention_counts_two_products_and_half_of_them_where_causal():
    projection, length = 10 * 8 * 24, 10
    dense = rows(Attention(), (length, 8))
    causal = rows(Attention(causal=True), (length, 8))
    assert dense["macs"].value == projection + 2 * length * length * 8
    assert causal["macs"].value == projection + length * (length + 1) * 8
    assert dense["macs"].detail["second_opinion"]["agrees"]
    assert dense["macs_fvcore"].value == dense["macs"].value
    assert dense["macs_fvcore"].detail["own_handlers_only"] == projection, "fvcore alone passes over attention"
    backward = rows(Attention(causal=True), (length, 8), training=True)["macs"].value
    assert backward == 2 * projection + 3 * length * (length + 1) * 8


def test_attention_with_a_mask_tensor_is_noted():
    found = rows(Attention(mask=torch.zeros(10, 10)), (10, 8))
    assert "1 attention calls with a mask or bias tensor" in found["macs"].detail["note"]


@pytest.mark.parametrize(("queries", "keys", "expected"), [(3, 3, 6), (2, 5, 3), (5, 2, 9), (1, 1, 1)])
def test_causal_pairs(queries, keys, expected):
    seen = torch.ones(queries, keys).tril().sum().item()
    assert attention_pairs(queries, keys, True) == seen == expected


def test_our_operators_count_by_their_formula_and_agree_with_fvcore_on_the_reference():
    found = rows(Aggregate(), (8, 12, 12))
    expected = cost.forward_flops((1, 2, 12, 12, 9), (1, 2, 12, 12, 4), 3, 1)
    assert found["flops"].value == expected
    assert found["macs"].detail["by_operator"] == {"claimbench.neighborhood_aggregate": expected}
    assert found["macs"].detail["second_opinion"]["agrees"]


def test_an_operator_that_computes_and_has_no_formula_is_an_error():
    class Spectrum(nn.Module):
        def forward(self, x):
            return torch.fft.rfft2(x)

    with pytest.raises(flops.UncountedError, match=r"aten\._fft_r2c"):
        rows(Spectrum(), (3, 8, 8))


def test_a_foreign_operator_with_a_free_name_is_still_an_error():
    with torch.library._scoped_library("elsewhere", "DEF") as library:
        library.define("cat(Tensor x) -> Tensor")
        library.impl("cat", lambda x: x.clone(), "CompositeExplicitAutograd")

        class Foreign(nn.Module):
            def forward(self, x):
                return torch.ops.elsewhere.cat(x)

        with pytest.raises(flops.UncountedError, match=r"elsewhere\.cat"):
            flops.count(Foreign(), (1, 4))


def test_a_model_that_reads_values_is_counted_on_the_cpu():
    class Reads(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, x):
            return self.layer(x) if float(x.sum()) == 0 else x

    counted = flops.count(Reads(), (1, 4))
    assert (counted.flops, counted.device) == (32, "cpu")


def test_matrix_vector_products_count():
    class Vector(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(6, 4))

        def forward(self, x):
            return torch.mv(self.weight, x[0])

    found = rows(Vector(), (4,))
    assert found["macs"].value == 24
    assert found["macs"].detail["second_opinion"]["agrees"]


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "efficientnet_b0", "halonet26t"])
def test_both_counters_agree_on_real_models(name):
    model = timm.create_model(name).eval()
    shape = model.pretrained_cfg["input_size"]
    found = rows(model, shape)
    assert abs(found["macs"].detail["second_opinion"]["relative_difference"]) <= flops.AGREEMENT
    assert not any(p.is_meta for p in model.parameters()), "the subject itself is left as it was"


def test_a_model_that_fvcore_cannot_trace_gets_a_row_that_says_so():
    class Untraceable(nn.Module):
        def forward(self, x):
            if torch.jit.is_tracing():
                raise RuntimeError("no tracing")
            return x @ x

    found = rows(Untraceable(), (4, 4))
    assert found["macs"].value == 64
    assert found["macs_fvcore"].status == "failed"
    assert "no tracing" in found["macs_fvcore"].reason
    with pytest.raises(RuntimeError):
        fvcore_count.count(Untraceable(), torch.zeros(1, 4, 4))


class Gradient(nn.Module):
    """The gradient of a classifier's scores by its input, as attribution methods take it; nothing to train."""

    def __init__(self):
        super().__init__()
        self.classifier = nn.Sequential(nn.Linear(6, 5, bias=False), nn.Linear(5, 4, bias=False)).requires_grad_(False)

    def forward(self, x):
        with torch.inference_mode(False), torch.enable_grad():
            x = x.clone().detach().requires_grad_()
            return torch.autograd.grad(self.classifier(x).sum(), x)[0]


def test_a_model_that_takes_gradients_itself_is_counted_forward_and_backward():
    assert rows(Gradient(), (6,))["macs"].value == 2 * (6 * 5 + 5 * 4)


def test_training_a_model_with_nothing_to_train_is_one_sentence():
    with pytest.raises(UnavailableError, match="nothing to train"):
        rows(Gradient(), (6,), training=True)
    subject = Subject(Gradient().eval(), (6,), "test", torch.device("cpu"), torch.float32)
    found = memory.measure(subject, Job("", "test", "", "memory", Settings(quick=True)))
    assert {row.metric: row.reason.partition(":")[0] for row in found}["memory_training"] == "there is nothing to train"


ACTIVATIONS = (
    *("ELU", "CELU", "SELU", "GELU", "GLU", "Hardsigmoid", "Hardswish", "Hardtanh", "LeakyReLU", "LogSigmoid", "Mish"),
    *("PReLU", "ReLU", "ReLU6", "Sigmoid", "SiLU", "Softplus", "Tanh"),
)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_are_free_in_both_directions(name):
    model = nn.Sequential(nn.Linear(6, 4, bias=False), getattr(nn, name)())
    assert rows(model, (6,), training=True)["macs"].value == 2 * 6 * 4
