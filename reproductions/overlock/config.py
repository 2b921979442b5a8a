"""The hyper-parameters of OverLoCK."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True)
class Config:
    """Hyper-parameters of the network, under their official names.

    Attributes:
        depth: blocks in stages 1-4 (Base-Net 1-3, Overview-Net 4).
        sub_depth: blocks in the two stages of the Focus-Net.
        embed_dim, kernel_size: channels and large-kernel size of stages 1-4; the Focus-Net shares those of 3 and 4.
        mlp_ratio, sub_mlp_ratio: the expansion of the FFN, likewise.
        sub_num_heads: half the number of kernel groups in the Focus-Net stages.
        smk_size: the small dynamic kernel.
        projection: width of the classification head.
        ls_init_value: initial layer scale by stage, None for none.
        res_scale: whether the layer scale sits on the shortcut.
        use_ds: whether the training network has an auxiliary head.
        deploy: whether the official checkpoint is merged; the form to build does not depend on it.
        drop_path_rate: stochastic depth of the last block; it grows linearly from 0.
        use_checkpoint: in each stage the number of blocks whose activations are recomputed in the backward pass.
        dense: empty for classification. Otherwise the network has no heads and returns four maps: "segmentation" norms
            each by a LayerNorm, "detection" also adds the overview to the last one.
    """

    depth: tuple[int, ...]
    sub_depth: tuple[int, ...]
    embed_dim: tuple[int, ...]
    kernel_size: tuple[int, ...]
    mlp_ratio: tuple[float, ...]
    sub_mlp_ratio: tuple[float, ...]
    sub_num_heads: tuple[int, ...]
    smk_size: int = 5
    projection: int = 1024
    ls_init_value: tuple[float | None, ...] = (None, None, 1, 1)
    res_scale: bool = True
    use_ds: bool = True
    deploy: bool = False
    in_chans: int = 3
    num_classes: int = 1000
    drop_path_rate: float = 0.0
    use_checkpoint: tuple[int, ...] = (0, 0, 0, 0)
    dense: str = ""

    @classmethod
    def read(cls, config: Mapping[str, Any]) -> Config:
        """Return the configuration in ``config``.

        Raises:
            ValueError: a name is unknown or missing.
        """
        known = {f.name for f in fields(cls)}
        unknown = sorted(set(config) - known)
        if unknown:
            raise ValueError(f"unknown hyper-parameters {', '.join(unknown)}; known are {', '.join(sorted(known))}")
        try:
            values: dict[str, Any] = {k: tuple(v) if isinstance(v, list | tuple) else v for k, v in config.items()}
            return cls(**values)
        except TypeError as error:
            raise ValueError(f"incomplete hyper-parameters: {error}") from error
