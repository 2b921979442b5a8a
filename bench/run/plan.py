"""Turns a request into a list of jobs: always the same list for the same request."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

from claimbench.bench import tasks
from claimbench.bench.core.records import Job, Options, Settings
from claimbench.bench.measure import REPEATED
from claimbench.bench.papers import golden_files
from claimbench.bench.run.request import Resolved

if TYPE_CHECKING:
    from claimbench.bench.papers.spec import Baseline, Paper, Variant

STATIC = ("params", "flops")
"""Metrics that depend on the model alone: one figure for every device, batch, precision and mode."""

BUDGET_CPU_S = 1.0
"""Seconds of sampling in each process on a CPU, so that a paper takes minutes. A GPU takes the measuring side's own,
longer, budget."""

ROUNDS = 3


@dataclass(frozen=True)
class _PlannedSubject:
    """A model to be measured.

    Attributes:
        paper, name, form: as in :class:`claimbench.bench.core.records.Job`.
        options: those that all of its jobs have.
        dataset: that its accuracy is measured on.
        input: the preprocessing of its paper for that; None for its own.
        other_forms: further forms, which are counted only.
        goldens: the golden records of its parity.
        weights_missing: the reason for missing official weights; empty if none are missing.
        counted: the shape of a sample where FLOPs are counted; empty for that of ``options``.
    """

    paper: str
    name: str
    form: str
    options: Options
    dataset: str
    input: dict[str, Any] | None = None
    other_forms: tuple[str, ...] = ()
    goldens: tuple[str, ...] = ()
    weights_missing: str = ""
    counted: tuple[int, ...] = ()
    timed: bool = True


def plan(request: Resolved) -> list[Job]:
    """Return the jobs in the order in which they run.

    First what needs no clock, subject by subject, and what only says that it has no data; then the times, round by
    round, each round in a random order of its own drawn from the seed, so that no subject is always measured when the
    machine is warm, or busy; then memory, energy and scores.
    """
    subjects = list(_subjects(request))
    jobs = [job for subject in subjects for job in (*_counted(subject, request), *_scores(subject, request, False))]
    together = processes(job for subject in subjects for job in _timed(subject, request))
    rounds = request.asked.rounds or (1 if request.asked.quick else ROUNDS)
    shuffle = random.Random(request.asked.seed)
    for number in range(rounds):
        shuffle.shuffle(together)
        for group in together:
            jobs += [replace(job, round=number) for job in shuffle.sample(group, len(group))]
    return jobs + [job for subject in subjects for job in (*_once(subject, request), *_scores(subject, request, True))]


def processes(jobs: Iterable[Job]) -> list[list[Job]]:
    """Return the jobs in the groups that share a process, in order.

    Starting Python and torch takes seconds. Neighbouring jobs of a subject therefore share a process if they neither
    time anything nor look at the memory of their process, or if they time one model in one round. Different subjects
    never share one: one model's code must not touch another.
    """
    numbered = enumerate(jobs)
    return [[job for _, job in found] for _, found in groupby(numbered, lambda pair: _process_of(pair[1]) or pair[0])]


def _process_of(job: Job) -> tuple[object, ...] | None:
    """Return a key that is equal for jobs that may share a process; None for a job that needs its own."""
    if is_untimed(job) or (job.metric == "energy" and job.settings.device == "cpu"):
        return (job.paper, job.subject)
    if job.metric in REPEATED and job.settings.mode == "eager":
        # torch.compile would treat a second batch size as a dynamic one, and a CUDA graph keeps its memory.
        return (job.paper, job.subject, job.form, replace(job.settings, batch=None), job.round)
    return None


def _subjects(request: Resolved) -> Iterator[_PlannedSubject]:
    for paper, variants in request.papers:
        for variant in variants:
            yield from _variant(request, paper, variant)
    paper, (first, *_) = request.papers[0]
    dataset = request.datasets.get(paper.id, "")
    for name in _baselines(request):
        yield _PlannedSubject("", f"timm:{name}", "", Options(), dataset)
    own = Options(sample_shape=first.input.sample_shape(), task=paper.task_of(first))
    for model in request.against:
        yield _PlannedSubject("", model, "", own, dataset, first.input.model_dump(mode="json"))


def _variant(request: Resolved, paper: Paper, variant: Variant) -> Iterator[_PlannedSubject]:
    known = variant.forms or tuple(form.name for form in paper.forms)
    default = paper.default_form(variant)
    chosen = [form for form in known if form in request.forms] if request.forms else [default]
    key = (paper.id, variant.name)
    timed = not request.asked.is_brief or variant.name in paper.headline
    also = known if timed else {figure.form for figure in variant.reported}
    for form in chosen:
        yield _PlannedSubject(
            *key,
            form,
            replace(tasks.model_options(paper, variant), **request.weights.files.get(key, {})),
            request.datasets.get(paper.id, ""),
            variant.input.model_dump(mode="json"),
            other_forms=() if request.forms else tuple(form for form in known if form in also and form != default),
            goldens=tuple(golden_files.names(*key, [v.name for v in paper.variants])),
            weights_missing=request.weights.missing.get(key, ""),
            counted=tuple(variant.input.counted or ()),
            timed=timed,
        )


def _baselines(request: Resolved) -> list[str]:
    if request.baselines is not None:
        return list(request.baselines)
    own = [paper for paper, variants in request.papers if any(paper.task_of(v) == paper.task for v in variants)]
    named: list[Baseline] = [b for paper in own for b in paper.baselines]
    return list(dict.fromkeys(b.timm for b in named if b.default and b.timm))


def is_untimed(job: Job) -> bool:
    """Whether a job needs no clock and no data: counts, equality to the official code, and a score without its data."""
    return job.metric in (*STATIC, "parity") or (job.metric == "accuracy" and job.options.data is None)


def _counted(subject: _PlannedSubject, request: Resolved) -> Iterator[Job]:
    fixed = Settings(input_size=request.settings.input_size, weights=_weights(subject, request))
    shape = subject.counted or subject.options.sample_shape
    for form in (subject.form, *subject.other_forms):
        # fvcore runs the model's slow reference path, so that it is asked about the form that is measured only.
        options = replace(subject.options, sample_shape=shape, second_opinion=form == subject.form)
        for metric in STATIC:
            if metric in request.metrics:
                yield Job(subject.paper, subject.name, form, metric, fixed, options=options)
    if "parity" in request.metrics and subject.paper:
        settings = Settings(device=request.settings.device)
        options = replace(subject.options, weights_file="", weights_sha256="", weights_url="", goldens=subject.goldens)
        yield Job(subject.paper, subject.name, subject.form, "parity", settings, options=options)


def _once(subject: _PlannedSubject, request: Resolved) -> Iterator[Job]:
    for metric in ("energy", "memory"):
        if metric in request.metrics and subject.timed:
            yield from _jobs(subject, request, metric)


def _scores(subject: _PlannedSubject, request: Resolved, has_data: bool) -> Iterator[Job]:
    """Yield a subject's accuracy jobs, either if there is data for them or if there is none."""
    options = _scored(subject, request)
    if "accuracy" in request.metrics and _is_scored(subject, request) and (options.data is not None) == has_data:
        for settings in _settings(subject, request, None):
            settings = replace(settings, training=False)
            if not subject.paper:
                label = request.settings.weights if subject.name.startswith("timm:") else "own"
                settings = replace(settings, weights=label)
            elif subject.weights_missing:  # what random weights score says nothing; the row says why there are none
                settings = replace(settings, weights=request.settings.weights)
            yield Job(subject.paper, subject.name, subject.form, "accuracy", settings, options=options)


def _is_scored(subject: _PlannedSubject, request: Resolved) -> bool:
    """Whether a subject's accuracy is to be measured.

    A model that belongs to no paper is scored only if it can have learnt anything: a baseline that the user names, with
    official weights; a model of the user's own, if the run is about accuracy.
    """
    if subject.paper:
        return True
    if subject.name.startswith("timm:"):
        return bool(request.baselines) and request.settings.weights == "official"
    about = request.metrics == ("accuracy",) or request.settings.weights != "random"
    return about and _scored(subject, request).data is not None


def _scored(subject: _PlannedSubject, request: Resolved) -> Options:
    """Return the options of an accuracy job."""
    asked, batches = request.asked, request.batches
    task = tasks.of(subject.options)
    dataset = task.datasets.get(subject.dataset)
    there = request.data or (dataset is not None and dataset.has_package)
    return replace(
        subject.options,
        input=subject.input,
        dataset=subject.dataset,
        weights_missing=subject.weights_missing,
        data=request.data if there else None,
        partial=asked.partial,
        multi_scale=asked.multi_scale and task.multi_scale,
        batch=batches[0] or None if batches is not None and len(batches) == 1 else None,
        devices=request.devices if len(request.devices) > 1 else (),
        workers=asked.workers,
    )


def _timed(subject: _PlannedSubject, request: Resolved) -> Iterator[Job]:
    for metric in REPEATED[:1] if request.asked.is_brief else REPEATED:
        if metric in request.metrics and subject.timed:
            yield from _jobs(subject, request, metric)


def _jobs(subject: _PlannedSubject, request: Resolved, metric: str) -> Iterator[Job]:
    options = subject.options
    if request.settings.device == "cpu" and not request.asked.quick and metric != "memory":
        options = replace(options, budget_s=BUDGET_CPU_S)
    batches = request.batches
    for batch in (_default_batch(subject, metric, request),) if batches is None else batches:
        for settings in _settings(subject, request, batch or None):
            yield Job(subject.paper, subject.name, subject.form, metric, settings, options=options)


def _default_batch(subject: _PlannedSubject, metric: str, request: Resolved) -> int:
    """Return the batch of a metric if the user gave none; 0 is the best found by search."""
    task = tasks.of(subject.options)
    if metric in ("latency", "memory"):
        return 1 if metric == "latency" else task.memory_batch
    return task.cpu_batch if request.settings.device == "cpu" else 0


def _settings(subject: _PlannedSubject, request: Resolved, batch: int | None) -> Iterator[Settings]:
    settings = replace(request.settings, batch=batch, weights=_weights(subject, request))
    for precision in request.precisions:
        for mode in request.modes:
            yield replace(settings, precision=precision, mode=mode)


def _weights(subject: _PlannedSubject, request: Resolved) -> str:
    """Return the label of a subject's weights: random ones without a file, since they time the same."""
    return request.settings.weights if subject.options.weights_file else "random"
