"""What the tests of all papers need: facts and golden records by name, and the behaviours every model must show."""

from importlib import import_module
from math import prod
from pathlib import Path

import pytest
import torch

from claimbench.bench.measure import golden_check
from claimbench.bench.measure.golden import golden_input, golden_state
from claimbench.bench.measure.golden import load_golden as read_golden
from claimbench.bench.papers.spec import load

GOLDENS = Path(__file__).parent.parent / "goldens"
REPRODUCTIONS = Path(__file__).parent.parent.parent / "reproductions"
PART = 100_000
"""A golden record of fewer weights describes a part of a model."""


def paper_of(paper):
    """The validated paper.yaml."""
    return load(REPRODUCTIONS / paper / "paper.yaml")


def config_of(paper, variant):
    """The hyper-parameters of a variant; an input size after an @ is ignored."""
    return next(v.config for v in paper_of(paper).variants if v.name == variant.partition("@")[0])


def golden_names(paper):
    return sorted(path.stem for path in (GOLDENS / paper).glob("*.json"))


def goldens(paper, among=None):
    """The names of a paper's golden records to parametrize with; the smallest model is for every processor.

    ``among`` names those to choose from instead of all.
    """
    names = among or golden_names(paper)
    smallest = min(names, key=lambda name: _size(golden(paper, name)))
    return [pytest.param(name, marks=pytest.mark.processors) if name == smallest else name for name in names]


def _size(record):
    """Whether the record is of a part, and about how much work its model does."""
    weights = sum(prod(shape) for _, shape, *_ in record.state)
    return weights < PART, weights * prod(record.input_shape)


def golden(paper, name):
    """The golden record of that name."""
    return read_golden(GOLDENS / paper / f"{name}.json")


def load_golden(paper, name, config=None):
    """The record and our model in eval mode, with the record's weights and dtype."""
    record = golden(paper, name)
    official = import_module(f"claimbench.reproductions.{paper}.official")
    model = official.from_official(config or config_of(paper, name), golden_state(record))
    return record, model.to(getattr(torch, record.dtype)).eval()


def official_input(record):
    """The input of a record."""
    return golden_input(record)


def compare(record, found):
    """The largest difference of outputs to the record, relative to how much each varies."""
    return max(golden_check.compare_output(name, out, found.get(name)).worst() for name, out in record.outputs.items())


def check_golden(paper, name, config=None):
    """Our outputs and parameters equal the official ones; returns by how much the outputs differ."""
    record = golden(paper, name)
    official = import_module(f"claimbench.reproductions.{paper}.official")
    result = golden_check.check_golden(record, official, config or config_of(paper, name))
    assert result.passed, result.outputs
    assert None in (record.params, result.params) or result.params == record.params
    return result.worst


def check_strict_loading(paper, name, config=None):
    """A missing, a surplus and a misshapen entry are refused by their official names."""
    record = golden(paper, name)
    config = config or config_of(paper, name)
    state = golden_state(record)
    from_official = import_module(f"claimbench.reproductions.{paper}.official").from_official
    entry = next(n for n, shape, *_ in reversed(record.state) if shape)
    others = {n: t for n, t in state.items() if n != entry}
    with pytest.raises(ValueError, match=f"{entry} is missing"):
        from_official(config, others)
    with pytest.raises(ValueError, match=r"surplus\.weight is unexpected"):
        from_official(config, state | {"surplus.weight": torch.zeros(1)})
    with pytest.raises(ValueError, match=f"{entry} has shape"):
        from_official(config, others | {entry: state[entry].repeat_interleave(2, 0)})


def parameters(module, config):
    """The parameters of a model, counted without allocating it."""
    with torch.device("meta"):
        return sum(p.numel() for p in module.build(config, "model").parameters())


def check_training(model, x):
    """In train mode every parameter gets a finite gradient."""
    model.train()
    model(x).square().mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def check_autocast(model, x, tolerance=0.05):
    """bfloat16 autocast gives the same logits to its precision."""
    model.eval()
    with torch.no_grad():
        exact = model(x)
        with torch.autocast("cpu", torch.bfloat16):
            rough = model(x)
    assert (rough.float() - exact).norm() < tolerance * exact.norm()


def check_compile(model, x):
    """The whole model is one graph that gives the same logits, in inference and in training.

    The graph of training is traced with its gradients. That of inference is only recorded, on fake tensors, which takes
    half the time. The code that inductor makes is tried every night, in ``test_study.py``.
    """
    torch._dynamo.reset()
    model.eval()
    with torch.no_grad():
        expected = model(x)
        found = torch.compile(model, fullgraph=True, backend="eager")(x)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    trained = torch.compile(model, fullgraph=True, backend="aot_eager")(x)
    torch.testing.assert_close(trained, expected, rtol=1e-4, atol=1e-5)
    trained.sum().backward()


def check_memory_formats(model, x):
    """A picture in channels-last memory, or one cut out of a larger one, gives the same logits."""
    model.eval()
    wide = torch.nn.functional.pad(x, (0, 3))
    with torch.no_grad():
        expected = model(x)
        torch.testing.assert_close(model(x.contiguous(memory_format=torch.channels_last)), expected)
        torch.testing.assert_close(model(wide[..., : x.shape[-1]]), expected)
