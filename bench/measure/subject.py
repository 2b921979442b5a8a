"""Builds what a job measures: a paper's model, a timm baseline or a user's own, on its device and in its precision."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any

import torch
from torch import nn

from claimbench.bench import tasks, trained
from claimbench.bench.core.errors import UnavailableError, UserError, unknown
from claimbench.bench.core.files import digest
from claimbench.bench.core.records import Job, Settings, resize
from claimbench.bench.core.task import SEED, Subject
from claimbench.bench.measure.weights import load_state, load_strictly

DTYPES = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
"""The dtype of weights and inputs. Half precisions cast the whole model (``model.to(dtype)``) instead of using
autocast: no time goes into casts and memory halves, as in deployment. Norms and softmax still accumulate in float32
inside torch. ``tf32`` differs from ``fp32`` only on GPUs, where it lets matrix products and convolutions round."""

MODES = ("eager", "compile", "cudagraph")


def load_subject(job: Job) -> Subject:
    """Return the subject of ``job``, ready to run.

    Raises:
        UserError: the subject, its weights or a setting is wrong; one sentence.
        UnavailableError: this machine cannot run it so.
    """
    settings = job.settings
    device = _device(settings)
    _check_mode(settings, device)
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    with seeded():
        model, label, shape = build(job)
    config = getattr(model, "pretrained_cfg", None)
    model = model.eval().to(device=device, dtype=_dtype(settings, device))
    if settings.channels_last:
        model = model.to(memory_format=torch.channels_last)
    return Subject(
        model=model,
        sample_shape=resize(shape, settings.input_size),
        label=label,
        device=device,
        dtype=DTYPES[settings.precision],
        channels_last=settings.channels_last,
        mode=settings.mode,
        config=config if isinstance(config, Mapping) else None,
        task=tasks.of(job.options),
        built_from=job.options.get("config", {}),
    )


@contextmanager
def seeded(seed: int = SEED) -> Iterator[None]:
    """Draw random weights inside the block from ``seed``; leave the generators as they were."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def build(job: Job) -> tuple[nn.Module, str, tuple[int, ...]]:
    """Return the module on the CPU in float32, its label and the shape of one sample before any resizing."""
    subject = job.subject
    default = tuple(job.options.get("sample_shape", ()))
    if subject.startswith("timm:"):
        model, shape = _from_timm(job)
        return model, subject, default or shape
    if "module" in job.options:
        form = f" ({job.form})" if job.form else ""
        model = tasks.of(job.options).build(job) if job.options.get("around") else _from_reproduction(job)
        return model, f"{job.paper}/{subject}{form}", default or (3, 224, 224)
    if ":" in subject:
        return _from_file(job), subject, default or (3, 224, 224)
    raise UserError(f"{subject!r} is not a variant, timm:<model> or <file.py>:<factory>")


def _device(settings: Settings) -> torch.device:
    try:
        device = torch.device(settings.device)
    except RuntimeError as error:
        raise UserError(f"unknown device {settings.device!r}: use cpu, cuda or cuda:<index>") from error
    if device.type not in ("cpu", "cuda"):
        raise UserError(f"unknown device {settings.device!r}: use cpu, cuda or cuda:<index>")
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise UnavailableError("no CUDA device can be used here")
        index = device.index or 0
        if index >= torch.cuda.device_count():
            raise UnavailableError(f"there is no cuda:{index}; this machine has {torch.cuda.device_count()}")
        device = torch.device("cuda", index)
        torch.cuda.set_device(device)
    return device


def _dtype(settings: Settings, device: torch.device) -> torch.dtype:
    """Set how float32 products round and return the dtype of the weights."""
    if settings.precision not in DTYPES:
        raise unknown("precision", settings.precision, DTYPES)
    wanted = settings.precision == "tf32"
    if wanted and (device.type != "cuda" or torch.cuda.get_device_capability(device) < (8, 0)):
        raise UnavailableError("tf32 needs an NVIDIA GPU of compute capability 8.0 or newer")
    torch.backends.cuda.matmul.allow_tf32 = wanted
    torch.backends.cudnn.allow_tf32 = wanted
    return DTYPES[settings.precision]


def _check_mode(settings: Settings, device: torch.device) -> None:
    if settings.mode not in MODES:
        raise unknown("mode", settings.mode, MODES)
    if settings.mode == "cudagraph" and device.type != "cuda":
        raise UnavailableError("a CUDA graph needs a CUDA device")


def _weights_file(job: Job) -> str | None:
    """Return the weights file of the job, which is still the one that the job was planned with.

    Raises:
        UnavailableError: official weights were asked for and there is no file.
        UserError: the file is not there any more, or has changed.
    """
    path: str | None = job.options.get("weights_file")
    if path is None:
        if job.settings.weights in ("random", "own"):
            return None
        raise UnavailableError(
            job.options.get("weights_missing") or f"needs the {job.settings.weights} weights: give their file"
        )
    planned = job.options.get("weights_sha256")
    if planned and Path(path).is_file() and digest(path) != planned:
        raise UserError(f"weights file {path} has changed since this run was planned: start a new run")
    return path


def _from_reproduction(job: Job) -> nn.Module:
    module, config = job.options["module"], job.options.get("config", {})
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


def _from_timm(job: Job) -> tuple[nn.Module, tuple[int, ...]]:
    import timm

    name = job.subject.removeprefix("timm:")
    if not timm.is_model(name):
        raise unknown("timm model", name, timm.list_models())
    arguments: dict[str, Any] = dict(job.options.get("config", {}))
    own = timm.get_pretrained_cfg(name)
    shape = tuple(own.input_size) if own is not None else (3, 224, 224)
    wanted = resize(tuple(job.options.get("sample_shape", ())) or shape, job.settings.input_size)
    path = job.options.get("weights_file")
    if path is None and job.settings.weights != "random":
        arguments["pretrained"] = True
    if wanted[1:] != shape[1:]:
        arguments["img_size"] = wanted[1:]
    try:
        model = _create_timm(name, arguments)
    except Exception as error:
        if "pretrained" not in arguments:
            raise
        raise UnavailableError(f"timm's weights of {name} cannot be loaded here ({type(error).__name__})") from error
    if path is not None:
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


def _from_file(job: Job) -> nn.Module:
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
    model = make(**job.options.get("config", {}))
    if not isinstance(model, nn.Module):
        raise UserError(f"{job.subject} returned {type(model).__name__}, expected a torch.nn.Module")
    weights = _weights_file(job)
    if weights is not None:
        load_strictly(model, load_state(weights), weights, job.subject)
    return model
