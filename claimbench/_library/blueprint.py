"""All that building a network takes, and which of its tensors follow the number of classes or channels."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from types import ModuleType
from typing import Any

import torch
from torch import nn

from claimbench._library.names import ModelError
from claimbench.bench.papers import registry
from claimbench.bench.papers.spec import Paper, Variant

CLASSES = ("num_classes", "n_classes")
CHANNELS = ("in_chans", "in_channels")
"""The names that papers' code gives to these hyper-parameters."""


@dataclass(frozen=True)
class Dependence:
    """The hyper-parameter of a network that sets one of its sizes.

    Attributes:
        key: its name.
        tensors: the tensors of the network whose shape follows it, each with the axis that does.
        layers: the modules that hold them, by name, on the meta device.
    """

    key: str
    tensors: Mapping[str, int]
    layers: Mapping[str, nn.Module]


@dataclass(frozen=True)
class Blueprint:
    """A network that is not built yet.

    Attributes:
        paper, variant: the network.
        form: of the variant.
        config: its hyper-parameters.
    """

    paper: Paper
    variant: Variant
    form: str
    config: Mapping[str, Any]

    @property
    def package(self) -> str:
        """The Python package of the paper."""
        return registry.module(self.paper.id)

    @property
    def code(self) -> ModuleType:
        """The paper's ``model.py``."""
        return importlib.import_module(f"{self.package}.model")

    def build(self) -> nn.Module:
        """Return the network with the random weights that the paper's training starts from.

        Raises:
            ModelError: a hyper-parameter does not fit.
        """
        try:
            network: nn.Module = self.code.build(self.config, self.form)
        except ValueError as error:
            raise ModelError(f"{self.variant.name} cannot be built: {error}") from error
        return network

    def outline(self, **changed: Any) -> nn.Module:
        """Return the network after changes of hyper-parameters, for its shapes: on the meta device where that works."""
        other = replace(self, config={**self.config, **changed})
        _ = self.code  # constants of the module are no part of the outline
        try:
            with torch.device("meta"):
                return other.build()
        except (RuntimeError, NotImplementedError):  # a network that reads values of its tensors
            return other.build()

    @cached_property
    def classes(self) -> Dependence | None:
        """The dependence on the number of classes: the classifiers; None where there is none."""
        found = self._dependence(CLASSES)
        if found is None or any(found.tensors.values()):
            return None
        return found if all(isinstance(layer, nn.Linear | nn.Conv2d) for layer in found.layers.values()) else None

    @cached_property
    def channels(self) -> Dependence | None:
        """The dependence on the number of input channels; None if the paper's code has them fixed."""
        return self._dependence(CHANNELS)

    @property
    def classifiers(self) -> Mapping[str, nn.Module]:
        """The layers that give the logits, by name, on the meta device; the main one first, none if there are none."""
        return self.classes.layers if self.classes else {}

    def with_classes(self, number: int) -> Blueprint:
        """Return the network for another number of classes, at least 1.

        Raises:
            ModelError: it is no classifier.
        """
        if self.classes is None:
            raise ModelError(f"{self.variant.name} has no classifier, so a number of classes makes no sense for it")
        return self._changed(self.classes.key, number)

    def with_channels(self, number: int) -> Blueprint:
        """Return the network for inputs of another number of channels.

        Raises:
            ModelError: its paper's code takes one number of channels only.
        """
        if self.channels is None:
            takes = list(self.variant.input.sample_shape())
            raise ModelError(f"{self.variant.name} takes inputs of the shape {takes} only: leave in_chans out")
        return self._changed(self.channels.key, number)

    def with_drop_path(self, rate: float) -> Blueprint:
        """Return the network with another rate of stochastic depth at the last block.

        Raises:
            ModelError: its paper trains without stochastic depth.
        """
        key = self.paper.recipe.drop_path_key if self.paper.recipe else ""
        if not key or key not in self.variant.config:
            raise ModelError(f"{self.variant.name} has no stochastic depth: leave drop_path out")
        return self._changed(key, rate)

    def _changed(self, key: str, value: float) -> Blueprint:
        other = replace(self, config={**self.config, key: value})
        # The same tensors follow the number of classes and channels, whatever these are.
        other.__dict__.update({name: self.__dict__[name] for name in ("classes", "channels") if name in self.__dict__})
        return other

    def _dependence(self, keys: Sequence[str]) -> Dependence | None:
        """Return the first of ``keys`` that sets the shape of a tensor; builders refuse or ignore the others."""
        for key in keys:
            try:
                outline, other = (self.outline(**{key: number}) for number in (2, 3))
            except (TypeError, ModelError):
                continue
            shapes = _shapes(other)
            changed = {
                name: _axis(shape, shapes[name]) for name, shape in _shapes(outline).items() if shape != shapes[name]
            }
            if changed:
                owners = dict.fromkeys(name.rpartition(".")[0] for name in changed)
                return Dependence(key, changed, {name: outline.get_submodule(name) for name in owners})
        return None


def _shapes(network: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def _axis(a: Sequence[int], b: Sequence[int]) -> int:
    """Return the first axis on which two shapes differ."""
    return next(i for i, (one, other) in enumerate(zip(a, b, strict=True)) if one != other)
