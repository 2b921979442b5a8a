"""The public counters, called as their users call them, on one sample.

Operators of this suite run on their reference form, where they are plain PyTorch calls. Counters with hooks know a
module by its exact class: this suite's subclasses of torch's layers stand for those layers, and are counted by the same
hooks.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from claimbench.bench.measure import fvcore_count
from claimbench.bench.measure.counters.catalogue import COUNTERS
from claimbench.kernels import backend

OURS = "claimbench."


@dataclass(frozen=True)
class Tally:
    """The count of one counter: its figure as it returns it, and the part of each operator or layer, if it says so."""

    value: int | float
    shares: dict[str, int] = field(default_factory=dict)


@contextlib.contextmanager
def quiet() -> Iterator[io.StringIO]:
    """Run the block on the reference form without gradients, and keep what is printed; torch is left as it was."""
    said = io.StringIO()
    level = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with contextlib.ExitStack() as stack:
            stack.enter_context(warnings.catch_warnings())
            stack.enter_context(backend.use("reference"))
            stack.enter_context(torch.no_grad())
            stack.enter_context(contextlib.redirect_stdout(said))
            stack.enter_context(restored())
            warnings.simplefilter("ignore")
            yield said
    finally:
        logging.disable(level)


@contextlib.contextmanager
def restored() -> Iterator[None]:
    """Undo at the end of the block what it has put in the place of torch's functions: counters that fail leave them."""
    owners = (F, torch, torch.Tensor)
    before = [dict(vars(owner)) for owner in owners]
    try:
        yield
    finally:
        for owner, kept in zip(owners, before, strict=True):
            for name, value in list(vars(owner).items()):
                if name not in kept and owner is torch.Tensor:
                    delattr(owner, name)
                elif name in kept and value is not kept[name]:
                    setattr(owner, name, kept[name])


def fvcore(model: nn.Module, inputs: tuple[Tensor, ...]) -> dict[str, Tally]:
    """Count with fvcore's own handlers, and with those for fused attention added where the model has any."""
    with torch.no_grad():
        found = fvcore_count.count(model, inputs)
    own = {name: value for name, value in found.by_operator.items() if name not in found.added}
    tallies = {"fvcore": Tally(found.own, own)}
    return tallies | ({"fvcore_attention": Tally(found.total, found.by_operator)} if found.added else {})


def thop(model: nn.Module, inputs: tuple[Tensor, ...]) -> dict[str, Tally]:
    """Count with thop's ``profile``."""
    with quiet():
        import thop
        from thop.profile import register_hooks

        rules = _rules_for_ours(model, register_hooks)
        value, _, layers = thop.profile(model, inputs, custom_ops=rules, verbose=False, ret_layer_info=True)
    shares: Counter[str] = Counter()
    _add_layers(model, layers, shares)
    return {"thop": Tally(value, {name: part for name, part in shares.items() if part})}


def _add_layers(model: nn.Module, layers: dict[str, Any], shares: Counter[str]) -> None:
    """Add thop's nested counts up by the class of the layer."""
    for name, (operations, _, inside) in layers.items():
        child = model.get_submodule(name)
        shares[type(child).__name__] += int(operations) if not inside else 0
        _add_layers(child, inside, shares)


def ptflops(model: nn.Module, inputs: tuple[Tensor, ...]) -> dict[str, Tally]:
    """Count with ptflops as it is by default: hooks on modules, and wrappers of functional calls."""
    return {"ptflops": _ptflops(model, inputs, "pytorch", {})}


def ptflops_modules(model: nn.Module, inputs: tuple[Tensor, ...]) -> dict[str, Tally]:
    """Count with the hooks of ptflops alone, as its versions before 0.6.8 and their copies in mmcv do."""
    return {"ptflops_modules": _ptflops(model, inputs, "pytorch", {"count_functional": False})}


def ptflops_aten(model: nn.Module, inputs: tuple[Tensor, ...]) -> dict[str, Tally]:
    """Count with the backend of ptflops that sees torch's operators."""
    return {"ptflops_aten": _ptflops(model, inputs, "aten", {})}


def _ptflops(model: nn.Module, inputs: tuple[Tensor, ...], kind: str, config: dict[str, Any]) -> Tally:
    if len(inputs) != 1:
        raise ValueError(f"ptflops gives a model one tensor, and this one takes {len(inputs)}")
    with quiet() as said:
        from ptflops import get_model_complexity_info
        from ptflops.pytorch_ops import MODULES_MAPPING

        rules = _rules_for_ours(model, MODULES_MAPPING)
        with contextlib.redirect_stderr(io.StringIO()):
            value, _ = get_model_complexity_info(
                model,
                tuple(inputs[0].shape[1:]),
                print_per_layer_stat=False,
                as_strings=False,
                input_constructor=lambda shape: inputs[0],
                custom_modules_hooks=rules if kind == "pytorch" else {},
                backend=kind,
                backend_specific_config=config,
            )
    if value is None:
        raise ValueError(said.getvalue().partition("exception:")[2].strip() or "ptflops did not finish")
    return Tally(int(value))


def calflops(model: nn.Module, inputs: tuple[Tensor, ...]) -> dict[str, Tally]:
    """Count with calflops, which tells multiply-adds and operations apart."""
    with quiet():
        from calflops import calculate_flops

        flops, macs, _ = calculate_flops(model, args=list(inputs), print_results=False, output_as_string=False)
    return {"calflops_macs": Tally(macs), "calflops_flops": Tally(flops)}


def _rules_for_ours(model: nn.Module, rules: dict[Any, Any]) -> dict[type, Callable[..., None]]:
    """Return a counter's rules for this suite's classes of layers: those of the classes of torch's that they refine."""
    mine = {type(module) for module in model.modules() if type(module).__module__.startswith(OURS)}
    bases = {own: next((base for base in own.__mro__[1:] if base in rules), None) for own in mine - rules.keys()}
    return {own: _channels_first(rules[base]) for own, base in bases.items() if base not in (None, nn.Sequential)}


def _channels_first(rule: Callable[..., None]) -> Callable[..., None]:
    """Return a rule for convolutions (B, C, H, W) that is right for those that work on maps (B, H, W, C) too."""

    def counted(module: nn.Module, given: tuple[Tensor, ...], out: Tensor) -> None:
        channels = getattr(module, "out_channels", None)
        if channels is not None and out.dim() == 4 and out.shape[1] != channels == out.shape[-1]:
            given, out = (given[0].permute(0, 3, 1, 2),), out.permute(0, 3, 1, 2)
        rule(module, given, out)

    return counted


def missed(model: nn.Module, seen: Tally, layers: Tally) -> float:
    """Return the fraction of the layers' multiply-adds that hooks do not see, from what thop sees by class of layer."""
    kinds = (nn.Linear, nn.modules.conv._ConvNd)
    classes = {type(module).__name__ for module in model.modules() if isinstance(module, kinds)}
    return 1 - sum(seen.shares.get(name, 0) for name in classes) / layers.value if layers.value else 0.0


Package = Callable[[nn.Module, tuple[Tensor, ...]], dict[str, Tally]]
PACKAGES: dict[str, tuple[Package, bool]] = {
    "thop": (thop, True),
    "ptflops_modules": (ptflops_modules, True),
    "ptflops": (ptflops, True),
    "ptflops_aten": (ptflops_aten, True),
    "fvcore": (fvcore, False),
    "calflops": (calflops, True),
}
"""The calls in the order in which they are made, and whether each works on the meta device: a tracer does not."""


HOOKED = ("thop", "ptflops_modules", "ptflops")
"""Counters that see layers only where they are modules."""


def names(package: str) -> list[str]:
    """Return the names of the counters that a call gives; one of them is not there for every model."""
    return [name for name in COUNTERS if name == package or (package == "calflops" and name.startswith(package))]
