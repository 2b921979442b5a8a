"""The declaration of a task: its models' inputs, its data sets and its scores, as data; its files do the scoring.

The ``__init__.py`` and ``catalogue.py`` of a task import the standard library and ``claimbench.bench.core`` at their
top: listing and planning must load neither torch nor timm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from claimbench.bench.core.errors import UnavailableError, UserError
from claimbench.bench.core.listener import SILENT, Listener
from claimbench.bench.core.quantities import Answer, Better, MeasuredRow, Quantity

if TYPE_CHECKING:
    import torch
    from torch import Generator, Tensor, nn

    from claimbench.bench.core.records import Job, Measurement

    Example = Tensor | tuple[Tensor, ...]
    """An example input: the arguments of a model, a tensor, or one tensor an argument. All begin with the batch."""


TRAINED = Path("trained")
"""The default folder of the models of ``bench train``, a folder each."""


@dataclass(frozen=True)
class DataSet:
    """A data set that a task scores models on; a task with further facts of its own subclasses it.

    Attributes:
        name: ``--dataset`` takes it.
        title: sentences and tables call it so.
        needs: a user gives this with ``--data``, one phrase.
        source: of its protocol.
        prefix: the names of its scores hold it for ``{dataset}``; empty for ``name`` with underscores.
        has_package: whether it can be had without ``--data``: from an installed package, or fetched.
        scored_classes: the number of classes that its scores are over. A score over another number answers no reported
            figure. None if that does not matter.
        published: whether papers report scores on it. Nobody reports scores on a user's own pictures.
    """

    name: str
    title: str
    needs: str = "its folder"
    source: str = ""
    prefix: str = ""
    has_package: bool = False
    scored_classes: int | None = None
    published: bool = True

    def fill(self, name: str) -> str:
        """Return the name of a score on this data set: its prefix stands for ``{dataset}``."""
        return name.replace("{dataset}", self.prefix or self.name.replace("-", "_"))


@dataclass(frozen=True)
class Score:
    """A score, said once for all data sets: the rows of tables, the reported figures that they answer, the bounds.

    ``{dataset}`` stands for the data set: for its prefix in names, for its title in titles, for the value of
    ``--dataset`` in ``needs``.

    Attributes:
        name: the row's name, for example ``{dataset}_miou``. All tasks share the names, so that one without
            ``{dataset}`` is for a task of its own.
        title: tables call the row so.
        unit: of the row and of the reported figure.
        better: ``higher`` or ``lower``; empty if neither is.
        least, most: a score lies between them, inclusive; None if there is no such bound. A figure beyond them is
            pointed out, and no submission.
        reported: the names that ``paper.yaml`` uses for it; None for ``name`` alone, empty if papers do not report it.
            The data sets that are not published have none.
        reported_title: tables call the reported figure so; empty for ``title``.
        needs: the requirements of a measurement, for rows of reported figures that were not measured; empty if a run is
            enough.
        datasets: the names of the data sets that it is measured on; empty for all.
    """

    name: str
    title: str
    unit: str = ""
    better: Better = "higher"
    least: float | None = None
    most: float | None = None
    reported: tuple[str, ...] | None = None
    reported_title: str = ""
    needs: str = "needs the data set and trained weights: --metrics accuracy --dataset {dataset}"
    datasets: tuple[str, ...] = ()

    def row(self, dataset: DataSet) -> MeasuredRow:
        """Return the row that scoring on a data set yields."""
        title = self.title.replace("{dataset}", dataset.title)
        return MeasuredRow(title, "quality", self.unit, better=self.better, least=self.least, most=self.most)

    def reported_on(self, dataset: DataSet) -> dict[str, Quantity]:
        """Return the metrics that papers report for this score on a data set, by name."""
        quantity = Quantity(
            (self.reported_title or self.title).replace("{dataset}", dataset.title),
            "quality",
            self.unit,
            (Answer(dataset.fill(self.name)),),
            self.better,
            needs=self.needs.replace("{dataset}", dataset.name),
            classes=dataset.scored_classes,
        )
        names = (self.name,) if self.reported is None else self.reported
        return {dataset.fill(name): quantity for name in names if dataset.published}


@dataclass(frozen=True)
class TrainRequest:
    """A request to ``bench train``; 0, empty and None stand for the paper's values.

    Attributes:
        paper, variant: of the model; the paper's first default variant without one.
        data, dataset: the folder, and the name of a data set in it.
        recipe: an alternative of the paper's recipe, or the id of another paper.
        out: the folder of the results. ``resume``: whether the training in it is continued.
        start: a file of weights to begin with.
        classes, input_size, epochs, lr: replace the recipe's.
        global_batch: samples a step over all devices. ``batch``: samples that a device takes at once.
            ``accumulate``: passes a step.
        precision: fp32, bf16, fp16 or auto.
        fsdp: whether the model is sharded over the devices.
        workers: processes that read data. ``checkpoint_steps``: steps between checkpoints.
        seed: of everything random. ``seeds``: of one training each.
        dry_run: whether the plan is printed only. ``json``: whether the output is JSON.
        results: the folder of records.
        listener: shows progress.
    """

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
        """Return the folder of the training's results: ``--out``, or a folder called ``name`` in :data:`TRAINED`."""
        return self.out or TRAINED / name

    def refuse_others(self, task: str, *taken: str) -> None:
        """Refuse every option that was given and that a trainer does not take.

        Args:
            task: of the training, for the sentence.
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
    """Return the arguments of a model: the tensors of an example."""
    return example if isinstance(example, tuple) else (example,)


@dataclass(frozen=True, eq=False)
class Task:
    """A task: the inputs of its models, and their scores.

    The files of its package define its abilities, and are imported when they are asked for: ``evaluate.py`` scores a
    model, ``check.py`` looks at the data first, ``train.py`` trains, ``network.py`` builds around a paper's model. A
    task without one of these files lacks that ability.

    Attributes:
        name: ``task:`` in ``paper.yaml`` and ``--task`` say it.
        title: tables call it so.
        sample: the unit of one input: throughput is in ``<sample>/s``.
        datasets: by the name that ``--dataset`` takes.
        default: the data set meant if neither the user nor the paper's figures name one.
        scores: each is measured on every data set unless it names its own.
        not_measured: the reported metrics that nothing here measures, by name; each states the requirements of a
            measurement.
        cpu_batch: the batch at which throughput is measured on a CPU unless the user says otherwise.
        memory_batch: the batch at which memory is measured unless the user says otherwise.
        multi_scale: whether ``--multi-scale`` applies to it: scores over several sizes of each picture.
        learns: whether scoring trains something of its own, so that a model is scored whatever its weights.
        shares: whether several processes can share the scoring of a model: ``measure`` looks at its examples by
            :func:`claimbench.bench.measure.scoring.look.look`.
        package: the Python package that holds its files; :func:`claimbench.bench.tasks.known` fills it in.
    """

    name: str = ""
    title: str = ""
    sample: str = "img"
    datasets: Mapping[str, DataSet] = field(default_factory=dict)
    default: str = ""
    scores: tuple[Score, ...] = ()
    not_measured: Mapping[str, Quantity] = field(default_factory=dict)
    cpu_batch: int = 4
    memory_batch: int = 1
    multi_scale: bool = False
    learns: bool = False
    shares: bool = False
    package: str = ""

    @cached_property
    def rows(self) -> Mapping[str, MeasuredRow]:
        """The rows of its scores by name, data set by data set."""
        return {name: row for dataset in self.datasets.values() for name, row in self.rows_on(dataset).items()}

    @cached_property
    def quantities(self) -> Mapping[str, Quantity]:
        """The reported metrics that it knows, by the names that ``paper.yaml`` uses."""
        scored = (self._scored(dataset) for dataset in self.datasets.values())
        found = {name: quantity for each in scored for name, quantity in each.items()}
        return found | dict(self.not_measured)

    def check_scores(self) -> None:
        """Check that data sets and scores fit together.

        Raises:
            ValueError: they do not.
        """
        if self.default and self.default not in self.datasets:
            raise ValueError(f"its default data set {self.default!r} is not among its data sets")
        for name, dataset in self.datasets.items():
            if dataset.name != name:
                raise ValueError(f"the data set {dataset.name!r} stands under the name {name!r}")
            if not self.rows_on(dataset):
                raise ValueError(f"no score is measured on the data set {name!r}")
        if strangers := {name for score in self.scores for name in score.datasets} - self.datasets.keys():
            raise ValueError(f"a score names {sorted(strangers)[0]!r}, which is not among its data sets")
        _ = self.quantities

    def rows_on(self, dataset: DataSet) -> dict[str, MeasuredRow]:
        """Return the rows of one data set, by name."""
        return {dataset.fill(score.name): score.row(dataset) for score in self._scores_on(dataset)}

    def reported_on(self, dataset: DataSet) -> frozenset[str]:
        """Return the names under which papers report scores on a data set."""
        return frozenset(self._scored(dataset))

    def expected(self, dataset: str, config: Mapping[str, Any] | None = None) -> tuple[tuple[str, str], ...]:
        """Return the rows (name, unit) that scoring a model on a data set yields; the default's for a name not known.

        ``config`` are the model's hyper-parameters, for tasks whose rows depend on them.
        """
        found = self.datasets.get(dataset) or self.datasets.get(self.default)
        return tuple((name, row.unit) for name, row in self.rows_on(found).items()) if found else (("score", ""),)

    def _scores_on(self, dataset: DataSet) -> Iterator[Score]:
        return (score for score in self.scores if not score.datasets or dataset.name in score.datasets)

    def _scored(self, dataset: DataSet) -> dict[str, Quantity]:
        scores = self._scores_on(dataset)
        return {name: quantity for score in scores for name, quantity in score.reported_on(dataset).items()}

    def size(self, shape: tuple[int, ...]) -> str:
        """Return the shape of one sample as tables print it; empty if it says nothing."""
        return f"{'x'.join(map(str, shape[1:]))} px" if len(shape) == 3 else ""

    def example(self, shape: tuple[int, ...], batch: int, generator: Generator, config: Mapping[str, Any]) -> Example:
        """Return a batch (batch, *shape) of inputs that the model of ``config`` could be given, on the CPU.

        Standard normal unless a task says otherwise; a tuple for a model that takes several arguments.
        """
        import torch

        return torch.randn(batch, *shape, generator=generator)

    def evaluate(self, subject: Subject, job: Job) -> list[Measurement]:
        """Return the scores of a model, by ``measure`` of ``evaluate.py``: the metric ``accuracy``.

        Raises:
            UnavailableError: data or weights are not at hand; the sentence of its rows.
            UserError: the data or weights at hand are wrong.
        """
        measure = self._role("evaluate", "measure")
        if measure is None:
            raise UnavailableError(f"nothing in this suite scores {self.title.lower()}")
        found: list[Measurement] = measure(subject, job)
        return found

    def check(self, jobs: Sequence[Job], listener: Listener) -> list[str]:
        """Check the data that accuracy jobs of this task name before anything is measured; return notes for the user.

        ``check`` of ``check.py`` does it. The listener is told how far the check is, and ends it if the user asks to
        stop.

        Raises:
            UserError: data are missing or damaged, or do not fit a model.
        """
        check = self._role("check", "check")
        notes: list[str] = check(jobs, listener) if check is not None else []
        return notes

    def classes(self, job: Job) -> int:
        """Return the number of classes that the model of a job tells apart, by ``classes_of`` of ``evaluate.py``.

        Raises:
            UnavailableError: it gives no score for each class, or cannot be built here.
            UserError: the model or a setting is wrong; one sentence.
        """
        classes_of = self._role("evaluate", "classes_of", optional=True)
        if classes_of is None:
            raise UnavailableError(f"models for {self.title.lower()} tell no classes apart")
        return int(classes_of(job))

    def require(self) -> None:
        """Check that the packages that ``network.py`` needs are installed, by its function ``require`` if it has one.

        Raises:
            UserError: one is not; the sentence gives the command that installs it.
        """
        require = self._role("network", "require", optional=True)
        if require is not None:
            require()

    def build(self, job: Job) -> nn.Module:
        """Return the network of a variant whose paper is about another task, by ``build`` of ``network.py``.

        It is for example a backbone with a head.

        Raises:
            UserError: a paper's model cannot be put to this task.
        """
        build = self._role("network", "build")
        if build is None:
            raise UserError(f"{job.subject} is no model for {self.title.lower()}: nothing here builds one around it")
        network: nn.Module = build(job)
        return network

    def train(self, request: TrainRequest) -> int:
        """Train a paper's model, by ``train`` of ``train.py``, and return the exit status (130 if interrupted).

        Raises:
            UserError: the request cannot be met.
        """
        train = self._role("train", "train")
        if train is None:
            raise UserError(f"bench train cannot train for {self.title.lower()} ({request.paper})")
        return int(train(request))

    def _role(self, file: str, function: str, *, optional: bool = False) -> Callable[..., Any] | None:
        """Return a function of a file of the task's package; None if there is no such file.

        Raises:
            UserError: the file cannot be loaded, or the function is neither there nor optional.
        """
        module = f"{self.package}.{file}"
        if not self.package or find_spec(module) is None:
            return None
        try:
            found: Callable[..., Any] | None = getattr(import_module(module), function, None)
        except Exception as error:
            raise UserError(f"{module} cannot be loaded ({type(error).__name__}: {error})") from error
        if found is None and not optional:
            raise UserError(f"{module} has no function {function}")
        return found


SEED = 0
"""The seed of example inputs and of random weights."""


@dataclass
class Subject:
    """The subject of a measurement.

    Attributes:
        model: the module, in eval mode, on the job's device, in its dtype and memory format.
        sample_shape: the shape of one sample, without the batch axis.
        label: its name in messages and tables.
        device: of its weights and inputs.
        dtype: of its weights and inputs.
        channels_last: whether 4-D inputs are laid out channels last.
        mode: ``eager``, ``compile`` or ``cudagraph``.
        config: timm's preprocessing of the model, if it has one.
        task: the model's; makes its example inputs.
        built_from: the hyper-parameters that its example inputs depend on.
        listener: told how far a measurement of it is.
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
    listener: Listener = SILENT

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
