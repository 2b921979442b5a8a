"""The results of several seeds as stored rows: means over seeds with an interval, and every seed behind them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy import stats

from claimbench.bench import tasks
from claimbench.bench.core.records import Job, Measurement, Settings
from claimbench.bench.papers.outside import codes
from claimbench.bench.store.evidence.of_scores import RankingEvidence, SeedEvidence
from claimbench.bench.store.jsonl import write_whole
from claimbench.bench.store.ledger import Ledger
from claimbench.bench.store.store import Store, new_run
from claimbench.bench.tasks.sequential_recommendation import TASK
from claimbench.bench.tasks.sequential_recommendation.data.split import Split
from claimbench.bench.tasks.sequential_recommendation.evaluate import FULL, SAMPLED

if TYPE_CHECKING:
    from claimbench.bench.tasks.sequential_recommendation.train.training_plan import TrainingPlan

PLACES = (("sampled", "hit@10"), ("sampled", "ndcg@10"), ("full", "hit@10"), ("full", "ndcg@10"))
"""The keys under which an outcome holds the rows of a data set, in their order."""

STORED = "stored.json"
"""The file of a training's folder that names its stored rows and their run."""


def interval(values: Sequence[float]) -> tuple[float | None, float | None]:
    """Return the 95 % interval of the mean by Student's t; none with fewer than two values."""
    if len(values) < 2:
        return None, None
    half = float(stats.t.ppf(0.975, len(values) - 1)) * float(np.std(values, ddof=1)) / len(values) ** 0.5
    mean = float(np.mean(values))
    return mean - half, mean + half


def measurements(plan: TrainingPlan, split: Split, outcomes: Sequence[Mapping[str, Any]]) -> list[Measurement]:
    """Return the rows of a data set, each the mean over seeds, with the results of every seed."""
    commits = sorted({str(found["commit"]) for found in outcomes})
    differ = f"its seeds were trained at different commits: {', '.join(commit[:12] for commit in commits)}"
    evidence = RankingEvidence(
        dataset=plan.dataset.name,
        data_sha256=split.data.digest,
        protocol=plan.dataset.source,
        recipe=plan.recipe.to_json(),
        users=outcomes[0]["users"],
        selection="the epoch with the best validation NDCG@10; the test was looked at once, after training",
        interval="Student's t over the seeds' means",
        seeds=[_seed(seed, found) for seed, found in zip(plan.seeds, outcomes, strict=True)],
        note=differ if len(commits) > 1 else None,
    )
    rows = []
    for (name, unit), (part, key) in zip(TASK.expected(plan.dataset.name), PLACES, strict=True):
        values = [float(found[part][key]) for found in outcomes]
        low, high = interval(values)
        method = f"mean over {len(values)} trainings; {SAMPLED if part == 'sampled' else FULL}"
        mean, detail = float(np.mean(values)), evidence.to_detail()
        rows.append(Measurement(name, mean, unit, method, low=low, high=high, detail=detail))
    return rows


def _seed(seed: int, found: Mapping[str, Any]) -> SeedEvidence:
    progress = found["progress"]
    return SeedEvidence(
        seed=seed,
        sampled=found["sampled"],
        sampled_all_users=found["sampled_all"],
        full=found["full"],
        epochs=progress["epoch"],
        best_epoch=progress["best_epoch"],
        validation=progress["curve"],
        seconds=progress["seconds"],
        seconds_an_epoch=progress["seconds"] / progress["epoch"],
        seconds_drawing=progress["drawing"],
        steps_an_epoch=found["steps_an_epoch"],
        threads=found["threads"],
        commit=found["commit"],
    )


def store(
    plan: TrainingPlan, split: Split, outcomes: Sequence[Mapping[str, Any]], results: Path, device: torch.device
) -> list[Measurement]:
    """Store the rows of a training over several seeds as one run, and return them."""
    rows = measurements(plan, split, outcomes)
    settings = Settings(
        device=str(device),
        batch=plan.recipe.batch,
        input_size=(plan.recipe.maxlen,),
        threads=int(outcomes[0]["threads"]),
        weights="trained",
    )
    own = tasks.model_options(plan.paper, plan.variant)
    options = replace(own, config=dict(plan.config), dataset=plan.dataset.name, seeds=tuple(plan.seeds))
    job = Job(plan.paper.id, plan.variant.name, plan.form, "accuracy", settings, options=options)
    # The environment is that of the training, which may have ended long before its rows are stored.
    last = outcomes[-1]
    ledger = Ledger(_run(plan.folder, rows), Store(results), codes([plan.paper.id]))
    ledger.locate(str(device), last["environment"])
    if job.key() not in ledger.done():
        ledger.write(job, rows, str(device), str(last["commit"]))
    return rows


def _run(folder: Path, rows: Sequence[Measurement]) -> str:
    """Return the id of the run that the rows of a folder's training belong to, which is written down there.

    Whoever resumes a training that is over finds the same rows and the same run, and nothing is stored twice.
    """
    file = folder / STORED
    digest = hashlib.sha256(json.dumps([asdict(row) for row in rows]).encode()).hexdigest()
    with suppress(OSError, ValueError, KeyError, TypeError):
        known = json.loads(file.read_text(encoding="utf-8"))
        if known["rows"] == digest:
            return str(known["run"])
    run = new_run()
    write_whole(file, json.dumps({"run": run, "rows": digest}).encode() + b"\n")
    return run
