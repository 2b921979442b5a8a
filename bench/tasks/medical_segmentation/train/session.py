"""The training of one network of a study from one seed, and its scores on the test slabs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from claimbench.bench.core.errors import UserError
from claimbench.bench.core.listener import Listener
from claimbench.bench.machine import environment
from claimbench.bench.machine.process import Stop
from claimbench.bench.tasks.medical_segmentation.score import StructureScores, measured
from claimbench.bench.tasks.medical_segmentation.train.slab_data import SlabData, SlabTensors
from claimbench.bench.training.checkpoint import check_finite

SHIFT = 4
"""The most pixels by which a training picture is moved along each axis."""


@dataclass(frozen=True)
class StudyRecipe:
    """The training that all networks of a study share: Adam, its learning rate falling to zero along a cosine.

    Cross entropies weigh each class by one over the square root of its share of the training voxels: small structures
    would not be learned in so few steps.

    Attributes:
        epochs: passes over the training slabs.
        batch: slices a step; a network of volumes takes one slab.
        lr: the first learning rate.
    """

    epochs: int = 60
    batch: int = 6
    lr: float = 3e-3

    def to_json(self) -> dict[str, Any]:
        """Return the recipe as plain data."""
        return asdict(self)


@dataclass(frozen=True)
class SmallNetwork:
    """A network of a study.

    Attributes:
        name: of the network.
        build: returns it for so many channels and classes.
        loss: of its output in train mode, the labels and the weights of the classes.
        volumes: whether it takes volumes (B, C, D, H, W) and not slices.
    """

    name: str
    build: Callable[[int, int], nn.Module]
    loss: Callable[[Any, Tensor, Tensor], Tensor] = F.cross_entropy
    volumes: bool = False


def train(
    arm: SmallNetwork,
    data: SlabData,
    recipe: StudyRecipe,
    seed: int,
    device: torch.device,
    stop: Stop,
    listener: Listener,
) -> dict[str, Any] | None:
    """Return what a network finds on the test slabs after its training; None if it was asked to stop.

    Raises:
        UserError: its loss is no longer a number.
    """
    torch.manual_seed(seed)
    model = arm.build(1, data.classes).to(device)
    values, labels = (data.blocks if arm.volumes else data.slices)(data.parts["train"])
    shares = torch.bincount(labels.flatten(), minlength=data.classes) / labels.numel()
    weights = shares.clamp(min=1 / labels.numel()).rsqrt()
    weights = (weights / weights.mean()).to(device)
    generator = torch.Generator().manual_seed(seed)
    batch = 1 if arm.volumes else recipe.batch
    steps = recipe.epochs * (len(values) // batch)
    if not steps:
        raise UserError(f"a batch of {batch} is more than the {len(values)} training slices: take a smaller --batch")
    optimizer = torch.optim.Adam(model.parameters(), lr=recipe.lr, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    start, loss, order = perf_counter(), torch.zeros(()), torch.zeros(0, dtype=torch.long)
    model.train()
    for step in range(steps):
        if stop.requested:
            return None
        if len(order) < batch:
            order = torch.randperm(len(values), generator=generator)
        chosen, order = order[:batch], order[batch:]
        picture, truth = _moved(values[chosen], labels[chosen], generator)
        loss = arm.loss(model(picture.to(device)), truth.to(device), weights)
        check_finite(float(loss.detach()), epoch=step * batch // len(values), step=step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        listener.at(step + 1, steps)
    model.eval()
    return {
        "arm": arm.name,
        "seed": seed,
        "params": sum(parameter.numel() for parameter in model.parameters()),
        "steps": steps,
        "seconds": perf_counter() - start,
        "loss": float(loss.detach()),
        "validation": _dice(_found(arm, model, data, data.parts["val"], device)),
        "test": _found(arm, model, data, data.parts["test"], device),
        "threads": torch.get_num_threads(),
        "commit": environment.commit(),
    }


def _moved(values: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return pictures moved together by a few pixels, their intensities scaled by a tenth at most."""
    by = [int(torch.randint(-SHIFT, SHIFT + 1, (), generator=generator)) for _ in range(2)]
    scale = 0.9 + 0.2 * torch.rand(len(values), *[1] * (values.ndim - 1), generator=generator)
    return values.roll(by, (-2, -1)) * scale, labels.roll(by, (-2, -1))


@torch.inference_mode()
def _found(
    arm: SmallNetwork, model: nn.Module, data: SlabData, slabs: Sequence[SlabTensors], device: torch.device
) -> dict[str, list[dict[str, float | None]]]:
    """Return, by slab, the measures of each structure."""
    found = {}
    for slab in slabs:
        values, _ = (data.blocks if arm.volumes else data.slices)([slab])
        scores = model(values.to(device))
        scores = scores[0] if isinstance(scores, tuple | list) else scores
        prediction = torch.zeros_like(slab.labels)
        data.window.of(prediction).copy_(scores.argmax(1).view_as(data.window.of(prediction)))
        classes, truth = (each.numpy().astype("uint8") for each in (prediction, slab.labels))
        found[slab.name] = measured(classes, truth, data.classes - 1, slab.spacing)
    return found


def _dice(found: Mapping[str, Sequence[Mapping[str, float | None]]]) -> float | None:
    return StructureScores(list(found.values())).over_structures("dsc").mean
