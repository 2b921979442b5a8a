"""The training recipe of a paper's models: the ``recipe`` section of ``paper.yaml``.

Every value is the sources' own; a value that no source gives is null and named in ``unknown``. ``sources`` gives the
places of values, field by field, and ``source`` the place of all others.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]

NEEDED = ("epochs", "batch", "optimizer", "lr", "weight_decay", "schedule")
"""Without these nothing can be trained; ``iterations`` stand for epochs."""


_KEPT = ("source", "sources", "notes", "unknown")
"""Fields that the changes for a variant add to, instead of replacing them."""


class PaperSection(BaseModel):
    """A part of ``paper.yaml``: it has these fields and no others, and does not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class TokenLabelling(PaperSection):
    """The loss of token labelling (arXiv 2104.10858): weights of the picture's and of the positions' cross-entropy.

    ``size`` is the side of the map of labels that the model's positions are compared with.
    """

    picture: NotNegative = 1.0
    positions: NotNegative = 0.5
    size: int | None = Field(default=None, ge=1)


class Annealed(PaperSection):
    """An argument of the model's forward pass that falls along a cosine from ``start`` to the variant's own value.

    Attributes:
        argument: the argument's name.
        config: the hyper-parameter that holds the last value.
        start: the value before ``first_epoch``.
        first_epoch, last_epoch: of the fall.
    """

    argument: str
    config: str
    start: float
    first_epoch: int = Field(ge=0)
    last_epoch: int = Field(ge=0)


class Recipe(PaperSection):
    """A training recipe.

    Attributes:
        source: of all values but those that ``sources`` names, by field.
        notes: differences between the paper, its script and its log, and other notes for a reader.
        unknown: fields that no source gives.
        data: the data set, in words; ``classes``: the number of its classes.
        form: the form that is trained; empty for the paper's only one.
        size: the side of the training pictures; else the variant's own.
        epochs, cooldown_epochs: the schedule's length, and epochs at ``min_lr`` after it.
        batch: pictures an optimizer step, over all devices. ``device_batch``: those of one device, if stated.
        iterations: optimizer steps, for recipes that count no epochs. ``decay_iterations``: the step at which the
            schedule ends, if that is another.
        optimizer: timm's name for it. ``betas``, ``eps``, ``momentum``: null for its defaults.
        lr: the peak learning rate for ``lr_batch`` pictures a step, to which it is proportional; if ``lr_batch`` is
            null it does not depend on the batch. ``scale_ends``: whether ``min_lr`` and ``warmup_lr`` scale alike.
        weight_decay: not applied to biases, to vectors, nor to parameters that match ``no_weight_decay`` (patterns);
            but to those that match ``decayed_vectors``, which are no vectors in the official code.
        lr_factors: factors of the learning rate of parameters whose names hold a word, by that word.
        schedule: of the learning rate; ``power``: of the polynomial one (``poly``). ``each_step``: whether it moves
            every step and not every epoch.
        lag_epochs: the number of epochs that it comes late: scripts that follow DeiT's ask for an epoch's rate with the
            number of the one before, so that the first rate serves two epochs and the last is never reached.
        warmup_epochs, warmup_lr: a linear rise from ``warmup_lr``, which replaces the schedule's first epochs.
        warmup_iterations, warmup_factor: the same in steps, from that share of the peak.
        clip, clip_mode: of gradients, null for none.
        crop: ``resized`` (random area and shape) or ``padded`` (random place after 4 pixels of padding).
        crop_scale, flip, interpolation, color_jitter: as timm's transforms take them. If ``auto_augment`` is given
            timm leaves colour jitter out, as the official scripts on timm do.
        auto_augment: timm's text, or ``torchvision-rand-mM`` for torchvision's RandAugment of magnitude M.
        repeats: repeated augmentation, versions of a picture in an epoch; 0 for none.
        erasing, erasing_mode: the probability of random erasing, and the filling of the hole.
        mixup, cutmix: alphas, 0 for none; ``mix_switch`` is the probability of CutMix if both are on.
        label_smoothing: of the targets.
        drop_path: the rate of stochastic depth, which the hyper-parameter ``drop_path_key`` takes; null leaves the
            variant's own.
        config: other hyper-parameters that differ in training.
        ema: the decay of the average of the weights, null for none; to the power batch / ``ema_batch`` if that is set.
        precision: of the forward pass: fp32, or bf16 or fp16 under autocast.
        sync_batch_norm: whether batch statistics are those of all devices.
        auxiliary: the weight of the auxiliary head's loss.
        token_labelling, annealed: see their classes.
        variants: by variant, the fields that differ.
        alternatives: by name, other recipes of the same paper, as the fields that differ; applied after ``variants``.
        not_for: variants (patterns) without a recipe in any source, or that are no classifiers.
    """

    source: str
    sources: dict[str, str] = {}
    notes: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    data: str = "ImageNet-1K"
    classes: int = Field(default=1000, ge=1)
    form: str = ""
    size: int | None = Field(default=None, ge=1)
    epochs: int | None = Field(default=None, ge=1)
    iterations: int | None = Field(default=None, ge=1)
    decay_iterations: int | None = Field(default=None, ge=1)
    cooldown_epochs: int = Field(default=0, ge=0)
    batch: int | None = Field(default=None, ge=1)
    device_batch: int | None = Field(default=None, ge=1)
    optimizer: str | None = None
    lr: Positive | None = None
    lr_batch: int | None = Field(default=None, ge=1)
    scale_ends: bool = False
    lr_factors: dict[str, Positive] = {}
    weight_decay: NotNegative | None = None
    no_weight_decay: tuple[str, ...] = ()
    decayed_vectors: tuple[str, ...] = ()
    betas: tuple[Share, Share] | None = None
    eps: Positive | None = None
    momentum: Share | None = None
    schedule: Literal["cosine", "linear", "constant", "poly"] | None = None
    power: Positive | None = None
    each_step: bool = False
    lag_epochs: int = Field(default=0, ge=0)
    warmup_epochs: int = Field(default=0, ge=0)
    warmup_lr: NotNegative = 0.0
    warmup_iterations: int | None = Field(default=None, ge=1)
    warmup_factor: Share | None = None
    min_lr: NotNegative = 0.0
    clip: Positive | None = None
    clip_mode: Literal["norm", "value", "agc"] = "norm"
    crop: Literal["resized", "padded"] = "resized"
    crop_scale: tuple[Share, Share] = (0.08, 1.0)
    flip: Share = 0.5
    interpolation: Literal["bilinear", "bicubic", "random"] = "bicubic"
    color_jitter: NotNegative | None = None
    auto_augment: str | None = None
    repeats: int = Field(default=0, ge=0)
    erasing: Share = 0.0
    erasing_mode: Literal["const", "pixel", "rand"] = "pixel"
    mixup: NotNegative = 0.0
    cutmix: NotNegative = 0.0
    mix_switch: Share = 0.5
    label_smoothing: Share = 0.0
    drop_path: Share | None = None
    drop_path_key: str = "drop_path"
    config: dict[str, Any] = {}
    ema: Share | None = None
    ema_batch: int | None = Field(default=None, ge=1)
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    sync_batch_norm: bool = False
    auxiliary: NotNegative | None = None
    token_labelling: TokenLabelling | None = None
    annealed: Annealed | None = None
    variants: dict[str, dict[str, Any]] = {}
    alternatives: dict[str, dict[str, Any]] = {}
    not_for: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _honest(self) -> Recipe:
        fields = set(type(self).model_fields)
        if wrong := [name for name in (*self.unknown, *self.sources) if name not in fields]:
            raise ValueError(f"{wrong[0]!r} is no field of a recipe")
        needed = [name for name in NEEDED if name != "epochs" or self.iterations is None]
        missing = [name for name in needed if getattr(self, name) is None and name not in self.unknown]
        if missing:
            raise ValueError(f"{missing[0]} is missing: give it, or name it under `unknown`")
        for name, changes in (*self.variants.items(), *self.alternatives.items()):
            try:
                self._changed(changes)
            except (ValidationError, ValueError) as error:
                raise ValueError(f"the changes for {name}: {_first(error)}") from error
        return self

    def resolve(self, variant: str, alternative: str = "") -> Recipe:
        """Return the recipe of one variant, without the fields that concern others.

        Args:
            variant: its name.
            alternative: one of ``alternatives``, or empty.
        """
        found = self._changed(self.variants.get(variant, {}))
        return found._changed(self.alternatives[alternative]) if alternative else found

    def _changed(self, changes: dict[str, Any]) -> Recipe:
        """Return the recipe with some fields replaced; sources, notes and unknown fields are added to its own."""
        values = {name: value for name, value in changes.items() if name not in _KEPT}
        sources = dict(self.sources)
        if "source" in changes:  # it speaks for the values beside it
            sources |= dict.fromkeys(values, changes["source"])
        unknown = (*self.unknown, *changes.get("unknown", ()))
        values |= dict.fromkeys(changes.get("unknown", ()))
        return type(self).model_validate(
            self.model_dump()
            | values
            | {
                "variants": {},
                "alternatives": {},
                "sources": sources | changes.get("sources", {}),
                "notes": (*self.notes, *changes.get("notes", ())),
                "unknown": tuple(dict.fromkeys(name for name in unknown if values.get(name) is None)),
            }
        )

    def source_of(self, field: str) -> str:
        """Return the place of a value in the sources."""
        return self.sources.get(field, self.source)


def _first(error: ValueError) -> str:
    """Return the error, in one sentence."""
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))} {first['msg'].removeprefix('Value error, ')}".strip()
    return str(error)
