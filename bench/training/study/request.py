"""The request of ``bench study``, turned into a :class:`claimbench.bench.training.study.plan.StudyPlan`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from claimbench.bench.core.errors import UserError, unknown
from claimbench.bench.core.text import split
from claimbench.bench.machine import devices, environment
from claimbench.bench.papers import registry
from claimbench.bench.papers.spec import Paper
from claimbench.bench.training.study.setting import BASELINES, DATASETS, Effort

MOST_EPOCHS = 100_000
TRAINING_BYTES = 2 << 30
"""Memory that is set aside for each training on a processor."""


@dataclass(frozen=True)
class StudyRequest:
    """The options of ``bench study`` as typed; texts may hold several names, separated by commas."""

    papers: tuple[str, ...] = ()
    baselines: tuple[str, ...] = ()
    dataset: str = ""
    effort: Effort | None = None
    seeds: tuple[str, ...] = ()
    epochs: int | None = None
    device: str = "auto"
    devices: tuple[str, ...] = ()
    threads: int | None = None
    data: Path | None = None


def papers(asked: Sequence[str]) -> tuple[list[Paper], list[str]]:
    """Return the papers to study, and a sentence for each paper of ``all`` that cannot be studied.

    Raises:
        UserError: a paper does not exist or has no study.
    """
    names = split(asked)
    if "all" not in names:
        found = [registry.paper(name) for name in names]
        for paper in found:
            if paper.study is None:
                raise UserError(
                    f"{paper.id} cannot be studied: its paper.yaml has no `study` (block, counterpart, source)"
                )
        return found, []
    entries = registry.checked()
    without = [f"{entry.id}: {entry.problem}" for entry in entries if entry.problem]
    sound = [registry.paper(entry.id) for entry in entries if not entry.problem]
    without += [f"{paper.id}: its paper.yaml has no `study`" for paper in sound if paper.study is None]
    found = [paper for paper in sound if paper.study is not None]
    if not found:
        raise UserError("no paper here has a study")
    return found, without


def baselines(asked: Sequence[str]) -> tuple[str, ...]:
    """Return the baselines.

    Raises:
        UserError: one does not exist.
    """
    names = split(asked)
    for name in names:
        if name not in BASELINES:
            raise unknown("baseline", name, BASELINES)
    return names


def dataset(name: str) -> str:
    """Return the data set's name; empty if each paper's own is meant.

    Raises:
        UserError: there is no such data set.
    """
    if name and name not in DATASETS:
        raise unknown("data set", name, DATASETS)
    return name


def places(request: StudyRequest) -> tuple[str, ...]:
    """Return the devices that were named, one for each training at a time.

    Raises:
        UserError: a device does not exist, or processors and GPUs are mixed.
    """
    names = [name for item in request.devices for name in item.split(",") if name]
    asked = [f"cuda:{name}" if name.isdecimal() else name for name in names] or [request.device]
    found = tuple("cuda:0" if name == "cuda" else name for name in map(devices.resolve, asked))
    if len({name.partition(":")[0] for name in found}) > 1:
        raise UserError("--devices takes GPUs or cpu, not both: two arms must train on the same kind")
    return found


def effort(request: StudyRequest) -> Effort:
    """Return the effort that was asked for, or else the one that suits the devices."""
    return request.effort or ("quick" if places(request)[0] == "cpu" else "default")


def slots(request: StudyRequest, trainings: int) -> tuple[str, ...]:
    """Return the devices that trainings run on, one at a time on each.

    On a processor, unless the user says otherwise, there are as many as cores and memory allow: small networks do not
    fill several cores.
    """
    found = places(request)
    if request.devices or found != ("cpu",):
        return found
    return ("cpu",) * max(1, min(environment.cores(), trainings, _memory() // TRAINING_BYTES))


def threads(request: StudyRequest, slots_: Sequence[str]) -> int | None:
    """Return the threads of each training; None on a GPU."""
    if slots_[0] != "cpu":
        return None
    return request.threads or max(1, environment.cores() // len(slots_))


def _memory() -> int:
    """Return the bytes that could be had now."""
    import psutil

    return int(psutil.virtual_memory().available)
