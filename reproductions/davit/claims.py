"""The experiments behind DaViT's headline claims."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from claimbench.bench.papers.claims import ClaimContext, ClaimResult, Evidence
from claimbench.reproductions.attention import SelfAttention
from claimbench.reproductions.costs import growth, macs, times
from claimbench.reproductions.davit.attention import ChannelAttention, WindowAttention

DIM, HEADS, WINDOW = 96, 3, 7  # of the first stage of DaViT-T, at 56 x 56 for pictures of 224
SIDES = (28, 56, 112)
LINEAR = 0.02
"""The largest distance from one of an exponent that counts as linear growth."""


def _channel() -> nn.Module:
    return ChannelAttention(DIM, HEADS, True)


def _window() -> nn.Module:
    return WindowAttention(DIM, HEADS, WINDOW, True)


def _full() -> nn.Module:
    return nn.Sequential(nn.Flatten(1, 2), SelfAttention(DIM, HEADS, True))


ATTENTIONS: dict[str, Callable[[], nn.Module]] = {
    "channel attention": _channel,
    "window attention": _window,
    "self-attention": _full,
}


def linear_cost(context: ClaimContext) -> ClaimResult:
    """Count and time both attentions and full self-attention over the number of positions."""
    positions = tuple(side * side for side in SIDES)
    evidence, powers = [], {}
    for name, make in ATTENTIONS.items():
        costs = tuple(float(macs(make(), (1, side, side, DIM))) for side in SIDES)
        powers[name] = growth(positions, costs)
        evidence.append(Evidence(f"power of the positions with which the multiply-adds of {name} grow", powers[name]))
    maps = {side: torch.randn(1, side, side, DIM) for side in SIDES[:2]}
    for name, make in ATTENTIONS.items():
        module = make()
        seconds = times({str(side): partial(module, x) for side, x in maps.items()})
        small, large = (seconds[str(side)] for side in SIDES[:2])
        evidence.append(Evidence(f"the same for the time of {name} on the CPU", growth(positions[:2], (small, large))))
    limits = (
        "The verdict rests on the counted work; times of one batch on a CPU are evidence only. Windows that do not "
        "divide the map are filled up, which costs up to one window a side."
    )
    linear = all(abs(powers[name] - 1) < LINEAR for name in ("channel attention", "window attention"))
    return ClaimResult("holds" if linear and powers["self-attention"] > 1.1 else "fails", tuple(evidence), limits)


def _reach(attention: nn.Module, side: int) -> float:
    """Return the share of the positions that the centre of the attention's output depends on."""
    x = torch.randn(1, side, side, DIM, dtype=torch.float64, requires_grad=True)
    out: Tensor = attention.double()(x)
    (grad,) = torch.autograd.grad(out[0, side // 2, side // 2].sum(), x)
    return float((grad.abs().sum(-1) > 0).double().mean())


def receptive_field(context: ClaimContext) -> ClaimResult:
    """Find by the gradient the positions of a 28 x 28 map that one output position of each attention depends on."""
    torch.manual_seed(0)
    side = 28
    channel, window = _reach(_channel(), side), _reach(_window(), side)
    evidence = (
        Evidence("share of the positions that reach one output position of channel attention", channel),
        Evidence("the same for window attention", window),
    )
    limits = "What a position can depend on, not what it does depend on after training."
    return ClaimResult("holds" if channel == 1 and window == WINDOW**2 / side**2 else "fails", evidence, limits)
