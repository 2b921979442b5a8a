"""Counts on layers whose cost is known by hand, and the refusal to count silently nothing."""

from dataclasses import replace

import pytest
import timm
import torch
from torch import nn

from claimbench.bench.core.errors import UnavailableError
from claimbench.bench.core.records import Job, Options, Settings
from claimbench.bench.core.task import Subject
from claimbench.bench.measure import flops, fvcore_count, memory
from claimbench.bench.measure.flop_rules import attention_pairs
from claimbench.bench.run.expected_rows import rows as expected_rows
from claimbench.bench.store.evidence.reading import read
from claimbench.kernels.neighborhood_aggregate import cost, neighborhood_aggregate, reference
from claimbench.kernels.selective_scan import selective_scan


def rows(model, shape, training=False, **options):
    subject = Subject(model.eval(), shape, "test", torch.device("cpu"), torch.float32)
    job = Job("", "test", "", "flops", Settings(training=training), options=Options(**options))
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
    assert read(found["macs"]).by_operator == {"aten.convolution": 2 * convolution, "aten.addmm": 2 * linear}
    assert read(found["macs"]).by_module == {"0": 2 * convolution, "4": 2 * linear}
    assert read(found["macs"]).second_opinion.agrees
    assert found["macs_fvcore"].value == convolution + linear + 6 * 25 * 2, "fvcore counts batch norm too"


class Leaves(nn.Module):
    """Two layers, the second for the rows with a positive first number only."""

    cost_follows_input = True

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x):
        x = self.first(x)
        return self.second(x[x[..., 0] > 0])


def test_the_cost_of_a_model_that_reads_its_input_is_a_mean_with_its_spread():
    torch.manual_seed(0)
    found = rows(Leaves(), (9, 4))
    counts = []
    for x in Subject(Leaves(), (9, 4), "test", torch.device("cpu"), torch.float32).make_inputs(1, flops.PICTURES):
        torch.manual_seed(0)
        counts.append(9 * 16 + 16 * int((Leaves().first(x)[..., 0] > 0).sum()))
    assert len(set(counts)) > 1
    assert found["macs"].value == sum(counts) / len(counts)
    evidence = read(found["macs"])
    assert sum(evidence.by_operator.values()) == pytest.approx(2 * found["macs"].value)
    assert "4 inputs of random numbers, random weights" in evidence.note
    assert f"least {min(counts) / 1e9:.4g} G, most {max(counts) / 1e9:.4g} G" in evidence.note
    assert found["macs_fvcore"].status == "unavailable"


class ProjectedScan(nn.Module):
    """A linear layer and a selective scan with two states a channel."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(5, 5, bias=False)

    def forward(self, x):
        states = x[:, None, :2]
        return selective_scan(x, self.linear(x), -x.new_ones(4, 2), states, states, x.new_ones(4))[0]


def test_a_scan_is_counted_by_its_multiply_adds_and_by_the_rule_of_papers():
    found = rows(ProjectedScan(), (4, 5))
    linear, positions = 4 * 5 * 5, 4 * 5
    exact, published = positions * (6 * 2 + 1 + 2), positions * (9 * 2 + 1)
    assert found["flops"].value == 2 * linear + exact
    assert found["macs"].value == linear + exact / 2
    assert found["macs_published"].value == found["macs_fvcore"].value == linear + published
    assert read(found["macs"]).second_opinion.agrees
    assert read(found["macs_fvcore"]).by_operator == {"claimbench.selective_scan": published, "linear": linear}
    assert read(found["macs_fvcore"]).own_handlers_only == linear
    assert "macs_published" not in rows(nn.Linear(3, 2), (3,))


def test_without_a_second_opinion_there_is_no_row_of_it():
    job = Job("", "test", "", "flops", Settings(), options=Options(second_opinion=False))
    assert set(rows(nn.Linear(3, 2), (3,), second_opinion=False)) == {name for name, _ in expected_rows(job)}
    assert "macs_fvcore" in {name for name, _ in expected_rows(replace(job, options=Options()))}


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
    assert read(dense["macs"]).second_opinion.agrees
    assert dense["macs_fvcore"].value == dense["macs"].value
    assert read(dense["macs_fvcore"]).own_handlers_only == projection, "fvcore alone passes over attention"
    backward = rows(Attention(causal=True), (length, 8), training=True)["macs"].value
    assert backward == 2 * projection + 3 * length * (length + 1) * 8


def test_attention_with_a_mask_tensor_is_noted():
    found = rows(Attention(mask=torch.zeros(10, 10)), (10, 8))
    assert read(found["macs"]).note == (
        "1 attention calls with a mask or bias tensor are counted as if nothing was masked"
    )
    assert read(rows(Attention(), (10, 8))["macs"]).note is None


@pytest.mark.parametrize(("queries", "keys", "expected"), [(3, 3, 6), (2, 5, 3), (5, 2, 9), (1, 1, 1)])
def test_causal_pairs(queries, keys, expected):
    seen = torch.ones(queries, keys).tril().sum().item()
    assert attention_pairs(queries, keys, True) == seen == expected


def test_the_rows_say_how_they_were_counted():
    found = rows(nn.Sequential(nn.Linear(3, 2), nn.ReLU()), (3,))
    assert (found["macs"].unit, found["flops"].unit) == ("MAC", "FLOP")
    assert found["macs"].method == "FlopCounterMode on the meta device, forward, one sample, FLOPs / 2"
    assert found["flops"].method == "FlopCounterMode on the meta device, forward, one sample, 2 FLOPs a multiply-add"
    assert found["macs"].detail == {
        "by_operator": {"aten.addmm": 12},
        "by_module": {"0": 12},
        "free_calls": {"view": 1, "elementwise": 1},
        "second_opinion": {
            "counter": "fvcore, convolutions, matrix products and attention only",
            "macs": 6,
            "relative_difference": 0.0,
            "agrees": True,
        },
    }
    training = rows(nn.Linear(3, 2), (3,), training=True)
    assert "on the meta device, forward and backward, one sample" in training["macs"].method
    assert "second_opinion" not in training["macs"].detail


def test_training_is_counted_on_two_samples_and_given_for_one():
    found = rows(nn.Sequential(nn.Linear(3, 2, bias=False), nn.BatchNorm1d(2)), (3,), training=True)
    assert (found["macs"].value, found["flops"].value) == (12, 24)
    assert found["macs"].detail["by_operator"] == {"aten.mm": 24}
    assert found["macs"].detail["by_module"] == {"0": 24}
    assert isinstance(found["macs"].value, int)


def test_an_odd_count_has_half_a_multiply_add(monkeypatch):
    monkeypatch.setattr(flops, "FORMULAS", {**flops.FORMULAS, torch.ops.aten.mm: lambda *args, **kwargs: 7})
    found = rows(nn.Linear(3, 2, bias=False), (3,))
    assert (found["macs"].value, found["flops"].value) == (3.5, 7)


def test_the_subject_itself_stays_as_it_was():
    model = nn.Linear(3, 2).eval()
    rows(model, (3,), training=True)
    assert not model.training
    assert not model.weight.is_meta
    assert rows(nn.Linear(3, 2).half(), (3,))["macs"].value == 6, "counted in single precision"


@pytest.mark.parametrize(("products", "agrees"), [(1000, True), (1005, True), (1006, False), (996, True), (994, False)])
def test_counters_agree_within_half_a_per_cent(monkeypatch, products, agrees):
    count = fvcore_count.FvcoreCount(products + 5, products - 3, products, {"linear": products}, ("x",), {"y": 1})
    monkeypatch.setattr(fvcore_count, "count", lambda model, sample: count)
    found = rows(nn.Linear(100, 10, bias=False), (100,))
    opinion = found["macs"].detail["second_opinion"]
    assert opinion["macs"] == products
    assert opinion["relative_difference"] == pytest.approx(products / 1000 - 1)
    assert opinion["agrees"] is agrees
    row = found["macs_fvcore"]
    assert (row.value, row.unit, row.status) == (products + 5, "MAC", "measured")
    assert row.detail == {
        "by_operator": {"linear": products},
        "own_handlers_only": products - 3,
        "added_handlers": ["x"],
        "products": products,
        "uncounted_calls": {"y": 1},
    }


def test_a_model_that_does_nothing_costs_nothing():
    found = rows(nn.Identity(), (3,))
    assert (found["macs"].value, found["macs"].detail["by_operator"]) == (0, {})
    assert found["macs"].detail["second_opinion"]["relative_difference"] == 0
    assert found["macs"].detail["second_opinion"]["agrees"] is True


@pytest.mark.parametrize(
    ("error", "said"),
    [(ValueError("first line\nsecond line"), "ValueError: first line"), (ValueError(), "ValueError: ")],
)
def test_the_second_opinion_is_taken_without_gradients_and_its_failure_is_one_line(monkeypatch, error, said):
    def broken(model, sample):
        assert not torch.is_grad_enabled()
        raise error

    monkeypatch.setattr(fvcore_count, "count", broken)
    row = rows(nn.Linear(3, 2), (3,))["macs_fvcore"]
    assert (row.status, row.value, row.unit) == ("failed", None, "MAC")
    assert row.reason == f"fvcore cannot trace this model: {said}"


def test_in_training_there_is_no_second_opinion():
    row = rows(nn.Linear(3, 2), (3,), training=True)["macs_fvcore"]
    assert (row.status, row.reason) == ("unavailable", "fvcore counts the forward pass only")


class Watched(nn.Module):
    """Notes in what mode and on what it runs, and fails on the meta device if it is told to."""

    def __init__(self, seen, error=None):
        super().__init__()
        self.layer, self.seen, self.error = nn.Linear(4, 4), seen, error

    def forward(self, *inputs):
        self.seen.append((self.training, torch.is_grad_enabled(), [(one.device.type, one.dtype) for one in inputs]))
        if self.error and inputs[0].is_meta:
            raise self.error
        return self.layer(inputs[0])

    def __deepcopy__(self, memo):
        return Watched(self.seen, self.error).train(self.training)


@pytest.mark.parametrize("training", [False, True])
def test_a_pass_runs_in_the_mode_that_is_counted(training):
    seen = []
    flops.count(Watched(seen), (1, 4), training=training)
    assert seen == [(training, training, [("meta", torch.float32)])]


@pytest.mark.parametrize("error", [RuntimeError("x"), NotImplementedError("x"), TypeError("x")])
def test_a_model_that_fails_on_the_meta_device_is_counted_on_the_cpu(error):
    assert flops.count(Watched([], error), (1, 4)).device == "cpu"


def test_a_model_with_a_fault_of_its_own_fails():
    with pytest.raises(ZeroDivisionError):
        flops.count(Watched([], ZeroDivisionError()), (1, 4))


def test_a_sample_may_be_a_shape_a_tensor_or_several_tensors():
    seen = []
    for sample in ((1, 4), torch.ones(1, 4), (torch.ones(1, 4), torch.ones(2, dtype=torch.int64))):
        assert flops.count(Watched(seen), sample).flops == 32
    single, index = ("meta", torch.float32), ("meta", torch.int64)
    assert [inputs for *_, inputs in seen] == [[single], [single], [single, index]]


def test_children_are_counted_by_their_name_and_whatever_is_within_them():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = nn.Linear(4, 3)
            self.body = nn.Sequential(nn.Linear(3, 2), nn.Sequential(nn.Linear(2, 5)))
            self.unused = nn.Linear(9, 9)

        def forward(self, x):
            return self.body(self.stem(x)) @ x.new_ones(5, 7)

    counted = flops.count(Model(), (1, 4))
    assert counted.by_module == {"stem": 2 * 12, "body": 2 * (6 + 10)}
    assert counted.by_operator == {"aten.addmm": 2 * 28, "aten.mm": 2 * 35}
    assert counted.flops == 2 * 63
    assert counted.free == {"view": 3, "moves or makes data": 1}


def test_every_unknown_operator_is_named():
    class Spectra(nn.Module):
        def forward(self, x):
            return torch.fft.rfft(x).abs() + torch.fft.fft(torch.fft.fft(x)).abs().sum()

    with pytest.raises(flops.UncountedError) as raised:
        flops.count(Spectra(), (1, 4, 4))
    assert str(raised.value) == (
        "no FLOP formula for aten._fft_c2c, aten._fft_r2c: register one, or list it as free with a reason"
    )


def test_our_operators_count_by_their_formula_and_agree_with_fvcore_on_the_reference():
    found = rows(Aggregate(), (8, 12, 12))
    weights, values = torch.empty(1, 2, 12, 12, 9), torch.empty(1, 2, 12, 12, 4)
    expected = cost.forward_flops(reference.Arguments(weights, values, 3, 1))
    assert found["flops"].value == expected
    assert read(found["macs"]).by_operator == {"claimbench.neighborhood_aggregate": expected}
    assert read(found["macs"]).second_opinion.agrees


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
    assert read(found["macs"]).second_opinion.agrees


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "efficientnet_b0", "halonet26t"])
def test_both_counters_agree_on_real_models(name):
    model = timm.create_model(name).eval()
    shape = model.pretrained_cfg["input_size"]
    found = rows(model, shape)
    assert abs(read(found["macs"]).second_opinion.relative_difference) <= flops.AGREEMENT
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


@pytest.mark.parametrize("training", [False, True])
def test_counting_copies_no_parameters_and_changes_none(training, monkeypatch):
    model = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8)).eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    used, count = [], flops.count

    def watched(copied, sample, *, training):
        used.append(copied)
        return count(copied, sample, training=training)

    monkeypatch.setattr(flops, "count", watched)
    rows(model, (8,), training)
    (copied,) = used
    assert copied[0].weight.data_ptr() == model[0].weight.data_ptr(), "parameters are shared"
    assert copied[1].running_mean.data_ptr() != model[1].running_mean.data_ptr(), "statistics are not"
    assert not model.training
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert all(tensor.device.type == "cpu" for tensor in model.state_dict().values())
