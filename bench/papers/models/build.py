"""Builds networks by name: a paper's variant, a timm model, a model of the user's own, each with its weights."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any

import torch
from torch import nn

from claimbench.bench.core.errors import UnavailableError, UserError, unknown
from claimbench.bench.core.files import digest
from claimbench.bench.core.records import Job, resize
from claimbench.bench.core.task import SEED
from claimbench.bench.papers import registry
from claimbench.bench.papers.models import trained
from claimbench.bench.papers.models.state import load_state, load_strictly


@contextmanager
def seeded(seed: int = SEED) -> Iterator[None]:
    """Draw random weights inside the block from ``seed``; leave the generators as they were."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def _weights_file(job: Job) -> str | None:
    """Return the weights file of the job, which is still the one that the job was planned with.

    Raises:
        UnavailableError: official weights were asked for and there is no file.
        UserError: the file is not there any more, or has changed.
    """
    path = job.options.weights_file
    if not path:
        if job.settings.weights in ("random", "own"):
            return None
        raise UnavailableError(
            job.options.weights_missing or f"needs the {job.settings.weights} weights: give their file"
        )
    planned = job.options.weights_sha256
    if planned and Path(path).is_file() and digest(path) != planned:
        raise UserError(f"weights file {path} has changed since this run was planned: start a new run")
    return path


def from_reproduction(job: Job) -> nn.Module:
    """Return a paper's model with the job's weights.

    Raises:
        UserError: the weights file does not fit, is gone, or has changed since the run was planned.
        UnavailableError: official weights were asked for and there is no file.
    """
    module, config = registry.module(job.paper), job.options.config
    path = _weights_file(job)
    if path is None:
        built: nn.Module = importlib.import_module(f"{module}.model").build(config, job.form)
        return built
    ours = trained.build(path, module, job.subject, job.form)
    if ours is not None:
        return ours
    official = importlib.import_module(f"{module}.official")
    state = load_state(path)
    try:
        loaded: nn.Module = official.from_official(config, state, job.form or None)
    except ValueError as error:
        raise UserError(f"weights file {path} does not fit {job.subject}: {error}") from error
    return loaded


def from_timm(job: Job) -> tuple[nn.Module, tuple[int, ...]]:
    """Return a timm model and the shape of one sample before any resizing.

    Raises:
        UserError: timm has no such model, or the weights file does not fit.
        UnavailableError: timm's weights cannot be loaded here.
    """
    import timm

    name = job.subject.removeprefix("timm:")
    if not timm.is_model(name):
        raise unknown("timm model", name, timm.list_models())
    arguments = dict(job.options.config)
    own = timm.get_pretrained_cfg(name)
    shape = tuple(own.input_size) if own is not None else (3, 224, 224)
    wanted = resize(job.options.sample_shape or shape, job.settings.input_size)
    path = job.options.weights_file
    if not path and job.settings.weights != "random":
        arguments["pretrained"] = True
    if wanted[1:] != shape[1:]:
        arguments["img_size"] = wanted[1:]
    try:
        model = _create_timm(name, arguments)
    except Exception as error:
        if "pretrained" not in arguments:
            raise
        raise UnavailableError(f"timm's weights of {name} cannot be loaded here ({type(error).__name__})") from error
    if path:
        load_strictly(model, load_state(path), path, job.subject)
    return model, shape


def _create_timm(name: str, arguments: dict[str, Any]) -> nn.Module:
    """Create the model; convolutional ones take any input size and their constructors none."""
    import timm

    try:
        return timm.create_model(name, **arguments)
    except TypeError:
        if "img_size" not in arguments:
            raise
        return timm.create_model(name, **{k: v for k, v in arguments.items() if k != "img_size"})


class _AsWritten(SourceFileLoader):
    """Compiles a file each time: cached bytecode is told by second and size, which an edit may leave as they were."""

    def path_stats(self, path: Any) -> Any:
        raise OSError(f"no cached bytecode for {path}")


def from_file(job: Job) -> nn.Module:
    """Return the model that a function of the user's own file makes.

    Raises:
        UserError: the file, the function or its result is wrong, or the weights file does not fit.
    """
    path, _, factory = job.subject.rpartition(":")
    file = Path(path)
    if not file.is_file():
        raise UserError(f"{path} does not exist; a model of your own is given as <file.py>:<factory>")
    name = f"bench_subject_{file.stem}"
    if file.suffix != ".py":
        raise UserError(f"{path} is not a Python file")
    loader = _AsWritten(name, str(file))
    spec = importlib.util.spec_from_file_location(name, file, loader=loader)
    assert spec is not None  # with a loader given there is always one
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    loader.exec_module(module)
    make = getattr(module, factory, None)
    if not callable(make):
        names = [name for name, value in vars(module).items() if callable(value) and not name.startswith("_")]
        raise unknown(f"factory in {path}:", factory, names)
    model = make(**job.options.config)
    if not isinstance(model, nn.Module):
        raise UserError(f"{job.subject} returned {type(model).__name__}, expected a torch.nn.Module")
    weights = _weights_file(job)
    if weights is not None:
        load_strictly(model, load_state(weights), weights, job.subject)
    return model
