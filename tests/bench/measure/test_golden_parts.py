"""Golden records of parts of models: their inputs, their gradients, and the operators that run in them."""

from __future__ import annotations

import json
import types
from importlib import import_module

import numpy as np
import pytest
import torch
from torch import nn

from claimbench.bench.core.errors import UserError
from claimbench.bench.measure import golden as goldens
from claimbench.bench.measure.golden_check import check_golden, part_outputs
from claimbench.bench.measure.operators.check import check_goldens
from claimbench.bench.measure.verify import verify
from claimbench.kernels import native
from claimbench.kernels.depthwise_conv2d import depthwise_conv2d
from claimbench.reproductions.layout import bound


def _normal(shape, seed):
    return np.random.Generator(np.random.PCG64(seed)).standard_normal(shape)


def _summary(values):
    values = np.asarray(values, dtype=np.float64)
    flat = values.reshape(len(values), -1) if values.ndim > 1 else values.reshape(1, -1)
    shape, l2, mean = list(values.shape), float(np.linalg.norm(values)), float(values.mean())
    return {"shape": shape, "l2": l2, "mean": mean, "head": flat[:, :32].tolist(), "tail": flat[:, -8:].tolist()}


def record(**changes):
    """Return the record of ``out = (2 x + 1) weight`` for a weight per column, with gradients by hand."""
    x, weight = 1 + 2 * _normal((5, 3), 7), goldens.fill("scale.weight", (3,)).astype(np.float32).astype(np.float64)
    upstream = _normal((5, 3), 8)
    outputs = {"out": x * weight, "grad_x": upstream * weight, "grad_param:scale.weight": (upstream * x).sum(0)[None]}
    return {
        "paper": "fake", "variant": "fake_s@columns", "dtype": "float64", "input": {"shape": [5, 3], "seed": 7},
        "constructor": {"unit": "columns", "size": 3}, "params": 3, "upstream": {"out": 8},
        "inputs": [{"name": "x", "shape": [5, 3], "seed": 7, "multiply": 2.0, "add": 1.0}],
        "outputs": {name: _summary(values) for name, values in outputs.items()},
        "state": [["scale.weight", [3], "float32", "filled"]], **changes,
    }  # fmt: skip


class Columns(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.factors = nn.Parameter(torch.ones(size))

    def forward(self, x):
        return x * self.factors


OFFICIAL = types.SimpleNamespace(
    PARTS={"columns": lambda config, state: bound(Columns(config["size"]), state, ((r"^factors$", "scale.weight"),))}
)


@pytest.fixture
def read(tmp_path):
    def read(data):
        path = tmp_path / "part.json"
        path.write_text(json.dumps(data))
        return goldens.load_golden(path)

    return read


def test_outputs_and_gradients_by_official_names_agree(read):
    result = check_golden(read(record()), OFFICIAL, {})
    assert [each.name for each in result.outputs] == ["out", "grad_x", "grad_param:scale.weight"]
    assert result.passed


@pytest.mark.parametrize("name", ["out", "grad_x", "grad_param:scale.weight"])
def test_a_difference_in_any_output_is_seen(read, name):
    data = record()
    data["outputs"][name]["head"][0][0] += 1e-6
    assert not check_golden(read(data), OFFICIAL, {}).passed


def test_the_same_tensors_are_loaded_strictly(read):
    state = [["scale.bias", [3], "float32", "filled"]]
    with pytest.raises(ValueError, match=r"scale.weight is missing; scale.bias is unexpected"):
        check_golden(read(record(state=state)), OFFICIAL, {})


def test_a_part_that_a_paper_does_not_have_is_named(read):
    with pytest.raises(UserError, match=r"part 'rows'.*columns"):
        check_golden(read(record(constructor={"part": "rows"})), OFFICIAL, {})


@pytest.mark.parametrize(
    ("then", "expected"),
    [
        ("neg_exp", lambda v: -np.exp(v)),
        ("sigmoid", lambda v: 1 / (1 + np.exp(-v))),
        ("relu", lambda v: np.where(v > 0, v, 0)),
        ("positive", lambda v: np.where(v > 0, 1.0, 0.0)),
        ("round:2", lambda v: np.round(v, 2)),
        ("floor_mod:5", lambda v: np.floor(1000 * v) % 5),
    ],
)
def test_inputs_are_drawn_and_then_changed(read, then, expected):
    inputs = [{"name": "x", "shape": [5, 3], "seed": 7, "add": -0.5, "then": then}]
    x = read(record(inputs=inputs)).named_inputs()["x"]
    assert x.dtype == (torch.int64 if then.startswith("floor_mod") else torch.float64)
    np.testing.assert_allclose(x.numpy(), expected(_normal((5, 3), 7) - 0.5), rtol=1e-15)


def test_an_input_may_stand_in_full(read):
    values = [{"name": "x", "shape": [2], "values": [1, 2]}, {"name": "y", "shape": [1, 2], "values": [[0.5, 1]]}]
    inputs = read(record(inputs=values)).named_inputs()
    assert inputs["x"].tolist() == [1, 2]
    assert inputs["x"].dtype == torch.int64
    assert inputs["y"].dtype == torch.float64


@pytest.mark.parametrize(
    ("inputs", "problem"),
    [
        ([{"name": "x", "shape": [2], "then": "cube"}], "unknown `then` 'cube'"),
        ([{"name": "x", "shape": [2], "values": [[1], [2, 3]]}], "breaks the format"),
        ([{"name": "x", "shape": [2], "values": ["a"]}], "must be numbers"),
        (["x"], "must be an object"),
        ([{"shape": [2]}], "lacks 'name'"),
    ],
)
def test_broken_inputs_are_a_sentence(read, inputs, problem):
    with pytest.raises(UserError, match=problem):
        read(record(inputs=inputs))


@pytest.fixture
def normalised(tmp_path, monkeypatch, fake_papers):
    """Return the file of a record whose part runs a shared operator, and its paper's module."""
    official = import_module("claimbench.reproductions.fake.official")
    x, upstream = (
        torch.from_numpy(_normal((2, 4, 3, 3), 1)).requires_grad_(),
        torch.from_numpy(_normal((2, 4, 3, 3), 2)),
    )
    weight = torch.ones(4, 1, 3, 3, dtype=torch.float64)
    out = nn.functional.conv2d(x, weight, padding=1, groups=4)
    (grad,) = torch.autograd.grad((out * upstream).sum(), x)
    outputs = {"out": _summary(out.detach().numpy()), "grad_x": _summary(grad.numpy())}
    inputs = [{"name": "x", "shape": [2, 4, 3, 3], "seed": 1}]
    data = record(constructor={"unit": "sums"}, inputs=inputs, outputs=outputs, upstream={"out": 2}, state=[])
    path = tmp_path / "sums.json"
    path.write_text(json.dumps(data))
    parts = {
        "sums": lambda config, state: lambda x: depthwise_conv2d(x, weight),
        "plain": lambda config, state: lambda x: x * 1,
    }
    monkeypatch.setattr(official, "PARTS", parts, raising=False)
    return path


class Shifted(nn.Module):
    """A softmax over a normalised row, shifted by a bias that changes nothing."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(3)
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return torch.softmax(self.norm(x) + self.bias, -1)


def _shifted(bias_grad):
    names = {"norm.weight": [3], "norm.bias": [3], "norm.running_mean": [3], "norm.running_var": [3], "bias": [1]}
    state = [[name, shape, "float64", "filled"] for name, shape in names.items()]
    state += [["norm.num_batches_tracked", [], "int64", "kept"]]
    official = types.SimpleNamespace(PARTS={"shifted": lambda config, state: bound(Shifted(), state)})
    inputs = [{"name": "x", "shape": [4, 3], "seed": 1}]
    none = {"shape": [1, 1], "l2": abs(bias_grad), "mean": bias_grad, "head": [[bias_grad]], "tail": [[bias_grad]]}
    data = record(constructor={"unit": "shifted"}, inputs=inputs, state=state, upstream={"out": 2}, params=7)
    return official, data, none


@pytest.mark.parametrize(("value", "agrees"), [(3e-17, True), (1e-8, False)])
def test_a_gradient_that_is_rounding_alone_is_compared_with_the_others(read, value, agrees):
    official, data, vanishing = _shifted(value)
    data["outputs"] = {"out": _summary(np.zeros((4, 3))), "grad_x": _summary(np.zeros((4, 3)))}
    found = part_outputs(read(data), official)
    data["outputs"] = {name: _summary(tensor.detach().numpy()) for name, tensor in found.items()}
    data["outputs"]["grad_param:bias"] = vanishing
    result = check_golden(read(data), official, {})
    assert result.passed is agrees


def test_the_operators_of_a_part_run_on_the_backend_that_was_asked_for(normalised):
    (row,) = check_goldens([normalised], ["reference"])
    assert (row.status, row.operator, row.case) == ("passed", "", "fake_s@columns")
    (row,) = check_goldens([normalised], ["native"])
    assert (row.operator, row.status) == ("depthwise_conv2d", "refused" if native.unavailable() else "passed")


def test_a_part_without_a_shared_operator_is_refused_in_a_sentence(normalised):
    data = json.loads(normalised.read_text())
    data["constructor"]["unit"] = "plain"
    normalised.write_text(json.dumps(data))
    (row,) = check_goldens([normalised], ["native"])
    assert (row.status, row.reason) == ("refused", "no shared operator runs in this part")


def test_a_whole_model_is_not_a_part(normalised):
    data = json.loads(normalised.read_text())
    normalised.write_text(json.dumps({**data, "constructor": None}))
    with pytest.raises(UserError, match=r"describes a whole model: `bench verify --golden"):
        check_goldens([normalised])


def test_a_part_without_parameters_has_evidence_too(normalised):
    (verified,) = verify([normalised])
    assert verified.passed
    assert verified.to_json()["params"] is None
