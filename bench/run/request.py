"""Resolves the options of ``bench run`` to papers, models, devices and data; one error names all that is wrong."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from claimbench.bench import tasks
from claimbench.bench.core.errors import UserError, unknown
from claimbench.bench.core.listener import SILENT, Listener
from claimbench.bench.core.records import Settings, resize
from claimbench.bench.core.text import split
from claimbench.bench.machine import devices
from claimbench.bench.measure import METRICS
from claimbench.bench.papers import registry

if TYPE_CHECKING:
    from claimbench.bench.core.task import DataSet
    from claimbench.bench.papers.spec import Paper, Variant
    from claimbench.bench.papers.weights.resolve import Weights

T = TypeVar("T")
PRECISIONS = ("fp32", "tf32", "bf16", "fp16")
MODES = ("eager", "compile", "cudagraph")
LARGEST_BATCH = 1_000_000
_NO_SIZE: tuple[int, ...] = ()
_NO_NAMES: tuple[str, ...] = ()
_NO_DATASETS: dict[tuple[str, str], str] = {}


@dataclass(frozen=True)
class RunRequest:
    """The options of ``bench run`` as typed; texts may hold several names, separated by commas.

    Attributes:
        papers, variants, forms, metrics: names; empty for the defaults.
        task: another task than the papers'; empty for theirs.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:<index>``.
        batch: batch sizes or ``auto``; empty for the default.
        precision, mode: each of them is measured.
        channels_last, threads, input_size, training, quick: as in :class:`claimbench.bench.core.records.Settings`.
        weights: ``random``, ``official`` or a file.
        offline: whether to fetch nothing.
        dataset, data, partial, multi_scale, devices, workers: as in :class:`claimbench.bench.core.records.Options`.
        baselines: timm models, ``none``, or empty for those that the papers name as default.
        against: a user's own models, ``<file.py>:<factory>``.
        rounds: processes for each time; None for the default.
        seed: of the order of the rounds.
        all: whether to time every variant in every way that the defaults know, and not only what the card shows.
    """

    papers: tuple[str, ...] = ()
    task: str = ""
    variants: tuple[str, ...] = ()
    forms: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    device: str = "auto"
    batch: tuple[str, ...] = ()
    precision: tuple[str, ...] = ()
    mode: tuple[str, ...] = ()
    channels_last: bool = False
    threads: int | None = None
    input_size: tuple[str, ...] = ()
    training: bool = False
    weights: str = "random"
    offline: bool = False
    dataset: str = ""
    data: str = ""
    partial: bool = False
    multi_scale: bool = False
    devices: tuple[str, ...] = ()
    workers: int | None = None
    baselines: tuple[str, ...] = ()
    against: tuple[str, ...] = ()
    rounds: int | None = None
    quick: bool = False
    seed: int = 0
    all: bool = False

    @property
    def is_brief(self) -> bool:
        """Whether only the headline variants are timed, once: the user asked for nothing in particular."""
        return not (self.all or self.variants or self.metrics or self.batch or self.mode or self.precision or self.task)


@dataclass(frozen=True)
class Resolved:
    """A request with every name resolved.

    Attributes:
        asked: the request; options that need no resolving are read from it.
        papers: each paper with its chosen variants.
        forms, metrics, precisions, modes, against: as asked for, or the defaults; no ``forms`` for each paper's own.
        settings: common to all jobs; ``weights`` is a label.
        batches: batch sizes; None for the default, 0 for the best found by search.
        datasets: that accuracy is measured on, by paper and task: the name of a data set of the task.
        data: the place of the data; empty without any.
        devices: that accuracy is measured on, a process each; empty for the device of ``settings`` alone.
        baselines: timm models; None for those that the papers name as default.
        weights: the files of the weights.
    """

    asked: RunRequest
    papers: tuple[tuple[Paper, tuple[Variant, ...]], ...]
    forms: tuple[str, ...]
    metrics: tuple[str, ...]
    settings: Settings
    batches: tuple[int, ...] | None
    precisions: tuple[str, ...]
    modes: tuple[str, ...]
    datasets: dict[tuple[str, str], str]
    data: str
    devices: tuple[str, ...]
    baselines: tuple[str, ...] | None
    against: tuple[str, ...]
    weights: Weights


class _Problems:
    """Collects the errors in a request, so that one sentence names all of them."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def catch(self, call: Callable[[], T], otherwise: T) -> T:
        try:
            return call()
        except UserError as error:
            self.found.append(str(error))
            return otherwise

    def names(self, kind: str, asked: Sequence[str], known: Iterable[str]) -> tuple[str, ...]:
        """Return the names in ``asked`` that are known; each other one is a problem."""
        listed = tuple(known)
        for name in asked:
            if name not in listed:
                self.found.append(str(unknown(kind, name, listed)))
        return tuple(name for name in asked if name in listed)

    def raise_any(self) -> None:
        if self.found:
            raise UserError("; ".join(dict.fromkeys(self.found)))


def resolve(request: RunRequest, listener: Listener = SILENT) -> Resolved:
    """Return a request with every name resolved.

    Raises:
        UserError: a name does not exist, or options contradict each other; the message names all of them, with the
            nearest names.
    """
    problems = _Problems()
    papers = _papers(request, problems)
    asked = problems.catch(lambda: tasks.get(request.task).name if request.task else "", "")
    papers = [paper for paper in papers if problems.catch(lambda paper=paper: tasks.get(paper.task), None)]  # type: ignore[misc]
    chosen = _of_task(asked, _variants(split(request.variants), papers, asked, problems), problems)
    forms = problems.names("form", split(request.forms), dict.fromkeys(f.name for p in papers for f in p.forms))
    metrics = problems.names("metric", split(request.metrics), METRICS) or tuple(METRICS)
    device = problems.catch(lambda: devices.resolve(request.device), "")
    precisions = problems.names("precision", split(request.precision), PRECISIONS) or ("fp32",)
    modes = problems.names("mode", split(request.mode), MODES) or ("eager",)
    if device == "cpu" and "tf32" in precisions:
        problems.found.append("precision tf32 needs an NVIDIA GPU: on a CPU use fp32 or bf16")
    if device == "cpu" and "cudagraph" in modes:
        problems.found.append("mode cudagraph needs an NVIDIA GPU: on a CPU use eager or compile")
    batches = problems.catch(lambda: _batches(split(request.batch)), None)
    size = problems.catch(lambda: _sizes(split(request.input_size)), _NO_SIZE)
    baselines = problems.catch(lambda: _baselines(split(request.baselines), papers), None)
    against = problems.catch(lambda: tuple(_own_model(item) for item in request.against), _NO_NAMES)
    datasets = problems.catch(lambda: _datasets(request, chosen), _NO_DATASETS)
    data = problems.catch(lambda: _data(request.data), "")
    several = problems.catch(lambda: _devices(request, device), _NO_NAMES)
    chosen = _with_forms(forms, chosen, problems)
    for needed in dict.fromkeys(paper.task_of(v) for paper, found in chosen for v in found if v in paper.networks):
        problems.catch(tasks.get(needed).require, None)
    problems.catch(lambda: _check_multi_scale(request, metrics, chosen), None)
    problems.catch(lambda: _check_sizes(size, chosen), None)
    weights = problems.catch(lambda: _check_weights(request.weights, chosen), "random")
    problems.raise_any()
    return Resolved(
        asked=request,
        papers=tuple(chosen),
        forms=forms,
        metrics=metrics,
        settings=Settings(
            device=several[0] if len(several) == 1 else device,
            input_size=size,
            channels_last=request.channels_last,
            threads=request.threads,
            weights=weights,
            quick=request.quick,
            training=request.training,
        ),
        batches=batches,
        precisions=precisions,
        modes=modes,
        datasets=datasets,
        data=data,
        devices=several,
        baselines=baselines,
        against=against,
        weights=_weights(request, chosen, listener),
    )


def _check_sizes(asked: tuple[int, ...], chosen: Sequence[tuple[Paper, tuple[Variant, ...]]]) -> None:
    """Check that the networks can take the sides that were asked for.

    Raises:
        UserError: one cannot; names the first.
    """
    for variant in (variant for _, variants in chosen for variant in variants):
        sides = resize(variant.input.sample_shape(), asked)[1:]
        if any(side % variant.multiple for side in sides):
            size = "x".join(map(str, sides))
            raise UserError(f"{variant.name} takes multiples of {variant.multiple} px only, not {size}")


def _papers(request: RunRequest, problems: _Problems) -> list[Paper]:
    known = registry.entries()
    asked = split(request.papers)
    if not asked:
        raise UserError(f"say which paper, as in `bench run PAPER`; known: {', '.join(known) or 'none'}, or all")
    if "all" in asked:
        asked = tuple(name for name, entry in known.items() if not entry.problem)
        if not asked:
            raise UserError("there is no paper that can be read: `bench doctor` says what is wrong")
    found = [problems.catch(lambda name=name: registry.paper(name), None) for name in asked]  # type: ignore[misc]
    return [paper for paper in found if paper is not None]


def _variants(
    asked: tuple[str, ...], papers: list[Paper], task: str, problems: _Problems
) -> list[tuple[Paper, tuple[Variant, ...]]]:
    """Return the papers with their chosen variants: the named ones, or all or the default ones, of the task if given.

    Networks around a variant are chosen by their name or their task.
    """
    if not asked or "all" in asked:
        fitting = [
            (paper, [v for v in paper.models if paper.task_of(v) == task] if task else list(paper.variants))
            for paper in papers
        ]
        if "all" in asked:
            return [(paper, tuple(variants)) for paper, variants in fitting]
        return [(paper, tuple(v for v in found if v.default) or tuple(found)) for paper, found in fitting]
    if papers:
        problems.names("variant", asked, dict.fromkeys(v.name for paper in papers for v in paper.models))
    chosen = [(paper, tuple(v for v in paper.models if v.name in asked)) for paper in papers]
    return [(paper, variants) for paper, variants in chosen if variants]


def _of_task(
    task: str, chosen: list[tuple[Paper, tuple[Variant, ...]]], problems: _Problems
) -> list[tuple[Paper, tuple[Variant, ...]]]:
    """Return the variants of the requested task; a paper without one is a problem."""
    if not task:
        return chosen
    fitting = [(paper, tuple(v for v in found if paper.task_of(v) == task)) for paper, found in chosen]
    for paper, variants in fitting:
        if not variants:
            known = ", ".join(dict.fromkeys(paper.task_of(v) for v in paper.models))
            problems.found.append(f"paper {paper.id} has no such variant for the task {task}; its tasks: {known}")
    return [(paper, variants) for paper, variants in fitting if variants]


def _with_forms(
    forms: tuple[str, ...], chosen: list[tuple[Paper, tuple[Variant, ...]]], problems: _Problems
) -> list[tuple[Paper, tuple[Variant, ...]]]:
    """Return the variants that have one of ``forms``; a paper without such a variant is a problem."""
    if not forms:
        return chosen
    kept = []
    for paper, variants in chosen:
        known = tuple(form.name for form in paper.forms)
        having = tuple(v for v in variants if set(forms) & set(v.forms or known))
        if having:
            kept.append((paper, having))
        else:
            problems.found.append(f"paper {paper.id} has no form {' or '.join(forms)}; it has {', '.join(known)}")
    return kept


def _batches(asked: tuple[str, ...]) -> tuple[int, ...] | None:
    """Return batch sizes; 0 is the best one found by search."""
    if not asked:
        return None
    return tuple(0 if text == "auto" else _positive("batch", text, LARGEST_BATCH, " or auto") for text in asked)


def _sizes(asked: tuple[str, ...]) -> tuple[int, ...]:
    sizes = tuple(_positive("input size", text, 8192) for item in asked for text in item.split("x"))
    if len(sizes) > 2:
        raise UserError(f"input size takes one number or height x width, not {len(sizes)} numbers")
    return sizes


def _positive(what: str, text: str, largest: int, other: str = "") -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= largest:
        raise UserError(f"{what} {text!r} is not a whole number from 1 to {largest}{other}")
    return int(text)


def _baselines(asked: tuple[str, ...], papers: list[Paper]) -> tuple[str, ...] | None:
    """Return timm names. A paper's own name for a baseline is accepted too; ``none`` switches all off."""
    if not asked:
        return None
    if asked == ("none",):
        return ()
    named = {b.model.lower(): b.timm for paper in papers for b in paper.baselines if b.timm}
    names = [named.get(name.lower(), name) for name in asked]
    if set(names) - set(named.values()):
        import timm

        for name in names:
            if not timm.is_model(name):
                raise unknown("baseline", name, timm.list_models())
    return tuple(dict.fromkeys(names))


def _own_model(text: str) -> str:
    """Check ``<file.py>:<factory>`` without running the file."""
    path, colon, factory = text.rpartition(":")
    if not colon or not factory.isidentifier():
        raise UserError(f"--against takes <file.py>:<factory>, not {text!r}")
    try:
        tree = ast.parse(Path(path).read_bytes(), filename=path)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})") from error
    except (SyntaxError, ValueError) as error:
        raise UserError(f"{path} is not Python ({error})") from error
    names = {name for node in tree.body for name in _defined(node)}
    if factory not in names and "*" not in names:
        raise unknown(f"function of {path}", factory, names)
    return text


def _defined(node: ast.stmt) -> list[str]:
    """Return the names that a statement at the top of a module may define; ``*`` for any."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Import | ast.ImportFrom):
        return [(alias.asname or alias.name) for alias in node.names]
    if isinstance(node, ast.Assign):
        return [target.id for target in node.targets if isinstance(target, ast.Name)]
    return ["*"] if isinstance(node, ast.If | ast.Try | ast.With) else []


def _datasets(request: RunRequest, chosen: list[tuple[Paper, tuple[Variant, ...]]]) -> dict[tuple[str, str], str]:
    """Return the data set of each paper's variants of a task, by both.

    It is the named one, one that all these variants report on, or the task's default. A task that does not know the
    name keeps its own data set if the task of other variants knows it.
    """
    found: dict[tuple[str, str], str] = {}
    known: dict[str, DataSet] = {}
    for paper, name, variants in _by_task(chosen):
        task = tasks.get(name)
        known |= task.datasets
        reported = [{r.metric for r in variant.reported} for variant in variants]
        fitting = [key for key, d in task.datasets.items() if all(task.reported_on(d) & names for names in reported)]
        own = fitting[0] if fitting else task.default
        found[paper.id, name] = request.dataset if request.dataset in task.datasets else own
    if request.dataset and chosen:  # otherwise the error is known already
        if request.dataset not in known:
            raise unknown("data set", request.dataset, known)
        named = known[request.dataset]
        if not request.data and not named.has_package:
            raise UserError(f"--dataset {named.name} needs --data: {named.needs}")
    return found


def _by_task(chosen: list[tuple[Paper, tuple[Variant, ...]]]) -> Iterator[tuple[Paper, str, list[Variant]]]:
    """Yield each paper's chosen variants of one task, with its name."""
    for paper, variants in chosen:
        for name in dict.fromkeys(paper.task_of(v) for v in variants):
            yield paper, name, [v for v in variants if paper.task_of(v) == name]


def _data(place: str) -> str:
    """Return the place of the data: a folder, an archive, or a data set of the Hugging Face hub (``hf:NAME``)."""
    if not place or place.startswith("hf:"):
        return place
    try:
        found = Path(place).exists()
    except OSError as error:
        raise UserError(f"data folder {place} cannot be read ({error.strerror})") from error
    if not found:
        raise UserError(f"data folder {place} does not exist")
    return str(Path(place).resolve())


def _devices(request: RunRequest, device: str) -> tuple[str, ...]:
    """Return the devices that share an evaluation; on a CPU each number stands for a process."""
    asked = [name.strip() for item in request.devices for name in item.split(",") if name.strip()]
    if not asked:
        return ()
    wrong = [name for name in asked if not name.isascii() or not name.isdigit()]
    if wrong:
        raise UserError(f"--devices takes numbers, for example 0,1, not {wrong[0]!r}")
    if len(set(asked)) < len(asked):
        raise UserError(f"--devices names a device twice: {','.join(asked)}")
    if device == "cpu":
        return ("cpu",) * len(asked)
    return tuple(devices.resolve(f"cuda:{int(name)}") for name in asked)


def _check_multi_scale(
    request: RunRequest, metrics: tuple[str, ...], chosen: list[tuple[Paper, tuple[Variant, ...]]]
) -> None:
    """Refuse ``--multi-scale`` if it applies to nothing in the request."""
    if not request.multi_scale:
        return
    if "accuracy" not in metrics:
        raise UserError("--multi-scale is about scores: add accuracy to --metrics, or leave it out")
    found = {paper.task_of(variant) for paper, variants in chosen for variant in variants}
    if not any(tasks.get(name).multi_scale for name in found):
        able = ", ".join(name for name, task in tasks.known().items() if task.multi_scale)
        raise UserError(f"--multi-scale is for {able}, and nothing chosen is: give --task, or leave it out")


def _check_weights(weights: str, chosen: list[tuple[Paper, tuple[Variant, ...]]]) -> str:
    """Return the label of the weights."""
    if weights in ("random", "official"):
        return weights
    if not Path(weights).is_file():
        raise UserError(f"weights file {weights} does not exist; --weights takes random, official or a file")
    if sum(len(variants) for _, variants in chosen) > 1:
        raise UserError("a weights file fits one variant: say which with --variant")
    return Path(weights).name


def _weights(request: RunRequest, chosen: list[tuple[Paper, tuple[Variant, ...]]], listener: Listener) -> Weights:
    """Return the file of each variant's weights, after fetching the official ones that are absent."""
    from claimbench.bench.papers.weights import resolve as weights_of_run

    if request.weights == "random":
        return weights_of_run.Weights()
    if request.weights == "official":
        return weights_of_run.official(chosen, offline=request.offline, listener=listener)
    return weights_of_run.given(request.weights, chosen)
