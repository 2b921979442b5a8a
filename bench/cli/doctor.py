"""``bench doctor``: checks of this machine, each with its result."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import typer

from claimbench.bench.cli.command import Command
from claimbench.bench.cli.options import RESULTS, Json, Results, examples
from claimbench.bench.core.errors import UserError
from claimbench.bench.core.terminal import console, entry, print_json

COLOURS = {"ok": "green", "missing": "yellow", "broken": "red"}
EXAMPLES = examples("bench doctor", "bench doctor --json", status="0 a run can work, 1 something is broken")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor", cls=Command, epilog=EXAMPLES)(doctor)


def doctor(results: Results = Path(RESULTS), json: Json = False) -> None:
    """Look at Python, torch, GPU, operators, data, the results folder and the papers."""
    from dataclasses import asdict

    from rich.text import Text

    out = console()
    found = []
    for finding in examine(results):
        found.append(finding)
        if not json:
            line = Text(entry(f"{finding.state:8} {finding.what}", finding.text, 28))
            line.stylize(COLOURS[finding.state], 0, len(finding.state))
            out.print(line)
    healthy = all(finding.state != "broken" for finding in found)
    if json:
        print_json({"healthy": healthy, "findings": [asdict(finding) for finding in found]})
    raise typer.Exit(0 if healthy else 1)


State = Literal["ok", "missing", "broken"]
"""``missing``: the suite works without it, with less. ``broken``: it does not work."""


NEEDED = ("torch", "torchvision", "timm", "fvcore", "numpy", "pydantic", "safetensors", "psutil")


@dataclass(frozen=True)
class Diagnosis:
    """One check: its name, its result, and a sentence."""

    what: str
    state: State
    text: str


def examine(results: Path) -> Iterator[Diagnosis]:
    """Look at everything that a run needs or can use; torch is loaded for it."""
    yield Diagnosis("python", "ok", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    yield from _libraries()
    yield from _torch()
    yield _gpu()
    yield _native()
    yield _triton()
    yield _energy()
    yield _data()
    yield _weights()
    yield _results(results)
    yield from _papers()


def _libraries() -> Iterator[Diagnosis]:
    for name in NEEDED:
        try:
            yield Diagnosis(name, "ok", importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            yield Diagnosis(name, "broken", f"it is not installed: pip install {name}")


def _torch() -> Iterator[Diagnosis]:
    try:
        import torch
    except ImportError as error:
        yield Diagnosis("torch", "broken", f"it cannot be imported ({error})")
        return
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield Diagnosis("threads", "ok", f"torch uses {torch.get_num_threads()} on {cores} processors")
    compiler = shutil.which(os.environ.get("CXX", "g++")) or shutil.which("clang++")
    text = f"found {compiler}" if compiler else "none found: torch.compile on a CPU (--mode compile) needs one"
    yield Diagnosis("compiler", "ok" if compiler else "missing", text)


def _gpu() -> Diagnosis:
    from claimbench.bench.machine import devices, nvml

    found = devices.cuda_devices()
    if isinstance(found, str):
        return Diagnosis("gpu", "missing", found)
    gpu = nvml.open_gpu("cuda")
    facts = gpu if isinstance(gpu, str) else f"{gpu.name()}, driver {gpu.description()['driver']}"
    return Diagnosis("gpu", "ok", f"{found}: {facts}")


def _native() -> Diagnosis:
    from claimbench.kernels import native

    why = native.unavailable()
    if why is not None:
        return Diagnosis("native operators", "missing", f"{why}; until then operators run on their reference form")
    return Diagnosis("native operators", "ok", f"level {native.level()}")


def _triton() -> Diagnosis:
    try:
        return Diagnosis("triton", "ok", importlib.metadata.version("triton"))
    except importlib.metadata.PackageNotFoundError:
        return Diagnosis("triton", "missing", "it is not installed: GPU operators run on their reference form")


def _energy() -> Diagnosis:
    import torch

    from claimbench.bench.core.errors import UnavailableError
    from claimbench.bench.measure.energy import counter

    try:
        _, source = counter(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    except UnavailableError as error:
        return Diagnosis("energy", "missing", f"{error}: energy rows will say so")
    return Diagnosis("energy", "ok", source)


def _data() -> Diagnosis:
    return Diagnosis("data", "missing", "accuracy needs a data set with one folder a class: bench run --data FOLDER")


def _weights() -> Diagnosis:
    from claimbench.bench.data.download import cache
    from claimbench.bench.papers.weights.choice import choose
    from claimbench.bench.papers.weights.inventory import HERE, listed

    folder = cache.folder()
    try:
        count = sum(row.status == HERE for row in listed(choose((), ()), folder))
    except UserError as error:
        return Diagnosis("weights", "broken", str(error))
    if count:
        return Diagnosis("weights", "ok", f"{count} files in {folder}: `bench weights check` proves them")
    return Diagnosis("weights", "missing", f"none in {folder}: `bench weights fetch` or --weights official brings them")


def _results(folder: Path) -> Diagnosis:
    try:
        place = next(p for p in (folder, *folder.absolute().parents) if p.exists())
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(b"x" * 4096)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        reason = error.strerror or error
        return Diagnosis("results", "broken", f"{folder} cannot be written ({reason}): use --results or --no-store")
    free = shutil.disk_usage(place).free / 2**30
    return Diagnosis("results", "ok", f"{folder} can be written, {free:.1f} GiB free")


def _papers() -> Iterator[Diagnosis]:
    from claimbench.bench.papers import registry

    listed = registry.checked()
    broken = [paper for paper in listed if paper.problem]
    valid = [paper.id for paper in listed if not paper.problem]
    if valid:
        yield Diagnosis("papers", "ok", f"{len(valid)} valid: {', '.join(valid)}")
    if not listed:
        yield Diagnosis("papers", "broken", "none were found: is the package installed with its `reproductions`?")
    for paper in broken:
        yield Diagnosis(f"paper {paper.id}", "broken", paper.problem)
