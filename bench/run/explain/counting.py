"""Counts models in processes of their own, and explains their figures."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path

from claimbench.bench.core.errors import UserError
from claimbench.bench.core.listener import SILENT, Listener
from claimbench.bench.machine import environment
from claimbench.bench.machine.process import Process, Stop
from claimbench.bench.report.explain import Explained, explain
from claimbench.bench.run.explain.request import Wanted
from claimbench.bench.run.explain.worker import plain_figure
from claimbench.bench.store import counted
from claimbench.bench.store.counted import Counted, CountedModel

WORKER = "claimbench.bench.run.explain.worker"
COUNTERS = ("torch", "fvcore", "thop", "ptflops", "calflops")
"""The packages whose versions a record names."""

BUDGET_S = 60.0
"""Seconds that each counter may take on one model."""

_START_S = 300.0
"""Seconds that a process may take beyond a counter's budget: torch is loaded, the model built, its copies made."""


def explained(
    wanted: Iterable[Wanted],
    stop: Stop,
    listener: Listener = SILENT,
    budget_s: float = BUDGET_S,
    results: Path | None = None,
) -> Iterator[Explained]:
    """Yield the models with their explanations, one after the other; those of a paper are stored under ``results``.

    Raises:
        UserError: the folder cannot be written.
        Interrupted: a signal asked to stop.
    """
    waiting = list(wanted)
    with listener.begin("counting", len(waiting)) as part:
        done = 0
        while waiting:
            for found in _in_one_process(waiting, stop, budget_s, part, done):
                del waiting[0]
                done += 1
                if results is not None and found.paper and not found.problem:
                    counted.save(results, found.paper, [found.model])
                yield found
        part.at(done)


def only(wanted: Wanted, stop: Stop, listener: Listener = SILENT, budget_s: float = BUDGET_S) -> Explained:
    """Return one model of the user's own with its explanations.

    Raises:
        UserError: it cannot be built, does not run on the input, or ends its process.
        Interrupted: a signal asked to stop.
    """
    (found,) = explained([wanted], stop, listener, budget_s)
    if found.problem and not any(count.counter == "macs" for count in found.model.counts):
        said = found.problem
        raise UserError(said if wanted.title in said else f"{wanted.title} cannot be counted: {said}")
    return found


def _in_one_process(
    wanted: Iterable[Wanted], stop: Stop, budget_s: float, listener: Listener, done: int
) -> Iterator[Explained]:
    """Yield the models up to the one whose process ends, with the reason; at least one."""
    models = list(wanted)
    plain = [
        {
            "jobs": [job.to_json() for job in model.jobs],
            "others": [job.to_json() for job in model.others],
            "figures": [plain_figure(figure) for figure in model.figures],
        }
        for model in models
    ]
    process = Process(WORKER, {"models": plain, "budget_s": budget_s})
    try:
        for number, model in enumerate(models):
            listener.at(done + number, what=f"counting {model.title}")
            counts, problem, ended = _collect(process, stop, budget_s + _START_S)
            yield _finding(model, counts, problem)
            if ended:
                return
    finally:
        process.close()


def _collect(process: Process, stop: Stop, timeout: float) -> tuple[tuple[Counted, ...], str, bool]:
    """Return the counts of a process's next model, the reason that some are missing, and whether the process ended."""
    counts: list[Counted] = []
    try:
        while (line := process.line(timeout, stop)) is not None:
            answer = json.loads(line)
            if "problem" in answer:
                return tuple(counts), answer["problem"], False
            counts.append(Counted.from_json(answer["count"]))
    except TimeoutError:
        return tuple(counts), f"not done after {timeout:g} s", True
    return tuple(counts), process.end(), True


def _finding(model: Wanted, counts: tuple[Counted, ...], problem: str) -> Explained:
    versions = {name: version for name in COUNTERS if (version := _version(name))}
    found = CountedModel(model.title, counts, environment.commit(), versions)
    return Explained(found, tuple(explain(figure, counts) for figure in model.figures), problem, model.paper)


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""
