"""Measured work and its written form: settings, jobs, measurements, records.

Only the standard library is imported here, because the process that measures imports this module.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal, NamedTuple

SCHEMA_VERSION = 1

Status = Literal["measured", "failed", "unavailable"]
"""``measured``: there is a value. ``failed``: it was tried and died. ``unavailable``: this machine or these inputs
cannot give it. The last two always come with a ``reason``, one sentence."""


@dataclass(frozen=True)
class Settings:
    """Everything that may change a figure and that the user can choose.

    ``batch`` is None if it plays no part (parameters) or is to be searched for (``--batch auto``).
    """

    device: str = "cpu"
    batch: int | None = None
    input_size: tuple[int, ...] = ()
    precision: str = "fp32"
    mode: str = "eager"
    channels_last: bool = False
    threads: int | None = None
    weights: str = "random"
    quick: bool = False
    training: bool = False


def resize(shape: tuple[int, ...], asked: tuple[int, ...]) -> tuple[int, ...]:
    """Return ``shape`` with its last axes replaced by ``asked``; one number stands for height and width."""
    if not asked:
        return shape
    if len(asked) == 1 and len(shape) == 3:
        asked = asked * 2
    return (*shape[: max(len(shape) - len(asked), 0)], *asked)


@dataclass(frozen=True)
class Options:
    """The model of a job and the arguments of its metric; each metric and task reads those that concern it.

    A default stands for an option that was not given. A stored job holds the others only.

    Attributes:
        config: the hyper-parameters that the model is built from.
        sample_shape: the shape of one sample before any resizing; empty for the model's own.
        task: the name of the task that the model is for.
        around: whether the task builds the network, around the paper's model.
        weights_file: the path of the weights; empty for random ones, or those that come with the model.
        weights_sha256: the digest that the file had when the job was planned.
        weights_url: the address that it was fetched from.
        weights_missing: the reason that a requested file is absent, one sentence.
        second_opinion: whether fvcore counts FLOPs too.
        goldens: the golden records of parity, as :mod:`claimbench.bench.papers.golden_files` names them.
        budget_s: seconds of sampling in each process; None for the metric's own choice.
        input: the preprocessing that ``paper.yaml`` states; None for the model's own.
        dataset: the name of the data set; empty for the task's default.
        data: the place of the data: a path or an address, empty for a data set that needs none; None without data.
        partial: whether to score the data at hand if others are missing.
        multi_scale: whether to score over several sizes of each picture too.
        limit: the most samples that are scored; None for all.
        batch: samples at a time; None for the metric's own choice.
        workers: processes that read the data of each device; None for the metric's own choice.
        devices: the devices that share an evaluation, a process each; empty for the job's own.
        predictions: the common name of the files that keep the predictions; empty to keep none.
        group: the name of the process group to join; empty for none.
        seeds: of the trainings that gave a score; empty if none was trained.
        setting, hidden: of a study's training: :class:`claimbench.bench.training.study.setting.Setting` as plain data,
            and the widths of its MLPs.
        extra: further options of a stored job: those of other versions of this suite, and defaults that it states. They
            are kept, so that the job's key stays the same.
    """

    config: dict[str, Any] = field(default_factory=dict)
    sample_shape: tuple[int, ...] = ()
    task: str = "image-classification"
    around: bool = False
    weights_file: str = ""
    weights_sha256: str = ""
    weights_url: str = ""
    weights_missing: str = ""
    second_opinion: bool = True
    goldens: tuple[str, ...] = ()
    budget_s: float | None = None
    input: dict[str, Any] | None = None
    dataset: str = ""
    data: str | None = None
    partial: bool = False
    multi_scale: bool = False
    limit: int | None = None
    batch: int | None = None
    workers: int | None = None
    devices: tuple[str, ...] = ()
    predictions: str = ""
    group: str = ""
    seeds: tuple[int, ...] = ()
    setting: dict[str, Any] = field(default_factory=dict)
    hidden: tuple[int, ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)

    def work(self) -> dict[str, Any]:
        """Return the identity of the work, as plain data, the same for every version that stored it."""
        others = {name: value for name, value in self.extra.items() if name not in _KINDS and name not in FORMER}
        return {**self.given(), **others}

    def given(self) -> dict[str, Any]:
        """Return the options that were given, as plain data, without ``extra``."""
        values = {name: getattr(self, name) for name in _KINDS}
        return {name: _plain(value) for name, value in values.items() if value != getattr(_NOTHING_GIVEN, name)}

    def to_json(self) -> dict[str, Any]:
        """Return the options as plain data, which :meth:`from_json` reads back to the same."""
        return {**self.given(), **self.extra}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Options:
        """Return the options of a stored job.

        Raises:
            TypeError: one is of the wrong type; the message names it.
        """
        known = {name: value for name, value in data.items() if name in _KINDS and value is not None}
        options = cls(**{name: _read(name, value) for name, value in known.items()})
        given = options.given()
        return replace(options, extra={name: value for name, value in data.items() if name not in given})


FORMER = ("module",)
"""Options of stored jobs that do not change the work: the registry knows the package of a paper."""

_KINDS: dict[str, str] = {field.name: str(field.type) for field in fields(Options) if field.name != "extra"}
_TYPES: dict[str, tuple[type, ...]] = {
    "bool": (bool,),
    "int": (int,),
    "float": (int, float),
    "str": (str,),
    "dict[str, Any]": (dict,),
}
_NOTHING_GIVEN = Options()


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _read(name: str, value: Any) -> Any:
    """Return an option as its field holds it."""
    kind = _KINDS[name].removesuffix(" | None")
    entries = kind.removeprefix("tuple[").removesuffix(", ...]")
    if entries != kind:
        if type(value) is list and all(type(entry) in _TYPES[entries] for entry in value):
            return tuple(value)
    elif type(value) in _TYPES[kind]:
        return value
    raise TypeError(f"the option {name} of a job is not of the type {_KINDS[name]}")


@dataclass(frozen=True)
class Job:
    """One thing to measure, in a process of its own.

    Attributes:
        paper: the paper's id; empty for a baseline that belongs to no paper.
        subject: the variant's name, ``timm:<model>`` or ``<file.py>:<factory>`` for a baseline.
        form: the form of the variant (``paper.yaml`` names them, for example ``plain`` and ``merged``).
        metric: a name of ``claimbench.bench.measure.METRICS``.
        settings: of the measurement.
        round: the number of the repetition, for metrics that are repeated in fresh processes.
        options: the model's hyper-parameters and further arguments of the metric.
    """

    paper: str
    subject: str
    form: str
    metric: str
    settings: Settings
    round: int = 0
    options: Options = field(default_factory=Options)

    def key(self) -> str:
        """Return a short digest that is the same for the same work, for resuming a run."""
        body = json.dumps(self.to_json(), sort_keys=True, default=str)
        return hashlib.sha256(body.encode()).hexdigest()[:16]

    def to_json(self) -> dict[str, Any]:
        """Return the job as plain data, which :func:`read_job` reads."""
        return {**vars(self), "settings": asdict(self.settings), "options": self.options.to_json()}

    def config(self) -> Job:
        """Return the job without its round, the same for all rounds of one figure."""
        return replace(self, round=0)


@dataclass(frozen=True)
class Measurement:
    """One figure with its evidence.

    Attributes:
        metric: the row's name, for example ``params``, ``macs``, ``throughput``, ``memory_peak``.
        value: the figure; None unless ``status`` is ``measured``.
        unit: ``params``, ``MAC``, ``FLOP``, ``img/s`` and ``J/img`` (with the task's sample for img), ``s``,
            ``B``, ``rel``; of scores the unit that their task names.
        method: of the measurement, one phrase.
        status: see :data:`Status`.
        reason: for the absence of a value, one sentence.
        low, high: a 95 % interval if the method gives one.
        samples: every sample (seconds for times), in the order taken.
        detail: the further evidence, JSON-ready (clocks, stop reason, per-operator counts, notes).
    """

    metric: str
    value: float | int | None
    unit: str
    method: str
    status: Status = "measured"
    reason: str = ""
    low: float | None = None
    high: float | None = None
    samples: tuple[float, ...] = ()
    detail: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def missing(cls, metric: str, unit: str, reason: str, *, failed: bool = False, **detail: Any) -> Measurement:
        """Return a row with the reason that there is no figure."""
        status: Status = "failed" if failed else "unavailable"
        return cls(metric, None, unit, "", status=status, reason=reason, detail=detail)


class PaperCode(NamedTuple):
    """The code of a paper from elsewhere; both empty for a paper of this suite.

    Attributes:
        sha256: the digest of its folder, see :mod:`claimbench.bench.papers.outside`.
        commit: of the repository that holds the folder, with ``+dirty`` if that had changes; empty outside one.
    """

    sha256: str = ""
    commit: str = ""


@dataclass(frozen=True)
class Record:
    """One stored line: a measurement with its job, time, environment and code.

    Attributes:
        run: the run's id, sortable by time.
        job: the job.
        measurement: the figure.
        environment: the digest of the environment, stored once beside the records.
        commit: the commit of this suite, with ``+dirty`` if the tree had changes; empty outside a checkout.
        time: UTC, ISO 8601.
        paper_sha256, paper_commit: see :class:`PaperCode`; a line holds them for papers from elsewhere only.
    """

    run: str
    job: Job
    measurement: Measurement
    environment: str
    commit: str
    time: str
    schema: int = SCHEMA_VERSION
    paper_sha256: str = ""
    paper_commit: str = ""


def read_job(data: dict[str, Any]) -> Job:
    """Return the job that :meth:`Job.to_json` turned into ``data``.

    Raises:
        TypeError: an option is of the wrong type, or a field is missing or unknown.
    """
    settings = dict(data["settings"])
    settings["input_size"] = tuple(settings.get("input_size", ()))
    return Job(**{**data, "settings": Settings(**settings), "options": Options.from_json(data.get("options", {}))})
