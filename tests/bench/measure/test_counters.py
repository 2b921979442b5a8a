"""The public counters on networks whose cost is known by hand, and what becomes of those that cannot count one."""

import sys
import time
from contextlib import suppress

import pytest
import torch
from torch import nn

from claimbench.bench.core.errors import UserError
from claimbench.bench.measure.counters import count as counting
from claimbench.bench.measure.counters import packages
from claimbench.bench.measure.counters.catalogue import COUNTERS, require
from claimbench.bench.measure.counters.count import count

pytest.importorskip("thop")
pytest.importorskip("ptflops")
pytest.importorskip("calflops")

TOKENS, DIM = 16, 8
LINEAR = TOKENS * DIM * 3 * DIM
PRODUCTS = 2 * TOKENS * TOKENS * DIM


class Attention(nn.Module):
    """One linear layer, and two products of activations written with @."""

    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(DIM, 3 * DIM, bias=False)

    def forward(self, x):
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        return (q @ k.transpose(-2, -1)).softmax(-1) @ v


class Auxiliary(nn.Module):
    """A convolution, and a second head that runs in training only."""

    def __init__(self):
        super().__init__()
        self.body, self.aux = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 1)
        self.head = nn.Linear(4, 2)
        self.frozen = nn.Parameter(torch.zeros(5), requires_grad=False)
        self.register_buffer("kept", torch.zeros(7))

    def forward(self, x):
        x = self.body(x)
        out = self.head(x.mean((2, 3)))
        return (out, self.aux(x)) if self.training else out


class Branches(nn.Module):
    """Two convolutions that its own method makes one."""

    def __init__(self):
        super().__init__()
        self.first, self.second = (nn.Conv2d(3, 3, 3, padding=1, bias=False) for _ in range(2))

    def forward(self, x):
        return self.first(x) + self.second(x) if self.second is not None else self.first(x)

    def switch_to_deploy(self):
        self.first.weight.data += self.second.weight.data
        self.second = None


def counted(model, shape, *, enough=lambda counts: False, budget=60, **options):
    return list(count(model.eval(), (torch.randn(1, *shape),), "", budget, enough, **options))


def values(found, change=""):
    return {one.counter: one.value for one in found if one.change == change and one.value is not None}


def test_each_counter_leaves_out_what_it_is_known_to_leave_out():
    found = values(counted(Attention(), (TOKENS, DIM)))
    assert found["macs"] == LINEAR + PRODUCTS
    assert found["torch"] == 2 * (LINEAR + PRODUCTS)
    assert found["layers"] == found["thop"] == found["ptflops_modules"] == LINEAR
    assert found["fvcore"] == LINEAR + PRODUCTS
    assert found["calflops_macs"] == LINEAR  # it does not see @
    assert "fvcore_attention" not in found
    assert found.keys() <= COUNTERS.keys()


def test_the_shares_of_operators_add_up_to_the_count():
    for one in counted(Attention(), (TOKENS, DIM)):
        assert not one.shares or sum(one.shares.values()) == one.value, one.counter


def test_parameters_by_every_way_of_counting_them():
    found = values(counted(Auxiliary(), (3, 8, 8)))
    every = 3 * 4 * 9 + 4 + 4 * 4 + 4 + 4 * 2 + 2 + 5
    assert found["params"] == every
    assert found["params_trainable"] == every - 5
    assert found["params_without_head"] == every - 10
    assert found["params_and_buffers"] == every + 7


def test_parameters_alone_cost_no_count_of_operations():
    assert {one.counter.partition("_")[0] for one in counted(Auxiliary(), (3, 8, 8), operations=False)} == {"params"}


def test_what_runs_in_training_only_and_what_merges_are_states_of_their_own():
    found = counted(Auxiliary(), (3, 8, 8))
    body, aux, head = 64 * 3 * 4 * 9, 64 * 4 * 4, 4 * 2
    assert values(found)["macs"] == body + head
    assert values(found, "training")["torch"] == 2 * (body + head + aux)
    assert values(found, "without head")["macs"] == body
    merged = counted(nn.Sequential(Branches()), (3, 8, 8))
    assert values(merged)["macs"] == values(merged, "reparameterized")["torch"] == 2 * 64 * 3 * 3 * 9


def test_other_sizes_are_counted_where_nothing_else_explains_the_figures():
    found = counted(Branches(), (3, 8, 8))
    at = {one.input: one.value for one in found if one.counter == "torch" and not one.change}
    assert at[(3, 224, 224)] == at[(3, 8, 8)] * 28 * 28
    enough = counted(Branches(), (3, 8, 8), enough=lambda counts: True)
    assert {one.input for one in enough} == {(3, 8, 8)}
    assert {one.change for one in enough} == {""}


def test_the_model_and_torch_are_left_as_they_were():
    model = Attention().eval()
    names, matmul, linear = [name for name, _ in model.named_buffers()], torch.matmul, nn.functional.linear
    inherited = vars(torch.Tensor).get("matmul")
    counted(model, (TOKENS, DIM))
    assert [name for name, _ in model.named_buffers()] == names
    assert next(model.parameters()).device.type == "cpu"
    assert not model.training
    assert (torch.matmul, nn.functional.linear, vars(torch.Tensor).get("matmul")) == (matmul, linear, inherited)


def test_a_counter_that_fails_says_why_and_the_others_go_on(monkeypatch):
    def fails(model, inputs):
        raise KeyError("unheard of")

    def slow(model, inputs):
        time.sleep(5)

    monkeypatch.setitem(packages.PACKAGES, "thop", (fails, True))
    monkeypatch.setitem(packages.PACKAGES, "ptflops_aten", (slow, True))
    found = counted(Attention(), (TOKENS, DIM), budget=1)
    why = {one.counter: one.why for one in found if one.why}
    assert why == {"thop": "KeyError: 'unheard of'", "ptflops_aten": "not done after 1 s (--budget)"}
    assert "calflops_macs" in values(found)


def test_what_a_counter_puts_in_the_place_of_torchs_functions_goes_with_it():
    matmul = torch.matmul
    with suppress(KeyError), packages.quiet():
        torch.matmul = torch.Tensor.matmul = nn.functional.gelu = None
        raise KeyError
    assert torch.matmul is matmul
    assert torch.Tensor.matmul is not None
    assert nn.functional.gelu is not None


def test_a_counter_that_swallows_the_end_of_its_time_is_found_out():
    def swallow():
        try:
            time.sleep(5)
        except Exception as error:
            raise ValueError("a counter's own") from error

    with pytest.raises(counting.OutOfTimeError), counting._within(0.05):
        swallow()


def test_a_model_that_does_not_take_the_input_is_one_sentence():
    with pytest.raises(UserError, match=r"does not run on an input of 1x8x8: .*channels"):
        counted(Branches(), (1, 8, 8))


def test_a_counter_that_misses_layers_of_this_suites_models_does_not_count_them():
    class Functional(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.norm = nn.Linear(DIM, DIM), nn.LayerNorm(DIM)

        def forward(self, x):
            return self.norm(nn.functional.linear(x, self.layer.weight))

    hooked = {"thop", "ptflops", "ptflops_modules"}
    assert hooked <= values(counted(Functional(), (TOKENS, DIM))).keys()
    ours = counted(Functional(), (TOKENS, DIM), ours=True)
    assert not hooked & values(ours).keys()
    why = {one.counter: one.why for one in ours if one.why}
    assert why.keys() == hooked
    assert why["thop"] == (
        "100 % of the layers' multiply-adds are no modules in this suite's model: give the official code with --model"
    )


def test_layers_of_this_suite_stand_for_those_they_refine():
    from claimbench.reproductions.layers import DepthwiseConv2d
    from claimbench.reproductions.rmt.model import ResidualDepthwise

    at_each = 4 * 6 * 6 * 9
    for layer, shape in ((DepthwiseConv2d(4, 3, bias=False), (4, 6, 6)), (ResidualDepthwise(4), (6, 6, 4))):
        found = values(counted(nn.Sequential(layer), shape))
        assert found["thop"] == at_each
        assert found["ptflops_modules"] == at_each + (layer.bias is not None) * 4 * 6 * 6
        assert found["calflops_macs"] == at_each


def test_a_missing_counter_names_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "thop", None)
    with pytest.raises(UserError, match=r"thop missing\): pip install -e '.\[explain\]'"):
        require(["thop"])
