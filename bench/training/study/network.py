"""The one small network that every mixer is put into, with parameters made equal by the width of its MLPs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from claimbench.bench.core.errors import UserError
from claimbench.bench.training.study.setting import Setting

Mixer = Callable[[int, int], nn.Module]
"""``mixer(dim, size)`` makes a token mixer: (B, dim, size, size) to the same shape."""

TOLERANCE = 0.02
"""The largest difference between the parameters of two arms, relative to the block's."""

RATIOS = (0.5, 16.0)
"""The narrowest and the widest MLP, over the channels, that still is one."""


def norm(dim: int) -> nn.Module:
    """Return a norm over the channels and positions of a map, as the networks of MetaFormer (arXiv 2111.11418) have."""
    return nn.GroupNorm(1, dim)


class Block(nn.Module):
    """x + mixer(norm(x)), then x + mlp(norm(x))."""

    def __init__(self, dim: int, mixer: nn.Module, hidden: int) -> None:
        super().__init__()
        self.norm1 = norm(dim)
        self.mixer = mixer
        self.norm2 = norm(dim)
        self.mlp = nn.Sequential(nn.Conv2d(dim, hidden, 1), nn.GELU(), nn.Conv2d(hidden, dim, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(B, dim, size, size) to the same shape."""
        x = x + self.mixer(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Network(nn.Module):
    """A convolutional stem and a position embedding, stages of blocks with a halving convolution between, mean, linear.

    The position embedding is there so that a counterpart without knowledge of its tokens' positions, such as plain
    attention, is not beaten for that reason alone.

    Args:
        mixer: makes the mixer of a block.
        setting: the stages.
        hidden: the width of the MLPs of each stage.
        classes: the width of the output.
    """

    def __init__(self, mixer: Mixer, setting: Setting, hidden: Sequence[int], classes: int) -> None:
        super().__init__()
        dims, sides = setting.dims, setting.sides()
        self.stem = nn.Sequential(*_stem(dims[0], setting.stride))
        self.position = nn.Parameter(torch.zeros(1, dims[0], sides[0], sides[0]))
        stages: list[nn.Module] = []
        for i, (dim, depth, side) in enumerate(zip(dims, setting.depths, sides, strict=True)):
            if i:
                stages += [norm(dims[i - 1]), nn.Conv2d(dims[i - 1], dim, 3, 2, 1)]
            stages += [Block(dim, mixer(dim, side), hidden[i]) for _ in range(depth)]
        self.stages = nn.Sequential(*stages)
        self.norm = norm(dims[-1])
        self.head = nn.Linear(dims[-1], classes)
        nn.init.trunc_normal_(self.position, std=0.02)
        nn.init.trunc_normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (B, classes) for pictures (B, 1, size, size)."""
        x = self.stem(x) + self.position
        return self.head(self.norm(self.stages(x)).mean((2, 3)))


def _stem(dim: int, stride: int) -> list[nn.Module]:
    """Return 3 x 3 convolutions, the first ones halving, that reduce the side by ``stride``."""
    if stride == 4:
        return [nn.Conv2d(1, dim // 2, 3, 2, 1), nn.GELU(), nn.Conv2d(dim // 2, dim, 3, 2, 1), norm(dim)]
    return [nn.Conv2d(1, dim, 3, stride, 1), norm(dim)]


def widths(setting: Setting, ratio: float) -> tuple[int, ...]:
    """Return the hidden width of each stage's MLPs at a ratio to the channels."""
    return tuple(max(1, round(ratio * dim)) for dim in setting.dims)


def parameters(model: nn.Module) -> int:
    """Return the number of parameters."""
    return sum(p.numel() for p in model.parameters())


def equal_widths(setting: Setting, block: int, counterpart: int) -> tuple[int, ...]:
    """Return the counterpart's MLP widths at which both arms have the same number of parameters.

    Args:
        setting: the network.
        block, counterpart: the parameters of both arms with MLPs of ``setting.mlp_ratio``.

    Raises:
        UserError: no width brings them within 2 %.
    """
    fixed = counterpart - _mlps(setting, widths(setting, setting.mlp_ratio))
    least, most = (round(bound * setting.dims[0]) for bound in RATIOS)
    tried = [widths(setting, step / setting.dims[0] / 4) for step in range(4 * least, 4 * most + 1)]
    best = min(tried, key=lambda hidden: abs(fixed + _mlps(setting, hidden) - block))
    check_equal(block, fixed + _mlps(setting, best), f"with MLPs of {RATIOS[0]:g} to {RATIOS[1]:g} times the channels")
    return best


def check_equal(block: int, counterpart: int, how: str) -> None:
    """Refuse arms whose parameters are more than 2 % apart.

    Raises:
        UserError: they are; says both numbers.
    """
    if abs(counterpart - block) > TOLERANCE * block:
        raise UserError(
            f"its block and its counterpart cannot be compared: {block} and {counterpart} parameters {how} are "
            f"{abs(counterpart / block - 1):.1%} apart, and {TOLERANCE:.0%} is allowed"
        )


def _mlps(setting: Setting, hidden: Sequence[int]) -> int:
    """Return the parameters of all MLPs."""
    stages = zip(setting.dims, setting.depths, hidden, strict=True)
    return sum(depth * (2 * dim * width + width + dim) for dim, depth, width in stages)
