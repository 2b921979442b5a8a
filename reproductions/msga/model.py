"""MS-Dual-Guided (arXiv 1906.02849) and the networks of its ablations, from one description."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from claimbench.reproductions.layers import channels_last
from claimbench.reproductions.msga.attention import AttentionLayer, Layers, MultiConv, SemanticModule
from claimbench.reproductions.msga.backbone import ResNeXt

SCALES = 4
STRIDE = 32
"""Heights and widths are multiples of it."""

Guide = tuple[Tensor, ...]
"""The input, the latent and the reconstruction of a semantic module, or nothing."""

ATTENTIONS = ("convolution", "position", "channel", "danet", "dual")


class BranchedAttention(nn.Module):
    """PAM and CAM side by side as in DANet, a convolution behind each and one behind their sum.

    The paper's count of parameters proves that there are these three; their places are those of the released code's
    unused ``conv6``, ``conv7`` and ``conv8``.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.position, self.channel = AttentionLayer(dim, position=True), AttentionLayer(dim, position=False)
        self.behind = nn.ModuleList(_dropped(dim) for _ in range(2))
        self.join = nn.Conv2d(dim, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the attention (B, C, h, w) for a map (B, 2C, h, w)."""
        return self.join(self.behind[0](self.position(x)) + self.behind[1](self.channel(x)))


class SingleStep(nn.Module):
    """Attention that weights the fused map once, then a refinement: the DAF baseline and its ablations."""

    def __init__(self, dim: int, attention: str) -> None:
        super().__init__()
        self.attention = nn.ModuleList(_attention(dim, attention) for _ in range(SCALES))
        self.refine = nn.ModuleList(MultiConv(2 * dim, dim) for _ in range(SCALES))

    def forward(self, maps: Sequence[Tensor], fused: Tensor) -> list[Tensor]:
        """Return the refined map (B, C, h, w) of each scale."""
        return [
            refine(torch.cat((each, attention(torch.cat((each, fused), 1)) * fused), 1))
            for each, attention, refine in zip(maps, self.attention, self.refine, strict=True)
        ]


class DualStep(nn.Module):
    """One step of PAM + CAM at each scale, weighted by the reconstruction of the semantic module that all scales share.

    Args:
        dim: channels.
        guided: whether there is a semantic module.
        shared_gate: whether one convolution of its reconstruction serves all scales, as the paper's count of
            parameters has it, and not one each, as the released code.
    """

    def __init__(self, dim: int, guided: bool, shared_gate: bool) -> None:
        super().__init__()
        self.position = nn.ModuleList(AttentionLayer(dim, position=True) for _ in range(SCALES))
        self.channel = nn.ModuleList(AttentionLayer(dim, position=False) for _ in range(SCALES))
        self.join = nn.ModuleList(nn.Conv2d(dim, dim, 1) for _ in range(SCALES))
        self.semantic = SemanticModule(2 * dim) if guided else None
        gates = (1 if shared_gate else SCALES) if guided else 0
        self.gates = nn.ModuleList(nn.Conv2d(2 * dim, dim, 3, padding=1) for _ in range(gates))

    def forward(self, scale: int, x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return the attention (B, C, h, w) of one scale for its map (B, 2C, h, w), and what guides it.

        These are the input, the latent and the reconstruction of the semantic module; nothing without guidance.
        """
        attended = self.position[scale](x) + self.channel[scale](x)
        if self.semantic is None:
            return self.join[scale](attended), ()
        latent, reconstruction = self.semantic(x)
        attended = attended * self.gates[scale % len(self.gates)](reconstruction)
        return self.join[scale](attended), (x, latent, reconstruction)


class MultiScaleAttention(nn.Module):
    """The network: pictures (B, in_chans, H, W) to logits (B, num_classes, H, W), H and W multiples of 32.

    ``attention`` of ``config`` is one of :data:`ATTENTIONS`; ``steps``, ``guided`` and ``shared_gate`` belong to
    ``dual``. ``unused`` adds the modules that the released code makes and never calls.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        attention, count = config.get("attention", "dual"), config.get("steps", 2)
        if attention not in ATTENTIONS:
            raise ValueError(f"attention must be one of {', '.join(ATTENTIONS)}, got {attention!r}")
        if count < 1:
            raise ValueError(f"steps must be at least 1, got {count}")
        dim, classes = config.get("dim", 64), config.get("num_classes", 5)
        backbone = config["backbone"]
        self.backbone = ResNeXt(
            config.get("in_chans", 1),
            backbone["layers"],
            backbone.get("planes", 64),
            backbone["groups"],
            backbone["group_width"],
        )
        self.reduce = nn.ModuleList(
            Layers(nn.Conv2d(channels, dim, 1), nn.BatchNorm2d(dim), nn.PReLU()) for channels in self.backbone.channels
        )
        self.fuse = MultiConv(SCALES * dim, dim)
        self.auxiliary = _heads(dim, classes)
        if attention == "dual":
            guided, shared = config.get("guided", True), config.get("shared_gate", False)
            self.steps = nn.ModuleList(DualStep(dim, guided, shared) for _ in range(count))
            # One step has no second one to read the weighted map: its predictions do, as the paper's count has it.
            width, groups = (2 * dim, 1) if count == 1 else (dim, count - 1)
            self.refined = nn.ModuleList(_heads(width, classes) for _ in range(groups))
        else:
            self.single = SingleStep(dim, attention)
            self.refined = nn.ModuleList([_heads(dim, classes)])
        self.unused = _unused(dim) if config.get("unused", False) else None
        self.apply(_start)
        self.to(memory_format=torch.channels_last)

    def features(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return the map of each scale, the finest first, and the fused map, all (B, dim, H / 4, W / 4)."""
        if x.shape[-2] % STRIDE or x.shape[-1] % STRIDE or not x.numel():
            raise ValueError(
                f"heights and widths must be multiples of {STRIDE}, got {x.shape[-2]}x{x.shape[-1]}: pad the picture"
            )
        maps = [reduce(each) for reduce, each in zip(self.reduce, self.backbone(channels_last(x)), strict=True)]
        maps = [maps[0], *(_resized(each, maps[0].shape[2:]) for each in maps[1:])]
        return maps, self.fuse(torch.cat(maps[::-1], 1))

    def refine(self, maps: list[Tensor], fused: Tensor, guides: list[list[Guide]] | None = None) -> list[list[Tensor]]:
        """Return what the predictions of each step are made from, by scale.

        ``guides`` takes the guides of each step, by scale; without it they are let go, which saves their memory.
        """
        if hasattr(self, "single"):
            return [self.single(maps, fused)]
        found: list[list[Tensor]] = []
        weighted = [fused] * SCALES
        for step in self.steps:
            found.append([])
            given = []
            for scale, own in enumerate(maps):
                attended, guide = step(scale, torch.cat((own, weighted[scale]), 1))
                found[-1].append(attended)
                given.append(guide if guides is not None else ())
            if guides is not None:
                guides.append(given)
            weighted = [attended * fused for attended in found[-1]]
        if len(found) > 1:
            return found[1:]
        return [[torch.cat(pair, 1) for pair in zip(maps, weighted, strict=True)]]

    def forward(self, x: Tensor) -> Tensor | dict[str, Any]:
        """Return the mean of the last step's logits over the scales; :meth:`supervised` in train mode."""
        if self.training:
            return self.supervised(x)
        refined = self.refine(*self.features(x))[-1]
        heads: Any = self.refined[-1]
        logits = [head(each) for head, each in zip(heads, refined, strict=True)]
        # Resizing is linear: the mean of the resized maps is the resized mean.
        return _resized(torch.stack(logits).mean(0), x.shape[2:])

    def supervised(self, x: Tensor) -> dict[str, Any]:
        """Return what the losses take (:func:`claimbench.reproductions.msga.losses.losses`).

        ``logits`` are all predictions at full size, those of the plain maps first; ``inputs``, ``latents`` and
        ``reconstructions`` lie by step and scale, the finest first.
        """
        maps, fused = self.features(x)
        guides: list[list[Guide]] = []
        groups: list[tuple[Any, list[Tensor]]] = [(self.auxiliary, maps)]
        groups += zip(self.refined, self.refine(maps, fused, guides), strict=True)
        logits = [
            _resized(head(each), x.shape[2:])
            for heads, group in groups
            for head, each in zip(heads, group, strict=True)
        ]
        guides = [guided for step in guides if (guided := [each for each in step if each])]
        kinds = ("inputs", "latents", "reconstructions")
        parts = {kind: [[each[i] for each in step] for step in guides] for i, kind in enumerate(kinds)}
        return {"logits": logits, **parts}


def build(config: Mapping[str, Any], form: str = "model") -> nn.Module:
    """Build the variant that ``config`` (``paper.yaml``) describes; there is one form, ``model``."""
    if form != "model":
        raise ValueError(f"msga has the form 'model' only, not {form!r}")
    return MultiScaleAttention(config)


def _resized(x: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(x, tuple(size), mode="bilinear", align_corners=False)


def _heads(channels: int, classes: int) -> nn.ModuleList:
    return nn.ModuleList(nn.Conv2d(channels, classes, 1) for _ in range(SCALES))


def _dropped(dim: int) -> nn.Sequential:
    return nn.Sequential(nn.Dropout2d(0.1), nn.Conv2d(dim, dim, 1))


def _attention(dim: int, kind: str) -> nn.Module:
    if kind == "convolution":
        return MultiConv(2 * dim, dim, weights=True, last_norm=False)
    return BranchedAttention(dim) if kind == "danet" else AttentionLayer(dim, position=kind == "position")


def _unused(dim: int) -> nn.ModuleDict:
    """Return the modules of the released code that its forward pass never calls."""
    modules: dict[str, nn.Module] = {}
    for scale in range(1, SCALES + 1):
        modules |= {f"conv6_{scale}": _dropped(dim), f"conv7_{scale}": _dropped(dim)}
        modules |= {
            f"attention{scale}": MultiConv(2 * dim, dim, weights=True),
            f"refine{scale}": MultiConv(2 * dim, dim),
        }
    return nn.ModuleDict(modules)


def _start(module: nn.Module) -> None:
    """Start weights as the training script does: convolutions from Xavier's normal, scales of norms around one."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.xavier_normal_(module.weight)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)
