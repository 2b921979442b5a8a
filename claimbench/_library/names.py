"""The models by name, and the facts of each. Neither torch nor timm is loaded here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from claimbench.bench.core.errors import UserError, unknown
from claimbench.bench.papers import registry

if TYPE_CHECKING:
    from claimbench.bench.papers.registry import PaperEntry
    from claimbench.bench.papers.spec import Paper, Variant


class ModelError(UserError, ValueError):
    """A model that does not exist, or something that makes no sense for it; the message is one sentence."""


@dataclass(frozen=True)
class ModelInfo:
    """The facts of one model, from its paper's ``paper.yaml``.

    Attributes:
        name: as :func:`create_model` takes it.
        paper, title, venue, arxiv: the paper that it is from; ``paper`` is the name on the command line.
        task: what it is for, for example ``image-classification``.
        forms, form: the forms that it can be built in, and the one it is built in unless another is asked for.
        input_shape: of one sample, without the batch axis.
        preprocessing: ``mean``, ``std``, ``interpolation`` and ``crop_pct`` as the paper states them.
        weights: the address of the official weights; empty if none are published.
        features: whether ``create_model(name, features_only=True)`` gives its maps.
        reported: the figures that the paper states for its default form, by metric, as printed.
        note: a remark on it; mostly empty.
    """

    name: str
    paper: str
    title: str
    venue: str
    arxiv: str
    task: str
    forms: tuple[str, ...]
    form: str
    input_shape: tuple[int, ...]
    preprocessing: Mapping[str, Any]
    weights: str
    features: bool
    reported: Mapping[str, str]
    note: str


def list_models(
    pattern: str | Iterable[str] = "*",
    *,
    paper: str = "",
    task: str = "",
    weights: bool = False,
    features: bool = False,
) -> list[str]:
    """Return the names of the models, sorted; none if nothing fits.

    Args:
        pattern: a shell pattern such as ``"van*"``, or several of which one must fit.
        paper: of this paper only.
        task: for this task only, for example ``"image-classification"``.
        weights: only models whose official weights are published.
        features: only models that ``features_only=True`` makes sense for.

    Raises:
        UserError: there is no such paper.
    """
    patterns = (pattern,) if isinstance(pattern, str) else tuple(pattern)
    found = []
    for entry in [registry.entry(paper)] if paper else registry.entries().values():
        named = _named(entry)
        if task or weights or features:
            fitting = set() if entry.problem else _fitting(registry.paper(entry.id), task, weights, features)
            named = {name: variant for name, variant in named.items() if variant in fitting}
        found += [
            n for n, variant in named.items() if any(fnmatchcase(n, p) or fnmatchcase(variant, p) for p in patterns)
        ]
    return sorted(found)


def model_info(name: str) -> ModelInfo:
    """Return the facts of a model.

    Args:
        name: of the model, or ``paper/model``.

    Raises:
        ModelError: there is no such model; names the nearest.
    """
    paper, variant = find(name)
    form = paper.default_form(variant)
    reported = [r for r in variant.reported if r.value is not None and r.form in ("", form)]
    given = variant.input
    return ModelInfo(
        name=name,
        paper=paper.id,
        title=paper.title,
        venue=paper.venue,
        arxiv=paper.arxiv,
        task=paper.task_of(variant),
        forms=forms_of(paper, variant),
        form=form,
        input_shape=given.sample_shape(),
        preprocessing={
            "mean": given.mean,
            "std": given.std,
            "interpolation": given.interpolation,
            "crop_pct": given.crop_pct,
        },
        weights=variant.checkpoint.url if variant.checkpoint else "",
        features=has_features(paper, variant),
        reported={r.metric: str(r.value) for r in reversed(reported)},
        note=variant.note,
    )


def forms_of(paper: Paper, variant: Variant) -> tuple[str, ...]:
    """Return the names of the forms that a variant can take."""
    return variant.forms or tuple(form.name for form in paper.forms)


def has_features(paper: Paper, variant: Variant) -> bool:
    """Return whether a variant has maps at the strides 4, 8, 16 and 32."""
    return paper.backbone is not None and paper.backbone.serves(variant.name)


def find(name: str) -> tuple[Paper, Variant]:
    """Return the paper and the variant of a model's name, ``model`` or ``paper/model``.

    Raises:
        ModelError: there is no such model, or several; one sentence.
    """
    if not isinstance(name, str):
        raise ModelError(f"a model is named by text such as 'dinat_mini', got {type(name).__name__}")
    within, _, wanted = name.rpartition("/")
    entries = registry.entries()
    if within and within not in entries:
        raise ModelError(str(unknown("paper", within, entries)))
    holders = [e for e in entries.values() if wanted in e.variants and within in ("", e.id)]
    if len(holders) > 1:
        choices = " or ".join(f"{e.id}/{wanted}" for e in holders)
        raise ModelError(f"several papers have a model {wanted!r}: ask for {choices}")
    if not holders:
        raise _no_model(name, wanted, within)
    paper = registry.paper(holders[0].id)
    return paper, next(variant for variant in paper.variants if variant.name == wanted)


def _named(entry: PaperEntry) -> dict[str, str]:
    """Return each model's name and variant; the name says the paper too where several have a variant of that name."""
    others = {v for other in registry.entries().values() if other.id != entry.id for v in other.variants}
    return {f"{entry.id}/{v}" if v in others else v: v for v in entry.variants}


def _fitting(paper: Paper, task: str, weights: bool, features: bool) -> set[str]:
    """Return the variants for a task (empty for any) that have what is asked for."""
    return {
        v.name
        for v in paper.variants
        if task in ("", paper.task_of(v))
        and not (weights and v.checkpoint is None)
        and not (features and not has_features(paper, v))
    }


def _no_model(name: str, wanted: str, within: str) -> ModelError:
    """Return the error for a name that no model has."""
    entries = registry.entries()
    if name in entries and entries[name].problem:
        return ModelError(entries[name].problem)
    if name in entries:
        return ModelError(f"{name!r} is a paper: ask for one of its models, {_first(entries[name].variants)}")
    for entry in entries.values():
        networks = () if entry.problem or within not in ("", entry.id) else registry.paper(entry.id).networks
        for network in networks:
            if network.name == wanted:
                backbone = network.config["backbone"]
                return ModelError(
                    f"{wanted!r} is a network around {backbone} that `bench run` builds with OpenMMLab's packages: "
                    f"create its maps with create_model({backbone!r}, features_only=True)"
                )
    known = [n for e in entries.values() if within in ("", e.id) for n in _named(e)]
    return ModelError(str(unknown("model", name, known)))


def _first(names: tuple[str, ...], count: int = 8) -> str:
    more = f" and {len(names) - count} more" if len(names) > count else ""
    return ", ".join(names[:count]) + more
