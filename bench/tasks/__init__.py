"""Tasks are plug-ins: a folder here, an entry point of the group ``bench.tasks``, or the folder ``task`` of a paper.

All have the same shape: a package that holds ``TASK``, a :class:`claimbench.bench.core.task.Task`, and a file for each
thing that it can do. A paper names its task in ``paper.yaml``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from pkgutil import iter_modules
from typing import TYPE_CHECKING

from claimbench.bench.core.errors import UserError, unknown
from claimbench.bench.core.records import Options
from claimbench.bench.core.task import Task
from claimbench.bench.papers import registry

if TYPE_CHECKING:
    from claimbench.bench.papers.spec import Paper, Variant

GROUP = "bench.tasks"


@cache
def known() -> dict[str, Task]:
    """Return every task that can be loaded, by name; the first to take a name keeps it."""
    found: dict[str, Task] = {}
    for module in _modules():
        task = _load(module)
        if isinstance(task, Task):
            found.setdefault(task.name, task)
    return found


@cache
def problems() -> tuple[str, ...]:
    """Return a sentence for each task that cannot be loaded."""
    return tuple(task for task in map(_load, _modules()) if isinstance(task, str))


def get(name: str) -> Task:
    """Return a task by name.

    Raises:
        UserError: there is none of that name. The message names the nearest, or the errors of those that do not load.
    """
    if name in known():
        return known()[name]
    if problems():
        raise UserError(f"{unknown('task', name, known())}; {'; '.join(problems())}")
    raise unknown("task", name, known())


def model_options(paper: Paper, variant: Variant) -> Options:
    """Return the options that all jobs on a model have: its hyper-parameters, and the data that it is built for."""
    return Options(
        config=variant.config,
        sample_shape=variant.input.sample_shape(),
        task=paper.task_of(variant),
        around=variant in paper.networks,
    )


def trained_by(paper: Paper, dataset: str, variant: str) -> Task:
    """Return the task that trains: of a variant, or the one of the paper's tasks that knows a data set, or its own.

    Raises:
        UserError: the task does not exist.
    """
    named = [paper.task_of(found) for found in paper.variants if found.name == variant]
    known = [name for name in dict.fromkeys(map(paper.task_of, paper.variants)) if dataset in get(name).datasets]
    return get([*named, *known, paper.task][0])


def of(options: Options) -> Task:
    """Return the task of a job, from its options."""
    return get(options.task)


def shown(name: str) -> Task:
    """Return the task of a stored job for showing it: a plain one if its plug-in is not here."""
    return known().get(name) or Task()


def _modules() -> Iterator[str]:
    yield from (f"{__name__}.{found.name}" for found in iter_modules(__path__) if found.ispkg)
    yield from (point.module for point in entry_points(group=GROUP))
    for paper, folder in registry.packages():
        if (folder / "task").is_dir() or (folder / "task.py").is_file():
            yield f"{paper}.task"


def _load(module: str) -> Task | str:
    """Return the task of a package, or its error: one broken task must not take the others with it."""
    try:
        found = import_module(module)
        task = found.TASK
        if not isinstance(task, Task) or not task.name:
            return f"TASK in {module} must be a claimbench.bench.core.task.Task with a name"
        if not hasattr(found, "__path__"):
            return f"the task in {module} must be a folder with an __init__.py, not one file"
        task = replace(task, package=module)
        task.check_scores()
    except Exception as error:
        return f"the task in {module} cannot be loaded ({type(error).__name__}: {error})"
    return task
