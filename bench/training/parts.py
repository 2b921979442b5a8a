"""A recipe's optimizer, schedule, mixing and average of weights: timm's and torch's, with the recipe's values."""

from __future__ import annotations

import math
from fnmatch import fnmatch
from typing import Any

import torch
from torch import nn

from claimbench.bench.core.errors import UserError, unknown
from claimbench.bench.papers.recipe import Annealed, Recipe


def peak_lr(recipe: Recipe) -> float:
    """Return the peak learning rate at the recipe's batch."""
    assert recipe.lr is not None
    return recipe.lr * _scale(recipe)


def _scale(recipe: Recipe) -> float:
    """Return the factor of the learning rate for the recipe's batch."""
    assert recipe.batch is not None
    return recipe.batch / recipe.lr_batch if recipe.lr_batch else 1.0


def parameter_groups(model: nn.Module, recipe: Recipe) -> list[dict[str, Any]]:
    """Return the parameters with and without weight decay; see :class:`claimbench.bench.papers.recipe.Recipe`."""
    decayed: list[nn.Parameter] = []
    free: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        vector = parameter.ndim <= 1 or name.endswith(".bias")
        if vector:
            decays = _matches(name, recipe.decayed_vectors)
        else:
            decays = not _matches(name, recipe.no_weight_decay)
        (decayed if decays else free).append(parameter)
    groups: list[dict[str, Any]] = [
        {"params": decayed, "weight_decay": recipe.weight_decay},
        {"params": free, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch(name, pattern) for pattern in patterns)


def optimizer_of(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Return timm's optimizer of the recipe's name.

    Raises:
        UserError: timm knows none of that name.
    """
    from timm.optim import create_optimizer_v2, list_optimizers

    assert recipe.optimizer is not None
    known = [str(name) for name in list_optimizers()]
    if recipe.optimizer not in known:
        raise unknown("optimizer", recipe.optimizer, known)
    given = {"betas": recipe.betas, "eps": recipe.eps, "momentum": recipe.momentum}
    options: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    return create_optimizer_v2(
        parameter_groups(model, recipe), opt=recipe.optimizer, lr=peak_lr(recipe), weight_decay=0.0, **options
    )


class Schedule:
    """timm's schedule of the learning rate, a function of the step alone: nothing of it needs to be stored.

    Attributes:
        epochs: their number, the cool-down included.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, recipe: Recipe, steps: int) -> None:
        from timm.scheduler import create_scheduler_v2

        assert recipe.epochs is not None
        scale = _scale(recipe) if recipe.scale_ends else 1.0
        names = {"cosine": "cosine", "linear": "poly", "constant": "step"}  # a line is a polynomial of power 1
        self._scheduler, _ = create_scheduler_v2(
            optimizer,
            sched=names[recipe.schedule or ""],
            num_epochs=recipe.epochs,
            decay_epochs=recipe.epochs,
            decay_rate=1.0,
            min_lr=recipe.min_lr * scale,
            warmup_lr=recipe.warmup_lr * scale,
            warmup_epochs=recipe.warmup_epochs,
            step_on_epochs=not recipe.each_step,
            updates_per_epoch=steps,
        )
        self.epochs = recipe.epochs + recipe.cooldown_epochs
        self._steps, self._lag = steps, recipe.lag_epochs

    def set(self, epoch: int, step: int) -> None:
        """Give the optimizer the learning rate of a step."""
        assert self._scheduler is not None
        late = max(epoch - self._lag, 0)
        self._scheduler.step(late)
        self._scheduler.step_update(late * self._steps + step)


def mixing_of(recipe: Recipe, classes: int) -> Any | None:
    """Return timm's Mixup of pictures and labels, or None if the recipe mixes none."""
    if not recipe.mixup and not recipe.cutmix:
        return None
    from timm.data import Mixup

    return Mixup(
        mixup_alpha=recipe.mixup,
        cutmix_alpha=recipe.cutmix,
        switch_prob=recipe.mix_switch,
        label_smoothing=recipe.label_smoothing,
        num_classes=classes,
    )


def average_of(model: nn.Module, recipe: Recipe) -> Any | None:
    """Return timm's exponential moving average of the weights, or None if the recipe has none."""
    if recipe.ema is None:
        return None
    from timm.utils import ModelEmaV3

    assert recipe.batch is not None
    power = recipe.batch / recipe.ema_batch if recipe.ema_batch else 1.0
    return ModelEmaV3(model, decay=recipe.ema**power)


def annealed_value(annealed: Annealed, last: float, epoch: int, step: int, steps: int) -> float:
    """Return the argument's value at a step: a cosine from ``annealed.start`` down to ``last``.

    Args:
        annealed: the recipe's entry.
        last: the variant's own value.
        epoch, step: the step's place; ``steps`` are in an epoch.
    """
    if epoch < annealed.first_epoch:
        return annealed.start
    if epoch >= annealed.last_epoch:
        return last
    done = (epoch - annealed.first_epoch) * steps + step
    total = (annealed.last_epoch - annealed.first_epoch) * steps
    return last + (annealed.start - last) * (math.cos(math.pi * done / total) + 1) / 2


def check_even(mixing: Any | None, share: int) -> None:
    """Check that a pass can be mixed.

    Raises:
        UserError: it has an odd number of pictures, half of which cannot be partners.
    """
    if mixing is not None and share % 2:
        raise UserError(f"mixing needs an even number of pictures in a pass, found {share}: choose an even --batch")
