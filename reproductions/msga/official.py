"""The layout of the official code's weights, and the parts of the network that golden records describe."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from claimbench.bench.measure.scoring.structures import dice, surface_distances, volumetric_similarity
from claimbench.reproductions.layout import Rule, bound, load_official
from claimbench.reproductions.msga.attention import (
    AttentionLayer,
    ChannelAttention,
    PositionAttention,
    SemanticModule,
)
from claimbench.reproductions.msga.losses import losses
from claimbench.reproductions.msga.model import SCALES, MultiScaleAttention, build

__all__ = ["PARTS", "from_official", "golden_call", "outputs"]

Part = Callable[..., Tensor | dict[str, Tensor]]


def _scale(name: str, own: int = 2) -> Callable[[re.Match[str]], str]:
    """Return a replacement that fills a scale, counted from one at the finest, and a step into an official name.

    Args:
        name: with ``{scale}``, ``{deep}`` (counted from the coarsest) and ``{step}`` (counted from one).
        own: the group of the pattern that holds our scale; the other one holds the step.
    """

    def fill(match: re.Match[str]) -> str:
        scale, step = int(match[own]), int(match[3 - own])
        return name.format(scale=scale + 1, deep=SCALES - scale, step=step + 1, before=step or "")

    return fill


_POSITION: tuple[Rule, ...] = ((r"\b(query|key|value)\.", r"\1_conv."),)
_LAYER: tuple[Rule, ...] = (*_POSITION, (r"^", "attn."))
_SEMANTIC: tuple[Rule, ...] = (
    (r"\bencoder\.0\.", "enc1.encode."),
    (r"\bencoder\.1\.", "enc2.encode."),
    (r"\bdecoder\.0\.", "dec2.decode."),
    (r"\bdecoder\.1\.", "dec1.decode."),
)
_RULES: tuple[Rule, ...] = (
    *_POSITION,
    *_SEMANTIC,
    (r"^backbone\.stem\.", "resnext.layer0."),
    (r"^backbone\.layers\.0\.", "resnext.layer1.1."),
    (r"^backbone\.layers\.(\d)\.", lambda m: f"resnext.layer{int(m[1]) + 1}."),
    (r"^reduce\.(\d)\.", lambda m: f"down{int(m[1]) + 1}."),
    (r"^fuse\.", "fuse1.fuse_attn."),
    (r"^auxiliary\.(\d)\.", lambda m: f"predict{int(m[1]) + 1}."),
    (r"^refined\.(\d)\.(\d)\.", lambda m: f"predict{int(m[2]) + 1}_{int(m[1]) + 2}."),
    (r"^steps\.(\d)\.position\.(\d)\.", _scale("pam_attention_{step}_{scale}.attn.")),
    (r"^steps\.(\d)\.channel\.(\d)\.", _scale("cam_attention_{step}_{scale}.attn.")),
    (r"^steps\.(\d)\.join\.(\d)\.", _scale("conv8_{before}{deep}.")),
    (r"^steps\.(\d)\.gates\.(\d)\.", _scale("conv_sem_{step}_{deep}.")),
    (r"^steps\.(\d)\.semantic\.", lambda m: f"semanticModule_{int(m[1]) + 1}_1."),
    (r"^unused\.(attention|refine)(\d)\.", r"\1\2.fuse_attn."),
    (r"^unused\.", ""),
)


def from_official(config: Mapping[str, Any], state: Mapping[str, Tensor], form: str | None = None) -> nn.Module:
    """Return the model of ``config`` with the weights of an official state dict.

    The repository names neither the networks of the ablations nor more than two steps; those follow its pattern.

    Raises:
        ValueError: entries of ``state`` are missing, unexpected or of another shape, or the form does not exist.
    """
    return load_official(build(config, form or "model"), state, _RULES)


def outputs(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Return ``logits`` and the outputs of the official training tuple, by the names of golden records.

    ``sem_vec_<step>_<k>`` are latents, the coarsest scale first; ``rec_in_<k>`` and ``rec_out_<k>`` the inputs of the
    semantic modules and what they make of them, step by step, the finest first; ``predict<scale>`` and
    ``predict<scale>_<step>`` the predictions.
    """
    return {"logits": model(x), **_training_tuple(model, x)}


def golden_call(model: nn.Module, inputs: tuple[Tensor, ...], golden: Any) -> dict[str, Tensor]:
    """Return the outputs of a record, which holds the logits or the training tuple."""
    return {"logits": model(*inputs)} if "logits" in golden.outputs else _training_tuple(model, *inputs)


def _training_tuple(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    assert isinstance(model, MultiScaleAttention)
    found = model.supervised(x)
    named: dict[str, Tensor] = {}
    for step, latents in enumerate(found["latents"], 1):
        named |= {f"sem_vec_{step}_{i}": each.flatten()[None] for i, each in enumerate(reversed(latents), 1)}
    for name, of in (("rec_in", "inputs"), ("rec_out", "reconstructions")):
        named |= {f"{name}_{i}": each for i, each in enumerate(chain(*found[of]))}
    for i, logits in enumerate(found["logits"]):
        step, scale = divmod(i, SCALES)
        named[f"predict{scale + 1}_{step + 1}" if step else f"predict{scale + 1}"] = logits
    return named


def _position_attention(config: Mapping[str, Any], state: Mapping[str, Tensor]) -> Part:
    return bound(PositionAttention(config["channels"]), state, _POSITION)


def _channel_attention(config: Mapping[str, Any], state: Mapping[str, Tensor]) -> Part:
    return bound(ChannelAttention(), state)


def _attention_layer(config: Mapping[str, Any], state: Mapping[str, Tensor]) -> Part:
    run = bound(AttentionLayer(config["in_ch"], config.get("use_pam", True)), state, _LAYER)
    return lambda x: run(x)


def _semantic_module(config: Mapping[str, Any], state: Mapping[str, Tensor]) -> Part:
    run = bound(SemanticModule(config["in_dim"]), state, _SEMANTIC)

    def part(x: Tensor) -> dict[str, Tensor]:
        latent, reconstruction = run(x)
        return {"latent": latent.flatten(), "reconstruction": reconstruction}

    return part


def _losses(config: Mapping[str, Any], state: Mapping[str, Tensor]) -> Part:
    return partial(_loss_part, **{f"{name}_weight": config[f"{name}_weight"] for name in ("guide", "reconstruction")})


def _loss_part(*, guide_weight: float, reconstruction_weight: float, **inputs: Tensor) -> dict[str, Tensor]:
    """Return the losses for numbered inputs, each as one value."""

    def numbered(prefix: str) -> list[Tensor]:
        return [each for name, each in inputs.items() if re.fullmatch(rf"{prefix}\d+", name)]

    found = losses(
        numbered("logits"),
        inputs["labels"],
        list(zip(numbered("latent1_"), numbered("latent2_"), strict=True)),
        list(zip(numbered("module_in"), numbered("module_out"), strict=True)),
        guide_weight,
        reconstruction_weight,
    )
    return {name: value[None] for name, value in found.items()}


def _metrics(config: Mapping[str, Any], state: Mapping[str, Tensor]) -> Part:
    return partial(_metric_part, spacing=config.get("spacing"))


def _metric_part(*, prediction: Tensor, truth: Tensor, spacing: list[float] | None) -> dict[str, Tensor]:
    """Return the measures of one structure, each as one value."""
    masks = [each.detach().cpu().numpy() > 0 for each in (prediction, truth)]
    distances = surface_distances(masks[0], masks[1], spacing)
    undefined = float("nan")
    found = {
        "dice": dice(masks[0], masks[1]),
        "volumetric_similarity": volumetric_similarity(masks[0], masks[1]),
        "mean_surface_distance_prediction_to_truth": distances.to_truth if distances else undefined,
        "mean_surface_distance_truth_to_prediction": distances.to_prediction if distances else undefined,
        "mean_surface_distance_symmetric": distances.symmetric if distances else undefined,
    }
    return {name: torch.tensor([value], dtype=torch.float64) for name, value in found.items()}


PARTS: Mapping[str, Callable[[Mapping[str, Any], Mapping[str, Tensor]], Part]] = {
    "position_attention": _position_attention,
    "channel_attention": _channel_attention,
    "attention_layer": _attention_layer,
    "semantic_module": _semantic_module,
    "losses": _losses,
    "metrics": _metrics,
}
