"""Tasks are plug-ins: a file here, an entry point of the group ``bench.tasks``, or a paper's own ``task.py``.

Each of them holds ``TASK``, an instance of :class:`claimbench.bench.core.task.Task`. A paper names its task in
``paper.yaml``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from pkgutil import iter_modules
from typing import Any

from claimbench.bench.core.errors import UserError, unknown
from claimbench.bench.core.task import Task
from claimbench.bench.papers import registry

GROUP = "bench.tasks"
DEFAULT = "image-classification"
"""The task of a job that names none."""


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
        UserError: there is none of that name; names the nearest, or says what is wrong with those that do not load.
    """
    if name in known():
        return known()[name]
    if problems():
        raise UserError(f"{unknown('task', name, known())}; {'; '.join(problems())}")
    raise unknown("task", name, known())


def of(options: Mapping[str, Any]) -> Task:
    """Return the task of a job, from its options."""
    return get(str(options.get("task", DEFAULT)))


def shown(options: Mapping[str, Any]) -> Task:
    """Return the task of a stored job for showing it: a plain one where its plug-in is not here."""
    return known().get(str(options.get("task", DEFAULT))) or Task()


def _modules() -> Iterator[str]:
    yield from (f"{__name__}.{found.name}" for found in iter_modules(__path__) if found.ispkg)
    yield from (point.module for point in entry_points(group=GROUP))
    files = [file for root in registry.roots() for file in sorted(root.glob("*/task.py"))]
    yield from (f"{registry.PACKAGE}.{file.parent.name}.task" for file in files)


def _load(module: str) -> Task | str:
    """Return the task of a module, or what is wrong with it: one broken task must not take the others with it."""
    try:
        task = import_module(module).TASK
    except Exception as error:
        return f"the task in {module} cannot be loaded ({type(error).__name__}: {error})"
    return (
        task if isinstance(task, Task) and task.name else f"TASK in {module} must be a claimbench.bench.core.task.Task"
    )
