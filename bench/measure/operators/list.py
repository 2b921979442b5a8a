"""The operators and their backends, with those that can run here: the data behind ``bench kernels list``."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from importlib import import_module

from claimbench.kernels import find_operator, operator_names
from claimbench.kernels.backend import BACKENDS, preference


@dataclass(frozen=True)
class BackendState:
    """One backend of one operator on this machine.

    Attributes:
        backend: ``reference``, ``native`` or ``triton``.
        reason: for its absence here, one sentence; empty if it can run.
        preferred_on: the device types on which it is the first choice.
    """

    backend: str
    reason: str
    preferred_on: tuple[str, ...]

    @property
    def available(self) -> bool:
        """Whether it can run on this machine at all; single problems may still be refused."""
        return not self.reason


@dataclass(frozen=True)
class OperatorRow:
    """One operator: its name, its public call, the first line of its docstring and its backends."""

    operator: str
    signature: str
    summary: str
    backends: tuple[BackendState, ...]


def list_operators() -> list[OperatorRow]:
    """Return every operator, sorted by name, with the state of each backend on this machine."""
    return [_row(name) for name in operator_names()]


def _row(name: str) -> OperatorRow:
    module = import_module(f"claimbench.kernels.{name}")
    function = getattr(module, name)
    summary = (inspect.getdoc(function) or inspect.getdoc(module) or "").partition("\n")[0]
    parameters = ", ".join(inspect.signature(function).parameters)
    return OperatorRow(name, f"{name}({parameters})", summary, tuple(_state(name, b) for b in BACKENDS))


def _state(name: str, backend: str) -> BackendState:
    preferred = tuple(device for device in ("cpu", "cuda") if preference(device)[0] == backend)
    found = "" if backend == "reference" else find_operator(name).load(backend)
    return BackendState(backend, found if isinstance(found, str) else "", preferred)
