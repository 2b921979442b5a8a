"""A study as it was planned, kept beside its checkpoints until it is done: what ``--resume`` goes on with."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from claimbench.bench.core import text
from claimbench.bench.core.errors import UserError, unknown
from claimbench.bench.core.records import Job, read_job
from claimbench.bench.core.text import split
from claimbench.bench.machine.process import Stop, ask
from claimbench.bench.store import jsonl
from claimbench.bench.store.store import new_run
from claimbench.bench.training.study import request as asked
from claimbench.bench.training.study.request import StudyRequest
from claimbench.bench.training.study.setting import BASELINE_SEEDS, Setting, setting
from claimbench.bench.training.study.task import Task, label, make_job

FOLDER = Path("studies")
"""Of the studies, in the results folder: a store of its own, so that no figure of theirs gets into another table."""

UNFINISHED = FOLDER / "unfinished"
PREPARE = "claimbench.bench.training.study.prepare"
PREPARE_S = 900.0

Look = Callable[[str], None]
"""Told what is being looked at."""


@dataclass(frozen=True)
class Plan:
    """A study.

    Attributes:
        run: its id.
        slots: the devices that trainings run on, one at a time on each.
        folders: where each data set is; empty for a Python package.
        costs: for each subject and arm (``subject/arm``) its ``parameters``, ``flops`` and ``flops_reason``.
        jobs: the trainings, both arms of a seed side by side, paper after paper.
        without: papers that ``all`` meant and that name no study, a sentence each.
        broken: papers that ``all`` meant and whose study does not work, a sentence each.
    """

    run: str
    slots: tuple[str, ...]
    folders: dict[str, str]
    costs: dict[str, dict[str, Any]]
    jobs: tuple[Job, ...]
    without: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()

    def tasks(self, results: Path) -> list[Task]:
        """Return every training, on the first slot."""
        folder = unfinished(results, self.run)
        return [
            Task(
                job,
                self.slots[0],
                self.folders[job.options.setting["dataset"]],
                str(folder / f"{label(job).replace(' ', '-')}.pt"),
            )
            for job in self.jobs
        ]

    def cost(self, job: Job) -> dict[str, Any]:
        """Return what is known of a training's network."""
        return self.costs[f"{job.subject}/{job.form}"]


@dataclass(frozen=True)
class _Subject:
    """What is studied, before it has been looked at."""

    paper: str
    name: str
    setting: Setting


def make(request: StudyRequest, stop: Stop, look: Look) -> Plan:
    """Return the plan of a study that starts now: the data found, every arm tried.

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
        look(subject.name)
        arms = _prepared(subject, stop)
        if "problem" in arms:
            broken.append(arms["problem"])
            continue
        costs |= {f"{subject.name}/{arm}": found for arm, found in arms.items()}
        jobs += _jobs(subject, arms, seeds[subject.name], slots[0].partition(":")[0], threads)
    if broken and ("all" not in split(request.papers) or not jobs):
        raise UserError("; ".join(broken))
    return Plan(new_run(), slots, folders, costs, tuple(jobs), tuple(without), tuple(broken))


def _subjects(request: StudyRequest) -> tuple[list[_Subject], list[str]]:
    """Return what is to be studied, and which papers of ``all`` cannot be, a sentence each."""
    papers, without = asked.papers(request.papers) if request.papers else ([], [])
    baselines = asked.baselines(request.baselines)
    if not papers and not baselines:
        raise UserError("name what to study: --paper ID (or all), or --baseline resnet18")
    chosen, effort = asked.dataset(request.dataset), asked.effort(request)
    found = []
    for paper in papers:
        assert paper.study is not None
        how = setting(effort, chosen or paper.study.dataset, request.epochs)
        found.append(_Subject(paper.id, paper.id, how))
    for name in baselines:
        how = replace(setting(effort, chosen or "fashion-mnist", request.epochs), seeds=BASELINE_SEEDS)
        found.append(_Subject("", name, how))
    return found, without


def _jobs(
    subject: _Subject, arms: dict[str, Any], seeds: tuple[int, ...], device: str, threads: int | None
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


def save(results: Path, plan: Plan) -> None:
    """Write a plan, whole or not at all.

    Raises:
        UserError: the folder cannot be written.
    """
    body = {**vars(plan), "jobs": [job.to_json() for job in plan.jobs]}
    jsonl.write_whole(_path(results, plan.run), json.dumps(body, indent=1).encode() + b"\n")


def load(results: Path, run: str) -> Plan:
    """Read the plan of ``run``, or of the newest study that is not done if it is ``latest``.

    Raises:
        UserError: there is no such study, or its plan is damaged.
    """
    runs = sorted(path.parent.name for path in (results / UNFINISHED).glob("*/plan.json"))
    if not runs:
        raise UserError(f"there is no unfinished study in {results / UNFINISHED}")
    if run != "latest" and run not in runs:
        raise unknown("unfinished study", run, runs)
    path = _path(results, runs[-1] if run == "latest" else run)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        jobs = tuple(read_job(job) for job in data["jobs"])
        lists = {name: tuple(data[name]) for name in ("slots", "without", "broken")}
        return Plan(**{**data, **lists, "jobs": jobs})
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"the plan {path} is damaged ({error}): start a new study") from error


def unfinished(results: Path, run: str) -> Path:
    """Return the folder of a study's plan and checkpoints."""
    return results / UNFINISHED / run


def _path(results: Path, run: str) -> Path:
    return unfinished(results, run) / "plan.json"


def _folders(datasets: set[str], given: Path | None) -> dict[str, str]:
    from claimbench.bench.data.small import sets

    if given is not None and "fashion-mnist" not in datasets:
        raise UserError(f"--data names Fashion-MNIST's folder, and this study trains on {' and '.join(datasets)}")
    return {name: str(sets.locate(name, given if name == "fashion-mnist" else None) or "") for name in sorted(datasets)}


def _prepared(subject: _Subject, stop: Stop) -> dict[str, Any]:
    """Return what :mod:`claimbench.bench.training.study.prepare` says of a subject: its arms, or a problem."""
    question = {"paper": subject.paper, "subject": subject.name, "setting": subject.setting.to_json()}
    try:
        found: dict[str, Any] = ask(PREPARE, question, PREPARE_S, stop)
    except RuntimeError as error:
        return {"problem": f"the study of {subject.name} fails before any training: {error}"}
    return found
