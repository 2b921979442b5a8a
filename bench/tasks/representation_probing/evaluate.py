"""The worth of a probing paper's head on a data set: its accuracy over seeds, and its gain over a linear probe."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from torch import nn

from claimbench.bench.core.bits import decode, encode
from claimbench.bench.core.differences import PairedDifference
from claimbench.bench.core.errors import UnavailableError
from claimbench.bench.core.records import Job, Measurement
from claimbench.bench.core.task import Subject
from claimbench.bench.measure.scoring.look import look
from claimbench.bench.measure.scoring.tail import Ahead
from claimbench.bench.papers import registry
from claimbench.bench.store.evidence.fields import RowEvidence
from claimbench.bench.store.evidence.of_scores import GainEvidence, ProbeArm, ProbeEvidence
from claimbench.bench.tasks.representation_probing import TASK, encoder, features, score
from claimbench.bench.tasks.representation_probing.catalogue import DATASETS, ProbedSet
from claimbench.bench.tasks.representation_probing.features import Features
from claimbench.bench.tasks.representation_probing.heads import HeadRecipe, TrainedHead, train

SEEDS = 5
QUICK_SEEDS, QUICK_RECIPE = 2, HeadRecipe(epochs=5)
METHOD = "both heads trained on the same frozen tokens, batches and seeds; rate chosen on validation pictures"


def measure(subject: Subject, job: Job) -> list[Measurement]:
    """Train the head of a job and a linear probe on frozen features, seed by seed, and compare them in pairs.

    The paper's head is built anew for the features: ``build`` is given its hyper-parameters with the features' ``dim``,
    ``tokens`` and ``num_classes``. Each training is kept as it ends, in the files of the job's option ``predictions``,
    and not done again by the same evaluation.

    Raises:
        UnavailableError: the data set or the encoder is not here, or the head does not fit its tokens.
        UserError: the path that the user named is not the data set, or the encoder's weights are another model's.
    """
    dataset = DATASETS[job.options.dataset]
    if not job.paper:
        raise UnavailableError(
            "only the heads of papers are probed: a model of your own cannot be built for the tokens"
        )
    if job.settings.mode != "eager" or job.settings.precision != "fp32" or subject.device.type != "cpu":
        raise UnavailableError("heads are probed on a CPU, in fp32 and eager mode")
    with Ahead(job.options.predictions, "pictures encoded") as listener:
        parts, weights = features.load(dataset, job.options.data or "", listener)
    quick = job.settings.quick
    seeds, recipe = range(QUICK_SEEDS if quick else SEEDS), QUICK_RECIPE if quick else HeadRecipe()
    what = {"encoder_sha256": weights, "recipe": vars(recipe)}
    trained, kept = _trained(subject, job, parts, dataset.classes, recipe, seeds, what)
    heads, linear = trained[: len(seeds)], trained[len(seeds) :]
    evidence = ProbeEvidence(
        dataset=dataset.name,
        encoder=encoder.NAME,
        encoder_sha256=weights,
        sample_shape=list(parts["train"].tokens.shape[1:]),
        trained_on=f"the tokens of {encoder.NAME}",
        pictures={part: len(found.labels) for part, found in parts.items()},
        epochs=recipe.epochs,
        batch=recipe.batch,
        head=_arm(heads),
        linear=_arm(linear),
        note=f"{METHOD}; the interval covers other seeds and other pictures",
        **kept,
    )
    return _rows(dataset, heads, linear, evidence)


def _trained(
    subject: Subject,
    job: Job,
    parts: dict[str, Features],
    classes: int,
    recipe: HeadRecipe,
    seeds: Sequence[int],
    what: dict[str, Any],
) -> tuple[list[TrainedHead], dict[str, Any]]:
    """Return the paper's head and then the linear probe over the seeds, and the file that keeps the trainings."""
    build, probe = _builder(job, parts["train"], classes), _linear(parts["train"], classes)
    pooled = {part: Features(found.tokens.float().mean(1), found.labels) for part, found in parts.items()}
    asked = [*((build, parts, seed) for seed in seeds), *((probe, pooled, seed) for seed in seeds)]
    found, kept = look(
        subject,
        job,
        {**what, "of": "trainings", "features": features.digest_of(parts)},
        ({number: one} for number, one in enumerate(asked)),
        lambda groups: ([_kept(train(make, given, recipe, seed))] for [(make, given, seed)] in groups),
    )
    tests = len(parts["test"].labels)
    return [TrainedHead(decode(right, tests), rate, validation) for right, rate, validation in found], kept


def _builder(job: Job, part: Features, classes: int) -> Callable[[], nn.Module]:
    """Return the builder of the head for these tokens, after a trial on them."""
    _, tokens, dim = part.tokens.shape
    config = {**job.options.config, "dim": dim, "tokens": tokens, "num_classes": classes}
    make = import_module(f"{registry.module(job.paper)}.model").build

    def build() -> nn.Module:
        head: nn.Module = make(config, job.form)
        return head

    try:
        build()(part.tokens[:2].float())
    except ValueError as error:
        raise UnavailableError(
            f"{job.subject} cannot be built for {tokens} tokens of {dim} channels: {error}"
        ) from error
    return build


def _linear(part: Features, classes: int) -> Callable[[], nn.Module]:
    dim = part.tokens.shape[-1]
    return lambda: nn.Sequential(nn.BatchNorm1d(dim, eps=1e-6, affine=False), nn.Linear(dim, classes))


def _kept(trained: TrainedHead) -> list[Any]:
    """Return one training as it is kept on the disk, JSON-ready."""
    return [encode(trained.right), trained.rate, trained.validation]


def _arm(trained: list[TrainedHead]) -> ProbeArm:
    return ProbeArm(
        accuracies=[round(100 * float(each.right.mean()), 4) for each in trained],
        validation=[round(each.validation, 4) for each in trained],
        rates=[each.rate for each in trained],
        right=[encode(each.right) for each in trained],
    )


def _rows(
    dataset: ProbedSet, heads: list[TrainedHead], linear: list[TrainedHead], evidence: ProbeEvidence
) -> list[Measurement]:
    right, other = ([each.right for each in found] for found in (heads, linear))
    top1, in_pairs = TASK.expected(dataset.name)
    accuracy, gain = score.accuracy(right), score.gain(right, other)
    seeds = f"{len(heads)} seeds, {len(right[0]):,} test pictures"
    told = GainEvidence(
        dataset=dataset.name, verdict=gain.verdict, sample_shape=evidence.sample_shape, trained_on=evidence.trained_on
    )
    return [
        _row(*top1, accuracy, f"mean of {seeds}", evidence),
        _row(*in_pairs, gain, f"paired, {seeds}", told),
    ]


def _row(row: str, unit: str, found: PairedDifference, method: str, evidence: RowEvidence) -> Measurement:
    detail = evidence.to_detail()
    return Measurement(
        row, found.value, unit, method, low=found.low, high=found.high, samples=found.each, detail=detail
    )
