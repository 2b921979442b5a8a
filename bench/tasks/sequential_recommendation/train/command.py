"""``bench train`` for recommenders: a training a seed, then the mean over the seeds, stored with all behind it."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from claimbench.bench.core.errors import UnavailableError, UserError, unknown
from claimbench.bench.core.task import TrainRequest
from claimbench.bench.core.terminal import print_json
from claimbench.bench.machine import devices, environment
from claimbench.bench.machine.locks import folder_alone
from claimbench.bench.machine.process import Stop
from claimbench.bench.papers import registry
from claimbench.bench.papers.models import trained
from claimbench.bench.papers.spec import Paper, Variant
from claimbench.bench.tasks.sequential_recommendation import TASK
from claimbench.bench.tasks.sequential_recommendation.catalogue import DATASETS, DEFAULT, ActionSet
from claimbench.bench.tasks.sequential_recommendation.check import few_items
from claimbench.bench.tasks.sequential_recommendation.data import find
from claimbench.bench.tasks.sequential_recommendation.data.split import Split
from claimbench.bench.tasks.sequential_recommendation.train import session
from claimbench.bench.tasks.sequential_recommendation.train.seeds import store
from claimbench.bench.tasks.sequential_recommendation.train.session import Trainable
from claimbench.bench.tasks.sequential_recommendation.train.trainer import TrainerRecipe
from claimbench.bench.tasks.sequential_recommendation.train.training_plan import TrainingPlan
from claimbench.bench.training import for_claims

SEEDS = (0, 1, 2)
BEST = "best.safetensors"
ATTENDED, MOST_ATTENDED = 15, 1000
TAKEN = ("variant", "dataset", "data", "out", "resume", "epochs", "lr", "batch", "device", "seed", "seeds", "dry_run",
         "json")  # fmt: skip


def train(request: TrainRequest) -> int:
    """Train as asked and return the exit status: 0, or 130 if it was interrupted.

    Raises:
        UserError: the data or an option is wrong; one sentence.
    """
    request.refuse_others("sequential recommendation", *TAKEN)
    device = torch.device(devices.resolve(request.device))
    plan, split = resolve(request)
    for note in few_items(split):
        print(f"bench: {note}", file=sys.stderr)
    if request.dry_run:
        _print_plan(plan, split, request.json)
        return 0
    library = import_module(f"{registry.entry(plan.paper.id).module}.model")
    training = Trainable(
        plan.identity(split), split, plan.recipe, lambda: library.build(plan.config, plan.form), device
    )
    if device.type == "cpu":
        torch.set_num_threads(1)  # so small a model gains nothing from more, and its times mean the same everywhere
    outcomes = []
    with folder_alone(plan.folder), Stop() as stop:
        for seed in plan.seeds:
            folder = plan.folder / f"seed-{seed}"
            found = session.train(training, seed, folder, resume=request.resume, stop=stop, listener=request.listener)
            if found is None:
                print(f"bench: stopped; go on with --resume (folder {plan.folder})", file=sys.stderr)
                return 130
            _keep_weights(plan, split, folder, found)
            outcomes.append(found)
    _keep_attention(plan, split, library)
    rows = store(plan, split, outcomes, request.results, device)
    _print_end(plan, outcomes, rows, request.json)
    return 0


def resolve(request: TrainRequest) -> tuple[TrainingPlan, Split]:
    """Return the training that a request asks for, and its data.

    The variant is the one whose figures are reported on the data set, else the paper's first; it takes the data's
    number of items.

    Raises:
        UserError: a name is not known, or the data are not there or not as expected.
    """
    paper = registry.paper(request.paper)
    name = request.dataset or DEFAULT
    if name not in DATASETS:
        raise unknown("data set", name, DATASETS)
    dataset = DATASETS[name]
    variant = _variant(paper, request.variant, dataset)
    if request.seed and request.seeds:
        raise UserError("give --seed or --seeds, not both")
    if request.data is not None and not request.data.exists():
        raise UserError(f"--data {request.data} does not exist")
    try:
        split = find(dataset, request.data, listener=request.listener)
    except UnavailableError as error:
        raise UserError(f"bench train --dataset {dataset.name} {error}") from error
    if request.batch > max(split.data.users, TrainerRecipe.batch):
        raise UserError(f"--batch {request.batch:,} is more than the {split.data.users:,} users that a step draws from")
    config = {**variant.config, "items": split.data.items}
    facts = paper.recipe
    form = facts.form if facts and facts.form else paper.default_form(variant)
    recipe = TrainerRecipe(int(config["maxlen"]))
    recipe = replace(
        recipe,
        batch=request.batch or (facts and facts.batch) or recipe.batch,
        lr=request.lr or (facts and facts.lr) or recipe.lr,
        beta2=facts.betas[1] if facts and facts.betas else recipe.beta2,
        epochs=request.epochs or (facts and facts.epochs) or recipe.epochs,
    )
    seeds = request.seeds or ((request.seed,) if request.seed else SEEDS)
    folder = request.folder(f"{variant.name}-{dataset.name}")
    return TrainingPlan(paper, variant, form, config, dataset, recipe, seeds, folder), split


def _variant(paper: Paper, name: str, dataset: ActionSet) -> Variant:
    variants = {variant.name: variant for variant in paper.variants}
    if name and name not in variants:
        raise unknown("variant", name, variants)
    names = TASK.reported_on(dataset)
    fitting = (v for v in paper.variants if names & {figure.metric for figure in v.reported})
    return variants[name] if name else next(fitting, paper.variants[0])


def _keep_weights(plan: TrainingPlan, split: Split, folder: Path, found: Mapping[str, Any]) -> None:
    """Write the weights that validation chose, for ``bench run --weights``."""
    description = trained.Description(
        paper=plan.paper.id,
        variant=plan.variant.name,
        form=plan.form,
        config=dict(plan.config),
        input_size=plan.recipe.maxlen,
        epoch=int(found["progress"]["best_epoch"]),
    )
    trained.save(folder / BEST, session.best_weights(folder), description)


def _keep_attention(plan: TrainingPlan, split: Split, library: Any) -> None:
    """Write the attention of the first seed's model by distance, for claims about it, if the model can tell.

    The mean over test inputs of users with :data:`ATTENDED` actions or more, a block each, the latest item first.
    """
    model = library.build(plan.config, plan.form).eval()
    users = split.evaluated[split.data.lengths[split.evaluated] > ATTENDED][:MOST_ATTENDED]
    if not hasattr(model, "last_attention") or not len(users) or plan.recipe.maxlen < ATTENDED:
        return
    model.load_state_dict(session.best_weights(plan.folder / f"seed-{plan.seeds[0]}"))
    known, _ = split.queries(users, "test", plan.recipe.maxlen)
    with torch.inference_mode():
        means = model.last_attention(torch.from_numpy(known)).mean(1)
    figures = {"seed": plan.seeds[0], "users": len(users), "attention_by_distance": means.tolist()}
    for_claims.leave(plan.folder, plan.paper.id, plan.variant.name, plan.dataset.name, figures)


def _print_plan(plan: TrainingPlan, split: Split, as_json: bool) -> None:
    facts = {
        **plan.identity(split),
        "recipe": asdict(plan.recipe),
        "seeds": list(plan.seeds),
        "users": split.data.users,
        "users evaluated": len(split.evaluated),
        "actions": len(split.data.actions),
        "folder": str(plan.folder),
    }
    if as_json:
        print_json(facts)
        return
    for name, value in facts.items():
        print(f"{name}: {json.dumps(value) if isinstance(value, dict | list) else value}")


def _print_end(plan: TrainingPlan, outcomes: Sequence[Mapping[str, Any]], rows: Sequence[Any], as_json: bool) -> None:
    if as_json:
        print_json({"rows": [asdict(row) for row in rows], "commit": environment.commit()})
        return
    default = plan.paper.default_form(plan.variant)
    reported = {f.metric: f.value for f in plan.variant.reported if (f.form or default) == plan.form}
    print(f"{plan.variant.name} ({plan.form}) on {plan.dataset.title}, {len(outcomes)} seeds")
    for row in rows:
        interval = f" [{row.low:.4f}, {row.high:.4f}]" if row.low is not None else ""
        known = f", reported {reported[row.metric]}" if reported.get(row.metric) else ""
        print(f"  {row.metric}: {row.value:.4f}{interval}{known}")
    for seed, found in zip(plan.seeds, outcomes, strict=True):
        place = plan.folder / f"seed-{seed}" / BEST
        print(f"  seed {seed}: {found['progress']['seconds']:.0f} s, weights in {place}")
