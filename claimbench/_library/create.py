"""From a model's name to a network with weights."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Literal, overload

from timm.models import adapt_input_conv
from torch import Tensor, nn

from claimbench._library.blueprint import Blueprint, Dependence
from claimbench._library.model import FeatureModel, Model
from claimbench._library.names import ModelError, find, forms_of, has_features
from claimbench.bench.core.errors import unknown
from claimbench.bench.data.download import cache
from claimbench.bench.papers.models import trained
from claimbench.bench.papers.models.state import load_state
from claimbench.bench.papers.spec import Paper, Variant
from claimbench.bench.papers.weights.fetch import Fetcher


@overload
def create_model(
    name: str,
    weights: str | Path | None = ...,
    *,
    num_classes: int | None = ...,
    in_chans: int | None = ...,
    features_only: Literal[False] = ...,
    form: str | None = ...,
    drop_path: float | None = ...,
) -> Model: ...


@overload
def create_model(
    name: str,
    weights: str | Path | None = ...,
    *,
    num_classes: int | None = ...,
    in_chans: int | None = ...,
    features_only: Literal[True],
    out_indices: Sequence[int] = ...,
    form: str | None = ...,
    drop_path: float | None = ...,
) -> FeatureModel: ...


def create_model(
    name: str,
    weights: str | Path | None = None,
    *,
    num_classes: int | None = None,
    in_chans: int | None = None,
    features_only: bool = False,
    out_indices: Sequence[int] | None = None,
    form: str | None = None,
    drop_path: float | None = None,
) -> Model | FeatureModel:
    """Return a paper's model, on the CPU and in train mode as modules are made; ``.eval()`` it to predict.

    A network trained with token labels gives plain logits in train mode too, unless ``network.token_labelling`` is set.

    Args:
        name: one of :func:`list_models`; ``paper/model`` where several papers have a model of that name.
        weights: None for the random weights that the paper's training starts from; ``"official"`` for the published
            ones, fetched once and checked against their recorded SHA-256; or a file: official ones, those of
            ``bench train`` or :meth:`Model.save`, or the ``state_dict()`` of a model made here.
        num_classes: the width of the output if not the paper's; such a classifier starts from random weights, and 0
            leaves it out. Weights with a classifier of another width give everything else.
        in_chans: the channels of the input if not the paper's. The first convolution's weights are summed for one
            channel, and else repeated and scaled, as timm does.
        features_only: return a :class:`FeatureModel`, which maps (B, C, H, W) to the maps at strides 4, 8, 16 and 32.
        out_indices: which of these maps, as positions from 0 to 3; all of them if None.
        form: one of ``model_info(name).forms``; None for the default. OverLoCK's ``training`` form returns a dict of
            two logits in train mode.
        drop_path: the rate of stochastic depth at the last block; None for the paper's.

    Raises:
        UserError: the name, an argument or the weights are wrong, or the weights cannot be had; one sentence. It is a
            ValueError too (:class:`ModelError`) unless it is about the weights.
    """
    paper, variant = find(name)
    known = forms_of(paper, variant)
    if form is not None and form not in known:
        raise ModelError(str(unknown(f"form of {variant.name}", form, known)))
    for argument, value, least in (("num_classes", num_classes, 0), ("in_chans", in_chans, 1)):
        if value is not None and value < least:
            raise ModelError(f"{argument} must be at least {least}, got {value}")
    if features_only and not has_features(paper, variant):
        raise ModelError(f"{variant.name} has no maps at strides 4 to 32, so features_only makes no sense for it")
    if out_indices is not None and not features_only:
        raise ModelError("out_indices chooses among the maps of features_only=True")
    path = _file(paper, variant, weights)
    described = trained.describe(path) if path else None
    form = form or (described.form if described else paper.default_form(variant))
    blueprint = Blueprint(paper, variant, form, described.config if described else variant.config)
    if drop_path is not None:
        blueprint = blueprint.with_drop_path(drop_path)
    wanted = blueprint.with_classes(num_classes or 1) if num_classes is not None else blueprint
    if in_chans is not None and in_chans != variant.input.sample_shape()[0]:
        wanted = wanted.with_channels(in_chans)
    network = wanted.build()
    if path is not None:
        state = _state(blueprint, path, of_trained=described is not None, own=network.state_dict().keys())
        _install(network, state, wanted, path, keep_head=num_classes is None)
    if hasattr(network, "token_labelling"):
        setattr(network, "token_labelling", False)  # noqa: B010
    if features_only:
        channels = in_chans or variant.input.channels
        return FeatureModel(network, wanted, channels, (0, 1, 2, 3) if out_indices is None else out_indices)
    model = Model(network, wanted)
    if num_classes == 0:
        model.reset_classifier(0)
    return model


def _file(paper: Paper, variant: Variant, weights: str | Path | None) -> Path | None:
    """Return the file of weights; fetch the official ones if they are not here yet."""
    if weights is None:
        return None
    if weights == "official":
        return Fetcher(cache.folder()).fetch(paper.id, variant).path
    if isinstance(weights, str | Path):
        return Path(weights)
    raise ModelError(f"weights must be None, 'official' or the name of a file, got {type(weights).__name__}")


def _state(blueprint: Blueprint, path: Path, *, of_trained: bool, own: AbstractSet[str]) -> Mapping[str, Tensor]:
    """Return the weights of a file under the names of our network.

    Args:
        blueprint: of the network that the weights are for, with the paper's number of classes and channels.
        path: the file.
        of_trained: whether it describes itself: ``bench train`` or :meth:`Model.save` made it.
        own: the names of our network.

    Raises:
        ModelError: the file does not fit.
    """
    name = blueprint.variant.name
    if of_trained:
        built = trained.build(path, blueprint.package, name, blueprint.form)
        assert built is not None
        return built.state_dict()
    state = load_state(path)
    if all(key.startswith("network.") for key in state):
        state = {key.removeprefix("network."): tensor for key, tensor in state.items()}
    if state.keys() == own:
        return state
    official = importlib.import_module(f"{blueprint.package}.official")
    try:
        loaded: nn.Module = official.from_official(blueprint.config, state, blueprint.form)
    except ValueError as error:
        raise ModelError(f"weights file {path} does not fit {name}: {error}") from error
    return loaded.state_dict()


def _install(
    network: nn.Module, state: Mapping[str, Tensor], blueprint: Blueprint, path: Path, *, keep_head: bool
) -> None:
    """Copy weights into a network; a classifier of another width stays as it is unless ``keep_head``.

    Raises:
        ModelError: an entry is missing, surplus or of another shape.
    """
    own = network.state_dict()
    given = dict(state)
    for name in own.keys() & given.keys():
        if own[name].shape == given[name].shape:
            continue
        if not keep_head and _depends(blueprint.classes, name):
            del given[name]
            continue
        layer = network.get_submodule(name.rpartition(".")[0])
        if (
            isinstance(layer, nn.Conv2d)
            and _adds_channels(own[name], given[name])
            and _depends(blueprint.channels, name)
        ):
            given[name] = adapt_input_conv(own[name].shape[1], given[name].to(own[name].dtype))
            continue
        shapes = f"{name} is {list(given[name].shape)} where {list(own[name].shape)} is expected"
        hint = ": give num_classes" if _depends(blueprint.classes, name) else ""
        raise ModelError(f"weights file {path} does not fit {blueprint.variant.name}: {shapes}{hint}")
    surplus = [name for name in given if name not in own]
    missing = [name for name in own if name not in state]
    if surplus or missing:
        problem = f"{surplus[0]} is not in the model" if surplus else f"{missing[0]} is missing"
        raise ModelError(f"weights file {path} does not fit {blueprint.variant.name}: {problem}")
    network.load_state_dict(given, strict=False)


def _adds_channels(own: Tensor, given: Tensor) -> bool:
    """Whether weights of a convolution (O, 3, h, w) differ from ours in the number of input channels alone."""
    return given.shape[1] == 3 and (own.shape[0], *own.shape[2:]) == (given.shape[0], *given.shape[2:])


def _depends(dependence: Dependence | None, name: str) -> bool:
    return dependence is not None and name in dependence.tensors
