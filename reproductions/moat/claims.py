"""The experiments behind MOAT's headline claims."""

from __future__ import annotations

import torch
from timm.layers import Mlp
from torch import Tensor, nn

from claimbench.bench.papers.claims import ClaimContext, ClaimResult, Evidence
from claimbench.reproductions.costs import macs, parameters
from claimbench.reproductions.judging import concluded
from claimbench.reproductions.moat.attention import WindowAttention
from claimbench.reproductions.moat.blocks import Block, MBConv

TINY_ROWS = {
    "tiny_moat_0": ("3.4", "1.1"),
    "tiny_moat_1": ("5.1", "1.6"),
    "tiny_moat_2": ("9.8", "3.0"),
    "tiny_moat_3": ("19.5", "6.0"),
}
WIDTH, SIDE = 384, 14  # the third stage of MOAT-0


def tiny_models_cost(context: ClaimContext) -> ClaimResult:
    """Compare parameters and multiply-adds of the tiny models with the document's, to the digits it prints."""
    evidence, agree = [], []
    for name, (size, work) in TINY_ROWS.items():
        for metric, unit, scale, reported in (("params", "params", 1e6, size), ("macs", "MAC", 1e9, work)):
            measured = context.measure(name, "model", metric)
            evidence.append(Evidence(f"{name} {metric}", measured, unit, f"{reported} {'M' if scale == 1e6 else 'G'}"))
            if measured is not None and metric == "params":
                agree.append(abs(measured / scale - float(reported)) <= 0.05)
    if not agree:
        return ClaimResult("untested", tuple(evidence), "No size of a tiny model was counted.")
    parts: dict[str, bool | None] = {"better accuracy": None}
    if not all(agree):
        parts["sizes as printed"] = False
    limits = "The sizes alone show nothing; accuracies need the official TensorFlow checkpoints and ImageNet-1K."
    return concluded(parts, evidence, limits)


def _mbconv(dim: int, kernel_size: int = 3) -> MBConv:
    return MBConv(dim, dim, 1, 4, None, kernel_size, 2, 0.0)


class SideBySide(nn.Module):
    """An MBConv block, then a transformer block of attention and an MLP of four times the width."""

    def __init__(self, dim: int, head_size: int) -> None:
        super().__init__()
        self.mbconv = _mbconv(dim)
        self.attention = WindowAttention(dim, head_size, None, SIDE, 1e-5)
        self.norm = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, 4 * dim)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C, H, W)."""
        x = self.mbconv(x)
        x = x + self.attention(x)
        return x + self.mlp(self.norm(x.permute(0, 2, 3, 1))).permute(0, 3, 1, 2)


def merged_block_is_cheaper(context: ClaimContext) -> ClaimResult:
    """Count one MOAT block against an MBConv block and a transformer block of the same width."""
    merged = Block(_mbconv(WIDTH), WindowAttention(WIDTH, 32, None, SIDE, 1e-5), 0.0)
    separate = SideBySide(WIDTH, 32)
    shape = (1, WIDTH, SIDE, SIDE)
    size, work = parameters(merged) / parameters(separate), macs(merged, shape) / macs(separate, shape)
    evidence = (
        Evidence("parameters of the MOAT block over those of both blocks", size),
        Evidence("multiply-adds of the MOAT block over those of both blocks", work),
    )
    limits = (
        f"It has {size:.2f}x the parameters and {work:.2f}x the multiply-adds; that it is more accurate needs training."
    )
    return concluded({"better accuracy": None}, evidence, limits)


def _reach(kernel_size: int, blocks: int, window: int, side: int) -> float:
    """Return the share of positions outside its window that an output position depends on."""
    generator = torch.Generator().manual_seed(0)
    layers = [
        Block(_mbconv(8, kernel_size), WindowAttention(8, 8, (window, window), None, 1e-5), 0.0) for _ in range(blocks)
    ]
    network = nn.Sequential(*layers).eval().double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * 0.3)
    x = torch.randn(1, 8, side, side, generator=generator, dtype=torch.float64).requires_grad_()
    network(x)[0, :, 0, 0].sum().backward()
    assert x.grad is not None
    seen = x.grad.abs().sum((0, 1)) > 0
    seen[:window, :window] = False
    return seen.sum().item() / (side**2 - window**2)


def convolution_links_windows(context: ClaimContext) -> ClaimResult:
    """Follow gradients through blocks with windows that do not shift, with and without the depthwise convolution."""
    window, side = 4, 16
    reached = {blocks: _reach(3, blocks, window, side) for blocks in (1, 2, 3, 4)}
    without = _reach(1, 4, window, side)
    evidence = [
        Evidence(f"{blocks} blocks: share of positions outside its window that a corner depends on", share)
        for blocks, share in reached.items()
    ]
    evidence.append(Evidence("4 blocks whose convolution is 1x1: the same share", without, "", "0"))
    linked = reached[1] > 0 and reached[4] == 1 and without == 0
    limits = f"Windows of {window}x{window} on a map of {side}x{side}, random weights; what suffices needs training."
    return concluded({"a way across windows": linked, "accuracy without shifting": None}, evidence, limits)
