"""``bench train`` for medical segmentation: every network of a paper's study, from several seeds, on one data set."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

from claimbench.bench.core.errors import UserError, unknown
from claimbench.bench.core.task import TrainRequest
from claimbench.bench.core.terminal import print_json
from claimbench.bench.data.volumes.packaged_volumes import PACKAGED
from claimbench.bench.machine import devices, environment
from claimbench.bench.machine.locks import folder_alone
from claimbench.bench.machine.process import Stop
from claimbench.bench.papers import registry
from claimbench.bench.tasks.medical_segmentation.catalogue import DATASETS
from claimbench.bench.tasks.medical_segmentation.score import StructureScores
from claimbench.bench.tasks.medical_segmentation.train import session
from claimbench.bench.tasks.medical_segmentation.train.session import SmallNetwork, StudyRecipe
from claimbench.bench.tasks.medical_segmentation.train.slab_data import SlabData, read
from claimbench.bench.training import for_claims
from claimbench.bench.training.training_folder import TrainingFolder

SEEDS = (0, 1, 2)
DEFAULT = "brain-structures"
TAKEN = ("variant", "dataset", "data", "out", "resume", "epochs", "lr", "batch", "device", "seed", "seeds", "dry_run",
         "json")  # fmt: skip


@dataclass(frozen=True)
class SegmenterStudy:
    """What a request asks for: the networks, their seeds, the training that they share, and where its results go."""

    paper: str
    arms: tuple[SmallNetwork, ...]
    dataset: str
    recipe: StudyRecipe
    seeds: tuple[int, ...]
    folder: Path

    def identity(self, arm: SmallNetwork, seed: int) -> dict[str, Any]:
        """Return what makes two trainings the same."""
        own = {"paper": self.paper, "network": arm.name, "seed": seed, "dataset": self.dataset}
        return {**own, "recipe": self.recipe.to_json()}


def train(request: TrainRequest) -> int:
    """Train as asked and return the exit status: 0, or 130 if it was interrupted.

    Raises:
        UserError: the data or an option is wrong; one sentence.
    """
    request.refuse_others("medical segmentation", *TAKEN)
    device = torch.device(devices.resolve(request.device))
    plan = resolve(request)
    data = read(plan.dataset, request.data)
    if request.dry_run:
        _print_plan(plan, data, request.json)
        return 0
    outcomes = []
    with folder_alone(plan.folder), Stop() as stop:
        for seed in plan.seeds:
            for arm in plan.arms:
                found = _outcome(plan, arm, seed, data, device, request, stop)
                if found is None:
                    print(f"bench: stopped; go on with --resume (folder {plan.folder})", file=sys.stderr)
                    return 130
                outcomes.append(found)
    figures = {"outcomes": outcomes, "structures": list(DATASETS[plan.dataset].structures), "seeds": list(plan.seeds)}
    for_claims.leave(plan.folder, plan.paper, ",".join(arm.name for arm in plan.arms), plan.dataset, figures)
    _print_end(plan, outcomes, request.json)
    return 0


def resolve(request: TrainRequest) -> SegmenterStudy:
    """Return the study that a request asks for.

    Raises:
        UserError: the paper has no study, or a name is not known.
    """
    paper = registry.paper(request.paper)
    name = request.dataset or DEFAULT
    if name not in PACKAGED:
        raise unknown("data set of a study", name, PACKAGED)
    if request.seed and request.seeds:
        raise UserError("give --seed or --seeds, not both")
    if request.data is not None and not request.data.is_dir():
        raise UserError(f"--data {request.data} is no folder: give {DATASETS[name].needs}")
    arms = arms_of(paper.id)
    if request.variant and request.variant not in {arm.name for arm in arms}:
        raise unknown("network of the study", request.variant, [arm.name for arm in arms])
    chosen = tuple(arm for arm in arms if request.variant in ("", arm.name))
    recipe = StudyRecipe()
    recipe = replace(
        recipe,
        epochs=request.epochs or recipe.epochs,
        batch=request.batch or recipe.batch,
        lr=request.lr or recipe.lr,
    )
    seeds = request.seeds or ((request.seed,) if request.seed else SEEDS)
    return SegmenterStudy(paper.id, chosen, name, recipe, seeds, request.folder(f"{paper.id}-{name}"))


def arms_of(paper: str) -> tuple[SmallNetwork, ...]:
    """Return the networks of a paper's study: ``network(arm, channels, classes)`` for each of ``ARMS`` in its
    ``segmenters.py``. It may define ``loss(arm, output, labels, weights)``, and ``VOLUMES``, the arms of volumes.

    Raises:
        UserError: the paper has none.
    """
    module = f"{registry.entry(paper).module}.segmenters"
    if find_spec(module) is None:
        raise UserError(f"{paper} has no small networks to train for medical segmentation")
    library = import_module(module)
    volumes = getattr(library, "VOLUMES", ())
    return tuple(
        SmallNetwork(
            name,
            partial(library.network, name),
            partial(library.loss, name) if hasattr(library, "loss") else F.cross_entropy,
            name in volumes,
        )
        for name in library.ARMS
    )


def _outcome(
    plan: SegmenterStudy,
    arm: SmallNetwork,
    seed: int,
    data: SlabData,
    device: torch.device,
    request: TrainRequest,
    stop: Stop,
) -> dict[str, Any] | None:
    """Return the outcome of one training: that in its folder if it is resumed and over, or else a new one."""
    folder = TrainingFolder(plan.folder / f"{arm.name}-{seed}", plan.identity(arm, seed))
    kept = folder.found() if request.resume else None
    if kept is not None:
        return kept
    with request.listener.begin(f"{arm.name}, seed {seed}") as part:
        found = session.train(arm, data, plan.recipe, seed, device, stop, part)
    if found is not None:
        folder.finish(found)
    return found


def _print_plan(plan: SegmenterStudy, data: SlabData, as_json: bool) -> None:
    facts: dict[str, Any] = {
        "paper": plan.paper,
        "networks": [arm.name for arm in plan.arms],
        "dataset": plan.dataset,
        "recipe": plan.recipe.to_json(),
        "seeds": list(plan.seeds),
        "folder": str(plan.folder),
    }
    facts |= {part: [slab.name for slab in slabs] for part, slabs in data.parts.items()}
    if as_json:
        print_json(facts)
        return
    for name, value in facts.items():
        print(f"{name}: {json.dumps(value) if isinstance(value, dict | list) else value}")


def _print_end(plan: SegmenterStudy, outcomes: Sequence[Mapping[str, Any]], as_json: bool) -> None:
    if as_json:
        print_json({"outcomes": outcomes, "commit": environment.commit()})
        return
    title = DATASETS[plan.dataset].title
    print(f"{title}, the slabs of one volume: spreads are over slabs and seeds, never over subjects")
    for arm in plan.arms:
        own = [found for found in outcomes if found["arm"] == arm.name]
        scores = StructureScores([slab for found in own for slab in found["test"].values()]).over_structures("dsc")
        mean, spread = (float("nan") if each is None else each for each in (scores.mean, scores.deviation))
        print(f"  {arm.name}: Dice {mean:.1f} +- {spread:.1f} %, {own[0]['params']:,} parameters, {len(own)} seeds")
