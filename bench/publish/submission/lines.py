"""The lines of a submission, field by field: the optional and the required content."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Discriminator, Field, StringConstraints, Tag, ValidationError

from claimbench.bench.core import records
from claimbench.bench.core.records import SCHEMA_VERSION, Options
from claimbench.bench.papers.spec import Name
from claimbench.bench.run.run_file import RunFile
from claimbench.bench.store.encoding import StoredRecord
from claimbench.bench.store.schema import Strict, model

VERSION = 1
"""The version of the format of submissions."""

Text = Annotated[str, StringConstraints(max_length=4000)]
Short = Annotated[str, StringConstraints(max_length=200)]
RunId = Annotated[str, StringConstraints(pattern=r"^\d{8}T\d{6}Z-[0-9a-f]{6}$")]
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]
Size = Annotated[int, Field(ge=1, le=8192)]


class Header(Strict):
    """The first line: the :data:`VERSION`, who hands it in (may be empty), and the digest of all bytes behind it."""

    submission: int
    run: RunId
    device: Short
    submitter: Annotated[str, StringConstraints(max_length=80)]
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class Cpu(Strict):
    """The processor, as :mod:`claimbench.bench.machine.environment` captures it."""

    model: Short
    architecture: Short
    logical_cores: Annotated[int, Field(ge=1, le=4096)] | None
    usable_cores: Annotated[int, Field(ge=1, le=4096)]
    level: Literal["x86_64_v4", "x86_64_v3", "baseline"]


class Gpu(Strict):
    """The GPU, as :meth:`claimbench.bench.machine.nvml.NvmlDevice.description` gives it."""

    name: Short
    memory_bytes: Annotated[int, Field(ge=1, lt=2**46)] | None
    max_sm_mhz: Annotated[int, Field(ge=1, le=10_000)] | None
    max_memory_mhz: Annotated[int, Field(ge=1, le=100_000)] | None
    power_limit_w: Annotated[float, Field(gt=0, le=10_000)] | None
    driver: Short


class UnknownGpu(Strict):
    """A GPU that NVML could not describe."""

    unknown: Text


AnyGpu = Annotated[
    Annotated[Gpu, Tag("known")] | Annotated[UnknownGpu, Tag("unknown")],
    Discriminator(lambda gpu: "unknown" if isinstance(gpu, dict) and gpu.keys() == {"unknown"} else "known"),
]


class Environment(Strict):
    """The environment, as :func:`claimbench.bench.machine.environment.capture` gives it."""

    device: Short
    cpu: Cpu
    memory_bytes: Annotated[int, Field(ge=2**20, lt=2**50)] | None
    gpu: AnyGpu | None
    os: Short
    python: Short
    libraries: dict[Short, Short]
    torch_build: dict[Short, Short]
    native_kernels: Short | None
    variables: dict[Short, Text]


Round = Annotated[int, Field(ge=0, le=10_000)]

Settings = model(
    records.Settings,
    text=Short,
    batch=Annotated[int, Field(ge=1, le=1_000_000)] | None,
    input_size=Annotated[list[Size], Field(max_length=3)],
    threads=Annotated[int, Field(ge=1, le=1024)] | None,
)


def _options(data: dict[str, Any]) -> dict[str, Any]:
    """Check the options of a job."""
    try:
        Options.from_json(data)
    except TypeError as error:
        raise ValueError(str(error)) from error
    return data


_JOB: dict[str, Any] = {
    "text": Short,
    "settings": Settings,
    "options": Annotated[dict[str, Any], AfterValidator(_options)],
}

Job = model(records.Job, without=["round"], **_JOB)
"""The job in a record, whose round stands elsewhere."""

PlannedJob = model(records.Job, round=Round, **_JOB)

Plan = model(
    RunFile,
    text=Short,
    run=RunId,
    papers=list[Short],
    jobs=list[PlannedJob],  # type: ignore[valid-type]  # a class that is made when it runs
    claims=Annotated[bool, Field(default=True)],
    all=Annotated[bool, Field(default=False)],
)

Measurement = model(records.Measurement, without=["samples"], text=Text, metric=Short, unit=Short)

Record = model(
    StoredRecord,
    without=["device"],
    text=Short,
    job=Job,
    round=Round,
    measurement=Measurement,
    run=RunId,
    environment=Digest,
    key=Digest,
    rows=Annotated[int, Field(ge=1, le=100)],
    samples_key=Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{16})?$")],
    paper_sha256=Annotated[str, Field(default="", pattern=r"^([0-9a-f]{64})?$")],
    paper_commit=Annotated[str, Field(default="", max_length=200)],
)


CODE = (".py",)
FACTS = (".yaml", ".json")
"""The ends of the names of a paper's files whose text is packed."""


class PaperFile(Strict):
    """A file of a paper: its digest, and its text if it is code or facts."""

    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    text: str | None


_PART = r"[A-Za-z0-9_][A-Za-z0-9_.@-]*"
Place = Annotated[str, StringConstraints(max_length=200, pattern=rf"^{_PART}(/{_PART})*$")]


class PaperFiles(Strict):
    """A paper that is not one of this suite's: every file in its folder, by its path there."""

    id: Name
    files: Annotated[dict[Place, PaperFile], Field(min_length=1, max_length=500)]


class Samples(Strict):
    """The samples behind one record or several."""

    key: Digest
    samples: Annotated[list[float], Field(min_length=1, max_length=200_000, fail_fast=True)]


KINDS: dict[str, type[BaseModel]] = {
    "header": Header,
    "environment": Environment,
    "plan": Plan,
    "paper": PaperFiles,
    "record": Record,
    "samples": Samples,
}
"""The kinds of lines."""


def version_problem(kind: str, content: Any) -> str | None:
    """Return what is wrong with the version that a header or a record states, or None."""
    name, known = {"header": ("submission", VERSION), "record": ("schema", SCHEMA_VERSION)}.get(kind, ("", 0))
    found = content.get(name) if name and isinstance(content, dict) else known
    if type(found) is int and found == known:
        return None
    return f"its {name} version is {str(found)[:40]}, this suite reads version {known}"


def faults(error: ValidationError) -> list[tuple[str, str]]:
    """Return the errors of a line: the rule (``unknown-field``, ``missing-field``, ``wrong-type``) and the place."""
    found: dict[tuple[str, str], None] = {}
    for fault in error.errors(include_url=False, include_input=False):
        place = ".".join(str(part) for part in fault["loc"])[:120]
        name = {"extra_forbidden": "unknown-field", "missing": "missing-field"}.get(fault["type"], "wrong-type")
        text = {"unknown-field": "is not a field of this format", "missing-field": "is missing"}.get(name, fault["msg"])
        found[name, f"{place}: {text}"] = None
    return list(found)
