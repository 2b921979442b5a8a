"""The environment of a measurement: device, software and commit. Capturing it imports nothing heavy."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import subprocess
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from claimbench.bench.core import files
from claimbench.bench.machine import nvml
from claimbench.kernels.build import is_built, is_current

LIBRARIES = (
    "torch",
    "torchvision",
    "timm",
    "triton",
    "numpy",
    "fvcore",
    "safetensors",
    "transformers",
    "claimbench",
)
"""Libraries whose version may move a figure."""

VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OMP_PROC_BIND",
    "KMP_AFFINITY",
    "GOMP_CPU_AFFINITY",
    "LD_PRELOAD",
    "TORCH_NUM_THREADS",
    "NVIDIA_TF32_OVERRIDE",
    "CUDA_LAUNCH_BLOCKING",
    "CUBLAS_WORKSPACE_CONFIG",
    "PYTORCH_ALLOC_CONF",
    "PYTORCH_CUDA_ALLOC_CONF",
    "BENCH_KERNELS",
)
"""Environment variables that may move a figure."""

_LEVELS = {
    "x86_64_v4": {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"},
    "x86_64_v3": {"avx2", "bmi1", "bmi2", "f16c", "fma", "movbe"},
}
"""Processor flags that the x86-64 levels need."""


def capture(device: str = "cpu") -> dict[str, Any]:
    """Return a description of this machine and its software for a run on ``device``; no host or user name is in it."""
    return {
        "device": device_name(device),
        "cpu": _cpu(),
        "memory_bytes": _memory_bytes(),
        "gpu": _gpu(device),
        "os": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "libraries": _libraries(),
        "torch_build": _torch_build(),
        "native_kernels": native_level(),
        "variables": {name: _without_folders(os.environ[name]) for name in VARIABLES if name in os.environ},
    }


def digest(environment: dict[str, Any]) -> str:
    """Return a short digest that is the same for the same environment."""
    return hashlib.sha256(json.dumps(environment, sort_keys=True).encode()).hexdigest()[:12]


def device_name(device: str = "cpu") -> str:
    """Return the device's short name, as used for folders: ``cpu-amd-epyc-2c``, ``nvidia-h200``."""
    if device.startswith("cuda"):
        gpu = nvml.open_gpu(device)
        return _slug("nvidia gpu" if isinstance(gpu, str) else gpu.name())
    return _cpu_name(_cpu_model(), cores())


def name_of(environment: Mapping[str, Any]) -> str:
    """Return the short name of the device that :func:`capture` described, from the description."""
    gpu = environment["gpu"]
    if gpu is not None:
        return _slug(gpu.get("name", "nvidia gpu"))
    return _cpu_name(environment["cpu"]["model"], environment["cpu"]["usable_cores"])


def _cpu_name(model: str, cores: int) -> str:
    plain = re.sub(r"\((r|tm)\)|\bcpu\b|\bprocessor\b|\b\d+-core\b|@.*", " ", model, flags=re.IGNORECASE)
    return _slug(f"cpu {plain} {cores}c")


@cache
def commit() -> str:
    """Return the commit of this suite, with ``+dirty`` if its tree has changes; empty outside a checkout."""
    root = files.checkout()
    return "" if root is None or not (root / ".git").exists() else commit_of(root)


def commit_of(folder: Path) -> str:
    """Return the commit of the repository that tracks files of ``folder``, with ``+dirty`` if its tree has changes.

    Empty if there is none: a folder may lie in a repository that ignores it.
    """
    head = git(folder, "rev-parse", "HEAD") if git(folder, "ls-files", "--", ".") else ""
    if not head:
        return ""
    # Records are written while the suite runs: they are data, and do not make the code another one.
    changed = git(folder, "status", "--porcelain", "--", ":/", ":(top,exclude)results")
    return f"{head}+dirty" if changed else head


def _without_folders(value: str) -> str:
    """Return a variable's value with file names only: folders name users."""
    return ":".join(part.rpartition("/")[2] for part in value.split(":"))


def git(root: Path, *arguments: str) -> str:
    """Return what Git says of a repository; empty where it fails, or is not here."""
    try:
        done = subprocess.run(
            ["git", "--no-optional-locks", "-C", str(root), *arguments],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def cores() -> int:
    """Return the number of logical processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def _cpuinfo() -> dict[str, str]:
    """Return the first processor's entries of /proc/cpuinfo, empty if there is none."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return {}
    first = text.split("\n\n", 1)[0]
    return {k.strip(): v.strip() for k, _, v in (line.partition(":") for line in first.splitlines())}


def _cpu_model() -> str:
    info = _cpuinfo()
    return info.get("model name") or info.get("Hardware") or platform.processor() or platform.machine()


def _cpu() -> dict[str, Any]:
    return {
        "model": _cpu_model(),
        "architecture": platform.machine(),
        "logical_cores": os.cpu_count(),
        "usable_cores": cores(),
        "level": cpu_level(),
    }


def cpu_level() -> str:
    """Return the highest x86-64 level the processor has (``x86_64_v4``, ``x86_64_v3``), else ``baseline``."""
    flags = set(_cpuinfo().get("flags", "").split())
    return next((level for level, needed in _LEVELS.items() if needed <= flags), "baseline")


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return None


def _gpu(device: str) -> dict[str, Any] | None:
    if not device.startswith("cuda"):
        return None
    gpu = nvml.open_gpu(device)
    return {"unknown": gpu} if isinstance(gpu, str) else gpu.description()


def _libraries() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _torch_build() -> dict[str, str]:
    """Return the CUDA version and commit in torch/version.py, read as text because importing torch takes seconds."""
    spec = find_spec("torch")
    if spec is None or not spec.submodule_search_locations:
        return {}
    try:
        text = (Path(spec.submodule_search_locations[0]) / "version.py").read_text(encoding="utf-8")
    except OSError:
        return {}
    found = re.findall(r"^(__version__|cuda|hip|git_version)\s*(?::[^=]*)?=\s*'([^']*)'", text, flags=re.MULTILINE)
    return {name.strip("_"): value for name, value in found}


def native_level() -> str | None:
    """Return the level of the compiled operators that this processor loads, None if none is built or up to date."""
    order = ("x86_64_v4", "x86_64_v3", "baseline")
    level = next((name for name in order[order.index(cpu_level()) :] if is_built(name)), None)
    return level if level is not None and is_current(level) else None
