"""Rules on the subject: papers, variants, forms, metrics and settings that this suite knows, and that go together."""

from __future__ import annotations

from collections.abc import Iterator

from claimbench.bench.core.errors import UserError, unknown
from claimbench.bench.core.records import Job
from claimbench.bench.machine.environment import name_of
from claimbench.bench.measure import METRICS
from claimbench.bench.papers import golden_files, registry
from claimbench.bench.publish.submission.document import Entry
from claimbench.bench.publish.submission.models import TIMM
from claimbench.bench.publish.submission.rules import Case, Doubt, each, rule
from claimbench.bench.run.expected_rows import possible_rows
from claimbench.bench.run.plan import STATIC
from claimbench.bench.run.request import MODES, PRECISIONS
from claimbench.bench.store.evidence.of_models import EnergyEvidence, PeakEvidence, TimeEvidence
from claimbench.bench.store.store import slug


@rule("unknown-paper", "Every paper is one of this repository's (`bench list`).")
def _paper(case: Case) -> Iterator[Doubt]:
    known = registry.entries()
    for entry in case.entries:
        if entry.job.paper and entry.job.paper not in known:
            yield entry, str(unknown("paper", entry.job.paper, known))
    for name in case.submission.plan.papers:
        if name not in known:
            yield None, f"the plan names an {unknown('paper', name, known)}"


@rule("unknown-variant", "Every model is a variant and form of its paper (`bench show`), or one of timm's.")
def _variant(case: Case) -> Iterator[Doubt]:
    for entry in case.entries:
        job = entry.job
        if not job.paper and not job.subject.startswith(TIMM):
            message = "is nobody else's model: only papers' variants and timm's models can be checked"
            yield entry, f"{job.subject!r} {message}"
        elif not job.paper or job.paper in registry.entries():
            try:
                case.models.own(job)
            except UserError as error:
                yield entry, str(error)


@rule(
    "not-the-papers-model",
    "A variant is built from the hyper-parameters, and fed the input, that its paper.yaml states.",
)
def _configuration(case: Case) -> Iterator[Doubt]:
    for entry in case.entries:
        try:
            own = case.models.own(entry.job).options
        except UserError:
            continue
        for name in ("config", "sample_shape", "task", "around"):
            if getattr(entry.job.options, name) != getattr(own, name):
                yield entry, f"its option {name} is not that of {entry.job.subject} in this repository"


@rule("unknown-metric", "Every row is one that its metric gives, in that row's unit.")
def _metric(case: Case) -> Iterator[Doubt]:
    for entry in case.entries:
        metric, row = entry.job.metric, entry.row
        if metric not in METRICS:
            yield entry, str(unknown("metric", metric, METRICS))
            continue
        units = possible_rows(entry.job)
        if row.metric not in units:
            yield entry, str(unknown(f"row of {metric}", row.metric, units))
        elif row.unit != units[row.metric]:
            yield entry, f"its unit is {row.unit!r}, not {units[row.metric]!r}"


@rule("contradiction", "Settings exist, go together, and are those that the figure was measured with.")
def _settings(case: Case) -> Iterator[Doubt]:
    for entry in case.entries:
        yield from ((entry, problem) for problem in _contradictions(case, entry.job))
    for entry, _ in case.measured:
        settings, evidence = entry.job.settings, entry.evidence
        asked = settings.batch or (1 if entry.job.metric in ("latency", "memory") else None)
        if isinstance(evidence, TimeEvidence | EnergyEvidence | PeakEvidence) and asked not in (None, evidence.batch):
            yield entry, f"batch {asked} was asked for, and batch {evidence.batch} measured"
        if isinstance(evidence, TimeEvidence | EnergyEvidence) and evidence.quick != settings.quick:
            yield entry, f"quick is {settings.quick} in the settings and {evidence.quick} in the evidence"


def _contradictions(case: Case, job: Job) -> Iterator[str]:
    settings, metric, plan = job.settings, job.metric, case.submission.plan.device
    gpu, static = settings.device.startswith("cuda"), metric in STATIC
    if settings.precision not in PRECISIONS:
        yield str(unknown("precision", settings.precision, PRECISIONS))
    if settings.mode not in MODES:
        yield str(unknown("mode", settings.mode, MODES))
    usual = (settings.batch, gpu, settings.precision, settings.mode) == (None, False, "fp32", "eager")
    wrong = {
        f"the device is {settings.device!r}, not cpu or cuda": not gpu and settings.device != "cpu",
        "tf32 needs a GPU, and the device is a CPU": not gpu and settings.precision == "tf32",
        "a CUDA graph needs a GPU, and the device is a CPU": not gpu and settings.mode == "cudagraph",
        "it was measured on a GPU, and the environment has none": gpu and case.environment["gpu"] is None,
        f"{metric} depends on no device, batch, precision or mode, and these are set": static and not usual,
        f"the device is {settings.device}, and the plan's {plan}": not static and settings.device != plan,
        "training steps are not measured in a CUDA graph": settings.training and settings.mode == "cudagraph",
        "the weights are random, and come from a file": settings.weights == "random" and job.options.weights_file,
        f"{metric} is not measured on training steps": settings.training and metric in ("accuracy", "parity"),
    }
    yield from (message for message, found in wrong.items() if found)


@rule("device-name", "The device's name is the one that follows from the processor or GPU of the environment.")
def _device(case: Case) -> Iterator[Doubt]:
    header, stated, plan = case.submission.header.device, case.environment["device"], case.submission.plan.device
    name, gpu = name_of(case.environment), case.environment["gpu"] is not None
    if stated != name:
        yield None, f"the environment calls its device {stated!r}; by its description it is {name!r}"
    elif header != slug(name):
        yield None, f"the header calls the device {header!r} and the environment {name!r}"
    if plan.startswith("cuda") != gpu:
        yield None, f"the plan's device is {plan!r}, and the environment has {'a' if gpu else 'no'} GPU"


@rule("impossible-environment", "The environment is one that can be, and says which torch it had.")
def _environment(case: Case) -> Iterator[Doubt]:
    cpu, torch = case.environment["cpu"], case.environment["libraries"].get("torch")
    built = case.environment["torch_build"].get("version")
    if cpu["logical_cores"] is not None and cpu["usable_cores"] > cpu["logical_cores"]:
        yield None, f"{cpu['usable_cores']} of its {cpu['logical_cores']} cores could be used"
    if torch is None:
        yield None, "it does not say which torch it had"
    elif built is not None and built.partition("+")[0] != torch.partition("+")[0]:
        yield None, f"its torch is {torch}, and the build of it {built}"


@rule("parity-goldens", "Parity is measured against the golden records of the variant, all of them.")
@each("parity")
def _goldens(case: Case, entry: Entry, value: float) -> Iterator[str]:
    job = entry.job
    if job.paper in registry.entries():
        known = golden_files.names(job.paper, job.subject, registry.entry(job.paper).variants)
        asked = list(job.options.goldens)
        if known and asked != known:
            yield f"it was measured against {asked}, and {job.subject} has {', '.join(known)}"
