"""The networks of the paper by their families: Vim, VMamba, VM-UNet and U-Mamba."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from claimbench.reproductions.mamba_medical.umamba import UMamba, from_plan
from claimbench.reproductions.mamba_medical.vim import Vim
from claimbench.reproductions.mamba_medical.vmamba import VMamba
from claimbench.reproductions.mamba_medical.vmunet import VMUNet

__all__ = ["build"]


def _planned(plan: Mapping[str, Any], **others: Any) -> UMamba:
    return UMamba(**from_plan(plan), **others)


_FAMILIES: Mapping[str, Callable[..., nn.Module]] = {
    "vim": Vim,
    "vmamba": VMamba,
    "vmunet": VMUNet,
    "umamba": _planned,
}


def build(config: Mapping[str, Any], form: str = "model") -> nn.Module:
    """Return a randomly initialised network.

    Args:
        config: ``family``, and the arguments of its class; U-Mamba has a ``plan`` (:func:`from_plan`) in place of the
            arguments that an nnU-Net plan determines.
        form: ``model``, the only one.

    Raises:
        ValueError: there is no form or family of that name.
    """
    if form != "model":
        raise ValueError(f"mamba_medical has the form 'model' only, got {form!r}")
    family = str(config.get("family"))
    if family not in _FAMILIES:
        raise ValueError(f"mamba_medical has the families {', '.join(_FAMILIES)}, got {family!r}")
    return _FAMILIES[family](**{name: value for name, value in config.items() if name != "family"})
