"""The plan of a run: the paper's recipe, the user's changes to it, and the shares of a step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Any

from claimbench.bench.core.errors import UserError, unknown
from claimbench.bench.core.task import TrainRequest
from claimbench.bench.papers import registry
from claimbench.bench.papers.recipe import NEEDED, Recipe
from claimbench.bench.papers.spec import InputSpec, Paper, Variant
from claimbench.bench.training.parts import peak_lr

OWN = ("form", "size", "decayed_vectors", "no_weight_decay", "drop_path_key", "config", "auxiliary", "annealed")
"""The fields that concern the model: they stay the paper's own if another paper's recipe is used."""

GIVEN_BY = {"epochs": "--epochs", "batch": "--global-batch", "lr": "--lr"}
"""The options that give a value which no source states; the others come with another recipe."""


@dataclass(frozen=True)
class TrainingRun:
    """A run, resolved.

    Attributes:
        request: the request.
        module: the paper's Python package.
        form, config: the arguments of ``build``.
        input: the variant's preprocessing. ``size``: the side of the pictures.
        recipe: every value that will be used.
        classes: the width of the model's output.
        share: pictures of one pass on one device. ``accumulate``: passes a step.
        precision: of the forward pass.
        deviations: sentences on the differences from the paper's recipe.
        pictures: a description of the training data; empty until they have been opened.
    """

    request: TrainRequest
    variant: str
    module: str
    form: str
    config: Mapping[str, Any]
    input: InputSpec
    size: int
    recipe: Recipe
    classes: int
    share: int
    accumulate: int
    precision: str
    deviations: tuple[str, ...]
    pictures: str = ""

    @property
    def batch(self) -> int:
        """Pictures a step, over all devices."""
        assert self.recipe.batch is not None
        return self.recipe.batch

    def identity(self) -> dict[str, Any]:
        """Return the values that must be equal for a run to be resumed, as plain values."""
        values = self.recipe.model_dump(mode="json", exclude={"source", "sources", "notes", "unknown"})
        return {
            "paper": self.request.paper,
            "variant": self.variant,
            "recipe": self.request.recipe or "the paper's own",
            "form": self.form,
            "classes": self.classes,
            "input size": self.size,
            "seed": self.request.seed,
            "precision": self.precision,
            "data set": self.request.dataset,
            "data": self.pictures,
            "start weights": str(self.request.start or ""),
            "hyper-parameters": _plain(self.config),
            **{f"recipe's {name}": _plain(value) for name, value in values.items() if value not in ({}, [])},
        }


def resolve(request: TrainRequest, *, devices: int, on_gpu: bool) -> TrainingRun:
    """Return the run that a request describes.

    Args:
        request: the request.
        devices: the number that train together.
        on_gpu: whether they are GPUs.

    Raises:
        UserError: the paper, variant or recipe is unknown, a value is stated nowhere, or a step cannot be shared out.
    """
    paper = registry.paper(request.paper)
    variant = _variant(paper, request.variant)
    recipe, deviations = _recipe(paper, variant, request.recipe)
    asked = {
        "epochs": request.epochs,
        "batch": request.global_batch or request.batch * request.accumulate * devices,
        "lr": request.lr,
    }
    own_classes = variant.config.get("num_classes") or recipe.classes
    used = recipe.model_copy(
        update={
            **{name: value for name, value in asked.items() if value},
            "classes": request.classes or own_classes,
            "size": request.input_size or recipe.size or variant.input.size,
            "lr_batch": None if request.lr else recipe.lr_batch,
        }
    )
    _check_stated(paper, used)
    stated = recipe.model_copy(update={"classes": own_classes, "size": recipe.size or variant.input.size})
    deviations += _changed(stated, used)
    precision = _precision(request.precision, recipe, on_gpu)
    if precision != recipe.precision:
        deviations.append(f"{precision} instead of {recipe.precision}" + ("" if on_gpu else " (on a CPU)"))
    if recipe.sync_batch_norm and devices > 1 and not on_gpu:
        deviations.append("batch statistics of each process instead of all (torch synchronises them on GPUs only)")
    if recipe.token_labelling:
        deviations.append("the picture's class as every position's target instead of a map of token labels")
    if request.start:
        deviations.append(f"begins with the weights of {request.start.name}")
    share, accumulate = _shares(used, request, devices)
    assert used.size is not None
    return TrainingRun(
        request=request,
        variant=variant.name,
        module=registry.entry(request.paper).module,
        form=_form(paper, variant, used),
        config=_config(variant, used),
        input=variant.input,
        size=used.size,
        recipe=used,
        classes=used.classes,
        share=share,
        accumulate=accumulate,
        precision=precision,
        deviations=tuple(deviations),
    )


def _changed(stated: Recipe, used: Recipe) -> list[str]:
    """Return the numbers that the user changed, each in a sentence."""
    found = []
    for name, unit in (
        ("epochs", "epochs"),
        ("batch", "pictures a step"),
        ("size", "pixels a side"),
        ("classes", "classes"),
    ):
        own, now = getattr(stated, name), getattr(used, name)
        if own != now:
            found.append(f"{now} {unit} " + (f"instead of {own}" if own is not None else "where no source states any"))
    if used.lr_batch is None and (used.lr, used.lr_batch) != (stated.lr, stated.lr_batch):
        known = stated.lr is not None and stated.batch is not None
        own = f"instead of {peak_lr(stated):g}" if known else "where no source states any"
        found.append(f"{used.lr:g} as peak learning rate {own}")
    return found


def _variant(paper: Paper, name: str) -> Variant:
    if not name:
        return next((v for v in paper.variants if v.default), paper.variants[0])
    found = next((v for v in paper.variants if v.name == name), None)
    if found is None:
        raise unknown(f"variant of {paper.id}", name, [v.name for v in paper.variants])
    return found


def _recipe(paper: Paper, variant: Variant, name: str) -> tuple[Recipe, list[str]]:
    """Return the recipe to use, and its differences from the paper's."""
    own = paper.recipe
    if own is None:
        raise UserError(f"{paper.id} has no training recipe in its paper.yaml")
    if not name or name in own.alternatives:
        if any(fnmatch(variant.name, pattern) for pattern in own.not_for) and not name:
            raise UserError(f"no source says how {variant.name} was trained, or it is no classifier: {_others(paper)}")
        return own.resolve(variant.name, name), []
    if name not in registry.entries():
        raise unknown("recipe", name, [*own.alternatives, *registry.entries()])
    other = registry.paper(name).recipe
    if other is None:
        raise UserError(f"{name} has no training recipe in its paper.yaml")
    mine = own.resolve(variant.name)
    kept: dict[str, Any] = {field: getattr(mine, field) for field in OWN}
    kept |= {"classes": mine.classes, "data": mine.data, "token_labelling": mine.token_labelling}
    kept["drop_path"] = other.drop_path if mine.drop_path_key else None
    if mine.token_labelling:  # pictures are mixed inside the model
        kept |= {"mixup": 0.0, "cutmix": 0.0}
    return other.resolve("").model_copy(update=kept), [f"the recipe of {name} instead of {paper.id}'s own"]


def _others(paper: Paper) -> str:
    assert paper.recipe is not None
    known = [v.name for v in paper.variants if not any(fnmatch(v.name, p) for p in paper.recipe.not_for)]
    hint = f"choose one of {', '.join(known[:6])}" if known else "name another paper's recipe"
    return f"{hint}, or name a paper whose recipe it shall follow with --recipe"


def _check_stated(paper: Paper, used: Recipe) -> None:
    missing = [name for name in NEEDED if getattr(used, name) is None]
    if not missing:
        return
    if all(name in GIVEN_BY for name in missing):
        options = " and ".join(GIVEN_BY[name] for name in missing)
        raise UserError(f"no source states {_list(missing)} of {paper.id}: say it with {options}")
    raise UserError(
        f"no source states {_list(missing)} of {paper.id}: name a paper whose recipe it shall follow with --recipe"
    )


def _list(names: list[str]) -> str:
    words = [name.replace("_", " ") for name in names]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _precision(asked: str, recipe: Recipe, on_gpu: bool) -> str:
    known = ("auto", "fp32", "bf16", "fp16")
    if asked not in known:
        raise unknown("precision", asked, known)
    if asked == "auto":
        return recipe.precision if on_gpu else "fp32"
    if asked == "fp16" and not on_gpu:
        raise UserError("fp16 needs a GPU, where its gradients are scaled: use bf16 or fp32 on a CPU")
    return asked


def _shares(recipe: Recipe, request: TrainRequest, devices: int) -> tuple[int, int]:
    """Return the pictures of a pass on one device, and the passes of a step."""
    assert recipe.batch is not None
    mine, rest = divmod(recipe.batch, devices)
    if rest or not mine:
        raise UserError(f"a batch of {recipe.batch} cannot be shared by {devices} devices: choose --global-batch so")
    if request.accumulate:
        passes, share = request.accumulate, mine // request.accumulate
    else:
        share = min(request.batch or recipe.device_batch or mine, mine)
        passes = mine // share
    if share * passes != mine or not share:
        raise UserError(
            f"a device's {mine} pictures a step cannot be cut into "
            + (f"{passes} passes" if request.accumulate else f"passes of {share}")
            + ": choose --batch, --accumulate or --global-batch so that they divide"
        )
    return share, passes


def _form(paper: Paper, variant: Variant, recipe: Recipe) -> str:
    form = recipe.form or paper.default_form(variant)
    if variant.forms and form not in variant.forms:
        raise UserError(f"{variant.name} has no form {form!r}, in which {paper.id} is trained")
    return form


def _config(variant: Variant, recipe: Recipe) -> dict[str, Any]:
    """Return the hyper-parameters to build with."""
    config = {**variant.config, **recipe.config}
    if "num_classes" in config or recipe.classes != 1000:
        config["num_classes"] = recipe.classes
    if recipe.drop_path is not None and recipe.drop_path_key:
        config[recipe.drop_path_key] = recipe.drop_path
    return config | {key: recipe.size for key in ("img_size", "image_size") if key in config}


def _plain(value: Any) -> Any:
    """Return a value as JSON has it, so that stored values compare equal."""
    import json

    return json.loads(json.dumps(value))
