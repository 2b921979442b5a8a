"""The choice of the backend that runs an operator: by device, or by the caller.

``reference`` is the definition in plain PyTorch, ``native`` the compiled C++ operator for CPUs, ``triton`` the GPU
operator (or Triton's interpreter on a CPU). The environment variable ``BENCH_KERNELS`` sets the choice for a process.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

BACKENDS = ("reference", "native", "triton")
_PREFERENCE = {"cpu": ("native", "reference"), "cuda": ("triton", "reference")}

_override: str | None = os.environ.get("BENCH_KERNELS") or None


class BackendRefusedError(RuntimeError):
    """The backend that the caller asked for cannot run this problem; the message says why."""


def _validate(name: str | None) -> None:
    if name is not None and name not in BACKENDS:
        raise ValueError(f"unknown kernel backend {name!r}: use one of {', '.join(BACKENDS)}")


def override() -> str | None:
    """Return the backend that was asked for, or None where each operator chooses by device."""
    return _override


@contextmanager
def use(name: str | None) -> Iterator[None]:
    """Run every operator inside the block on backend ``name``; None restores the choice by device.

    With ``"reference"`` the operators are inlined as ordinary differentiable PyTorch, which tracers, FLOP counters
    and double backward can see through.

    Raises:
        ValueError: ``name`` is not a backend.
    """
    global _override
    _validate(name)
    before, _override = _override, name
    try:
        yield
    finally:
        _override = before


def preference(device_type: str) -> tuple[str, ...]:
    """Return the backends to try, best first, for tensors on ``device_type``."""
    if _override is not None:
        return (_override,)
    return _PREFERENCE.get(device_type, ("reference",))


_validate(_override)
