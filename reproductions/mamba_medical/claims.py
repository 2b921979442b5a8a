"""The experiments behind the headline claims on state-space models."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import log, sqrt
from statistics import linear_regression, mean, stdev

import torch
from scipy import stats
from torch import Tensor, nn

from claimbench.bench.papers.claims import ClaimContext, ClaimResult, Evidence
from claimbench.reproductions.attention import SelfAttention
from claimbench.reproductions.costs import growth, macs, one_thread, peak_memory, stand_in_for_gpu, times
from claimbench.reproductions.judging import concluded, linear, quadratic
from claimbench.reproductions.layers import DepthwiseConv2d
from claimbench.reproductions.mamba_medical import competitive as small_networks
from claimbench.reproductions.mamba_medical import digits
from claimbench.reproductions.mamba_medical.mixer import MambaMixer
from claimbench.reproductions.mamba_medical.ss2d import SS2D

DIM, HEADS, WINDOW, STATES = 96, 3, 7, 16
SIDES = (14, 28, 56, 84, 112)
"""Of the maps on which costs are measured: 196 to 12544 tokens."""

FIELD_DIM, FIELD_SIDE, FIELD_DEPTH = 32, 28, 2
"""Channels, side of the map and number of layers of the receptive fields."""


def _ss2d(dim: int) -> nn.Module:
    return SS2D(dim, STATES)


def _vim(dim: int) -> nn.Module:
    return _OnTokens(MambaMixer(dim, STATES, scheme="v2", divide_out=True))


def _forward(dim: int) -> nn.Module:
    return _OnTokens(MambaMixer(dim, STATES))


def _attention(dim: int) -> nn.Module:
    return _OnTokens(SelfAttention(dim, HEADS if dim % HEADS == 0 else 2, qkv_bias=True))


def _windows(dim: int, side: int = WINDOW) -> nn.Module:
    return _InWindows(SelfAttention(dim, HEADS if dim % HEADS == 0 else 2, qkv_bias=True), side)


def _convolution(dim: int) -> nn.Module:
    return nn.Sequential(_ChannelsLast(DepthwiseConv2d(dim, 3)), nn.Linear(dim, dim))


SCANS: Mapping[str, Callable[[int], nn.Module]] = {"SS2D": _ss2d, "Vim's mixer": _vim}
OTHERS: Mapping[str, Callable[[int], nn.Module]] = {"attention": _attention, "window attention": _windows}
FIELDS: Mapping[str, Callable[[int], nn.Module]] = {
    **SCANS,
    "a mixer that scans forward only": _forward,
    "attention": _attention,
    "window attention": _windows,
    "3x3 convolution": _convolution,
}


def linear_cost(context: ClaimContext) -> ClaimResult:
    """Fit the growth of multiply-adds, memory and time of one layer from 196 to 12544 tokens."""
    torch.manual_seed(0)
    evidence: list[Evidence] = []
    parts: dict[str, bool | None] = {}
    for name, make in {**SCANS, **OTHERS}.items():
        costs, interval = _costs(partial(make, DIM))
        evidence += [Evidence(f"{name}: {cost}, exponent of their growth with tokens", p) for cost, p in costs.items()]
        if interval is not None:
            ends = zip(("lower", "upper"), interval, strict=True)
            evidence += [Evidence(f"{name}: time, {end} end of the exponent's 95 % interval", p) for end, p in ends]
        if name in SCANS:
            parts |= linear(costs, name)
        elif name == "attention":
            parts |= quadratic({cost: costs[cost] for cost in ("MACs", "time")}, name)
    limits = (
        f"One layer of {DIM} channels and {STATES} states without gradients, one CPU core; memory is that of tensors "
        "between operators, and PyTorch's fused attention holds no scores."
    )
    return concluded(parts, evidence, limits, stand_in=stand_in_for_gpu())


def _costs(make: Callable[[], nn.Module]) -> tuple[dict[str, float | None], tuple[float, float] | None]:
    """Return the exponents of a layer's MACs, memory and time over tokens, and the interval of the last."""
    tokens = [side * side for side in SIDES]
    shapes = [(1, side, side, DIM) for side in SIDES]
    work = [float(macs(make(), shape)) for shape in shapes]
    layer = make().eval()
    runs = {str(shape[1]): partial(layer, torch.randn(shape)) for shape in shapes}
    with one_thread():
        seconds = times(runs)
    fitted = fitted_power(tokens, list(seconds.values()))
    memory = growth(tokens, [float(peak_memory(run)) for run in runs.values()])
    return {"MACs": growth(tokens, work), "memory": memory, "time": fitted and fitted[0]}, fitted and fitted[1:]


def fitted_power(
    sizes: Sequence[int], costs: Sequence[float], least: float = 2e-3
) -> tuple[float, float, float] | None:
    """Return the exponent of the power of the size that fits the costs best, and the ends of its 95 % interval.

    Costs below ``least`` are left out; None if fewer than three remain.
    """
    pairs = [(log(size), log(cost)) for size, cost in zip(sizes, costs, strict=True) if cost >= least]
    freedom = len(pairs) - 2
    if freedom < 1:
        return None
    slope, start = linear_regression(*zip(*pairs, strict=True))
    centre = mean(x for x, _ in pairs)
    residual = sum((y - start - slope * x) ** 2 for x, y in pairs)
    half = _student(freedom) * sqrt(residual / freedom / sum((x - centre) ** 2 for x, _ in pairs))
    return slope, slope - half, slope + half


def _student(freedom: int) -> float:
    """Return half the width of a 95 % interval in standard errors."""
    return float(stats.t.ppf(0.975, freedom))


def global_receptive_field(context: ClaimContext) -> ClaimResult:
    """Find by the gradient the positions that the centre of two layers depends on, and how its weight spreads.

    The spread is found again behind two layers that learned digits for a short time.
    """
    torch.manual_seed(0)
    evidence, reaches = [], {}
    for name, make in FIELDS.items():
        field = _field(make)
        reaches[name] = float((field > 0).double().mean())
        evidence.append(Evidence(f"{name}: share of the positions that reach the centre", reaches[name]))
        evidence.append(Evidence(f"{name}: share of the positions with nine tenths of the gradient", _spread(field)))
    parts: dict[str, bool | None] = {name: reaches[name] == 1 for name in SCANS}
    parts |= {f"{name} stays local": reaches[name] < 0.5 for name in ("window attention", "3x3 convolution")}
    learning: dict[str, Callable[[int], nn.Module]] = {**FIELDS, "window attention": partial(_windows, side=4)}
    for name, make in learning.items():
        for steps, when in ((0, "at the start"), (digits.STEPS, "after training")):
            spread = _spread(_digit_field(make, steps))
            evidence.append(Evidence(f"{name} on digits, {when}: share of the positions with nine tenths", spread))
    limits = (
        f"{FIELD_DEPTH} layers with shortcuts on a {FIELD_SIDE}x{FIELD_SIDE} map at random start, and 8x8 digits for "
        f"{digits.STEPS} steps: what a position can depend on decides, and the spread of its weight only informs."
    )
    return concluded(parts, evidence, limits, main=tuple(SCANS))


def _field(make: Callable[[int], nn.Module]) -> Tensor:
    """Return the size of the gradient of the central output at every position (H, W), in float64."""
    layers = nn.Sequential(*(_Residual(FIELD_DIM, make) for _ in range(FIELD_DEPTH))).double()
    return _gradient(layers, torch.randn(1, FIELD_SIDE, FIELD_SIDE, FIELD_DIM, dtype=torch.float64))


def _digit_field(make: Callable[[int], nn.Module], steps: int) -> Tensor:
    """Return the same for two layers that learned digits for so many steps, summed over some digits."""
    model = digits.fit(lambda: digits.classifier(lambda: _Residual(digits.DIM, make)), 0, steps)
    return _gradient(digits.blocks_of(model), digits.pictures(16))


def _gradient(layers: nn.Module, x: Tensor) -> Tensor:
    """Return the size of the gradient of the central outputs at every position (H, W) of (B, H, W, C)."""
    x = x.clone().requires_grad_()
    out: Tensor = layers(x)
    (grad,) = torch.autograd.grad(out[:, x.shape[1] // 2, x.shape[2] // 2].sum(), x)
    return grad.abs().sum((0, -1))


def _spread(field: Tensor) -> float:
    """Return the least share of the positions that hold nine tenths of a field."""
    ordered = field.flatten().sort(descending=True).values.cumsum(0)
    return float((ordered < 0.9 * ordered[-1]).sum() + 1) / field.numel()


def scan_order(context: ClaimContext) -> ClaimResult:
    """Train one small network for each order of scanning on handwritten digits, and swap the axes of test pictures."""
    found = {scans: [digits.trained(scans, seed) for seed in range(digits.SEEDS)] for scans in digits.ORDERS}
    evidence = []
    for scans, each in found.items():
        evidence.append(Evidence(f"{scans}: accuracy", mean(one.upright for one in each)))
        evidence.append(
            Evidence(f"{scans}: accuracy on pictures with their axes swapped", mean(o.swapped for o in each))
        )
    parts: dict[str, bool | None] = {}
    for better, than in (("cross2d", "unidi"), ("bidi", "unidi"), ("cross2d", "bidi")):
        gains = [a.upright - b.upright for a, b in zip(found[better], found[than], strict=True)]
        middle, half = mean(gains), _student(len(gains) - 1) * stdev(gains) / sqrt(len(gains))
        name = f"{better} over {than}"
        evidence.append(Evidence(f"{name}: accuracy gained", middle))
        evidence.append(Evidence(f"{name}: half of the gain's 95 % interval over seeds", half))
        parts[name] = None if abs(middle) <= half else middle > 0
    limits = (
        f"{digits.DEPTH} blocks, equal parameters, {digits.STEPS} steps and {digits.SEEDS} seeds; "
        "a gain whose interval holds zero is not decided. The cascade has further norms inside: another block."
    )
    return concluded(parts, evidence, limits, stand_in="on digits of 8x8 pixels")


def competitive(context: ClaimContext) -> ClaimResult:
    """Compare small networks with Mamba and without, as ``bench train mamba_medical`` left them."""
    return small_networks.compared(context)


class _Residual(nn.Module):
    """x + layer(norm(x)) for maps (B, H, W, C)."""

    def __init__(self, dim: int, make: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.norm, self.layer = nn.LayerNorm(dim), make(dim)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, H, W, C)."""
        return x + self.layer(self.norm(x))


class _ChannelsLast(nn.Module):
    """A layer of maps (B, C, H, W) as one of maps (B, H, W, C)."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, H, W, C)."""
        found: Tensor = self.layer(x.permute(0, 3, 1, 2))
        return found.permute(0, 2, 3, 1)


class _OnTokens(nn.Module):
    """A mixer of tokens (B, L, C) as one of maps (B, H, W, C), row by row."""

    def __init__(self, mixer: nn.Module) -> None:
        super().__init__()
        self.mixer = mixer

    def forward(self, x: Tensor) -> Tensor:
        """Mix (B, H, W, C)."""
        return self.mixer(x.flatten(1, 2)).view(x.shape)


class _InWindows(nn.Module):
    """A mixer of tokens within square windows, of whose side those of maps are multiples."""

    def __init__(self, mixer: nn.Module, side: int) -> None:
        super().__init__()
        self.mixer, self.side = mixer, side

    def forward(self, x: Tensor) -> Tensor:
        """Mix (B, H, W, C)."""
        batch, height, width, channels = x.shape
        side = self.side
        windows = x.view(batch, height // side, side, width // side, side, channels).transpose(2, 3)
        mixed: Tensor = self.mixer(windows.reshape(-1, side * side, channels))
        return mixed.view(windows.shape).transpose(2, 3).reshape(x.shape)
