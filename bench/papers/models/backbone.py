"""A paper's network as the backbone of a detector or segmenter: its maps, and no more of it than they need."""

from __future__ import annotations

import copy
import importlib
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from claimbench.bench.core.errors import UserError, unknown
from claimbench.bench.papers import registry
from claimbench.bench.papers.models.state import load_state
from claimbench.bench.papers.spec import Paper, Variant

STRIDES = (4, 8, 16, 32)
"""Pixels of the picture along a side of one position of each map."""


class Backbone(nn.Module):
    """The maps of a network at the strides 4, 8, 16 and 32.

    Args:
        model: a network with ``forward_features(x)``, a list of maps (B, C, h, w). Modules that no map depends on, for
            example its classification head, are dropped from it.
        size: the side of a square picture that it takes.
        norm: whether each map passes a LayerNorm over its channels.
        out_indices: the positions of the returned maps among the four.
        in_chans: the channels of the picture.

    Attributes:
        channels: of each returned map.

    Raises:
        UserError: the network has no maps at these strides.
    """

    def __init__(
        self,
        model: nn.Module,
        size: int,
        norm: bool = False,
        out_indices: Sequence[int] = (0, 1, 2, 3),
        in_chans: int = 3,
    ) -> None:
        super().__init__()
        if wrong := [i for i in out_indices if i not in range(len(STRIDES))]:
            raise UserError(f"out_indices are of 0 (stride 4) to 3 (stride 32), got {wrong[0]}")
        sides, widths, used = _trace(model, (1, in_chans, size, size), out_indices)
        self.positions = tuple(sides[STRIDES[i]] for i in out_indices)
        self.channels = tuple(widths[position] for position in self.positions)
        _drop_unused(model, used)
        self.model = model
        self.norms = nn.ModuleList(MapNorm(width) if norm else nn.Identity() for width in self.channels)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Map pictures (B, in_chans, H, W) to the maps (B, C, ceil(H / stride), ceil(W / stride))."""
        maps = _maps(self.model, x)
        return tuple(norm(maps[i]) for norm, i in zip(self.norms, self.positions, strict=True))


class MapNorm(nn.LayerNorm):
    """LayerNorm over the channels of maps (B, C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise each position of (B, C, H, W)."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def find(variant: str) -> tuple[Paper, Variant]:
    """Return the paper and the variant of that name.

    Raises:
        UserError: there is no such backbone.
    """
    for entry in registry.entries().values():
        if variant in entry.variants and not entry.problem:
            paper = registry.paper(entry.id)
            if paper.backbone is None or not paper.backbone.serves(variant):
                raise UserError(f"{variant} of {paper.id} cannot be a backbone: it has no maps at strides 4 to 32")
            return paper, next(v for v in paper.variants if v.name == variant)
    raise unknown("backbone", variant, names())


def names() -> list[str]:
    """Return the variants of every paper that can be backbones."""
    papers = [registry.paper(entry.id) for entry in registry.entries().values() if not entry.problem]
    return [v.name for paper in papers if paper.backbone for v in paper.variants if paper.backbone.serves(v.name)]


def build(
    variant: str,
    *,
    task: str = "",
    form: str = "",
    drop_path: float | None = None,
    checkpoint: str = "",
    out_indices: Sequence[int] = (0, 1, 2, 3),
) -> Backbone:
    """Return the backbone of that name, as the paper uses it for ``task``.

    Args:
        variant: a name of :func:`names`.
        task: ``semantic-segmentation`` or ``object-detection``; some papers' backbones differ between them.
        form: a form of the variant; empty for its default.
        drop_path: the rate of stochastic depth of the last block; None for the variant's own.
        checkpoint: a file of official classification weights; empty for random weights.
        out_indices: the positions of the returned maps among those at strides 4, 8, 16 and 32.

    Raises:
        UserError: there is no such backbone or form, or the file does not fit.
    """
    paper, found = find(variant)
    assert paper.backbone is not None
    form = form or paper.default_form(found)
    known = found.forms or tuple(f.name for f in paper.forms)
    if form not in known:
        raise unknown(f"form of {variant}", form, known)
    module = registry.entry(paper.id).module
    config = {**found.config, **paper.backbone.config.get(task, {})}
    if drop_path is not None:
        config[paper.recipe.drop_path_key if paper.recipe else "drop_path"] = drop_path
    model: nn.Module = importlib.import_module(f"{module}.model").build(config, form)
    if checkpoint:
        _load(model, module, found, form, checkpoint)
    return Backbone(model, found.input.size, paper.backbone.norm, out_indices)


def _load(model: nn.Module, module: str, variant: Variant, form: str, checkpoint: str) -> None:
    """Copy the weights that the classifier of an official checkpoint shares with ``model``; the others stay random."""
    official = importlib.import_module(f"{module}.official")
    try:
        classifier: nn.Module = official.from_official(variant.config, load_state(checkpoint), form)
        model.load_state_dict(classifier.state_dict(), strict=False)
    except (ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"weights file {checkpoint} does not fit {variant.name}: {reason}") from error


def _maps(model: nn.Module, x: Tensor) -> list[Tensor]:
    features = getattr(model, "forward_features", None)
    maps = features(x) if features is not None else None
    if not isinstance(maps, list | tuple) or not all(isinstance(m, Tensor) and m.dim() == 4 for m in maps):
        raise UserError(f"{type(model).__name__} has no forward_features that returns a list of maps (B, C, h, w)")
    return list(maps)


@torch.enable_grad()
def _trace(
    model: nn.Module, shape: tuple[int, int, int, int], out_indices: Sequence[int]
) -> tuple[dict[int, int], list[int], frozenset[str]]:
    """Return the position of the last map of each stride, the channels of all maps, and the parameters they need."""
    try:
        traced = copy.deepcopy(model).eval().to("meta")
        maps = _maps(traced, torch.zeros(shape, device="meta"))
    except (RuntimeError, NotImplementedError):  # a model that reads values of its tensors
        traced = copy.deepcopy(model).eval()
        maps = _maps(traced, torch.zeros(shape))
    places = {round(shape[2] / m.shape[2]): i for i, m in enumerate(maps)}
    if missing := [STRIDES[i] for i in out_indices if STRIDES[i] not in places]:
        raise UserError(f"{type(model).__name__} has no map at stride {missing[0]}, so it cannot be a backbone")
    wanted = [maps[places[STRIDES[i]]] for i in out_indices]
    torch.autograd.backward([m.sum() for m in wanted])
    used = frozenset(name for name, p in traced.named_parameters() if p.grad is not None or not p.requires_grad)
    return places, [m.shape[1] for m in maps], used


def _drop_unused(module: nn.Module, used: frozenset[str], prefix: str = "") -> None:
    """Replace submodules without a used parameter by nothing: data-parallel training refuses idle parameters."""
    for name, parameter in list(module.named_parameters(recurse=False)):
        if parameter is not None and prefix + name not in used:
            setattr(module, name, None)
    for name, child in list(module.named_children()):
        own = [f"{prefix}{name}.{inner}" for inner, _ in child.named_parameters()]
        if own and not used.intersection(own):
            setattr(module, name, nn.Identity())
        else:
            _drop_unused(child, used, f"{prefix}{name}.")
