"""A study as it was planned, kept beside its checkpoints until it is done, for ``--resume``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from claimbench.bench.core import text
from claimbench.bench.core.errors import UserError
from claimbench.bench.core.listener import Listener
from claimbench.bench.core.records import Job
from claimbench.bench.core.text import split
from claimbench.bench.machine.process import Stop, ask
from claimbench.bench.store.plans import Plan, Plans
from claimbench.bench.store.store import new_run
from claimbench.bench.training.study import request as asked
from claimbench.bench.training.study.request import StudyRequest
from claimbench.bench.training.study.setting import BASELINE_SEEDS, Setting, setting
from claimbench.bench.training.study.study_task import StudyTask, label, make_job

FOLDER = Path("studies")
"""The studies' folder in the results: a store of its own, so that no figure of theirs gets into another table."""

PREPARE = "claimbench.bench.training.study.prepare"
PREPARE_S = 900.0


@dataclass(frozen=True)
class StudyPlan(Plan):
    """A study; its jobs are the trainings, both arms of a seed side by side, paper after paper.

    Attributes:
        slots: the devices that trainings run on, one at a time on each.
        folders: of the data sets; empty for a Python package.
        costs: for each subject and arm (``subject/arm``) its ``parameters``, ``flops`` and ``flops_reason``.
        without: papers that ``all`` meant and that name no study, a sentence each.
        broken: papers that ``all`` meant and whose study does not work, a sentence each.
    """

    slots: tuple[str, ...]
    folders: dict[str, str]
    costs: dict[str, dict[str, Any]]
    without: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()

    def training(self, job: Job, results: Path) -> StudyTask:
        """Return a training, on the first slot."""
        checkpoint = unfinished(results, self.run) / f"{label(job).replace(' ', '-')}.pt"
        return StudyTask(job, self.slots[0], self.folders[job.options.setting["dataset"]], str(checkpoint))

    def cost(self, job: Job) -> dict[str, Any]:
        """Return the size and cost of a training's network."""
        return self.costs[f"{job.subject}/{job.form}"]


STUDIES = Plans(
    StudyPlan, f"{FOLDER}/unfinished/{{}}/plan.json", noun="study", title="unfinished study", absent="unfinished study"
)


@dataclass(frozen=True)
class _StudySubject:
    """A subject of a study, before it has been looked at."""

    paper: str
    name: str
    setting: Setting


def make(request: StudyRequest, stop: Stop, listener: Listener) -> StudyPlan:
    """Return the plan of a study that starts now: the data found, every arm tried; the listener is told which.

    Raises:
        UserError: something in the request does not exist, the data cannot be had, or an arm does not work.
        Interrupted: a signal asked to stop.
    """
    subjects, without = _subjects(request)
    seeds = {subject.name: text.seeds(request.seeds, subject.setting.seeds) for subject in subjects}
    trainings = sum(len(seeds[subject.name]) * (2 if subject.paper else 1) for subject in subjects)
    slots = asked.slots(request, trainings)
    folders = _folders({subject.setting.dataset for subject in subjects}, request.data)
    threads = asked.threads(request, slots)
    jobs: list[Job] = []
    broken: list[str] = []
    costs: dict[str, dict[str, Any]] = {}
    for subject in subjects:
        with listener.begin(f"trying both arms of {subject.name}"):
            arms = _prepared(subject, stop)
        if "problem" in arms:
            broken.append(arms["problem"])
            continue
        costs |= {f"{subject.name}/{arm}": found for arm, found in arms.items()}
        jobs += _jobs(subject, arms, seeds[subject.name], slots[0].partition(":")[0], threads)
    if broken and ("all" not in split(request.papers) or not jobs):
        raise UserError("; ".join(broken))
    return StudyPlan(new_run(), tuple(jobs), slots, folders, costs, tuple(without), tuple(broken))


def _subjects(request: StudyRequest) -> tuple[list[_StudySubject], list[str]]:
    """Return the subjects of a study, and a sentence for each paper of ``all`` that cannot be studied."""
    papers, without = asked.papers(request.papers) if request.papers else ([], [])
    baselines = asked.baselines(request.baselines)
    if not papers and not baselines:
        raise UserError("name what to study: --paper ID (or all), or --baseline resnet18")
    chosen, effort = asked.dataset(request.dataset), asked.effort(request)
    found = []
    for paper in papers:
        assert paper.study is not None
        how = setting(effort, chosen or paper.study.dataset, request.epochs)
        found.append(_StudySubject(paper.id, paper.id, how))
    for name in baselines:
        how = replace(setting(effort, chosen or "fashion-mnist", request.epochs), seeds=BASELINE_SEEDS)
        found.append(_StudySubject("", name, how))
    return found, without


def _jobs(
    subject: _StudySubject, arms: dict[str, Any], seeds: tuple[int, ...], device: str, threads: int | None
) -> list[Job]:
    """Return the trainings of one subject, both arms of a seed side by side."""
    return [
        make_job(
            subject.paper,
            subject.name,
            arm,
            seed,
            subject.setting,
            hidden=tuple(found["hidden"]),
            device=device,
            threads=threads,
        )
        for seed in seeds
        for arm, found in arms.items()
    ]


def unfinished(results: Path, run: str) -> Path:
    """Return the folder of a study's plan and checkpoints."""
    return STUDIES.path(results, run).parent


def _folders(datasets: set[str], given: Path | None) -> dict[str, str]:
    from claimbench.bench.data.small import sets

    if given is not None and "fashion-mnist" not in datasets:
        raise UserError(f"--data names Fashion-MNIST's folder, and this study trains on {' and '.join(datasets)}")
    return {name: str(sets.locate(name, given if name == "fashion-mnist" else None) or "") for name in sorted(datasets)}


def _prepared(subject: _StudySubject, stop: Stop) -> dict[str, Any]:
    """Return the answer of :mod:`claimbench.bench.training.study.prepare` for a subject: its arms, or a problem."""
    question = {"paper": subject.paper, "subject": subject.name, "setting": subject.setting.to_json()}
    try:
        found: dict[str, Any] = ask(PREPARE, question, PREPARE_S, stop)
    except RuntimeError as error:
        return {"problem": f"the study of {subject.name} fails before any training: {error}"}
    return found
