"""The parts that golden records describe; there is no official code, and weights have this suite's own layout."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from claimbench.kernels.locally_shared_conv2d import locally_shared_conv2d
from claimbench.reproductions.layout import load_official
from claimbench.reproductions.lnet_anet import losses
from claimbench.reproductions.lnet_anet.interweaved import LocalConv, Patches, interweaved
from claimbench.reproductions.lnet_anet.localise import average_response, density_peaks, iou, window_scores
from claimbench.reproductions.lnet_anet.model import build

__all__ = ["PARTS", "from_official", "outputs"]

Outputs = Tensor | dict[str, Tensor]
Part = Callable[[Mapping[str, Any], Mapping[str, Tensor]], Callable[..., Outputs]]


def from_official(config: Mapping[str, Any], state: Mapping[str, Tensor], form: str | None = None) -> nn.Module:
    """Return the model of ``config`` with the weights of a state dict in this suite's own layout.

    Raises:
        ValueError: entries of ``state`` are missing, unexpected or of another shape, or the form does not exist.
    """
    return load_official(build(config, form or "interweaved"), state, ())


def outputs(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Return the scores of the attributes of pictures (N, 3, H, W)."""
    return {"logits": model(x)}


def _row(values: Tensor) -> Tensor:
    """Return a scalar or a vector as the records keep it: (1, n)."""
    return values.reshape(1, -1)


def _locally_shared(config: Mapping[str, Any], state: Mapping[str, Tensor]) -> Callable[..., Outputs]:
    return partial(locally_shared_conv2d, grid=_grid(config.get("grid", 1)), stride=config.get("stride", 1))


def _grid(given: Any) -> tuple[int, int]:
    rows, columns = (given, given) if isinstance(given, int) else given
    return rows, columns


def _interweaved(config: Mapping[str, Any], state: Mapping[str, Tensor]) -> Callable[..., Outputs]:
    patch, grids = _grid(config["patch"]), [_grid(each) for each in config["grids"]]

    def run(x: Tensor, **tensors: Tensor) -> Tensor:
        layers = [
            LocalConv(tensors[f"weight{i}"], tensors.get(f"bias{i}"), grid, relu=i < len(grids))
            for i, grid in enumerate(grids, 1)
        ]
        found = interweaved(layers, x, Patches.of(layers, patch, config.get("stride", 1)))
        return found.flatten(0, 1).flatten(1)

    return run


def _window_scores(config: Mapping[str, Any], state: Mapping[str, Tensor]) -> Callable[..., Outputs]:
    windows, face = torch.tensor(config["windows"]), torch.tensor(config["face"])

    def run(response: Tensor) -> dict[str, Tensor]:
        scores = window_scores(average_response(response), windows)
        overlap = iou(windows.to(response), face.to(response))
        return {"scores": _row(scores), "iou": _row(overlap)}

    return run


def _density_peaks(config: Mapping[str, Any], state: Mapping[str, Tensor]) -> Callable[..., Outputs]:
    def run(response: Tensor) -> dict[str, Tensor]:
        distance, score, peak = density_peaks(response)
        return {"distance": distance, "score": score, "peak": _row(peak)}

    return run


def _identity_losses(config: Mapping[str, Any], state: Mapping[str, Tensor]) -> Callable[..., Outputs]:
    identities = torch.tensor(config["identities"])

    def run(features: Tensor, logits: Tensor) -> dict[str, Tensor]:
        identity, similarity = losses.identity_losses(features, logits, identities.to(logits.device))
        return {"identity": identity.view(1), "similarity": similarity.view(1)}

    return run


def _with_labels(config: Mapping[str, Any], inputs: Mapping[str, Tensor]) -> list[Tensor]:
    """Return the inputs in order, the labels last; they may stand among the hyper-parameters."""
    return [*inputs.values(), *([torch.tensor(config["labels"])] if "labels" in config else [])]


def _attribute_loss(config: Mapping[str, Any], state: Mapping[str, Tensor]) -> Callable[..., Outputs]:
    def run(**inputs: Tensor) -> Tensor:
        logits, labels = _with_labels(config, inputs)
        return losses.attribute_loss(logits, labels).view(1)

    return run


def _attribute_scores(config: Mapping[str, Any], state: Mapping[str, Tensor]) -> Callable[..., Outputs]:
    def run(**inputs: Tensor) -> dict[str, Tensor]:
        features, weight, bias, labels = _with_labels(config, inputs)
        scores = losses.svm_scores(features, weight, bias)
        plain, balanced = losses.accuracies(scores, labels)
        return {
            "scores": scores,
            "accuracy": _row(plain),
            "balanced_accuracy": _row(balanced),
            "mean_accuracy": _row(plain.mean()),
            "mean_balanced_accuracy": _row(balanced.mean()),
        }

    return run


PARTS: dict[str, Part] = {
    "locally_shared_conv2d": _locally_shared,
    "interweaved": _interweaved,
    "window_scores": _window_scores,
    "density_peaks": _density_peaks,
    "identity_losses": _identity_losses,
    "attribute_loss": _attribute_loss,
    "attribute_scores": _attribute_scores,
}
"""The parts that golden records describe, by ``constructor.unit``."""
