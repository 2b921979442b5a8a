"""A run before it begins: the training that would happen, and the source of each value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from claimbench.bench.papers.recipe import Recipe
    from claimbench.bench.tasks.image_classification.train.training_plan import TrainingRun

HIDDEN = ("source", "sources", "notes", "unknown", "variants", "alternatives", "not_for", "drop_path_key")
COMMAND_LINE = "the command line"


def rows(plan: TrainingRun) -> list[tuple[str, str, str]]:
    """Return every hyper-parameter of a run: its name, its value, and its source."""
    from claimbench.bench.papers import registry
    from claimbench.bench.training.parts import peak_lr

    recipe = plan.recipe
    request = plan.request
    given = {
        "epochs": request.epochs,
        "lr": request.lr,
        "batch": request.global_batch or (request.batch and request.accumulate),
        "classes": request.classes,
        "size": request.input_size,
    }
    own = registry.paper(request.paper).recipe
    assert own is not None
    found = []
    for name in type(recipe).model_fields:
        value = getattr(recipe, name)
        if name in HIDDEN or (value in (None, (), {}, "") and name not in recipe.unknown) or _idle(recipe, name):
            continue
        source = recipe.source_of(name)
        if given.get(name):
            source = COMMAND_LINE
        elif name in recipe.unknown and name not in ("lr", "batch", "epochs"):
            source = "no source states it"
        elif name == "size" and own.size is None:
            source = "the variant's input size"
        found.append((name.replace("_", " "), _text(value), source))
    scaled = f"{peak_lr(recipe):g} at {plan.batch} pictures a step"
    found.append(("peak learning rate", scaled, f"lr for each {recipe.lr_batch}" if recipe.lr_batch else "lr as it is"))
    if recipe.drop_path is None and recipe.drop_path_key in plan.config:
        text = _text(plan.config[recipe.drop_path_key])
        found.append((recipe.drop_path_key.replace("_", " "), text, "the variant's hyper-parameters"))
    return found


def _idle(recipe: Recipe, name: str) -> bool:
    """Whether a value has no effect beside the others."""
    return (
        (name == "crop_scale" and recipe.crop == "padded")
        or (name == "erasing_mode" and not recipe.erasing)
        or (name == "mix_switch" and not (recipe.mixup and recipe.cutmix))
        or (name == "clip_mode" and recipe.clip is None)
        or (name in ("scale_ends", "lr_batch") and recipe.lr_batch is None)
        or (name in ("each_step", "min_lr") and recipe.schedule == "constant")
        or (name == "warmup_lr" and not recipe.warmup_epochs)
        or (name == "lag_epochs" and not recipe.lag_epochs)
        or (name == "color_jitter" and bool(recipe.auto_augment))
    )


def _text(value: Any) -> str:
    if value is None:
        return "not stated"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, tuple | list):
        return ", ".join(_text(item) for item in value)
    if hasattr(value, "model_dump"):
        return ", ".join(f"{name} {_text(item)}" for name, item in value.model_dump().items())
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def print_plan(out: Console, plan: TrainingRun, devices: int, parameters: int) -> None:
    """Print the training that would happen, with the source of every value, and its departures from the paper."""
    from rich.markup import escape
    from rich.table import Table

    form = f" in the form {plan.form}" if plan.form not in ("", "model") else ""
    out.print(
        f"[bold]{escape(plan.request.paper)} / {escape(plan.variant)}[/]{escape(form)}, {parameters:,} parameters"
    )
    table = Table(box=None, header_style="bold", padding=(0, 2))
    for heading in ("Hyper-parameter", "Value", "Source"):
        table.add_column(heading, overflow="fold")
    listed = rows(plan)
    numbers = {source: str(number) for number, source in enumerate(dict.fromkeys(row[2] for row in listed), 1)}
    for name, value, source in listed:
        table.add_row(escape(name), escape(value), numbers[source])
    out.print(table)
    for source, number in numbers.items():
        out.print(f"  {number:>2}  {source}", markup=False)
    passes = f"{plan.accumulate} passes of {plan.share}" if plan.accumulate > 1 else f"one pass of {plan.share}"
    out.print(f"A step: {plan.batch} pictures, {passes} on each of {devices} device{'s' * (devices > 1)}.")
    for title, sentences in (("Departs from the paper's recipe", plan.deviations), ("Notes", plan.recipe.notes)):
        if sentences:
            out.print(f"\n{title}", style="bold")
            for sentence in sentences:
                out.print(f"  {sentence}", markup=False)
