"""The parts of the networks that golden records describe, each a function of the record's inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from torch import Tensor, nn

from claimbench.kernels.causal_conv1d import causal_conv1d
from claimbench.kernels.cross_merge import cross_merge
from claimbench.kernels.cross_scan import cross_scan
from claimbench.kernels.selective_scan import selective_scan
from claimbench.reproductions.layout import bound
from claimbench.reproductions.mamba_medical.layouts import (
    MIXER,
    OVERLAPPED,
    SS2D_RULES,
    VANILLA,
    State,
    as_today,
    described,
    once,
    umamba_rules,
)
from claimbench.reproductions.mamba_medical.losses import bce_dice_loss, ce_dice_loss
from claimbench.reproductions.mamba_medical.mixer import MambaMixer
from claimbench.reproductions.mamba_medical.ss2d import SS2D
from claimbench.reproductions.mamba_medical.umamba import TokenMixer, UMamba
from claimbench.reproductions.mamba_medical.vmamba import VMamba

__all__ = ["PARTS"]


class _Called(nn.Module):
    """Modules with a forward pass of our choice, so that official tensors can be bound to them."""

    def __init__(self, call: Callable[..., Any], **modules: nn.Module) -> None:
        super().__init__()
        self.call = call
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, x: Tensor) -> Any:
        """Return what the call makes of ``x``."""
        return self.call(x)


def _selective_scan(config: Mapping[str, Any], state: State) -> Callable[..., dict[str, Tensor]]:
    def scan(**inputs: Tensor) -> dict[str, Tensor]:
        y, last_state = selective_scan(**inputs, delta_softplus=config.get("delta_softplus", False))
        return {"out": y, "last_state": last_state}

    return scan


def _causal_conv1d(config: Mapping[str, Any], state: State) -> Callable[..., Tensor]:
    return partial(causal_conv1d, silu=config.get("activation") in ("silu", "swish"))


def _cross_scan(config: Mapping[str, Any], state: State) -> Callable[..., Tensor]:
    return partial(cross_scan, scans=config["scans"])


def _cross_merge(config: Mapping[str, Any], state: State) -> Callable[..., Tensor]:
    height, width = config["height"], config["width"]
    return lambda y: cross_merge(y.flatten(3), height, width, config["scans"]).flatten(2)


_FORWARD_TYPES: Mapping[str, str] = {"v051d": "unidi", "v052d": "bidi", "v052dc": "cascade2d"}
"""The scans of the official forms; all others scan rows and columns both ways."""


def _ss2d(config: Mapping[str, Any], state: State) -> Callable[..., Tensor]:
    form, *options = str(config["forward_type"]).split("_")
    module = SS2D(
        config["d_model"],
        config["d_state"],
        config["ssm_ratio"],
        config["conv_bias"],
        gated="noz" not in options,
        gate_activation="nozact" not in options,
        out_activation="oact" in options,
        scans=_FORWARD_TYPES.get(form, "cross2d"),
    )
    call = bound(module, state, SS2D_RULES)
    if not config.get("channel_first"):
        return lambda x: call(x)
    return lambda x: call(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def _mamba_mixer(config: Mapping[str, Any], state: State) -> Callable[..., Tensor]:
    arguments = {name: config[name] for name in ("d_state", "d_conv", "expand") if name in config}
    scheme, divide = config.get("bimamba_type", "none"), config.get("if_divide_out", False)
    call = bound(MambaMixer(config["d_model"], **arguments, scheme=scheme, divide_out=divide), state, MIXER)
    return lambda x: call(x)


def _umamba_layer(config: Mapping[str, Any], state: State) -> Callable[..., Tensor]:
    call = bound(TokenMixer(config["dim"], config.get("channel_token", False)), state, MIXER)
    return lambda x: call(x)


def _umamba(config: Mapping[str, Any], state: State) -> Callable[..., dict[str, Tensor]]:
    model = UMamba(
        config["kind"],
        config["input_size"],
        config["features_per_stage"],
        config["kernel_sizes"],
        config["strides"],
        config["n_conv_per_stage"],
        config["n_conv_per_stage_decoder"],
        config["num_classes"],
        config["input_channels"],
        config["deep_supervision"],
        config["conv_bias"],
    )
    names = [f"seg_{i}" for i in range(len(model.heads))] if model.deep_supervision else ["logits"]
    called = _Called(model.scales, model=model)
    call = bound(called, once(state), ((r"^model\.", ""), *umamba_rules(config["kind"])))
    return lambda x: dict(zip(names, call(x), strict=False))


def _backbone(config: Mapping[str, Any], state: State) -> Callable[..., dict[str, Tensor]]:
    """Return the maps of a VMamba, each behind a norm of its own; the state dict says which VMamba it is."""
    arguments = described(state)
    model, indices = VMamba(**arguments), config["out_indices"]
    del model.norm, model.head
    dims = [arguments["embed_dim"] * 2**i for i in range(len(arguments["depths"]))]
    norms = nn.ModuleDict({str(i): nn.LayerNorm(dims[i]) for i in indices})

    def maps(x: Tensor) -> dict[str, Tensor]:
        found = model.forward_features(x)
        normed = {i: norms[str(i)](found[i].permute(0, 2, 3, 1)).permute(0, 3, 1, 2) for i in indices}
        return {f"map{i}": each for i, each in normed.items()}

    rules = (
        (r"^model\.", ""),
        (r"^norms\.(\d+)\.", r"outnorm\1."),
        *(OVERLAPPED if arguments["overlapped"] else VANILLA),
    )
    call = bound(_Called(maps, model=model, norms=norms), as_today(state), rules)
    return lambda x: call(x)


def _bce_dice(config: Mapping[str, Any], state: State) -> Callable[..., Tensor]:
    weights = {name: config[name] for name in ("bce_weight", "dice_weight") if name in config}
    return lambda probability, target: bce_dice_loss(probability, target, **weights).view(1)


def _ce_dice(config: Mapping[str, Any], state: State) -> Callable[..., Tensor]:
    weights = {name: config[name] for name in ("ce_weight", "dice_weight") if name in config}
    return lambda logits, target: ce_dice_loss(logits, target, **weights).view(1)


PARTS: Mapping[str, Callable[[Mapping[str, Any], State], Callable[..., Tensor | dict[str, Tensor]]]] = {
    "selective_scan": _selective_scan,
    "causal_depthwise_conv1d": _causal_conv1d,
    "cross_scan": _cross_scan,
    "cross_merge": _cross_merge,
    "ss2d": _ss2d,
    "mamba_mixer": _mamba_mixer,
    "umamba_layer": _umamba_layer,
    "umamba": _umamba,
    "backbone": _backbone,
    "bce_dice_loss": _bce_dice,
    "ce_dice_loss": _ce_dice,
}
"""The pieces that golden records describe: by its hyper-parameters and official tensors, each as a function."""
