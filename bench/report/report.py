"""A whole comparison, ready to be rendered: rows, speeds, claims, and the circumstances of the measurements."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

from claimbench.bench import tasks
from claimbench.bench.core.records import Record
from claimbench.bench.papers import registry
from claimbench.bench.papers.spec import Paper
from claimbench.bench.report.compare import compare_figures
from claimbench.bench.report.figures import Figure, ReadSamples, figures, own_samples
from claimbench.bench.report.metrics import row
from claimbench.bench.report.rows import Row
from claimbench.bench.report.speed import TimedPair, pairs
from claimbench.bench.report.tally import tally
from claimbench.bench.store import counted as counts
from claimbench.bench.store import outcomes
from claimbench.bench.store.counted import CountedModel
from claimbench.bench.store.store import Store

AnyRecord = TypeVar("AnyRecord", bound=Record)


class ClaimOutcome(Protocol):
    """The result of testing a claim, in words."""

    @property
    def verdict(self) -> str:
        """``holds``, ``fails``, ``partly``, ``not tested``, or ``failed`` if its experiment crashed."""
        ...

    @property
    def evidence(self) -> str:
        """The figures behind the verdict."""
        ...

    @property
    def limits(self) -> str:
        """The questions that the experiment leaves open."""
        ...


@dataclass(frozen=True)
class ClaimRow:
    """A headline claim with its verdict: ``not tested`` if nothing tested it; ``limits`` then gives the reason."""

    id: str
    text: str
    source: str
    verdict: str
    evidence: str
    limits: str


@dataclass(frozen=True)
class Setup:
    """One machine, its software and the commit that figures were measured with.

    Attributes:
        device: its short name.
        machine, software: in words, as far as known.
        commit: of this suite.
        runs: the runs, oldest first.
        first, last: the first and the last day, ISO 8601.
        methods: of the rows: (row's title, method).
    """

    device: str
    machine: str
    software: str
    commit: str
    runs: tuple[str, ...]
    first: str
    last: str
    methods: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Report:
    """Everything that is shown of one paper.

    Attributes:
        paper, title, venue: of the paper.
        task: the task's title.
        variants: the names of the paper's own models, in its order.
        pretraining: the data sets of their weights before fine-tuning, of those models that state one, by the model.
        baselines: the paper's names of the models it compares itself with, by their subject here.
        rows, pairs, claims, setups: what was measured and compared.
    """

    paper: str
    title: str
    venue: str
    task: str
    variants: tuple[str, ...]
    pretraining: Mapping[str, str]
    baselines: Mapping[str, str]
    rows: tuple[Row, ...]
    pairs: tuple[TimedPair, ...]
    claims: tuple[ClaimRow, ...]
    setups: tuple[Setup, ...]

    def counts(self) -> dict[str, int]:
        """Return the number of rows with each verdict."""
        verdicts = [line.verdict for line in self.rows]
        return {verdict: verdicts.count(verdict) for verdict in dict.fromkeys(verdicts)}


def report(
    paper: Paper,
    records: Iterable[Record],
    *,
    samples: ReadSamples = own_samples,
    environment: Callable[[str], Mapping[str, Any]] = lambda digest: {},
    claims: Mapping[str, ClaimOutcome] | None = None,
    counted: Mapping[str, CountedModel] | None = None,
    subjects: Collection[str] | None = None,
    side_by_side: bool = True,
) -> Report:
    """Compare a paper with records, and add the circumstances of their measurement.

    Args:
        paper: the paper.
        records: of one run or of several.
        samples: gives a record's samples, for example ``Store.samples``.
        environment: gives the environment of a digest, for example ``Store.environment``.
        claims: the results of testing the paper's claims, by their ids.
        counted: the counts of its models by every counter, as ``bench explain`` stores them.
        subjects: only these variants and baselines; all by default.
        side_by_side: whether to compare the speeds of every two models of a run, which are many if the models are.
    """
    found = figures(records, samples)
    rows = compare_figures(paper, found, subjects=subjects, counted=counted)
    if len({figure.device for figure in found}) > 1:
        rows = [_with_device(line) for line in rows]
    return Report(
        paper=paper.id,
        title=paper.title,
        venue=paper.venue,
        task=tasks.shown(paper.task).title,
        variants=tuple(model.name for model in paper.models),
        pretraining={model.name: model.pretraining for model in paper.models if model.pretraining},
        baselines={f"timm:{baseline.timm}": baseline.model for baseline in paper.baselines if baseline.timm},
        rows=tuple(rows),
        pairs=tuple(pairs(found)) if side_by_side else (),
        claims=tuple(_claims(paper, claims or {})),
        setups=tuple(_setups(found, environment)),
    )


def stored_report(store: Store, paper: Paper, *, run: str | None = None, device: str | None = None) -> Report | None:
    """Return the report on what is stored of a paper, from one run or from all; None if nothing is."""
    records = paper_records(store, paper, run=run, device=device)
    if not records:
        return None
    claims = outcomes.stored(store.root, paper.id, run)
    return report(
        paper,
        records,
        samples=store.samples,
        environment=store.environment,
        claims=claims,
        counted=counts.stored(store.root, paper.id),
    )


def standing(store: Store) -> dict[str, str]:
    """Return what the stored records say of each paper's printed figures, in words."""
    found = {}
    for name, entry in registry.entries().items():
        if entry.problem:
            continue
        paper = registry.paper(name)
        found_figures = figures(paper_records(store, paper), store.samples)
        rows = compare_figures(paper, found_figures, counted=counts.stored(store.root, name))
        counted = tally(rows)
        judged = sum(counted[degree] for degree in ("holds", "explained", "off"))
        if judged:
            off = f", {counted['off']} off" if counted["off"] else ""
            found[name] = f"{counted['holds']}/{judged} hold{off}"
    return found


def paper_records(store: Store, paper: Paper, *, run: str | None = None, device: str | None = None) -> list[Record]:
    """Return the newest records of a paper's variants and of the models measured beside them, from one run or from all.

    Models that belong to no paper count if the run measured this paper only, or if the paper names them.
    """
    mine = store.query(paper=paper.id, run=run, device=device, newest=True)
    return [*mine, *measured_beside(paper, mine, store.query(paper="", run=run, device=device), store.papers)]


def measured_beside(
    paper: Paper, mine: Iterable[Record], beside: Iterable[AnyRecord], papers: Callable[[str], Collection[str]]
) -> list[AnyRecord]:
    """Return the records of models that belong to no paper, as far as they were measured beside a paper's own.

    Args:
        paper: the paper.
        mine: its records.
        beside: the records of models that belong to none.
        papers: gives the papers that a run measured, for example ``Store.papers``.
    """
    named = {f"timm:{baseline.timm}" for baseline in paper.baselines if baseline.timm}
    alone = {run: set(papers(run)) <= {paper.id, ""} for run in {record.run for record in mine}}
    return [r for r in beside if r.run in alone and (alone[r.run] or r.job.subject in named)]


def _with_device(line: Row) -> Row:
    if line.figure is None:
        return line
    return replace(line, conditions=", ".join(part for part in (line.figure.device, line.conditions) if part))


def _claims(paper: Paper, outcomes: Mapping[str, ClaimOutcome]) -> Iterable[ClaimRow]:
    for claim in paper.claims:
        outcome = outcomes.get(claim.id)
        if outcome is None:
            verdict, evidence, limits = "not tested", "", claim.needs or "its experiment has not been run"
        else:
            verdict, evidence, limits = outcome.verdict, outcome.evidence, outcome.limits
        yield ClaimRow(claim.id, claim.text, claim.source, verdict, evidence, limits)


def _setups(found: Iterable[Figure], environment: Callable[[str], Mapping[str, Any]]) -> Iterable[Setup]:
    groups: dict[tuple[str, str, str], list[Figure]] = {}
    for figure in found:
        groups.setdefault((figure.device, figure.environment, figure.commit), []).append(figure)
    for (device, digest, commit), members in sorted(groups.items(), key=lambda item: item[0]):
        known = environment(digest)
        days = sorted(member.time[:10] for member in members)
        methods = {row(figure.row).title: figure.method for figure in members if figure.method}
        yield Setup(
            device=device,
            machine=_machine(known),
            software=_software(known),
            commit=commit,
            runs=tuple(sorted({member.run for member in members})),
            first=days[0],
            last=days[-1],
            methods=tuple(sorted(methods.items())),
        )


def _machine(environment: Mapping[str, Any]) -> str:
    """Return the machine in words."""
    cpu, gpu = environment.get("cpu"), environment.get("gpu")
    parts = []
    if isinstance(gpu, Mapping) and gpu.get("name"):
        parts.append(", driver ".join(str(gpu[key]) for key in ("name", "driver") if gpu.get(key)))
    if isinstance(cpu, Mapping) and cpu.get("model"):
        cores = cpu.get("usable_cores")
        parts.append(f"{cpu['model']}, {cores} cores" if cores else str(cpu["model"]))
    return "; ".join([*parts, *([str(environment["os"])] if environment.get("os") else [])])


def _software(environment: Mapping[str, Any]) -> str:
    libraries = environment.get("libraries")
    named = dict(libraries) if isinstance(libraries, Mapping) else {}
    parts = [f"{name} {named[name]}" for name in ("torch", "timm", "triton") if name in named]
    if environment.get("python"):
        parts.append(f"Python {environment['python']}")
    return ", ".join(parts)
