"""Everything that learns: the model, its optimizer and its average, and their state as a checkpoint holds it."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)

from claimbench.bench.core.errors import UserError
from claimbench.bench.machine.group import Group
from claimbench.bench.papers.models import trained
from claimbench.bench.papers.models.state import load_state
from claimbench.bench.tasks.image_classification.train.losses import Loss
from claimbench.bench.tasks.image_classification.train.training_plan import TrainingRun
from claimbench.bench.training import distributed, parts
from claimbench.bench.training.seeding import MIXING, drawing_for

_WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)
_HALVES = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Learner:
    """The model in training.

    Args:
        plan: the run.
        group: the processes it runs on.
        steps: optimizer steps in an epoch.
        shard: whether FSDP2 shards the weights, else each process holds them all.

    Attributes:
        model: the module, whose parameters are trained.
        average: timm's moving average of it, or None.
        schedule: of the learning rate.

    Raises:
        UserError: the weights to start with do not fit.
    """

    def __init__(self, plan: TrainingRun, group: Group, steps: int, *, shard: bool = False) -> None:
        self.plan, self.group, self.steps, self.shard = plan, group, steps, shard
        recipe = plan.recipe
        torch.manual_seed(plan.request.seed)  # the same weights everywhere
        model = _build(plan)
        if plan.request.start is not None:
            _start(model, plan, plan.request.start)
        model = model.to(group.device).train()
        if recipe.sync_batch_norm and group.size > 1 and group.device.type == "cuda":
            model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
        self.model = model
        self.average = parts.average_of(model, recipe)
        if self.average is not None and shard:
            distributed.spread(self.average.module, group, shard=True)
        self._spread = distributed.spread(model, group, shard=shard)
        self.optimizer = parts.optimizer_of(model, recipe)
        self.schedule = parts.Schedule(self.optimizer, recipe, steps)
        self._mixing = parts.mixing_of(recipe, plan.classes)
        parts.check_even(self._mixing, plan.share)
        self._loss = Loss(recipe, plan.classes, mixed=self._mixing is not None)
        self._scaler = torch.amp.GradScaler(group.device.type, enabled=plan.precision == "fp16")

    def step(self, batches: Any, epoch: int, step: int) -> Tensor:
        """Take one optimizer step on the next passes of ``batches``; return the mean loss, without waiting for it."""
        self.schedule.set(epoch, step)
        total = torch.zeros((), device=self.group.device)
        passes = self.plan.accumulate
        for number in range(passes):
            pictures, labels = next(batches)
            pictures = pictures.to(self.group.device, non_blocking=True)
            labels = labels.to(self.group.device, non_blocking=True)
            if self._mixing is not None:
                with drawing_for(MIXING, self.plan.request.seed, epoch, step, number, self.group.rank):
                    pictures, labels = self._mixing(pictures, labels)
            with self._synchronising(number == passes - 1):
                with self._autocast():
                    loss = self._loss(self._spread(pictures, **self._annealed(epoch, step)), labels)
                self._scaler.scale(loss / passes).backward()
            total += loss.detach() / passes
        self._update()
        return total

    def learning_rate(self) -> float:
        """Return the learning rate of the last step."""
        return float(self.optimizer.param_groups[0]["lr"])

    def _update(self) -> None:
        from timm.models import model_parameters
        from timm.utils import dispatch_clip_grad

        recipe = self.plan.recipe
        if recipe.clip is not None:
            self._scaler.unscale_(self.optimizer)
            clipped = model_parameters(self.model, exclude_head=recipe.clip_mode == "agc")
            dispatch_clip_grad(clipped, value=recipe.clip, mode=recipe.clip_mode)
        self._scaler.step(self.optimizer)
        self._scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        if self.average is not None:
            self.average.update(self.model)

    def _synchronising(self, now: bool) -> Any:
        """Return the context in which gradients are exchanged between processes, or kept for later passes."""
        if self.shard:
            self.model.set_requires_gradient_sync(now)  # type: ignore[operator]
            return nullcontext()
        if now or self.group.size == 1:
            return nullcontext()
        return self._spread.no_sync()  # type: ignore[operator]

    def _autocast(self) -> Any:
        half = _HALVES.get(self.plan.precision)
        return nullcontext() if half is None else torch.autocast(self.group.device.type, half)

    def _annealed(self, epoch: int, step: int) -> dict[str, float]:
        """Return the arguments of the forward pass that change while training."""
        annealed = self.plan.recipe.annealed
        if annealed is None:
            return {}
        last = float(self.plan.config[annealed.config])
        return {annealed.argument: parts.annealed_value(annealed, last, epoch, step, self.steps)}

    def state(self) -> dict[str, Any]:
        """Return everything that was learnt; all processes must call it, the first one's is whole."""
        return {
            "model": get_model_state_dict(self.model, options=_WHOLE),
            "average": None if self.average is None else get_model_state_dict(self.average.module, options=_WHOLE),
            "optimizer": get_optimizer_state_dict(self.model, self.optimizer, options=_WHOLE),
            "scaler": self._scaler.state_dict(),
            "buffers": self.group.gather({name: value.cpu() for name, value in self._buffers()}),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Load the result of :meth:`state`; each of as many processes takes its own buffers."""
        set_model_state_dict(self.model, state["model"], options=_WHOLE)
        if self.average is not None:
            set_model_state_dict(self.average.module, state["average"], options=_WHOLE)
        set_optimizer_state_dict(self.model, self.optimizer, state["optimizer"], options=_WHOLE)
        self._scaler.load_state_dict(state["scaler"])
        if len(state["buffers"]) == self.group.size:
            kept = state["buffers"][self.group.rank]
            for name, value in self._buffers():
                value.copy_(kept[name])

    def _buffers(self) -> Iterator[tuple[str, Tensor]]:
        """Yield the buffers: the statistics of batch norms, which differ between processes within an epoch."""
        yield from self.model.named_buffers(prefix="model")
        if self.average is not None:
            yield from self.average.module.named_buffers(prefix="average")

    def weights(self, *, average: bool) -> dict[str, Tensor]:
        """Return the model's weights, or their average; all processes must call it, the first one's are whole."""
        module = self.average.module if average and self.average is not None else self.model
        return {
            name: value
            for name, value in get_model_state_dict(module, options=_WHOLE).items()
            if torch.is_tensor(value)
        }


def count_parameters(plan: TrainingRun) -> int:
    """Return the number of parameters of the plan's model, without allocating them."""
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in _build(plan).parameters())


def _build(plan: TrainingRun) -> nn.Module:
    try:
        model: nn.Module = importlib.import_module(f"{plan.module}.model").build(plan.config, plan.form)
    except (ValueError, TypeError) as error:
        raise UserError(f"{plan.variant} cannot be built for pictures of {plan.size} pixels: {error}") from error
    return model


def _start(model: nn.Module, plan: TrainingRun, path: Path) -> None:
    """Give the model the weights of a file, ours or in the official layout; a head of another width stays new."""
    donor = trained.build(path, plan.module, plan.variant, plan.form)
    if donor is None:
        official = importlib.import_module(f"{plan.module}.official")
        from claimbench.bench.papers import registry

        variant = next(v for v in registry.paper(plan.request.paper).variants if v.name == plan.variant)
        try:
            donor = official.from_official(dict(variant.config), load_state(path), plan.form or None)
        except (ValueError, KeyError, RuntimeError) as error:
            reason = (str(error).splitlines() or ["it is another model's"])[-1].strip()
            raise UserError(f"weights file {path} does not fit {plan.variant}: {reason}") from error
    given, own = donor.state_dict(), model.state_dict()
    fitting = {name: tensor for name, tensor in given.items() if name in own and tensor.shape == own[name].shape}
    heads = {name for name in own if name not in fitting and own[name].shape[:1] == (plan.classes,)}
    if wrong := sorted(set(own) - set(fitting) - heads):
        raise UserError(f"weights file {path} does not fit {plan.variant} as it is trained here: {wrong[0]} differs")
    model.load_state_dict({**own, **fitting})
