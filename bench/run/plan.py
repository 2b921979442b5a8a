"""What was asked for becomes a list of jobs: always the same for the same request."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

from claimbench.bench import tasks
from claimbench.bench.core.records import Job, Settings
from claimbench.bench.measure import METRICS, REPEATED
from claimbench.bench.papers import golden_files
from claimbench.bench.tasks.subject import model_options

if TYPE_CHECKING:
    from claimbench.bench.papers.spec import Baseline, Paper, Variant

STATIC = ("params", "flops")
"""Metrics that depend on the model alone: one figure for every device, batch, precision and mode."""

PRECISIONS = ("fp32", "tf32", "bf16", "fp16")
MODES = ("eager", "compile", "cudagraph")
BUDGET_CPU_S = 1.0
"""Seconds of sampling in each process on a CPU, so that a paper takes minutes. A GPU takes the measuring side's own,
longer, budget."""

ROUNDS = 3


@dataclass(frozen=True)
class Request:
    """What a user asked to be run, with every name resolved.

    Attributes:
        papers: what to measure: each paper with those of its variants that were chosen.
        modules: the Python package of each paper, by id.
        forms: forms by name; empty for the defaults.
        metrics: names of ``claimbench.bench.measure.METRICS``.
        device: ``cpu``, ``cuda`` or ``cuda:<index>``.
        batches: batch sizes; None for the default, (0,) for the best found by search.
        precisions, modes: each of them is measured.
        channels_last, threads, input_size, training, quick: as in :class:`claimbench.bench.core.records.Settings`.
        weights: ``random``, ``official`` or a label for the files below.
        weights_files: by paper and variant, what a job needs to know of its weights' file: ``weights_file`` and its
            ``weights_sha256``, ``weights_url`` for official ones.
        weights_missing: by paper and variant, why there are no official weights.
        datasets: what accuracy is measured on, by paper: the name of a data set of its task.
        data: where it lies; empty for nowhere.
        partial: whether accuracy is measured on what is there where data are missing.
        multi_scale: whether it is measured over several sizes of each picture too, by tasks that do so.
        devices: where accuracy is measured, a process each; empty for ``device`` alone.
        workers: processes that read pictures for each of them; None for the measuring side's choice.
        baselines: timm models; None for those the papers name as default.
        against: a user's own models, ``<file.py>:<factory>``.
        rounds: processes for each time.
        seed: of the order of the rounds.
    """

    papers: tuple[tuple[Paper, tuple[Variant, ...]], ...]
    modules: dict[str, str]
    forms: tuple[str, ...] = ()
    metrics: tuple[str, ...] = tuple(METRICS)
    device: str = "cpu"
    batches: tuple[int, ...] | None = None
    precisions: tuple[str, ...] = ("fp32",)
    modes: tuple[str, ...] = ("eager",)
    channels_last: bool = False
    threads: int | None = None
    input_size: tuple[int, ...] = ()
    training: bool = False
    quick: bool = False
    weights: str = "random"
    weights_files: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict)
    weights_missing: dict[tuple[str, str], str] = field(default_factory=dict)
    datasets: Mapping[str, str] = field(default_factory=dict)
    data: str = ""
    partial: bool = False
    multi_scale: bool = False
    devices: tuple[str, ...] = ()
    workers: int | None = None
    baselines: tuple[str, ...] | None = None
    against: tuple[str, ...] = ()
    rounds: int | None = None
    seed: int = 0


@dataclass(frozen=True)
class _Subject:
    """A model to be measured: as in :class:`claimbench.bench.core.records.Job`, with the forms each kind of metric
    looks at.
    """

    paper: str
    name: str
    form: str
    other_forms: tuple[str, ...]
    options: dict[str, Any]
    parity: dict[str, Any]
    accuracy: dict[str, Any]
    counted: dict[str, Any] = field(default_factory=dict)
    """What is other where FLOPs are counted."""


def plan(request: Request) -> list[Job]:
    """Return the jobs in the order in which they run.

    First what needs no repeats, subject by subject; then the times, round by round, each round in a random order of
    its own drawn from the seed, so that no subject is always measured when the machine is warm, or busy.
    """
    subjects = list(_subjects(request))
    jobs = [job for subject in subjects for job in _once(subject, request)]
    together = processes(job for subject in subjects for job in _timed(subject, request))
    rounds = request.rounds or (1 if request.quick else ROUNDS)
    shuffle = random.Random(request.seed)
    for number in range(rounds):
        shuffle.shuffle(together)
        for group in together:
            jobs += [replace(job, round=number) for job in shuffle.sample(group, len(group))]
    return jobs


def processes(jobs: Iterable[Job]) -> list[list[Job]]:
    """Return the jobs in the groups that share a process, in order.

    Starting Python and torch takes seconds, so a subject's neighbouring jobs share a process where they can: those that
    neither time anything nor look at the memory of their process, and the times of one model in one round. Different
    subjects never do: one model's code must not touch another.
    """
    numbered = enumerate(jobs)
    return [[job for _, job in found] for _, found in groupby(numbered, lambda pair: _process_of(pair[1]) or pair[0])]


def _process_of(job: Job) -> tuple[object, ...] | None:
    """Return what jobs have in common that may share a process; None for a job that needs one of its own."""
    untimed = job.metric in (*STATIC, "parity") or (job.metric == "accuracy" and "data" not in job.options)
    if untimed or (job.metric == "energy" and job.settings.device == "cpu"):
        return (job.paper, job.subject)
    if job.metric in REPEATED and job.settings.mode == "eager":
        # torch.compile would treat a second batch size as a dynamic one, and a CUDA graph keeps its memory.
        return (job.paper, job.subject, job.form, replace(job.settings, batch=None), job.round)
    return None


def _subjects(request: Request) -> Iterator[_Subject]:
    for paper, variants in request.papers:
        for variant in variants:
            yield from _variant(request, paper, variant)
    paper, (first, *_) = request.papers[0]
    scored = {"dataset": request.datasets.get(paper.id, "")}
    for name in _baselines(request):
        yield _Subject("", f"timm:{name}", "", (), {}, {}, scored)
    marks = tasks.get(paper.task_of(first)).options()
    for model in request.against:
        options = {"sample_shape": list(first.input.sample_shape()), **marks}
        accuracy = {"input": first.input.model_dump(mode="json"), **scored}
        yield _Subject("", model, "", (), options, {}, accuracy)


def _variant(request: Request, paper: Paper, variant: Variant) -> Iterator[_Subject]:
    options = model_options(paper, variant, request.modules[paper.id])
    options |= request.weights_files.get((paper.id, variant.name), {})
    known = variant.forms or tuple(form.name for form in paper.forms)
    default = paper.default_form(variant)
    goldens = {"goldens": golden_files.names(paper.id, variant.name, [v.name for v in paper.variants])}
    accuracy: dict[str, Any] = {
        "input": variant.input.model_dump(mode="json"),
        "dataset": request.datasets.get(paper.id, ""),
    }
    missing = request.weights_missing.get((paper.id, variant.name))
    if missing:
        accuracy["weights_missing"] = missing
    chosen = [form for form in known if form in request.forms] if request.forms else [default]
    others = () if request.forms else tuple(form for form in known if form != default)
    counted = {"sample_shape": list(variant.input.counted)} if variant.input.counted else {}
    for form in chosen:
        yield _Subject(paper.id, variant.name, form, others, options, goldens, accuracy, counted)


def _baselines(request: Request) -> list[str]:
    if request.baselines is not None:
        return list(request.baselines)
    own = [paper for paper, variants in request.papers if any(paper.task_of(v) == paper.task for v in variants)]
    named: list[Baseline] = [b for paper in own for b in paper.baselines]
    return list(dict.fromkeys(b.timm for b in named if b.default and b.timm))


def _once(subject: _Subject, request: Request) -> Iterator[Job]:
    fixed = Settings(input_size=request.input_size, weights=_weights(subject, request))
    for form in (subject.form, *subject.other_forms):
        # fvcore runs the model's slow reference path, so that it is asked about the form that is measured only.
        options = subject.options | subject.counted
        options |= {} if form == subject.form else {"second_opinion": False}
        for metric in STATIC:
            if metric in request.metrics:
                yield Job(subject.paper, subject.name, form, metric, fixed, options=options)
    if "parity" in request.metrics and subject.paper:
        settings = Settings(device=request.device)
        options = {key: value for key, value in subject.options.items() if not key.startswith("weights_")}
        yield Job(subject.paper, subject.name, subject.form, "parity", settings, options=options | subject.parity)
    if "accuracy" in request.metrics and _has_weights(subject, request):
        for settings in _settings(subject, request, None):
            options = subject.options | _evaluation(subject, request)
            settings = replace(settings, training=False)
            if not subject.paper:
                settings = replace(settings, weights=request.weights if subject.name.startswith("timm:") else "own")
            elif (
                "weights_missing" in options
            ):  # what random weights score says nothing; the row says why there are none
                settings = replace(settings, weights=request.weights)
            yield Job(subject.paper, subject.name, subject.form, "accuracy", settings, options=options)
    for metric in ("energy", "memory"):
        if metric in request.metrics:
            yield from _jobs(subject, request, metric)


def _has_weights(subject: _Subject, request: Request) -> bool:
    """Tell whether a subject's accuracy is to be measured.

    Of models that belong to no paper only where they can have learnt anything: a baseline that the user names, with
    official weights; a model of the user's own, if accuracy is what the run is about.
    """
    if subject.paper:
        return True
    if subject.name.startswith("timm:"):
        return bool(request.baselines) and request.weights == "official"
    return "data" in _evaluation(subject, request) and (request.metrics == ("accuracy",) or request.weights != "random")


def _evaluation(subject: _Subject, request: Request) -> dict[str, Any]:
    """Return the options of an accuracy job that say on what it is measured, and with how much help."""
    options: dict[str, Any] = dict(subject.accuracy)
    task = tasks.of(subject.options)
    dataset = task.datasets.get(options["dataset"])
    if request.data or (dataset is not None and dataset.has_package):
        options["data"] = request.data
    if request.partial:
        options["partial"] = True
    if request.multi_scale and task.multi_scale:
        options["multi_scale"] = True
    if request.batches is not None and len(request.batches) == 1 and request.batches[0]:
        options["batch"] = request.batches[0]
    if len(request.devices) > 1:
        options["devices"] = list(request.devices)
    return options | ({} if request.workers is None else {"workers": request.workers})


def _timed(subject: _Subject, request: Request) -> Iterator[Job]:
    for metric in REPEATED:
        if metric in request.metrics:
            yield from _jobs(subject, request, metric)


def _jobs(subject: _Subject, request: Request, metric: str) -> Iterator[Job]:
    options = dict(subject.options)
    if request.device == "cpu" and not request.quick and metric != "memory":
        options["budget_s"] = BUDGET_CPU_S
    batches = request.batches
    for batch in (_default_batch(subject, metric, request),) if batches is None else batches:
        for settings in _settings(subject, request, batch or None):
            yield Job(subject.paper, subject.name, subject.form, metric, settings, options=options)


def _default_batch(subject: _Subject, metric: str, request: Request) -> int:
    """Return the batch of a metric where the user gave none; 0 is the best found by search."""
    task = tasks.of(subject.options)
    if metric in ("latency", "memory"):
        return 1 if metric == "latency" else task.memory_batch
    return task.cpu_batch if request.device == "cpu" else 0


def _settings(subject: _Subject, request: Request, batch: int | None) -> Iterator[Settings]:
    for precision in request.precisions:
        for mode in request.modes:
            yield Settings(
                device=request.device,
                batch=batch,
                input_size=request.input_size,
                precision=precision,
                mode=mode,
                channels_last=request.channels_last,
                threads=request.threads,
                weights=_weights(subject, request),
                quick=request.quick,
                training=request.training,
            )


def _weights(subject: _Subject, request: Request) -> str:
    """Return the label of a subject's weights; what has no file of them has random ones, which time the same."""
    return request.weights if "weights_file" in subject.options else "random"
