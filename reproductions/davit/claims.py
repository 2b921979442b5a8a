"""The experiments behind DaViT's headline claims."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from claimbench.bench.papers.claims import ClaimContext, ClaimResult, Evidence
from claimbench.reproductions.attention import SelfAttention
from claimbench.reproductions.costs import growth, macs
from claimbench.reproductions.davit.attention import ChannelAttention, WindowAttention
from claimbench.reproductions.judging import concluded

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


FULL = "self-attention"
ATTENTIONS: dict[str, Callable[[], nn.Module]] = {
    "channel attention": _channel,
    "window attention": _window,
    FULL: _full,
}


def linear_cost(context: ClaimContext) -> ClaimResult:
    """Count the multiply-adds of both attentions and of full self-attention over the number of positions."""
    positions = tuple(side * side for side in SIDES)
    evidence, powers = [], {}
    for name, make in ATTENTIONS.items():
        costs = tuple(float(macs(make(), (1, side, side, DIM))) for side in SIDES)
        powers[name] = growth(positions, costs)
        evidence.append(Evidence(f"power of the positions with which the multiply-adds of {name} grow", powers[name]))
    limits = (
        f"Multiply-adds of one layer, {SIDES[0]} to {SIDES[-1]} positions a side. Windows that do not divide the map "
        "are filled up, which costs up to one window a side."
    )
    parts: dict[str, bool | None] = {name: abs(powers[name] - 1) < LINEAR for name in ATTENTIONS if name != FULL}
    return concluded(parts, evidence, limits)


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
