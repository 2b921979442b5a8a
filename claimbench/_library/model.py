"""A paper's network with the methods that users of timm's models know."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from timm.layers import trunc_normal_
from timm.models import FeatureInfo
from torch import Tensor, nn

from claimbench._library.blueprint import Blueprint
from claimbench._library.names import ModelError
from claimbench.bench.papers.models import trained
from claimbench.bench.papers.models.backbone import STRIDES, Backbone
from claimbench.bench.tasks.image_classification import preprocessing
from claimbench.kernels.recompute import recomputed


class Model(nn.Module):
    """A paper's network, made by :func:`create_model`.

    Args:
        network: the paper's own module.
        blueprint: what it was built from.

    Attributes:
        network: the paper's own module, with methods of its own such as ``forward_features(x)``.
        name, paper, form: the model.
        blueprint: what the network was built from.
    """

    def __init__(self, network: nn.Module, blueprint: Blueprint) -> None:
        super().__init__()
        self.network = network
        self.name, self.paper, self.form = blueprint.variant.name, blueprint.paper.id, blueprint.form
        self.blueprint = blueprint

    def forward(self, *inputs: Tensor) -> Any:
        """Return what the network gives for its inputs; for a classifier logits (B, num_classes) of (B, C, H, W)."""
        return self.network(*inputs)

    def get_classifier(self) -> nn.Module:
        """Return the layer that gives the logits: a linear layer, or an identity after ``reset_classifier(0)``.

        Raises:
            ModelError: the network is no classifier, or scores positions by several layers.
        """
        layers = self._classifiers()
        if not isinstance(layers[0], nn.Linear | nn.Identity):
            raise ModelError(f"{self.name} scores every position by {len(layers)} convolutions: see `network.head`")
        return layers[0]

    def reset_classifier(self, num_classes: int) -> None:
        """Replace the classifier by one of random weights: a truncated normal of deviation 0.02, zeros as biases.

        Args:
            num_classes: the width of the output; 0 for the features (B, num_features) themselves.

        Raises:
            ModelError: the network is no classifier, or sums the logits of several, of which 0 would leave no features.
        """
        old = self._classifiers()
        if num_classes == 0:
            if len(old) > 1 or not isinstance(self.get_classifier(), nn.Linear | nn.Identity):
                raise ModelError(f"{self.name} has {len(old)} classifiers: num_classes must be at least 1")
            self.network.set_submodule(next(iter(self.blueprint.classifiers)), nn.Identity())
            return
        outline = self.blueprint.with_classes(num_classes).outline()
        weight = next(self.network.parameters())
        for name in self.blueprint.classifiers:
            layer = outline.get_submodule(name).to_empty(device=weight.device).to(weight.dtype)
            trunc_normal_(layer.get_parameter("weight"), std=0.02)
            if layer.bias is not None:
                nn.init.zeros_(layer.get_parameter("bias"))
            self.network.set_submodule(name, layer.train(self.training))

    @property
    def num_classes(self) -> int:
        """The width of the output; 0 if the classifier was taken away.

        Raises:
            ModelError: the network is no classifier.
        """
        weight = getattr(self._classifiers()[0], "weight", None)
        return 0 if weight is None else len(weight)

    @property
    def num_features(self) -> int:
        """The number of features that the classifier takes.

        Raises:
            ModelError: the network is no classifier.
        """
        self._classifiers()
        layer = next(iter(self.blueprint.classifiers.values()))
        return layer.get_parameter("weight").shape[1]

    @property
    def default_cfg(self) -> dict[str, Any]:
        """The facts that timm keeps under this name: input, normalisation, crop, address of the weights."""
        variant, paper = self.blueprint.variant, self.blueprint.paper
        shape = variant.input.sample_shape()
        facts = {
            "architecture": self.name,
            "url": variant.checkpoint.url if variant.checkpoint else "",
            "paper_ids": f"arXiv:{paper.arxiv}",
            "input_size": shape,
        }
        if paper.task_of(variant) == "image-classification" and shape[0] in preprocessing.MODES:
            facts |= preprocessing.preprocessing_of(shape, variant.input.model_dump(), None)
        return facts

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Keep only the inputs of each residual block for the backward pass, which then computes the rest again.

        Raises:
            ModelError: the network has no residual blocks with stochastic depth, by which they are found.
        """
        _set_recomputing(self, self.name, enable)

    def save(self, path: str | Path) -> None:
        """Write the weights as safetensors that ``create_model(name, weights=path)`` and ``bench run --weights`` read.

        Raises:
            UserError: the file cannot be written.
        """
        blueprint = self.blueprint
        if blueprint.classes is not None and self.num_classes:
            blueprint = blueprint.with_classes(self.num_classes)
        size = blueprint.variant.input.size
        description = trained.Description(self.paper, self.name, self.form, blueprint.config, size, epoch=0)
        trained.save(Path(path), self.network.state_dict(), description)

    def _classifiers(self) -> list[nn.Module]:
        names = self.blueprint.classifiers
        if not names:
            task = self.blueprint.paper.task_of(self.blueprint.variant)
            raise ModelError(f"{self.name} has no classifier: it is for {task.replace('-', ' ')}")
        return [self.network.get_submodule(name) for name in names]


class FeatureModel(Backbone):
    """The maps of a paper's network, made by ``create_model(name, features_only=True)``.

    Attributes:
        feature_info: channels and stride of each returned map: ``feature_info.channels()``, ``.reduction()``.
    """

    def __init__(
        self, network: nn.Module, blueprint: Blueprint, channels: int, out_indices: Sequence[int] = (0, 1, 2, 3)
    ) -> None:
        facts = blueprint.paper.backbone
        assert facts is not None
        super().__init__(network, blueprint.variant.input.size, facts.norm, out_indices, channels)
        self.name, self.blueprint = blueprint.variant.name, blueprint
        info = [
            {"num_chs": width, "reduction": STRIDES[i], "module": f"norms.{at}"}
            for at, (i, width) in enumerate(zip(out_indices, self.channels, strict=True))
        ]
        self.feature_info = FeatureInfo(info, tuple(range(len(info))))

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Keep only the inputs of each residual block for the backward pass, as :meth:`Model.set_grad_checkpointing`.

        Raises:
            ModelError: the network has no residual blocks with stochastic depth.
        """
        _set_recomputing(self, self.name, enable)


def _set_recomputing(model: nn.Module, name: str, enable: bool) -> None:
    found = list(blocks(model))
    if not found:
        raise ModelError(f"{name} has no residual blocks with stochastic depth: gradient checkpointing is not for it")
    for block in found:
        block.__dict__.pop("forward", None)
        if enable:
            block.forward = partial(_recompute_in_training, block)


def _recompute_in_training(block: nn.Module, *args: Any) -> Any:
    call = partial(type(block).forward, block)
    return recomputed(block, call, *args) if torch.is_grad_enabled() else call(*args)


def blocks(model: nn.Module) -> Iterator[nn.Module]:
    """Yield the residual blocks: the innermost members of sequences and lists that hold a ``drop_path``."""
    members = [m for s in model.modules() if isinstance(s, nn.Sequential | nn.ModuleList) for m in s]
    holders = [m for m in members if any("drop_path" in part._modules for part in m.modules())]
    known = set(holders)
    for block in dict.fromkeys(holders):
        if not any(part in known for part in block.modules() if part is not block):
            yield block
