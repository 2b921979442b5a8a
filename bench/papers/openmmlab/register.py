"""Puts the backbones into the registries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from claimbench.bench.papers.models import backbone

TASKS = {"mmseg": "semantic-segmentation", "mmdet": "object-detection"}
"""The task for which each toolbox builds a backbone, unless its configuration says otherwise."""


def register() -> None:
    """Register every backbone under the name of its variant in mmsegmentation and in mmdetection.

    Raises:
        KeyError: a toolbox has another model of that name.
    """
    from mmdet.registry import MODELS as MMDET
    from mmseg.registry import MODELS as MMSEG

    for name in backbone.names():
        for registry in (MMSEG, MMDET):
            registry.register_module(name=name, module=_factory(name, TASKS[registry.scope]))


def _factory(variant: str, task: str) -> Callable[..., backbone.Backbone]:
    def build(**arguments: Any) -> backbone.Backbone:
        return backbone.build(variant, **{"task": task, **arguments})

    build.__doc__ = (
        f"Return {variant}; the arguments are those of :func:`claimbench.bench.papers.models.backbone.build`."
    )
    return build
