"""DToP on SegViT, and the SETR and Segmenter networks of the same backbone.

Tang et al., "Dynamic Token Pruning in Plain Vision Transformers for Semantic Segmentation", ICCV 2023,
arXiv 2308.01045.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from claimbench.kernels.exit_by_class import exit_by_class
from claimbench.reproductions.dtop.backbone import VisionTransformer, grid_of
from claimbench.reproductions.dtop.heads import AtmHead, MaskTransformerHead, Prediction, UpsamplingHead
from claimbench.reproductions.dtop.packing import Packing, whole

__all__ = ["DToP", "Plain", "Trace", "build", "upsample"]

FORMS = ("model", "every-head")


def upsample(scores: Tensor, size: Sequence[int]) -> Tensor:
    """Return scores (B, C, h, w) at a size (H, W), bilinearly."""
    return F.interpolate(scores, size=tuple(size), mode="bilinear", align_corners=False)


@dataclass(frozen=True)
class Trace:
    """A forward pass of :class:`DToP`.

    Attributes:
        predictions: of the heads that ran, by their number; the last head is the decode head.
        alive: (B, N), the tokens alive behind each auxiliary head.
        rows, packing: the tokens at the end.
    """

    predictions: dict[int, Prediction]
    alive: list[Tensor]
    rows: Tensor
    packing: Packing


class DToP(nn.Module):
    """SegViT whose auxiliary heads are exits: pictures (B, 3, H, W) to scores (B, classes, H, W).

    In training it returns the :class:`~claimbench.reproductions.dtop.heads.Prediction` of every head, the decode head
    last. In evaluation a head from which no token may leave has no effect on the scores, and does not run.

    Args:
        config: the variant's hyper-parameters: those of
            :class:`~claimbench.reproductions.dtop.backbone.VisionTransformer`, ``out_indices`` (the blocks before each
            head), ``num_classes``, ``head_channels``, ``head_num_heads``, ``layers_per_decoder``, ``thresh_aux`` (one
            for all exits, or one for each; 1 is never) and ``topk_per_class``. ``thresh_decode`` has no effect:
            nothing comes after the decode head.
        every_head: whether all heads run in evaluation too.

    Raises:
        ValueError: a threshold is outside 0 to 1, or the thresholds, heads and blocks do not fit.
    """

    def __init__(self, config: Mapping[str, Any], every_head: bool = False) -> None:
        super().__init__()
        self.every_head = every_head
        if config.get("with_cls_token", False):
            raise ValueError("an attention-to-mask head takes patches alone: with_cls_token must be false")
        self.backbone = VisionTransformer(config)
        self.positions = tuple(config["out_indices"])
        rising = all(a < b for a, b in zip(self.positions, self.positions[1:], strict=False))
        if not rising or not 0 <= self.positions[0] <= self.positions[-1] < len(self.backbone.blocks):
            raise ValueError(f"out_indices must rise inside the {len(self.backbone.blocks)} blocks: {self.positions}")
        exits = len(self.positions) - 1
        thresholds = config.get("thresh_aux", 1.0)
        self.thresholds = [thresholds] * exits if isinstance(thresholds, int | float) else list(thresholds)
        if len(self.thresholds) != exits:
            raise ValueError(f"{exits} exits need as many thresholds, got {len(self.thresholds)}")
        self.keep = config.get("topk_per_class", 5)
        for threshold in (*self.thresholds, config.get("thresh_decode", 1.0)):
            if not 0 <= threshold <= 1:
                raise ValueError(f"a threshold must be from 0 to 1, got {threshold}")
        if self.keep < 0:
            raise ValueError(f"topk_per_class must not be negative, got {self.keep}")
        dim, layers = config["head_channels"], config.get("layers_per_decoder", 3)
        sizes = config["embed_dims"], dim, config.get("head_num_heads", 6), layers, config["num_classes"]
        self.exits = nn.ModuleList(AtmHead(*sizes) for _ in range(exits))
        self.head = AtmHead(*sizes)

    @property
    def cost_follows_input(self) -> bool:
        """Whether tokens may leave, so that the cost of a picture follows from its values."""
        return any(threshold < 1 for threshold in self.thresholds)

    def run(self, x: Tensor, every_head: bool = False) -> Trace:
        """Return the heads' predictions for pictures (B, 3, H, W); all heads run with ``every_head``."""
        tokens = self.backbone.embed(x)
        packing, rows = whole(*tokens.shape[:2]), tokens.flatten(0, 1)
        predictions: dict[int, Prediction] = {}
        alive: list[Tensor] = []
        canvas = None
        heads = dict(zip(self.positions, (*self.exits, self.head), strict=True))
        for i, block in enumerate(self.backbone.blocks[: self.positions[-1] + 1]):
            rows = block(rows, packing)
            if i not in heads:
                continue
            number = self.positions.index(i)
            is_exit = number < len(self.exits)
            leaves = is_exit and self.thresholds[number] < 1
            if every_head or leaves or not is_exit:
                prediction = heads[i](rows, packing, canvas)
                canvas = prediction.canvas
                predictions[number] = prediction
            if leaves:
                rows, packing = self._leave(rows, packing, prediction.scores().detach(), self.thresholds[number])
            if is_exit:
                alive.append(_alive(rows, packing))
        return Trace(predictions, alive, rows, packing)

    def _leave(self, rows: Tensor, packing: Packing, scores: Tensor, threshold: float) -> tuple[Tensor, Packing]:
        gone = ~_alive(rows, packing)
        return packing.without_the_left(rows, exit_by_class(scores, gone, threshold, self.keep))

    def forward(self, x: Tensor) -> Tensor | list[Prediction]:
        """Return scores (B, classes, H, W); in training the predictions of all heads."""
        trace = self.run(x, every_head=self.training or self.every_head)
        if self.training:
            return [trace.predictions[number] for number in range(len(self.positions))]
        height, width = grid_of(x, self.backbone.patch)
        scores = trace.predictions[len(self.exits)].scores().unflatten(2, (height, width))
        return upsample(scores, (height * self.backbone.patch, width * self.backbone.patch))[
            ..., : x.shape[-2], : x.shape[-1]
        ]


def _alive(rows: Tensor, packing: Packing) -> Tensor:
    """Return which tokens (B, N) are alive."""
    if packing.alive is not None:
        return packing.alive
    return rows.new_ones(packing.batch, packing.count, dtype=torch.bool)


class Plain(nn.Module):
    """A plain ViT with one head: pictures (B, 3, H, W) to scores (B, classes, H, W).

    Args:
        config: the variant's: those of :class:`~claimbench.reproductions.dtop.backbone.VisionTransformer`, ``head``
            (``setr-up`` or ``mask-transformer``), ``head_channels``, ``num_classes``, and that head's own.
            ``out_indices`` names the blocks before the auxiliary heads, which run in training, and the last block.
        every_head: whether all heads run in evaluation too.
    """

    def __init__(self, config: Mapping[str, Any], every_head: bool = False) -> None:
        super().__init__()
        self.every_head = every_head
        self.backbone = VisionTransformer(config)
        self.positions = tuple(config.get("out_indices", (config["num_layers"] - 1,)))
        if self.positions[-1] != config["num_layers"] - 1:
            raise ValueError(f"the head reads the last block: out_indices {self.positions} must end with it")
        dim, width, classes = config["embed_dims"], config["head_channels"], config["num_classes"]
        if config["head"] == "setr-up":
            heads: list[nn.Module] = [UpsamplingHead(dim, width, classes, config["up_scale"]) for _ in self.positions]
        else:
            heads = [MaskTransformerHead(dim, width, config["head_num_heads"], config["head_layers"], classes)]
            self.positions = self.positions[-1:]
        self.auxiliary = nn.ModuleList(heads[:-1])
        self.head = heads[-1]

    def run(self, x: Tensor, every_head: bool = False) -> dict[int, Tensor]:
        """Return the scores (B, classes, h, w) of the heads that run, by their number."""
        tokens = self.backbone.embed(x)
        grid, packing = grid_of(x, self.backbone.patch), whole(*tokens.shape[:2])
        first = int(self.backbone.keeps_class_token)
        found, rows = {}, tokens.flatten(0, 1)
        heads = dict(zip(self.positions, (*self.auxiliary, self.head), strict=True))
        for i, block in enumerate(self.backbone.blocks):
            rows = block(rows, packing)
            last = i == self.positions[-1]
            if i in heads and (every_head or last):
                features = packing.spread(self.backbone.norm(rows) if last else rows)[:, first:]
                found[self.positions.index(i)] = heads[i](features, grid)
        return found

    def forward(self, x: Tensor) -> Tensor | list[Tensor]:
        """Return scores (B, classes, H, W); in training those of all heads at their own size."""
        found = self.run(x, every_head=self.training or self.every_head)
        if self.training:
            return list(found.values())
        height, width = grid_of(x, self.backbone.patch)
        scores = upsample(found[len(self.auxiliary)], (height * self.backbone.patch, width * self.backbone.patch))
        return scores[..., : x.shape[-2], : x.shape[-1]]


def build(config: Mapping[str, Any], form: str = "model") -> nn.Module:
    """Build the variant that ``config`` (``paper.yaml``) describes.

    In the form ``every-head`` the auxiliary heads run in evaluation too, as in the official forward pass.
    """
    if form not in FORMS:
        raise ValueError(f"dtop has the forms {' and '.join(FORMS)}, not {form!r}")
    head = config.get("head", "atm")
    if head not in ("atm", "setr-up", "mask-transformer"):
        raise ValueError(f"unknown head {head!r}: use atm, setr-up or mask-transformer")
    every_head = form == "every-head"
    return DToP(config, every_head) if head == "atm" else Plain(config, every_head)
