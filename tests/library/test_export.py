"""Exported files: run by other programs, without operators of ours, and equal to the model."""

import subprocess
import sys
from importlib.util import find_spec

import pytest
import torch

import claimbench
from claimbench._library import export as module
from tests.library.smallest import BACKBONES, CLASSIFIERS, OTHERS

needs_onnx = pytest.mark.skipif(
    any(find_spec(name) is None for name in ("onnx", "onnxscript", "onnxruntime")), reason="needs claimbench[export]"
)
SIDE = 64
RELOAD = """
import sys, torch
program, sample, found = sys.argv[1:]
torch.save(torch.export.load(program).module()(torch.load(sample)), found)
print("claimbench" in sys.modules)
"""


@pytest.fixture
def model():
    return claimbench.create_model("van_b0", num_classes=5)


def picture(side, batch=1):
    return torch.randn(batch, 3, side, side, generator=torch.Generator().manual_seed(0))


def outputs(model, x):
    with torch.no_grad():
        return model.eval()(x)


def run_onnx(path, x):
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(None, {session.get_inputs()[0].name: x.numpy()})[0])


def domains(path):
    """The operator sets that a file needs: the empty name is ONNX's own."""
    import onnx

    loaded = onnx.load(path, load_external_data=False)
    assert not loaded.functions
    return {node.domain for node in loaded.graph.node}


def test_a_file_of_torch_export_runs_in_a_process_without_this_package(model, tmp_path):
    found = claimbench.export(model, tmp_path / "van.pt2", sample=picture(SIDE))
    assert (found.format, model.training) == ("torch_export", True)
    assert found.difference < 1e-4
    x = picture(SIDE) + 1
    torch.save(x, tmp_path / "x.pt")
    arguments = [found.path, tmp_path / "x.pt", tmp_path / "y.pt"]
    run = subprocess.run(
        [sys.executable, "-c", RELOAD, *map(str, arguments)], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert run.stdout == "False\n", run.stderr
    torch.testing.assert_close(torch.load(tmp_path / "y.pt"), outputs(model, x), rtol=1e-4, atol=1e-5)


@needs_onnx
def test_an_onnx_file_takes_any_batch_and_has_no_operators_of_ours(model, tmp_path):
    found = claimbench.export(model, tmp_path / "van.onnx", sample=picture(SIDE, batch=2), dynamic_batch=True)
    assert found.format == "onnx"
    assert domains(found.path) == {""}
    x = picture(SIDE, batch=3)
    torch.testing.assert_close(run_onnx(found.path, x), outputs(model, x), rtol=1e-4, atol=1e-5)


@needs_onnx
def test_operators_that_pytorch_does_not_know_in_onnx_are_written(tmp_path):
    """Tokens are kept by a stable order of scores; equal ones stay in their order."""

    class Order(torch.nn.Module):
        def forward(self, x):
            return x.sort(dim=1, descending=True, stable=True).indices.float()

    x = torch.tensor([[1.0, 3.0, 1.0, 3.0, 2.0]])
    found = claimbench.export(Order(), tmp_path / "order.onnx", sample=x)
    assert run_onnx(found.path, x).tolist() == [[1, 3, 4, 0, 2]]


def test_a_file_that_differs_is_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "TOLERANCE", -1.0)
    with pytest.raises(claimbench.UserError, match=r"differs from the model by .* it was not kept"):
        claimbench.export(torch.nn.Linear(2, 2), tmp_path / "linear.pt2", sample=torch.ones(1, 2))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"path": "van.bin"}, "van.bin ends in neither .onnx nor .pt2"),
        ({"format": "onxx"}, "unknown format 'onxx'; did you mean onnx"),
    ],
)
def test_a_wrong_argument_is_one_sentence(model, arguments, said):
    with pytest.raises(ValueError, match=said):
        claimbench.export(model, **arguments)


def test_a_module_of_another_maker_needs_a_sample():
    with pytest.raises(claimbench.ModelError, match="give the arguments of a call as sample"):
        claimbench.export(torch.nn.Identity(), "identity.pt2")


def test_a_place_that_cannot_be_written_is_said(model, tmp_path):
    with pytest.raises(claimbench.UserError, match=r"van\.pt2 cannot be written: there is no folder .*nowhere"):
        claimbench.export(model, tmp_path / "nowhere" / "van.pt2", sample=picture(SIDE))


def test_a_model_that_cannot_be_exported_says_why():
    class Reads(torch.nn.Module):
        def forward(self, x):
            return x * 2 if x.sum().item() > 0 else x

    with pytest.raises(claimbench.ModelError, match="Reads cannot be exported"):
        claimbench.export(Reads(), "reads.pt2", sample=torch.ones(2))


def test_missing_packages_are_named_with_the_command(model, monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(claimbench.UserError, match=r"needs onnx and onnxscript and onnxruntime: pip install 'claimb"):
        claimbench.export(model, format="onnx")


@needs_onnx
@pytest.mark.slow
@pytest.mark.parametrize("name", [*CLASSIFIERS, *OTHERS])
@pytest.mark.parametrize("form", ["onnx", "torch_export"])
def test_every_paper_is_exported(name, form, tmp_path):
    model = claimbench.create_model(name)
    found = claimbench.export(model, tmp_path / f"model{module.ENDINGS[form]}")
    assert found.difference < 1e-4
    if form == "onnx":
        assert domains(found.path) == {""}


@pytest.mark.slow
@pytest.mark.parametrize("name", BACKBONES)
def test_the_maps_of_every_backbone_are_exported(name, tmp_path):
    claimbench.export(claimbench.create_model(name, features_only=True), tmp_path / "maps.pt2")


@pytest.mark.slow
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_every_classifier_compiles_without_graph_breaks(name):
    model, x = claimbench.create_model(name), picture(CLASSIFIERS[name], batch=2)
    for mode in (model.train(), model.eval()):
        torch._dynamo.reset()
        assert torch.compile(mode, fullgraph=True, backend="aot_eager")(x).shape == (2, model.num_classes)
    torch.testing.assert_close(
        torch.compile(model, fullgraph=True, backend="aot_eager")(x), outputs(model, x), rtol=1e-4, atol=1e-5
    )


def test_a_model_compiles_without_graph_breaks_with_gradient_checkpointing_too(model):
    model.set_grad_checkpointing()
    torch.compile(model, fullgraph=True, backend="aot_eager")(picture(SIDE, batch=2)).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
