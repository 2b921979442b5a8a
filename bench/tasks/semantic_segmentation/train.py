"""``bench train`` for segmenters: shows a paper's recipe with its sources. Nothing is trained here."""

from __future__ import annotations

from fnmatch import fnmatch

from claimbench.bench.core.errors import UserError, unknown
from claimbench.bench.core.task import TrainRequest
from claimbench.bench.core.terminal import console, print_json
from claimbench.bench.papers import registry
from claimbench.bench.papers.recipe import Recipe

SHOWN = (
    *(
        "data",
        "classes",
        "epochs",
        "iterations",
        "decay_iterations",
        "batch",
        "device_batch",
        "optimizer",
        "betas",
        "lr",
    ),
    *("lr_factors", "weight_decay", "schedule", "power", "min_lr", "warmup_iterations", "warmup_factor", "clip"),
    "drop_path",
)
"""The fields of a recipe that say something of segmenters."""


def train(request: TrainRequest) -> int:
    """Show the recipe of a variant and return 0.

    Raises:
        UserError: the variant does not exist, no source states its recipe, or a training was asked for.
    """
    request.refuse_others("semantic segmentation", "variant", "dry_run", "json")
    paper = registry.paper(request.paper)
    variants = {variant.name: variant for variant in paper.variants}
    name = request.variant or next(iter(variants))
    if name not in variants:
        raise unknown("variant", name, variants)
    if paper.recipe is None or any(fnmatch(name, pattern) for pattern in paper.recipe.not_for):
        raise UserError(f"no source states a recipe for {name} of {paper.id}")
    if not request.dry_run:
        raise UserError(f"segmenters are not trained here: --dry-run shows the recipe of {name} with its sources")
    recipe = paper.recipe.resolve(name)
    if request.json:
        values = [dict(zip(("name", "value", "source"), row, strict=True)) for row in rows(recipe)]
        print_json({"paper": paper.id, "variant": name, "values": values, "notes": recipe.notes})
        return 0
    out = console()
    out.print(f"{paper.id} / {name}", markup=False)
    for field, value, source in rows(recipe):
        out.print(f"  {field}: {value} ({source})", markup=False)
    for note in recipe.notes:
        out.print(f"  {note}", markup=False)
    return 0


def rows(recipe: Recipe) -> list[tuple[str, str, str]]:
    """Return the hyper-parameters that the recipe states or says to be unknown: name, value and source of each."""
    found = []
    for field in SHOWN:
        value = getattr(recipe, field)
        if field in recipe.unknown:
            found.append((field.replace("_", " "), "not stated", "no source states it"))
        elif value not in (None, (), {}):
            found.append((field.replace("_", " "), _text(value), recipe.source_of(field)))
    return found


def _text(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(each)}" for name, each in value.items())
    if isinstance(value, tuple):
        return ", ".join(map(_text, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
