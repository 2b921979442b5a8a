"""The ``accuracy`` of a recommender: trained weights scored on a data set's test part."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from claimbench.bench.core.errors import UnavailableError, UserError, unknown
from claimbench.bench.core.files import digest
from claimbench.bench.core.records import Job, Measurement
from claimbench.bench.core.statistics import Z95
from claimbench.bench.core.task import Subject
from claimbench.bench.store.evidence.of_scores import RankingEvidence
from claimbench.bench.tasks.sequential_recommendation import TASK
from claimbench.bench.tasks.sequential_recommendation.catalogue import DATASETS, DEFAULT, ActionSet
from claimbench.bench.tasks.sequential_recommendation.data import find
from claimbench.bench.tasks.sequential_recommendation.data.split import Split
from claimbench.bench.tasks.sequential_recommendation.score import NEGATIVES, UserScores, draw, scorer

SEED = 0
SAMPLED = f"rank among {NEGATIVES} items drawn with replacement that the user was not trained on; ties by their mean"
FULL = "rank among all items that the user was not trained on; ties by their mean"


def measure(subject: Subject, job: Job) -> list[Measurement]:
    """Score a model.

    Raises:
        UnavailableError: the weights are random, or there are no data.
        UserError: the data are not as expected, or the model is for another number of items.
    """
    name = job.options.dataset or DEFAULT
    if name not in DATASETS:
        raise unknown("data set", name, DATASETS)
    dataset = DATASETS[name]
    if not job.options.weights_file:
        raise UnavailableError(
            f"needs trained weights: bench train --paper {job.paper} --dataset {dataset.name}, then --weights FILE"
        )
    given = job.options.data
    split = find(dataset, Path(given) if given else None)
    check_items(job.options.config, subject.model, split)
    length = subject.sample_shape[0]
    protocol = draw(split, "test", SEED)
    score = scorer(subject.model, subject.device)
    evidence = RankingEvidence(
        dataset=dataset.name,
        users=len(protocol.users),
        data_sha256=split.data.digest,
        protocol=dataset.source,
        weights_sha256=digest(job.options.weights_file),
    )
    return rows(dataset, protocol.sampled(score, length), protocol.full(score, length), evidence)


def check_items(config: Any, model: Any, split: Split) -> None:
    """Raise UserError unless the model scores as many items as the data hold."""
    table = getattr(model, "item_emb", None)
    items = len(table.weight) - 1 if table is not None else int(config.get("items", split.data.items))
    if items != split.data.items:
        raise UserError(f"the model knows {items:,} items and {split.data.name} holds {split.data.items:,}")


def rows(dataset: ActionSet, sampled: UserScores, full: UserScores, evidence: RankingEvidence) -> list[Measurement]:
    """Return the rows of one model: each mean over users with its 95 % interval."""
    columns: list[tuple[NDArray[np.float64], str]] = [
        (sampled.hits, SAMPLED),
        (sampled.gains, SAMPLED),
        (full.hits, FULL),
        (full.gains, FULL),
    ]
    return [
        _row(name, unit, values, method, evidence)
        for (name, unit), (values, method) in zip(TASK.expected(dataset.name), columns, strict=True)
    ]


def _row(name: str, unit: str, values: NDArray[np.float64], method: str, evidence: RankingEvidence) -> Measurement:
    mean = float(values.mean())
    half = Z95 * float(values.std(ddof=1)) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return Measurement(name, mean, unit, method, low=mean - half, high=mean + half, detail=evidence.to_detail())
