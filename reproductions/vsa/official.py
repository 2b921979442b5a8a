"""The official checkpoint layout of ViTAEv2 with VSA (Image-Classification/vitaev2_vsa)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from claimbench.reproductions.layout import Rule, load_official
from claimbench.reproductions.vsa.attention import VariedWindowAttention
from claimbench.reproductions.vsa.model import ViTAEv2VSA, build

__all__ = ["from_official", "outputs"]

_ATTENTION: tuple[Rule, ...] = (
    (r"(^|\.)bias_table$", r"\1relative_position_bias_table"),
    (r"(^|\.)offsets\.", r"\1sampling_offsets.2."),
    (r"(^|\.)scales\.", r"\1sampling_scales.2."),
)
_RULES: tuple[Rule, ...] = (
    *_ATTENTION,
    (r"^stages\.(\d+)\.0\.", r"layers.\1.RC."),
    (r"^stages\.(\d+)\.(\d+)\.", lambda cell: f"layers.{cell[1]}.NC.{int(cell[2]) - 1}."),
    (r"\.norm\.(?=\w+$)", ".norm2."),
    (r"\.attend\.norm2\.", ".norm1."),
    (r"\.attend\.position\.", ".pos."),
    (r"\.attend\.attention\.", ".attn."),
    (r"\.convolve\.convs\.(\d)\.", lambda conv: f".PCM.{3 * int(conv[1])}."),
    (r"\.convolve\.norms\.(\d)\.", lambda norm: f".PCM.{3 * int(norm[1]) + 1}."),
    (r"\.pyramid\.convs\.(\d)\.", r".PRM.convs.\1.0."),
)


def _shapes(model: nn.Module) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the linear maps of the attention, which are 1x1 convolutions in the official code."""
    return {
        f"{name}.{child}.weight".removeprefix("."): (*module.get_submodule(child).weight.shape, 1, 1)  # type: ignore[misc]
        for name, module in model.named_modules()
        if isinstance(module, VariedWindowAttention)
        for child in ("offsets", "scales", "qkv", "proj")
    }


def _attention_config(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return the configuration of an attention layer with the sizes of its checkpoint."""
    entries, heads = state["relative_position_bias_table"].shape
    total, dim = state["qkv.weight"].shape[:2]
    window = (round(entries**0.5) + 1) // 2
    return {"family": "attention", "dim": dim, "dim_out": total // 3, "num_heads": heads, "window_size": window}


def from_official(config: Mapping[str, Any], state: Mapping[str, Tensor], form: str | None = None) -> nn.Module:
    """Return the model of ``config`` with the weights of an official state dict.

    Raises:
        ValueError: entries of ``state`` are missing, unexpected or of another shape, or the form does not exist.
    """
    alone = config["family"] == "attention"
    if alone and {"relative_position_bias_table", "qkv.weight"} <= state.keys():
        config = _attention_config(state)
    model = build(config, form or "model")
    # The pairs' relative positions are a constant, which checkpoints hold and our model makes itself.
    learned = {name: tensor for name, tensor in state.items() if not name.endswith("relative_position_index")}
    return load_official(model, learned, _ATTENTION if alone else _RULES, _shapes(model))


def outputs(model: nn.Module, *inputs: Tensor) -> dict[str, Tensor]:
    """Return the outputs that golden records name: ``logits`` (the map of an attention layer) and the stages."""
    if not isinstance(model, ViTAEv2VSA):
        return {"logits": model(*inputs)}
    maps = model.forward_features(*inputs)
    stages = {f"stage{i}": each for i, each in enumerate(maps, start=1)}
    return {"logits": model.head(maps[-1].mean((2, 3))), **stages}
