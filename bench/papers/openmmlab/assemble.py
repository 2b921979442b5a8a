"""A backbone and a network of the papers' tables become one configuration, or one model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mmdet
import mmseg
from mmdet.registry import MODELS as MMDET
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.model import revert_sync_batchnorm
from mmseg.registry import MODELS as MMSEG

from claimbench.bench.core.errors import unknown
from claimbench.bench.papers.models import backbone
from claimbench.bench.papers.openmmlab.networks import NETWORKS, SEGMENTATION, ToolboxNetwork

if TYPE_CHECKING:
    from mmengine.model import BaseModel

_TOOLBOXES = {"mmseg": (mmseg, MMSEG), "mmdet": (mmdet, MMDET)}


def config(variant: str, network: str = "UPerNet", *, classes: int | None = None, **arguments: Any) -> Config:
    """Return all that the toolbox's runner needs to train and test ``network`` on ``variant``.

    Args:
        variant: a backbone, for example ``overlock_t``.
        network: a name of :data:`~.networks.NETWORKS`.
        classes: to tell apart; None for as many as the papers' data set has.
        arguments: of :func:`claimbench.bench.papers.models.backbone.build`, for example ``drop_path`` or
        ``checkpoint``.

    Raises:
        UserError: there is no such backbone or network.
    """
    chosen = named(network)
    whole = Config(
        {"custom_imports": {"imports": ["claimbench.bench.papers.openmmlab"], "allow_failed_imports": False}}
    )
    bases = (f"datasets/{chosen.data}", f"schedules/{chosen.schedule}", "default_runtime", f"models/{chosen.model}")
    for base in bases:
        whole.merge_from_dict(_base(chosen.toolbox, base)._cfg_dict.to_dict())
    model = whole.model
    model.backbone = {"type": variant, "task": chosen.task, **arguments}
    channels = list(_channels(variant, chosen.task, arguments.get("form", "")))
    (_segmenter if chosen.task == SEGMENTATION else _detector)(model, chosen, channels, classes or chosen.classes)
    whole.optim_wrapper = {"type": "OptimWrapper", "optimizer": dict(chosen.optimizer)}
    return whole


def network(variant: str, network: str = "UPerNet", *, classes: int | None = None, **arguments: Any) -> BaseModel:
    """Return ``network`` on ``variant`` with random heads; the arguments are those of :func:`config`.

    Synchronised BatchNorm, which needs several GPUs, becomes BatchNorm.

    Raises:
        UserError: there is no such backbone or network.
    """
    settings = config(variant, network, classes=classes, **arguments)
    toolbox = named(network).toolbox
    with _quiet():
        model = _TOOLBOXES[toolbox][1].build({"_scope_": toolbox, **settings.model})
        model.init_weights()
    return revert_sync_batchnorm(model)


def named(name: str) -> ToolboxNetwork:
    """Return the network of that name.

    Raises:
        UserError: there is none.
    """
    if name not in NETWORKS:
        raise unknown("network", name, NETWORKS)
    return NETWORKS[name]


def test_pipeline(network: ToolboxNetwork) -> list[dict[str, Any]]:
    """Return the steps that the toolbox takes a picture through before a trained network sees it."""
    return [dict(step) for step in _base(network.toolbox, f"datasets/{network.data}").test_pipeline]


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the toolboxes from logging the initialisation of each parameter."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel("WARNING")
    try:
        yield
    finally:
        logger.setLevel(level)


@cache
def _channels(variant: str, task: str, form: str) -> tuple[int, ...]:
    return backbone.build(variant, task=task, form=form).channels


def _base(toolbox: str, name: str) -> Config:
    package = Path(_TOOLBOXES[toolbox][0].__path__[0])
    return Config.fromfile(package / ".mim" / "configs" / "_base_" / f"{name}.py")


def _segmenter(model: Any, network: ToolboxNetwork, channels: list[int], classes: int) -> None:
    """Fit an encoder and decoder to the backbone: heads read the neck's maps if there is one."""
    model.pretrained = None
    # Pictures of any size come as a multiple of the coarsest stride, and results lose the padding.
    model.data_preprocessor.update(size=None, size_divisor=32, test_cfg={"size_divisor": 32})
    if "neck" in model:
        model.neck.in_channels = channels
    else:
        model.decode_head.in_channels = channels
    for head in (model.decode_head, model.get("auxiliary_head")):
        if head is not None:
            head.num_classes = classes
    if model.get("auxiliary_head") is not None:
        model.auxiliary_head.in_channels = channels[model.auxiliary_head.in_index]


def _detector(model: Any, network: ToolboxNetwork, channels: list[int], classes: int) -> None:
    """Fit a detector on a feature pyramid to the backbone."""
    model.neck.in_channels = channels
    roi_head = model.get("roi_head")
    heads = [model.bbox_head] if roi_head is None else roi_head.bbox_head
    for head in heads if isinstance(heads, list) else [heads]:
        head.num_classes = classes
        for key, value in network.box_head.items():  # update() would mix the settings of two losses
            head[key] = value
    if roi_head is not None and "mask_head" in roi_head:
        roi_head.mask_head.num_classes = classes
