"""What a task says of itself: its example input, its data sets and scores, and how they look in a table.

A task's file imports the standard library and ``claimbench.bench.core`` at its top, and everything heavy inside its
methods: listing and planning must load neither torch nor timm.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from claimbench.bench.core.errors import UnavailableError, UserError
from claimbench.bench.core.listener import SILENT, Listener
from claimbench.bench.core.quantities import Quantity, Row

if TYPE_CHECKING:
    import torch
    from torch import Generator, Tensor, nn

    from claimbench.bench.core.records import Job, Measurement

    Example = Tensor | tuple[Tensor, ...]
    """An example input: what a model is called with, a tensor, or one tensor an argument. All begin with the batch."""


TRAINED = Path("trained")
"""Where ``bench train`` leaves models unless told otherwise, a folder each."""


class Scored(Protocol):
    """A data set as planning and tables see it."""

    @property
    def name(self) -> str:
        """What ``--dataset`` takes."""

    @property
    def title(self) -> str:
        """What sentences call it."""

    @property
    def rows(self) -> tuple[tuple[str, str], ...]:
        """The rows (name, unit) that a measurement on it yields."""

    @property
    def needs(self) -> str:
        """What a user gives with ``--data``, one phrase."""

    @property
    def has_package(self) -> bool:
        """Whether it can be had without ``--data``: from an installed package, or fetched."""

    @property
    def reported(self) -> frozenset[str]:
        """The names under which papers report its scores."""


@dataclass(frozen=True)
class DataSet:
    """A data set whose scores are reported under the names of its rows; fields as in :class:`Scored`.

    Attributes:
        source: where its protocol stands.
    """

    name: str
    title: str
    rows: tuple[tuple[str, str], ...]
    needs: str = "its folder"
    has_package: bool = False
    source: str = ""

    @property
    def reported(self) -> frozenset[str]:
        """The names under which papers report its scores."""
        return frozenset(row for row, _ in self.rows)


@dataclass(frozen=True)
class TrainRequest:
    """What ``bench train`` was asked; 0, empty and None stand for what the paper says. The listener shows progress."""

    paper: str
    variant: str = ""
    data: Path | None = None
    dataset: str = ""
    recipe: str = ""
    out: Path | None = None
    resume: bool = False
    start: Path | None = None
    classes: int = 0
    input_size: int = 0
    epochs: int = 0
    lr: float = 0.0
    global_batch: int = 0
    batch: int = 0
    accumulate: int = 0
    precision: str = "auto"
    device: str = "auto"
    fsdp: bool = False
    workers: int | None = None
    checkpoint_steps: int | None = None
    seed: int = 0
    seeds: tuple[int, ...] = ()
    dry_run: bool = False
    json: bool = False
    results: Path = field(default=Path("results"))
    listener: Listener = SILENT

    def folder(self, name: str) -> Path:
        """Return where the training leaves what it makes: ``--out``, or a folder called ``name`` in :data:`TRAINED`."""
        return self.out or TRAINED / name

    def refuse_others(self, task: str, *taken: str) -> None:
        """Refuse every option that was given and that a trainer does not take.

        Args:
            task: what is trained, for the sentence.
            taken: the names of the fields that the trainer takes, besides ``paper`` and ``results``.

        Raises:
            UserError: names the options.
        """
        own = {*taken, "paper", "results", "listener"}
        given = [f.name for f in fields(self) if f.name not in own and getattr(self, f.name) != f.default]
        if given:
            names = ", ".join(f"--{name.replace('_', '-')}" for name in given)
            raise UserError(f"training for {task} takes no {names}: leave it out")


def arguments(example: Example) -> tuple[Tensor, ...]:
    """Return what a model is called with: the tensors of an example."""
    return example if isinstance(example, tuple) else (example,)


class Task:
    """A task: what its models take and how they are scored.

    Attributes:
        name: what ``task:`` in ``paper.yaml`` and ``--task`` say.
        title: what tables call it.
        sample: the unit of one input: throughput is in ``<sample>/s``.
        datasets: by the name that ``--dataset`` takes.
        cpu_batch: the batch at which throughput is measured on a CPU unless the user says otherwise.
        memory_batch: the batch at which memory is measured unless the user says otherwise.
        multi_scale: whether ``--multi-scale`` says something to it: scores over several sizes of each picture.
        learns: whether scoring trains something of its own, so that a model is scored whatever its weights.
        default: the data set meant where neither the user nor the paper's figures name one; empty for none.
        rows: the rows of its scores, for tables.
        quantities: the reported metrics that these rows answer, by the names that ``paper.yaml`` uses.
    """

    name: str = ""
    title: str = ""
    sample: str = "img"
    cpu_batch: int = 4
    memory_batch: int = 1
    datasets: Mapping[str, Scored] = {}
    multi_scale: bool = False
    learns: bool = False
    default: str = ""
    rows: Mapping[str, Row] = {}
    quantities: Mapping[str, Quantity] = {}

    def expected(self, dataset: str, config: Mapping[str, Any] | None = None) -> tuple[tuple[str, str], ...]:
        """Return the rows (name, unit) that scoring a model on a data set yields; the default's for a name not known.

        ``config`` are the model's hyper-parameters, for tasks whose rows depend on them.
        """
        found = self.datasets.get(dataset) or self.datasets.get(self.default)
        return found.rows if found else (("score", ""),)

    def size(self, shape: tuple[int, ...]) -> str:
        """Return how tables print the shape of one sample; empty where it says nothing."""
        return f"{'x'.join(map(str, shape[1:]))} px" if len(shape) == 3 else ""

    def example(self, shape: tuple[int, ...], batch: int, generator: Generator, config: Mapping[str, Any]) -> Example:
        """Return a batch (batch, *shape) of inputs that the model of ``config`` could be given, on the CPU.

        Standard normal unless a task says otherwise; a tuple for a model that takes several arguments.
        """
        import torch

        return torch.randn(batch, *shape, generator=generator)

    def evaluate(self, subject: Subject, job: Job) -> list[Measurement]:
        """Return the scores of a model: the metric ``accuracy``.

        Raises:
            UnavailableError: data or weights are not at hand; the sentence of its rows.
            UserError: what is there is not what it should be.
        """
        raise UnavailableError(f"nothing in this suite scores {self.title.lower()}")

    def check(self, jobs: Sequence[Job], listener: Listener) -> list[str]:
        """Check the data that accuracy jobs of this task name before anything is measured; return notes for the user.

        The listener is told how far the check is, and ends it if the user asks to stop.

        Raises:
            UserError: data are missing or damaged, or do not fit a model.
        """
        return []

    def classes(self, job: Job) -> int:
        """Return how many classes the model of a job tells apart.

        Raises:
            UnavailableError: it gives no score for each class, or cannot be built here.
            UserError: the model or a setting is wrong; one sentence.
        """
        raise UnavailableError(f"models for {self.title.lower()} tell no classes apart")

    def require(self) -> None:
        """Check that what :meth:`build` needs is installed.

        Raises:
            UserError: it is not; says how to install it.
        """

    def build(self, job: Job) -> nn.Module:
        """Return the network of a variant whose paper is about another task, for example a backbone with a head.

        Raises:
            UserError: a paper's model cannot be put to this task.
        """
        raise UserError(f"{job.subject} is no model for {self.title.lower()}: nothing here builds one around it")

    def train(self, request: TrainRequest) -> int:
        """Train a paper's model and return the exit status (130 if interrupted): ``bench train``.

        Raises:
            UserError: the request cannot be met.
        """
        raise UserError(f"bench train cannot train for {self.title.lower()} ({request.paper})")


SEED = 0
"""The seed of example inputs and random weights."""
"""The seed of random weights and of inputs."""


@dataclass
class Subject:
    """What is measured.

    Attributes:
        model: the module, in eval mode, on the job's device, in its dtype and memory format.
        sample_shape: the shape of one sample, without the batch axis.
        label: what it is, for messages and tables.
        device: where it runs.
        dtype: of its weights and inputs.
        channels_last: whether 4-D inputs are laid out channels last.
        mode: ``eager``, ``compile`` or ``cudagraph``.
        config: timm's preprocessing of the model, where it has one.
        task: what it is for; makes its example inputs.
        built_from: the hyper-parameters that its example inputs depend on.
    """

    model: nn.Module
    sample_shape: tuple[int, ...]
    label: str
    device: torch.device
    dtype: torch.dtype
    channels_last: bool = False
    mode: str = "eager"
    config: Mapping[str, Any] | None = None
    task: Task = field(default_factory=Task)
    built_from: Mapping[str, Any] = field(default_factory=dict)

    def make_inputs(self, batch: int, n: int, generator: torch.Generator | None = None) -> list[Example]:
        """Return ``n`` example inputs (batch, *sample_shape) of the task, drawn on the CPU."""
        import torch

        generator = generator or torch.Generator().manual_seed(SEED)
        drawn = (self._example(batch, generator) for _ in range(n))
        return [tuple(map(self.place, one)) if isinstance(one, tuple) else self.place(one) for one in drawn]

    def sample(self, batch: int) -> Example:
        """Return one example input in its own precision on the CPU, as counting takes it."""
        import torch

        return self._example(batch, torch.Generator().manual_seed(SEED))

    def _example(self, batch: int, generator: torch.Generator) -> Example:
        return self.task.example(self.sample_shape, batch, generator, self.built_from)

    def place(self, tensor: Tensor) -> Tensor:
        """Return ``tensor`` on the subject's device, in its memory format and, unless it holds integers, its dtype."""
        import torch

        layout = torch.channels_last if self.channels_last and tensor.dim() == 4 else torch.contiguous_format
        dtype = self.dtype if tensor.is_floating_point() else tensor.dtype
        return tensor.to(device=self.device, dtype=dtype, memory_format=layout)

    def forward(self) -> Callable[[Example], Any]:
        """Return the forward pass in the subject's mode, but for the CUDA graph, which needs its input first."""
        import torch

        model = torch.compile(self.model) if self.mode == "compile" else self.model
        return lambda example: model(*arguments(example))
