"""The models that submissions speak of, as they stand here: their parameters and buffers, and their work.

Only code and hyper-parameters of this repository are run, never those of a submission.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import torch
from torch import nn

from claimbench.bench import tasks
from claimbench.bench.core.errors import UserError, unknown
from claimbench.bench.core.listener import SILENT, Listener
from claimbench.bench.core.records import Job, Options, Settings, resize
from claimbench.bench.measure.flops import TRAINING_BATCH, UncountedError, count
from claimbench.bench.papers import registry
from claimbench.bench.papers.models.build import seeded
from claimbench.bench.tasks.subject import DTYPES, build

TIMM = "timm:"

LARGEST_SIDE = 1024
"""The largest side of an input: counting a model that needs values takes time and memory that grow with its input."""

MOST_MODELS = 1000
"""The most models in one call, with each of their inputs."""


@dataclass(frozen=True)
class Facts:
    """The facts about a model that do not depend on a machine.

    Attributes:
        params, trainable: numbers of parameters.
        weights_b: bytes of parameters and buffers, by precision.
        flops: of one sample, two a multiply-add; None if it cannot be counted here.
        problem: why not.
    """

    params: int
    trainable: int
    weights_b: dict[str, int]
    flops: float | None = None
    problem: str = ""


def subject_of(job: Job) -> tuple[str, str, str]:
    """Return the values that tell a model from others."""
    return job.paper, job.subject, job.form


class Models:
    """Builds models on torch's meta device, without memory for weights if that is possible, and remembers their facts.

    Args:
        listener: told of each model before it is built.
        withheld: papers whose code must not be run.
    """

    def __init__(self, listener: Listener = SILENT, withheld: Collection[str] = ()) -> None:
        self._listener, self._withheld = listener, withheld
        self._facts: dict[tuple[object, ...], Facts | str] = {}
        self._options: dict[tuple[str, str, str], Options | UserError] = {}

    def own(self, job: Job) -> Job:
        """Return the job on the same model and input as this suite would plan it.

        Raises:
            UserError: there is no such paper, variant, form or timm model; names the nearest.
        """
        key = subject_of(job)
        if key not in self._options:
            try:
                self._options[key] = _timm(job) if job.subject.startswith(TIMM) else _variant(job)
            except UserError as error:
                self._options[key] = error
        found = self._options[key]
        if isinstance(found, UserError):
            raise found
        return replace(job, options=found)

    def facts(self, job: Job) -> Facts | str:
        """Return the facts of the job's model and input, or why there are none, a sentence.

        Raises:
            UserError: there is no such model; see :meth:`own`.
        """
        if job.paper in self._withheld:
            return "code that came with the file is run with --with-code only"
        settings = Settings(input_size=job.settings.input_size, training=job.settings.training)
        key = (*subject_of(job), settings)
        if key not in self._facts:
            if max(settings.input_size, default=0) > LARGEST_SIDE:
                return f"inputs of more than {LARGEST_SIDE} pixels a side are not tried here"
            if len(self._facts) >= MOST_MODELS:
                return f"more than {MOST_MODELS} models are not counted at once"
            own = self.own(replace(job, metric="flops", settings=settings, round=0))
            self._listener.at(len(self._facts), what=f"counting {job.subject} {job.form}".strip())
            try:
                self._facts[key] = _examine(own)
            except Exception as error:  # a model may raise anything on an input that is not meant for it
                self._facts[key] = f"{type(error).__name__}: {(str(error).splitlines() or ['no message'])[0][:200]}"
        return self._facts[key]


def _variant(job: Job) -> Options:
    """Return the options that the plan gives every job on a paper's model."""
    paper = registry.paper(job.paper)
    variants = {variant.name: variant for variant in paper.models}
    if job.subject not in variants:
        raise unknown(f"variant of {paper.id}", job.subject, variants)
    variant = variants[job.subject]
    forms = variant.forms or tuple(form.name for form in paper.forms)
    if job.form not in forms:
        raise unknown(f"form of {variant.name}", job.form, forms)
    return tasks.model_options(paper, variant)


def _timm(job: Job) -> Options:
    import timm

    name = job.subject.removeprefix(TIMM)
    if not timm.is_model(name):
        raise unknown("timm model", name, timm.list_models())
    if job.paper or job.form:
        raise UserError(f"{job.subject} belongs to no paper and has one form")
    return Options()


def _examine(job: Job) -> Facts:
    """Return the facts of a model; whole numbers keep their type in every precision."""
    try:
        with torch.device("meta"):
            model, shape = _build(job)
    except (RuntimeError, NotImplementedError, TypeError):  # it reads values while it is built
        model, shape = _build(job)
    parameters = list(model.parameters())
    tensors = [*parameters, *model.buffers()]
    facts = Facts(
        params=sum(p.numel() for p in parameters),
        trainable=sum(p.numel() for p in parameters if p.requires_grad),
        weights_b={
            precision: sum(t.numel() * (dtype.itemsize if t.is_floating_point() else t.element_size()) for t in tensors)
            for precision, dtype in DTYPES.items()
        },
    )
    if getattr(model, "cost_follows_input", False) and not job.settings.training:
        return replace(facts, problem="its cost follows from the values of the input")
    try:
        return replace(facts, flops=_count(model, shape, job))
    except UncountedError as error:
        return replace(facts, problem=str(error))
    except (RuntimeError, NotImplementedError, TypeError):  # it reads values while it runs
        return replace(facts, flops=_count(*_build(job), job))


def _build(job: Job) -> tuple[nn.Module, tuple[int, ...]]:
    with seeded():
        model, _, shape = build(job)
    return model.eval(), shape


def _count(model: nn.Module, shape: tuple[int, ...], job: Job) -> float:
    """Return the FLOPs of one sample as :mod:`claimbench.bench.measure.flops` counts them."""
    batch = TRAINING_BATCH if job.settings.training else 1
    generator = torch.Generator().manual_seed(0)
    shape = resize(shape, job.settings.input_size)
    sample = tasks.of(job.options).example(shape, batch, generator, job.options.config)
    return count(model, sample, training=job.settings.training).flops / batch
