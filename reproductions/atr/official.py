"""The parts that golden records describe; there is no official code, and weights have this suite's own layout."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from claimbench.kernels.box_warp import box_warp
from claimbench.reproductions.atr.fusion import parsing_scores, smoothed
from claimbench.reproductions.atr.model import build
from claimbench.reproductions.atr.structure import PAIRS, mirrored, normalised_mask, template_combination
from claimbench.reproductions.layout import load_official

__all__ = ["PARTS", "from_official", "outputs"]

Outputs = Tensor | dict[str, Tensor]
Part = Callable[[Mapping[str, Any], Mapping[str, Tensor]], Callable[..., Outputs]]


def from_official(config: Mapping[str, Any], state: Mapping[str, Tensor], form: str | None = None) -> nn.Module:
    """Return the model of ``config`` with the weights of a state dict in this suite's own layout.

    Raises:
        ValueError: entries of ``state`` are missing, unexpected or of another shape.
    """
    return load_official(build(config), state, ())


def outputs(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Return the probabilities of labels in pictures (N, 3, H, W)."""
    return {"probabilities": model(x)}


def _combination(config: Mapping[str, Any], state: Mapping[str, Tensor]) -> Callable[..., Outputs]:
    return template_combination


def _warp(config: Mapping[str, Any], state: Mapping[str, Tensor]) -> Callable[..., Outputs]:
    def run(mask: Tensor, box: Tensor, visible: Tensor) -> dict[str, Tensor]:
        return {"maps": box_warp(mask, box, visible, config["height"], config["width"])}

    return run


def _mask(config: Mapping[str, Any], state: Mapping[str, Tensor]) -> Callable[..., Outputs]:
    def run(labels: Tensor) -> dict[str, Tensor]:
        mask, box = normalised_mask(labels, config["label"], config["height"], config["width"])
        return {"mask": mask, "box": box[None]}

    return run


def _smoothing(config: Mapping[str, Any], state: Mapping[str, Tensor]) -> Callable[..., Outputs]:
    def run(probability: Tensor, segments: Tensor) -> dict[str, Tensor]:
        found, labels = smoothed(probability[None], segments[None])
        return {"smoothed": found[0], "labels": labels[0]}

    return run


def _metrics(config: Mapping[str, Any], state: Mapping[str, Tensor]) -> Callable[..., Outputs]:
    def run(prediction: Tensor, truth: Tensor) -> dict[str, Tensor]:
        found = parsing_scores(prediction, truth, config["labels"])
        return {name: value.reshape(1, -1) for name, value in found.items()}

    return run


def _flip(config: Mapping[str, Any], state: Mapping[str, Tensor]) -> Callable[..., Outputs]:
    pairs = [(left, right) for left, right in config.get("pairs", PAIRS)]

    def run(**inputs: Tensor) -> Tensor:
        (labels,) = inputs.values()
        return mirrored(labels, pairs)

    return run


PARTS: dict[str, Part] = {
    "template_combination": _combination,
    "box_warp": _warp,
    "normalised_mask": _mask,
    "superpixel_smoothing": _smoothing,
    "parsing_metrics": _metrics,
    "flip": _flip,
}
"""The parts that golden records describe, by ``constructor.unit``."""
