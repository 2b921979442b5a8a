"""ViTAEv2 with varied-size window attention, the released models of the paper, and Swin with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from timm.layers import trunc_normal_
from torch import Tensor, nn

from claimbench.reproductions.layers import channels_last, drop_path_rates
from claimbench.reproductions.vsa.attention import VariedWindowAttention
from claimbench.reproductions.vsa.cells import NormalCell, ReductionCell
from claimbench.reproductions.vsa.swin import SwinVSA


def official_drop_path_rates(rate: float, depths: list[int]) -> list[list[float]]:
    """Return the rate of every normal cell, stage by stage, by the rule of the official code.

    Rates rise linearly from 0 to ``rate``. A stage takes those that begin at the depth of the one stage before it, not
    at the depth of all stages before it.
    """
    (rates,) = drop_path_rates(rate, [sum(depths)])
    starts = [0, *depths[:-1]]
    return [rates[start : start + depth] for start, depth in zip(starts, depths, strict=True)]


class ViTAEv2VSA(nn.Module):
    """The network: (B, 3, H, W) to (B, num_classes).

    H and W must be multiples of 32, and the last map no smaller than a window: at least 224 for windows of 7.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        attention = {"window_size": config["window_size"], "fixed": config.get("fixed", False)}
        rates = official_drop_path_rates(config.get("drop_path") or 0.0, config["nc_depth"])
        dim = config.get("in_chans", 3)
        self.stages = nn.ModuleList()
        for i, dim_out in enumerate(config["token_dims"]):
            reduction = ReductionCell(
                dim,
                config["embed_dims"][i],
                dim_out,
                stride=config["downsample_ratios"][i],
                kernel_size=config["prm_kernel_size"][i],
                dilations=config["dilations"][i],
                num_heads=config["rc_heads"][i],
                groups=config["rc_group"][i],
                wide=config["wide_pcm"],
                mlp_ratio=config["rc_mlp_ratio"],
                cpe=config["cpe"],
                **attention,
            )
            cells = (
                NormalCell(
                    dim_out,
                    config["nc_heads"][i],
                    groups=config["nc_group"][i],
                    mlp_ratio=config["nc_mlp_ratio"],
                    cpe=config["cpe"],
                    drop_path=rate,
                    **attention,
                )
                for rate in rates[i]
            )
            self.stages.append(nn.Sequential(reduction, *cells))
            dim = dim_out
        self.head = nn.Linear(dim, config.get("num_classes", 1000))

    def forward_features(self, x: Tensor) -> list[Tensor]:
        """Return the maps of every stage for pictures (B, 3, H, W)."""
        x = channels_last(x)
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (B, num_classes) for pictures (B, 3, H, W)."""
        return self.head(self.forward_features(x)[-1].mean((2, 3)))


def _initialise(module: nn.Module) -> None:
    # The official attention in varied windows is made of convolutions, which start as PyTorch draws them; the rest is
    # a vision transformer's.
    windows = (child for child in module.modules() if isinstance(child, VariedWindowAttention))
    drawn = {part for window in windows for part in window.modules()}
    for child in module.modules():
        if isinstance(child, nn.Linear) and child not in drawn:
            trunc_normal_(child.weight, std=0.02)
            nn.init.zeros_(child.bias) if child.bias is not None else None


def build(config: Mapping[str, Any], form: str = "model") -> nn.Module:
    """Build the variant that ``config`` (``paper.yaml``) describes; there is one form, ``model``.

    ``family`` is ``vitaev2``, ``swin``, or ``attention`` for the attention layer alone, for (B, dim, H, W) maps.
    """
    if form != "model":
        raise ValueError(f"vsa has the form 'model' only, not {form!r}")
    if config["family"] == "attention":
        return VariedWindowAttention(config["dim"], config["dim_out"], config["num_heads"], config["window_size"])
    model = SwinVSA(config) if config["family"] == "swin" else ViTAEv2VSA(config)
    _initialise(model)
    return model
