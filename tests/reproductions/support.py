"""What the tests of all papers need: golden records rebuilt, and the behaviours every model must show."""

import hashlib
import json
import math
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.spec import load

GOLDENS = Path(__file__).parent.parent / "goldens"
REPRODUCTIONS = Path(__file__).parent.parent.parent / "reproductions"
TOLERANCE = 1e-9


def paper_of(paper):
    """The validated paper.yaml."""
    return load(REPRODUCTIONS / paper / "paper.yaml")


def config_of(paper, variant):
    """The hyper-parameters of a variant; an input size after an @ is ignored."""
    return next(v.config for v in paper_of(paper).variants if v.name == variant.partition("@")[0])


def golden_names(paper):
    return sorted(path.stem for path in (GOLDENS / paper).glob("*.json"))


def golden(paper, name):
    return json.loads((GOLDENS / paper / f"{name}.json").read_text())


def official_fill(name, shape):
    """The value that golden records give to the official tensor of that name."""
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
    draw = np.random.Generator(np.random.PCG64(seed)).standard_normal(shape)
    leaf = name.rsplit(".", 1)[-1]
    if leaf == "running_var":
        return 0.5 + np.abs(draw)
    if leaf in ("running_mean", "bias"):
        return 0.1 * draw
    if len(shape) >= 2:
        return draw / math.sqrt(math.prod(shape[1:]))
    return (1.0 if leaf == "weight" else 0.5) + 0.1 * draw


def official_state(record, kept=None):
    """The official state dict of a golden record; `kept` holds the constants of the constructor, 0 where absent."""
    state = {}
    for name, shape, dtype, how in record["state"]:
        if how == "filled":
            value = torch.from_numpy(np.asarray(official_fill(name, tuple(shape)))).to(getattr(torch, dtype))
            for rule in record.get("rescale", ()):
                if name.endswith(rule["name_ends_with"]):
                    value = value * rule["multiply_by"]
        else:
            value = (kept or {}).get(name, torch.zeros(shape, dtype=getattr(torch, dtype)))
        state[name] = value
    return state


def official_input(record):
    shape, seed = record["input"]["shape"], record["input"]["seed"]
    return torch.from_numpy(np.random.Generator(np.random.PCG64(seed)).standard_normal(shape))


def load_golden(paper, name, config=None, kept=None):
    """The record and our model in eval mode, with the record's weights and dtype."""
    record = golden(paper, name)
    official = import_module(f"reproductions.{paper}.official")
    model = official.from_official(config or config_of(paper, name), official_state(record, kept))
    return record, model.to(getattr(torch, record["dtype"])).eval()


def compare(record, found):
    """The largest difference to the record, relative to the root mean square of the output it is in."""
    assert found.keys() == record["outputs"].keys()
    worst = 0.0
    for name, expected in record["outputs"].items():
        out = found[name].detach().double()
        assert list(out.shape) == expected["shape"]
        rows = out.reshape(out.shape[0] if out.dim() > 1 else 1, -1)
        scale = expected["l2"] / math.sqrt(out.numel())
        head, tail = (torch.tensor(expected[part], dtype=torch.float64) for part in ("head", "tail"))
        worst = max(
            worst,
            ((rows[:, :32] - head).abs().max() / scale).item(),
            ((rows[:, -8:] - tail).abs().max() / scale).item(),
            abs(out.norm().item() / expected["l2"] - 1),
        )
    return worst


def check_golden(paper, name, config=None, kept=None):
    """Our outputs equal the official ones; returns by how much they differ."""
    record, model = load_golden(paper, name, config, kept)
    assert sum(p.numel() for p in model.parameters()) == record["params"]
    official = import_module(f"reproductions.{paper}.official")
    with torch.inference_mode():
        found = official.outputs(model, official_input(record).to(getattr(torch, record["dtype"])))
    worst = compare(record, found)
    assert worst < (TOLERANCE if record["dtype"] == "float64" else 1e-4), worst
    return worst


def check_strict_loading(paper, name, config=None, kept=None):
    """A missing, a surplus and a misshapen entry are refused by their official names."""
    record = golden(paper, name)
    config = config or config_of(paper, name)
    state = official_state(record, kept)
    from_official = import_module(f"reproductions.{paper}.official").from_official
    entry = next(n for n, shape, *_ in reversed(record["state"]) if shape)
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
    """The whole model is one graph that gives the same logits, in inference and in training."""
    model.eval()
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    with torch.no_grad():
        torch.testing.assert_close(compiled(x), model(x), rtol=1e-4, atol=1e-5)
    compiled(x).sum().backward()


def check_memory_formats(model, x):
    """A picture in channels-last memory, or one cut out of a larger one, gives the same logits."""
    model.eval()
    wide = torch.nn.functional.pad(x, (0, 3))
    with torch.no_grad():
        expected = model(x)
        torch.testing.assert_close(model(x.contiguous(memory_format=torch.channels_last)), expected)
        torch.testing.assert_close(model(wide[..., : x.shape[-1]]), expected)
