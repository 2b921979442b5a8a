"""Counts of one model by this suite: the whole, its layers alone, its other states, its parameters."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from claimbench.bench.measure import flops
from claimbench.bench.measure.counters.catalogue import HEADS
from claimbench.bench.measure.counters.packages import Tally, quiet

_PAIRWISE = ("bmm", "baddbmm", "scaled_dot_product")
"""Parts of the names of operators that multiply two activations."""


def macs(model: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tally, Tally | None]:
    """Return the multiply-adds of a forward pass, and those without its classifier if it has one."""
    counted = flops.count(copy.deepcopy(model), inputs)
    shares = {_plain(name): value // 2 for name, value in counted.by_operator.items()}
    head = sum(value for name, value in counted.by_module.items() if name in HEADS)
    return Tally(counted.flops / 2, shares), Tally((counted.flops - head) / 2) if head else None


def products(model: nn.Module, inputs: tuple[Tensor, ...], *, training: bool = False) -> Tally:
    """Return the count of torch's counter as it is, forward only; a mode changes what a model computes."""
    with quiet(), FlopCounterMode(display=False) as counter:
        model.train(training)(*inputs)
    by_operator = counter.get_flop_counts().get("Global", {})
    return Tally(counter.get_total_flops(), {_plain(str(name)): value for name, value in by_operator.items() if value})


def layers(counted: Tally) -> Tally:
    """Return the multiply-adds of convolutions and linear layers alone, from the count of :func:`products`."""
    shares = {name: value // 2 for name, value in counted.shares.items() if not any(part in name for part in _PAIRWISE)}
    return Tally(sum(shares.values()), shares)


def reparameterized(model: nn.Module) -> nn.Module | None:
    """Return a copy whose modules are merged by their own methods (as timm knows them); None if none has such."""
    from timm.utils.model import reparameterize_model

    methods = ("switch_to_deploy", "reparameterize", "fuse")
    if not any(hasattr(module, name) for module in model.modules() for name in methods):
        return None
    return reparameterize_model(copy.deepcopy(model))


def parameters(model: nn.Module) -> Iterator[tuple[str, Tally]]:
    """Yield the number of parameters by each way of counting them."""
    every = sum(p.numel() for p in model.parameters())
    head = {id(p): p.numel() for name, child in model.named_children() if name in HEADS for p in child.parameters()}
    yield "params", Tally(every)
    yield "params_trainable", Tally(sum(p.numel() for p in model.parameters() if p.requires_grad))
    yield "params_without_head", Tally(every - sum(head.values()))
    yield "params_and_buffers", Tally(every + sum(b.numel() for b in model.buffers()))


def resized(inputs: tuple[Tensor, ...], size: int) -> tuple[Tensor, ...]:
    """Return a picture (B, C, side, side) of another side, without values."""
    (picture,) = inputs
    return (torch.empty((*picture.shape[:-2], size, size), device="meta", dtype=picture.dtype),)


def _plain(name: str) -> str:
    return name.rpartition(".")[2]
