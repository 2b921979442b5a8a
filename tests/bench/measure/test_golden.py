"""Goldens rebuild the same weights everywhere, and a model that differs is caught."""

import hashlib
import json
import types

import numpy as np
import pytest
import torch
from torch import nn

from claimbench.bench.core.errors import UnavailableError, UserError
from claimbench.bench.core.records import Job, Options, Settings
from claimbench.bench.core.task import Subject
from claimbench.bench.measure import golden as goldens
from claimbench.bench.measure import parity
from claimbench.bench.measure.golden_check import check_golden, compare_output, single_thread
from claimbench.bench.papers import registry
from claimbench.bench.store.evidence.reading import read


class Model(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.proj, self.norm = nn.Conv2d(3, width, 3, padding=1), nn.BatchNorm2d(width)
        self.gamma = nn.Parameter(torch.ones(width))
        self.register_buffer("decay", torch.ones(2))
        self.double_features = 1.0

    def features(self, x):
        return self.norm(self.proj(x)) * self.gamma[:, None, None] * self.double_features

    def forward(self, x):
        return self.features(x).mean((2, 3)) * self.decay.sum()


def official(error=0.0):
    """A reproduction's official.py for Model, off by the relative ``error``."""

    def from_official(config, state, form=None):
        model = Model(**config)
        missing = sorted(set(model.state_dict()) - set(state))
        if missing:
            raise ValueError(f"missing {missing}")
        model.load_state_dict(state)
        model.double_features = 1.0 + error
        return model

    def outputs(model, x):
        return {"logits": model(x), "features": model.features(x)}

    return types.SimpleNamespace(from_official=from_official, outputs=outputs)


def record(width=4, rescale=()):
    """Return a golden of Model as a dict, made without claimbench.bench.measure.golden."""
    model = Model(width).eval()
    state = []
    for name, tensor in model.state_dict().items():
        filled = name != "decay" and not name.endswith("num_batches_tracked")
        state.append(
            [name, list(tensor.shape), str(tensor.dtype).removeprefix("torch."), "filled" if filled else "kept"]
        )
        if filled:
            seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
            drawn = np.random.Generator(np.random.PCG64(seed)).standard_normal(tuple(tensor.shape))
            by_role = {"running_var": 0.5 + abs(drawn), "running_mean": 0.1 * drawn, "bias": 0.1 * drawn}
            other = drawn / np.sqrt(27) if drawn.ndim == 4 else (0.5 if name == "gamma" else 1.0) + 0.1 * drawn
            values = torch.from_numpy(by_role.get(name.rsplit(".")[-1], other)).float()
            tensor.copy_(values * (0.25 if rescale and name == "gamma" else 1))
    model.decay.copy_(torch.tensor([2.0, 3.0]))
    model.double()
    x = torch.from_numpy(np.random.Generator(np.random.PCG64(0)).standard_normal((2, 3, 6, 5)))
    with torch.no_grad():
        results = {"logits": model(x), "features": model.features(x)}
    outputs = {}
    for name, out in results.items():
        flat = out.reshape(2, -1).numpy()
        outputs[name] = {
            "shape": list(out.shape), "l2": float(out.norm()), "mean": float(out.mean()),
            "head": flat[:, :32].tolist(), "tail": flat[:, -8:].tolist(),
        }  # fmt: skip
    return {
        "paper": "p", "variant": "v", "dtype": "float64", "input": {"shape": [2, 3, 6, 5], "seed": 0},
        "params": sum(p.numel() for p in model.parameters()), "outputs": outputs, "state": state,
        "kept_buffers": {"decay": [2.0, 3.0]}, "rescale": list(rescale),
    }  # fmt: skip


@pytest.fixture
def write(tmp_path):
    def write(data, name="v.json"):
        path = tmp_path / name
        path.write_text(data if isinstance(data, str) else json.dumps(data))
        return path

    return write


@pytest.mark.processors
def test_a_faithful_reproduction_passes(write):
    result = check_golden(goldens.load_golden(write(record())), official(), {"width": 4})
    assert result.passed
    assert result.worst < 1e-13
    assert result.params == result.golden.params
    assert [o.name for o in result.outputs] == ["logits", "features"]


@pytest.mark.parametrize("error", [1e-8, 1e-3])
def test_a_model_that_is_a_little_off_fails(write, error):
    result = check_golden(goldens.load_golden(write(record())), official(error), {"width": 4})
    assert not result.passed
    assert result.worst > error / 10


def stated(tolerance, **changes):
    """A golden of Model whose record states a tolerance, and why."""
    return {**record(), "tolerance": tolerance, "float32_inside": "sines in float32", **changes}


def test_a_record_may_state_a_tolerance_and_why(write):
    golden = goldens.load_golden(write(stated(1e-6)))
    assert (golden.tolerance, golden.float32_inside) == (1e-6, "sines in float32")
    assert check_golden(golden, official(1e-8), {"width": 4}).passed
    assert not check_golden(golden, official(1e-5), {"width": 4}).passed
    plain = goldens.load_golden(write(record()))
    assert (plain.tolerance, plain.float32_inside) == (1e-9, "")
    widest = goldens.load_golden(write(stated(1e-4)))
    assert widest.tolerance == 1e-4


def test_the_reason_alone_changes_nothing(write):
    golden = goldens.load_golden(write({**record(), "float32_inside": "sines in float32"}))
    assert (golden.tolerance, golden.float32_inside) == (1e-9, "")


@pytest.mark.parametrize("tolerance", [0, -1e-6, float("nan"), float("inf"), True, "1e-6", None, [1e-6]])
def test_a_tolerance_that_is_no_positive_number_is_refused(write, tolerance):
    with pytest.raises(UserError, match=r"v.json breaks the format: `tolerance` must be a positive number, found '"):
        goldens.load_golden(write(stated(tolerance)))


@pytest.mark.parametrize("tolerance", [1.1e-4, 1, 10**400])
def test_a_tolerance_above_the_widest_is_refused(write, tolerance):
    with pytest.raises(UserError, match=r"v.json breaks the format: `tolerance` may be at most 0.0001, found \d"):
        goldens.load_golden(write(stated(tolerance)))


@pytest.mark.parametrize("reason", [None, "", "  ", 3, True])
def test_a_tolerance_without_its_reason_is_refused(write, reason):
    with pytest.raises(UserError, match=r"`tolerance` needs a reason: `float32_inside` says what the official code"):
        goldens.load_golden(write(stated(1e-6, float32_inside=reason)))


@pytest.mark.processors
def test_rescaled_parameters_are_rescaled(write):
    rescale = [{"name_ends_with": "gamma", "multiply_by": 0.25}]
    path = write(record(rescale=rescale))
    assert check_golden(goldens.load_golden(path), official(), {"width": 4}).passed
    plain = {**json.loads(path.read_text()), "rescale": []}
    assert not check_golden(goldens.load_golden(write(plain)), official(), {"width": 4}).passed


def test_the_constructor_of_a_golden_replaces_the_config(write):
    data = {**record(), "constructor": {"width": 4}}
    assert check_golden(goldens.load_golden(write(data)), official(), {"width": 99}).passed


def test_hooks_make_the_inputs_and_the_call(write):
    module = official()
    module.golden_inputs = lambda golden: (goldens.golden_input(golden), 2.0)
    module.golden_call = lambda model, inputs, golden: module.outputs(model, inputs[0] * inputs[1] / 2.0)
    assert check_golden(goldens.load_golden(write(record())), module, {"width": 4}).passed


def test_missing_and_misshapen_outputs_are_named(write):
    module = official()
    module.outputs = lambda model, x: {"features": model.features(x)[:, :2]}
    result = check_golden(goldens.load_golden(write(record())), module, {"width": 4})
    assert not result.passed
    problems = {o.name: o.problem for o in result.outputs}
    assert problems["logits"] == "the reproduction does not return it"
    assert "its shape is [2, 2, 6, 5], expected [2, 4, 6, 5]" in problems["features"]


def test_differences_are_judged_against_the_variation_between_samples(write):
    data = record()
    nearly_equal = np.array([[100.0, 200.0], [100.001, 200.001]])
    out = {"shape": [2, 2], "l2": float(np.linalg.norm(nearly_equal)), "mean": 150.0005}
    data["outputs"] = {"x": {**out, "head": nearly_equal.tolist(), "tail": nearly_equal.tolist()}}
    expected = goldens.load_golden(write(data)).outputs["x"]
    assert expected.scale() == pytest.approx(0.0005, rel=1e-3)
    ignores_input = torch.tensor(nearly_equal.mean(axis=0)).repeat(2, 1)
    assert compare_output("x", expected, ignores_input).max_rel == pytest.approx(1, rel=1e-3)


def test_not_a_number_never_passes(write):
    module = official(float("nan"))
    assert not check_golden(goldens.load_golden(write(record())), module, {"width": 4}).passed


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: "{", "not valid JSON"),
        (lambda d: "[]", "must hold a JSON object, found list"),
        (lambda d: {k: v for k, v in d.items() if k != "input"}, "lacks 'input'"),
        (lambda d: {**d, "dtype": "float8"}, "must be float64 or float32"),
        (lambda d: {**d, "outputs": {}}, "`outputs` is empty"),
        (lambda d: {**d, "outputs": {"x": 3}}, "output x must be an object"),
        (lambda d: {**d, "state": [["w", [2], "float32"]]}, "a `state` entry must be"),
        (lambda d: {**d, "state": [["w", [2.5], "float32", "filled"]]}, "the shape of w"),
        (lambda d: {**d, "state": [["w", [2], "floaty", "filled"]]}, "unknown dtype 'floaty'"),
        (lambda d: {**d, "state": [["w", [2], "load", "filled"]]}, "unknown dtype 'load'"),
        (lambda d: {**d, "outputs": {"x": {**d["outputs"]["logits"], "head": [[1.0]]}}}, "a row of values for each"),
        (lambda d: {**d, "input": 3}, "breaks the format"),
    ],
)
def test_broken_goldens_get_a_sentence(write, change, message):
    with pytest.raises(UserError, match=message):
        goldens.load_golden(write(change(record())))


def test_an_absent_golden_gets_a_sentence(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        goldens.load_golden(tmp_path / "no.json")


@pytest.fixture
def job(write, tmp_path, monkeypatch):
    package = tmp_path / "fakegolden"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "official.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))

    monkeypatch.setattr(registry, "module", lambda paper: "fakegolden")

    def make(files, error=0.0, paper="p"):
        import importlib

        found = importlib.import_module("fakegolden.official")
        made = official(error)
        found.from_official, found.outputs = made.from_official, made.outputs
        options = Options(goldens=tuple(map(str, files)), config={"width": 4})
        return Job(paper, "v", "", "parity", Settings(), options=options)

    return make


SUBJECT = Subject(nn.Identity(), (3,), "x", torch.device("cpu"), torch.float32)


def test_the_parity_row_holds_the_worst_difference_of_all_goldens(write, job):
    files = [write(record(), "a.json"), write(record(), "b.json")]
    (row,) = parity.measure(SUBJECT, job(files))
    assert row.value < 1e-12
    assert read(row).passed
    assert [golden.file for golden in read(row).goldens] == ["a.json", "b.json"]
    json.dumps(row.detail, allow_nan=False)
    (row,) = parity.measure(SUBJECT, job(files, error=1e-3))
    assert row.value > 1e-4
    assert not read(row).passed


def test_the_parity_row_follows_the_tolerance_of_each_record_and_says_why(write, job):
    files = [write(record(), "a.json"), write(stated(1e-6), "b.json")]
    (row,) = parity.measure(SUBJECT, job(files[1:], error=1e-8))
    assert row.detail["passed"]
    (row,) = parity.measure(SUBJECT, job(files, error=1e-8))
    assert not row.detail["passed"]
    plain, wider = row.detail["goldens"]
    assert (plain["tolerance"], plain["passed"], "float32_inside" in plain) == (1e-9, False, False)
    assert (wider["tolerance"], wider["passed"], wider["float32_inside"]) == (1e-6, True, "sines in float32")


def test_parity_without_goldens_is_unavailable(job):
    for made in (job([]), job(["x.json"], paper="")):
        with pytest.raises(UnavailableError, match="no golden record"):
            parity.measure(SUBJECT, made)


def test_parity_says_when_a_golden_does_not_fit(write, job):
    data = record()
    data["state"] = [row for row in data["state"] if row[0] != "gamma"]
    with pytest.raises(UserError, match=r"v.json does not fit v: missing \['gamma'\]"):
        parity.measure(SUBJECT, job([write(data)]))
    data = record()
    data["outputs"]["other"] = data["outputs"]["logits"]
    (row,) = parity.measure(SUBJECT, job([write(data)]))
    assert row.status == "failed"
    assert "other: the reproduction does not return it" in row.reason


def test_threads_are_put_back():
    before = torch.get_num_threads()
    with single_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before
