"""The summary of a study's stored trainings, seed by seed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from claimbench.bench.core import bits
from claimbench.bench.core.differences import PairedDifference, Right, Spread, difference, spread
from claimbench.bench.store.encoding import StoredRecord
from claimbench.bench.store.evidence.of_scores import StudyEvidence
from claimbench.bench.store.evidence.reading import read
from claimbench.bench.store.store import Store
from claimbench.bench.training.study.setting import Setting


@dataclass(frozen=True)
class Arm:
    """One arm over its seeds.

    Attributes:
        name: ``block``, ``counterpart`` or ``baseline``.
        seeds: those that count, in order.
        accuracy: on the test set, in per cent.
        validation: the mean accuracy after the last epoch on the pictures split off for validation, in per cent.
        seconds: the mean time of a training.
        memory: the most bytes that a training took.
        parameters: of the network.
        flops: of one picture forward; None if they could not be counted.
    """

    name: str
    seeds: tuple[int, ...]
    accuracy: Spread
    validation: float
    seconds: float
    memory: float
    parameters: int
    flops: int | None


@dataclass(frozen=True)
class Summary:
    """The results of one paper's study, or of a baseline.

    Attributes:
        paper: its id; empty for a baseline.
        subject: the paper's or the baseline's name.
        run, device, commit, environment, day: its origin.
        others: further runs and their commits, whose seeds count too.
        setting: of its trainings.
        precision, threads: likewise.
        arms: block and counterpart over the seeds that both have, or the baseline.
        pictures: the number of test pictures.
        difference: block minus counterpart; None for a baseline, and if no seed has both.
        unpaired: seeds of which only one arm is there.
        failed: trainings that failed, a sentence each.
    """

    paper: str
    subject: str
    run: str
    device: str
    commit: str
    environment: str
    day: str
    setting: Setting
    precision: str
    threads: int | None
    arms: tuple[Arm, ...]
    pictures: int
    difference: PairedDifference | None
    unpaired: tuple[int, ...]
    failed: tuple[str, ...]
    others: tuple[tuple[str, str], ...] = ()

    @property
    def verdict(self) -> str:
        """The verdict in words; empty if two arms were not compared."""
        if self.difference is None:
            return ""
        found = self.difference.verdict
        return f"{found} at this scale" if found != "too few seeds" else found


def summaries(
    store: Store, *, run: str | None = None, papers: Sequence[str] | None = None, device: str | None = None
) -> list[Summary]:
    """Return a summary for each subject, data set, effort and number of epochs.

    If several runs have one, the run with the most seeds counts, and of these the newest: a run that was cut off
    does not replace a whole one. Other runs of the same networks in the same setting add the seeds that it lacks, so
    that a study repeated with other seeds becomes a study of more of them.

    Args:
        store: of the studies.
        run: only this run.
        papers: only these, and no baselines; None for everything.
        device: only this one, by its short name.
    """
    groups: dict[tuple[object, ...], list[StoredRecord]] = {}
    for record in store.query(run=run, device=device):
        job, setting = record.job, record.job.options.setting
        if setting and (papers is None or job.paper in papers):
            how = tuple(setting.get(name) for name in ("dataset", "effort", "epochs"))
            groups.setdefault((job.subject, record.device, *how, record.run), []).append(record)
    runs: dict[tuple[object, ...], list[_Run]] = {}
    for key, records in groups.items():
        made = _summary(records)
        if made is not None:
            runs.setdefault(key[:-1], []).append(_Run(records, made))
    return sorted(map(_pooled, runs.values()), key=_order)


@dataclass(frozen=True)
class _Run:
    """The records of one subject in one run, and the summary of these alone."""

    records: list[StoredRecord]
    summary: Summary

    @property
    def seeds(self) -> tuple[int, ...]:
        return self.summary.arms[0].seeds if self.summary.arms else ()

    def trained(self) -> tuple[object, ...]:
        """Return the network and its setting, apart from the seeds."""
        found = self.summary
        hidden = {record.job.form: record.job.options.hidden for record in self.records}
        networks = [(arm.name, arm.parameters, arm.flops, hidden[arm.name]) for arm in found.arms]
        return replace(found.setting, seeds=0), found.precision, found.pictures, networks


def _pooled(runs: Sequence[_Run]) -> Summary:
    """Return the summary of runs, which come in the order of time, over the seeds of all that trained the same."""
    main = max(reversed(runs), key=lambda run: len(run.seeds))
    records, seeds, others = list(main.records), set(main.seeds), []
    for run in reversed(runs):
        new = set(run.seeds) - seeds
        if run is not main and new and run.trained() == main.trained():
            records += [record for record in run.records if record.job.round in new]
            seeds |= new
            others.append((run.summary.run, run.summary.commit))
    found = _summary(records) if others else main.summary
    assert found is not None
    return replace(found, others=tuple(others))


def _order(summary: Summary) -> tuple[object, ...]:
    setting = summary.setting
    return not summary.paper, summary.subject, summary.device, setting.dataset, setting.effort, setting.epochs


@dataclass
class _Trained:
    """The rows of one training; it is whole once ``right`` is there and nothing failed."""

    rows: dict[str, Any] = field(default_factory=dict)
    right: Right | None = None
    validation: float = 0.0
    failed: str = ""

    def add(self, record: StoredRecord) -> None:
        """Take in one row; a failure counts until a later attempt succeeds."""
        row = record.measurement
        if row.metric == "study_accuracy":
            self.failed = row.reason if row.status == "failed" else ""
            evidence = read(row) if row.status == "measured" else None
            self.right = _right(evidence) if evidence else None
            self.validation = evidence.history[-1].validation if evidence and evidence.history else 0.0
        if row.status == "measured":
            self.rows[row.metric] = row.value


def _right(evidence: StudyEvidence) -> Right | None:
    try:
        return bits.decode(evidence.right, evidence.pictures)
    except ValueError:
        return None


def _summary(records: Sequence[StoredRecord]) -> Summary | None:
    """Return the summary of one subject's records; None if they are not a study's."""
    first = records[0]
    try:
        setting = Setting.from_json(first.job.options.setting)
    except (TypeError, KeyError):
        return None
    trained: dict[str, dict[int, _Trained]] = {}
    for record in records:
        trained.setdefault(record.job.form, {}).setdefault(record.job.round, _Trained()).add(record)
    names = ("block", "counterpart") if first.job.paper else ("baseline",)
    whole = [{seed for seed, t in trained.get(name, {}).items() if t.right is not None} for name in names]
    seeds = sorted(set.intersection(*whole))
    rights = {name: [t.right for s in seeds if (t := trained[name][s]).right is not None] for name in names}
    return Summary(
        paper=first.job.paper,
        subject=first.job.subject,
        run=first.run,
        device=first.device,
        commit=first.commit,
        environment=first.environment,
        day=first.time[:10],
        setting=setting,
        precision=first.job.settings.precision,
        threads=first.job.settings.threads,
        arms=tuple(_arm(name, seeds, trained[name]) for name in names) if seeds else (),
        pictures=len(rights[names[0]][0]) if seeds else 0,
        difference=difference(rights["block"], rights["counterpart"]) if seeds and first.job.paper else None,
        unpaired=tuple(sorted(set.union(*whole) - set(seeds))),
        failed=tuple(_failures(trained)),
    )


def _arm(name: str, seeds: Sequence[int], trained: dict[int, _Trained]) -> Arm:
    """Return an arm over at least one seed."""
    rows = [trained[seed].rows for seed in seeds]

    def values(metric: str) -> list[float]:
        return [row[metric] for row in rows if metric in row]

    seconds, flops = values("study_training_time"), values("study_flops")
    return Arm(
        name=name,
        seeds=tuple(seeds),
        accuracy=spread(values("study_accuracy")),
        validation=sum(trained[seed].validation for seed in seeds) / len(seeds),
        seconds=sum(seconds) / max(1, len(seconds)),
        memory=max(values("study_memory"), default=0.0),
        parameters=int(max(values("study_parameters"), default=0)),
        flops=int(flops[0]) if flops else None,
    )


def _failures(trained: dict[str, dict[int, _Trained]]) -> Iterable[str]:
    for arm, seeds in trained.items():
        for seed, found in sorted(seeds.items()):
            if found.failed:
                yield f"{arm}, seed {seed}: {found.failed}"
