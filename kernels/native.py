"""Finds the compiled operators that fit this machine's processor.

The build makes one module for each instruction-set level; the best one that the processor can run is loaded. torch
is imported first so that both share one OpenMP runtime, and with it one pool of threads.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from claimbench.kernels.build import STALE, is_built, is_current

_LEVELS = {
    "AVX512": ("x86_64_v4", "x86_64_v3", "baseline"),
    "AVX2": ("x86_64_v3", "baseline"),
}
_COMPUTE_DTYPES = (torch.float32, torch.float64)
_DTYPES = (*_COMPUTE_DTYPES, torch.bfloat16, torch.float16)


@cache
def level() -> str | None:
    """Return the instruction-set level in use (``baseline``, ``x86_64_v3`` or ``x86_64_v4``), None if none is built."""
    for name in _LEVELS.get(torch.backends.cpu.get_cpu_capability(), ("baseline",)):
        if is_built(name):
            return name
    return None


@cache
def module() -> ModuleType:
    """Return the compiled module.

    Raises:
        ImportError: none was built, or it cannot be loaded; the message says which.
    """
    name = level()
    if name is None:
        raise ImportError(unavailable())
    return import_module(f"claimbench.kernels._native_{name}")


@cache
def unavailable() -> str | None:
    """Return why the native operators cannot run here, as a sentence, or None if they can."""
    name = level()
    if name is None:
        return "the native operators were not built: install a C++ compiler and run `pip install` again"
    if not is_current(name):
        return STALE
    try:
        import_module(f"claimbench.kernels._native_{name}")
    except ImportError as error:
        return f"the native operators were built but cannot be loaded ({error}): run `pip install` again"
    return None


def refuses(args: Iterable[object]) -> str | None:
    """Return why the native backend cannot take these arguments (device or dtype), or None if it can."""
    for arg in args:
        if isinstance(arg, Tensor):
            if arg.device.type != "cpu":
                return f"native operators run on the CPU, got a tensor on {arg.device}"
            if arg.dtype not in _DTYPES:
                return f"native operators take float32, float64, bfloat16 or float16, got {arg.dtype}"
    return None


def threads() -> int:
    """Return the number of threads that a native operator may use: torch's own setting."""
    return torch.get_num_threads()


def compute_dtype(dtype: torch.dtype) -> torch.dtype:
    """Return the dtype the native operators calculate in: half-precision tensors go through float32."""
    return dtype if dtype in _COMPUTE_DTYPES else torch.float32


def share(tensor: Tensor) -> Tensor:
    """Return the tensor as the native operators take it: off the autograd graph, in its compute dtype."""
    return tensor.detach().to(compute_dtype(tensor.dtype))


def shared(args: Iterable[object]) -> list[Any]:
    """Return the tensors among an operator's arguments as :func:`share` does, None for one that is left out."""
    return [share(arg) if arg is not None else None for arg in args if isinstance(arg, Tensor) or arg is None]


def like(found: Tensor, argument: Tensor) -> Tensor:
    """Return a result in the dtype and strides of an argument: itself, without a copy, where it has them."""
    wanted = torch.empty_like(argument, device="meta")
    if found.dtype == wanted.dtype and found.stride() == wanted.stride():
        return found
    return torch.empty_like(argument).copy_(found)


def gradients(found: Iterable[Tensor | None], args: Iterable[object], needs: Iterable[bool]) -> list[Tensor | None]:
    """Return the gradients of an operator's tensors, which come first among its arguments, in their dtypes and strides.

    It is None where ``needs`` is False or there is no such tensor.
    """
    return [
        like(each, arg) if need and each is not None and isinstance(arg, Tensor) else None
        for each, arg, need in zip(found, args, needs, strict=False)
    ]
